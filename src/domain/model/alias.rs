//! Aliases: names that move between versions, and the history of their moves.

use uuid::Uuid;

/// Default alias for promotion and rollback.
pub const CHAMPION: &str = "champion";

/// Computed, not stored: the version to which a rollback of the champion returns, so that the two
/// cannot disagree.
pub const PREVIOUS: &str = "previous";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Time of the move: a timeuuid later than that of the previous change.
    pub changed_at: Uuid,
    /// Sequence number: 1, 2, 3 …
    pub seq: i32,
    /// Previous version; `None`: the alias is new.
    pub from: Option<i32>,
    /// New version.
    pub to: i32,
    /// Who requested it.
    pub who: Option<String>,
    /// The reason given.
    pub why: Option<String>,
    /// The gate's findings, if a gate decided.
    pub evidence: Option<String>,
    /// The request that it answers.
    pub request_id: Option<Uuid>,
}

/// Returns the version that a rollback restores: the latest earlier one that is not the current
/// one. So a rollback undoes the last move, and a second rollback undoes the first.
///
/// `history` starts with the newest change.
pub fn previous(history: &[Change]) -> Option<i32> {
    let current = history.first()?.to;
    history
        .iter()
        .find_map(|change| change.from.filter(|version| *version != current))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(moves: &[i32]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut from = None;
        for (at, to) in moves.iter().enumerate() {
            changes.insert(
                0,
                Change {
                    changed_at: Uuid::nil(),
                    seq: i32::try_from(at).unwrap() + 1,
                    from,
                    to: *to,
                    who: None,
                    why: None,
                    evidence: None,
                    request_id: None,
                },
            );
            from = Some(*to);
        }
        changes
    }

    #[test]
    fn a_rollback_undoes_the_last_move_and_a_second_one_the_first() {
        assert_eq!(previous(&history(&[1, 2, 3])), Some(2));
        assert_eq!(previous(&history(&[1, 2, 3, 2])), Some(3));
    }

    #[test]
    fn there_is_nothing_before_the_first_version() {
        assert_eq!(previous(&history(&[])), None);
        assert_eq!(previous(&history(&[1])), None);
        assert_eq!(previous(&history(&[1, 1])), None);
    }

    #[test]
    fn the_same_version_again_is_no_step_back() {
        assert_eq!(previous(&history(&[1, 2, 2])), Some(1));
    }
}
