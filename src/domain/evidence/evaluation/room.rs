//! Memory limit on stored scores.

use serde::{Deserialize, Serialize};

use super::exact_scores::CELL_BYTES;

/// Memory limit for the stored scores of all versions, and once more for those of all segments.
pub const MEMORY_BYTES: usize = 64 << 20;
/// A split of n may use this many times its share of that: rows are not evenly distributed.
const UNEVEN: usize = 4;

/// A budget for stored scores, in cells.
///
/// Whether scores fit depends on the number of distinct cells (of score, group, class), which only
/// grows as parts are merged, so the result does not depend on the order of merging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Maximum number of distinct cells.
    most: usize,
    /// Maximum number of cells before equal ones are merged.
    held_at_most: usize,
    /// Upper bound on the current number of cells.
    held: usize,
    is_full: bool,
}

impl Room {
    /// Returns a budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        let cells = bytes / CELL_BYTES;
        Self {
            most: cells / 4 * 3,
            held_at_most: cells,
            held: 0,
            is_full: false,
        }
    }

    /// Adds cells; returns whether [`Room::settle`] is due.
    pub fn take(&mut self, cells: usize) -> bool {
        self.held += cells;
        !self.is_full && self.held > self.held_at_most
    }

    /// Sets the number of distinct cells; returns whether they must be binned.
    pub fn settle(&mut self, distinct: usize) -> bool {
        self.held = distinct;
        self.is_full |= distinct > self.most;
        self.is_full
    }

    /// Adds another budget's cells; returns whether [`Room::settle`] is due.
    pub fn merge(&mut self, other: &Self) -> bool {
        self.is_full |= other.is_full;
        self.take(other.held) || self.is_full
    }

    /// Returns whether scores are binned from now on.
    pub fn is_full(&self) -> bool {
        self.is_full
    }
}

/// Returns the memory limit of one of `splits` splits, in bytes.
pub fn of_a_split(splits: usize) -> usize {
    (MEMORY_BYTES / splits.max(1))
        .saturating_mul(UNEVEN)
        .min(MEMORY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Merge, Precision,
            binary::Scores,
            partial::{Kind, OfVersion, Partial, Predicted, Segments, Truth, Versions},
            score_bins::Scale,
        },
        *,
    };

    const LITTLE: usize = 64 << 10;

    fn cells(versions: &Versions) -> usize {
        let cells = versions.versions.iter().map(|version| match version {
            OfVersion::Binary(own) => own.ranking().cells(),
            _ => 0,
        });
        cells.sum()
    }

    /// Of all rows, and of all segments.
    fn held(partial: &Partial) -> [usize; 2] {
        let Segments::Few(segments) = &partial.segments else {
            panic!("few segments");
        };
        [cells(&partial.all), segments.values().map(cells).sum()]
    }

    fn add(partial: &mut Partial, row: u32, distinct: u32) {
        let score = Predicted::Score(f64::from(row % distinct) / f64::from(distinct));
        let segment = Some(format!("s{}", row % 7));
        let truth = Truth::Positive(row.is_multiple_of(3));
        partial.add((row % 100) as u8, Some(&segment), truth, &[score, score]);
    }

    fn little() -> Partial {
        let scores = Scores {
            scale: Scale::Probability,
            precision: Precision::Double,
            thresholds: Vec::new(),
        };
        let kinds = vec![Kind::Binary(scores.clone()), Kind::Binary(scores)];
        Partial::within(kinds, LITTLE)
    }

    #[test]
    fn scores_of_all_versions_and_segments_stay_in_their_room() {
        // Few distinct scores fit whatever the rows are; many go into bins.
        for (distinct, fit) in [(2, true), (100_000, false)] {
            let mut partial = little();
            for row in 0..20_000 {
                add(&mut partial, row, distinct);
                let held = held(&partial).map(|cells| cells * CELL_BYTES);
                assert!(held.iter().all(|bytes| *bytes <= LITTLE), "{held:?}");
            }
            let mut merged = little();
            for _ in 0..20 {
                merged.merge(&partial);
                let held = held(&merged).map(|cells| cells * CELL_BYTES);
                assert!(held.iter().all(|bytes| *bytes <= 2 * LITTLE), "{held:?}");
            }
            merged.settle();
            assert_eq!(held(&merged).map(|cells| cells > 0), [fit; 2]);
        }
    }

    #[test]
    fn millions_of_scores_fit() {
        let mut room = Room::new(MEMORY_BYTES);
        assert!(!room.take(4_194_304));
        assert!(room.take(1));
        assert!(!room.settle(3_145_728));
        assert!(room.settle(3_145_729) && room.is_full());
        assert!(!room.take(10_000_000), "bins take no more room");
        assert_eq!(of_a_split(256), 1 << 20);
        assert_eq!(of_a_split(1), MEMORY_BYTES);
    }
}
