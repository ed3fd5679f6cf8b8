//! Coverage: how much of a job's source a version has scored, told from its runs without a scan.
//!
//! A whole-ring run that succeeded has a prediction or a rejection for every row that it read. What
//! changed since is told by later runs of other versions: rows that they scored again, though they
//! had scored the whole ring before, have changed. Changes that no run has met yet are nobody's
//! knowledge; they are as missing from the version that readers see now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::run::RunState;

/// A run, as far as coverage is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Its id.
    pub run_id: Uuid,
    /// The versions that it scored.
    pub versions: BTreeSet<i32>,
    /// Over the whole ring, not some keys or a part.
    pub whole: bool,
    /// It wrote unchanged rows, too, so its counts tell nothing about changes.
    pub rewrite: bool,
    /// Its predictions are what the job would write today: same table, same mapping.
    pub fits: bool,
    /// Where it stands.
    pub state: RunState,
    /// Cassandra's timestamp of its beginning, strictly rising; `None`: it never wrote.
    pub base: Option<i64>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// Rows that it read.
    pub source_rows: u64,
    /// Rows that it wrote, by version.
    pub scored: BTreeMap<i32, u64>,
    /// The request that it is for.
    pub request_id: Option<Uuid>,
}

/// How well a version covers a job's source.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The version's newest whole-ring run that succeeded.
    pub run: Option<Head>,
    /// Rows that later runs found changed and this version has not scored since.
    pub changed: u64,
    /// A newer run of the version that is open or failed: what it left is not known.
    pub obstacle: Option<(Uuid, RunState)>,
}

impl Coverage {
    /// Of a version, from a job's runs in any order.
    pub fn of(version: i32, heads: &[Head]) -> Self {
        let run = heads
            .iter()
            .filter(|head| covers(head, version) && head.fits)
            .max_by_key(|head| head.base)
            .cloned();
        let since = run.as_ref().and_then(|run| run.base);
        let newer = |head: &&Head| match head.state.is_terminal() {
            // One that was planned and never began wrote nothing.
            true => head.base > since,
            false => head.base.is_none_or(|base| Some(base) > since),
        };
        let obstacle = heads
            .iter()
            .filter(newer)
            .filter(|head| head.versions.contains(&version))
            .find(|head| !head.state.is_terminal() || head.state == RunState::Failed)
            .map(|head| (head.run_id, head.state));
        let later = heads
            .iter()
            .filter(newer)
            .filter(|head| !head.versions.contains(&version) && !head.rewrite);
        let changed = later.map(|head| changes(head, heads)).sum();
        Self {
            run,
            changed,
            obstacle,
        }
    }

    /// Whether every row known of is scored: what a promotion asks for.
    pub fn is_full(&self) -> bool {
        self.run.is_some() && self.changed == 0 && self.obstacle.is_none()
    }

    /// 0 to 100, of the rows that the whole-ring run read.
    pub fn percent(&self) -> f64 {
        let Some(run) = &self.run else {
            return 0.0;
        };
        match run.source_rows {
            0 => 100.0,
            rows => (rows - self.changed.min(rows)) as f64 * 100.0 / rows as f64,
        }
    }
}

fn covers(head: &Head, version: i32) -> bool {
    head.state == RunState::Succeeded && head.whole && head.versions.contains(&version)
}

/// Rows that a run found changed: what it scored of a version that had covered the ring before.
fn changes(head: &Head, heads: &[Head]) -> u64 {
    let before = |version: i32| {
        let mut earlier = heads.iter().filter(|other| other.base < head.base);
        earlier.any(|other| covers(other, version))
    };
    let counted = head.scored.iter().filter(|(version, _)| before(**version));
    counted.map(|(_, rows)| *rows).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(base: i64, version: i32, scored: u64, state: RunState) -> Head {
        Head {
            run_id: Uuid::from_u128(base as u128),
            versions: BTreeSet::from([version]),
            whole: true,
            rewrite: false,
            fits: true,
            state,
            base: Some(base),
            started_at: None,
            source_rows: 100,
            scored: BTreeMap::from([(version, scored)]),
            request_id: None,
        }
    }

    #[test]
    fn a_first_scoring_is_no_change_and_a_second_one_tells_of_changes() {
        use RunState::Succeeded;
        let mut heads = vec![head(1, 1, 100, Succeeded), head(2, 2, 100, Succeeded)];
        assert!(Coverage::of(1, &heads).is_full());
        assert!(Coverage::of(2, &heads).is_full());
        assert_eq!(Coverage::of(3, &heads).percent(), 0.0);
        heads.push(head(3, 2, 25, Succeeded));
        let one = Coverage::of(1, &heads);
        assert_eq!((one.changed, one.percent()), (25, 75.0));
        assert!(Coverage::of(2, &heads).is_full());
        // A rewrite of everything tells nothing of changes.
        let mut rewrite = head(4, 2, 100, Succeeded);
        rewrite.rewrite = true;
        heads.push(rewrite);
        assert_eq!(Coverage::of(1, &heads).changed, 25);
    }

    #[test]
    fn a_newer_run_that_is_open_or_failed_is_in_the_way() {
        use RunState::*;
        for (state, clear) in [(Failed, false), (Running, false), (Cancelled, true)] {
            let heads = [head(1, 1, 100, Succeeded), head(2, 1, 1, state)];
            assert_eq!(Coverage::of(1, &heads).is_full(), clear, "{state}");
            let healed = [&heads[..], &[head(3, 1, 1, Succeeded)]].concat();
            assert!(Coverage::of(1, &healed).is_full() || state == Running);
        }
        let mut planning = head(2, 1, 0, Planning);
        planning.base = None;
        let heads = [head(1, 1, 100, Succeeded), planning];
        assert!(!Coverage::of(1, &heads).is_full());
    }

    #[test]
    fn parts_of_the_ring_and_other_mappings_cover_nothing() {
        let mut part = head(1, 1, 10, RunState::Succeeded);
        part.whole = false;
        assert!(Coverage::of(1, &[part]).run.is_none());
        let mut other = head(1, 1, 10, RunState::Succeeded);
        other.fits = false;
        assert!(Coverage::of(1, &[other]).run.is_none());
    }
}
