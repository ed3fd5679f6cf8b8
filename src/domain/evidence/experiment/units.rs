//! Counts distinct units by arm in bounded memory: exactly up to 32,768 units, and above that a
//! sample of the units by their hash, which has the arms' ratios all the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::spelling::spelled;

/// Units kept at most.
const MAX_UNITS: usize = 32_768;

/// How far a unit came: its row was assigned to an arm, scored by it, and labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    Assigned,
    Scored,
    Labelled,
}

spelled! {
    Stage {
        Assigned => "assigned",
        Scored => "scored",
        Labelled => "labelled",
    }
}

/// The units that were seen, each with its arm and the furthest stage that one of its rows reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Units {
    /// Only units whose hash has this many leading zeros are kept.
    level: u32,
    units: BTreeMap<u64, (u8, Stage)>,
}

impl Units {
    /// Adds a row of a unit. `unit`: its canonical bytes, or its hash.
    pub fn add(&mut self, unit: &[u8], arm: usize, stage: Stage) {
        let hash = xxh3_64(unit);
        if hash.leading_zeros() >= self.level {
            self.put(hash, arm as u8, stage);
            self.shrink();
        }
    }

    fn put(&mut self, hash: u64, arm: u8, stage: Stage) {
        let known = self.units.entry(hash).or_insert((arm, stage));
        known.1 = known.1.max(stage);
    }

    fn shrink(&mut self) {
        while self.units.len() > MAX_UNITS {
            self.level += 1;
            let level = self.level;
            self.units.retain(|hash, _| hash.leading_zeros() >= level);
        }
    }

    /// Adds the units of another part.
    pub fn merge(&mut self, other: Self) {
        if other.level > self.level {
            self.level = other.level;
            self.units
                .retain(|hash, _| hash.leading_zeros() >= other.level);
        }
        let level = self.level;
        let fits = other.units.into_iter();
        for (hash, (arm, stage)) in fits.filter(|(hash, _)| hash.leading_zeros() >= level) {
            self.put(hash, arm, stage);
        }
        self.shrink();
    }

    /// Returns the number of units of each of `arms` arms that reached a stage.
    pub fn counts(&self, arms: usize, stage: Stage) -> Vec<u64> {
        let mut counts = vec![0; arms];
        for (arm, reached) in self.units.values() {
            if *reached >= stage
                && let Some(count) = counts.get_mut(usize::from(*arm))
            {
                *count += 1;
            }
        }
        counts
    }

    /// Returns the share of all units that is counted: 1, 1/2, 1/4 …
    pub fn share(&self) -> f64 {
        0.5_f64.powi(self.level as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_many_rows_counts_once_and_at_its_furthest_stage() {
        let mut units = Units::default();
        units.add(b"a", 0, Stage::Assigned);
        units.add(b"a", 0, Stage::Labelled);
        units.add(b"a", 0, Stage::Scored);
        units.add(b"b", 1, Stage::Scored);
        assert_eq!(units.counts(2, Stage::Assigned), [1, 1]);
        assert_eq!(units.counts(2, Stage::Scored), [1, 1]);
        assert_eq!(units.counts(2, Stage::Labelled), [1, 0]);
    }

    #[test]
    fn parts_merge_to_the_units_of_the_whole_and_many_units_are_sampled() {
        let (mut whole, mut parts) = (Units::default(), vec![Units::default(); 5]);
        for id in 0..100_000_u32 {
            let (unit, arm) = (id.to_be_bytes(), (id % 2) as usize);
            whole.add(&unit, arm, Stage::Scored);
            parts[id as usize % 5].add(&unit, arm, Stage::Assigned);
            parts[id as usize % 3].add(&unit, arm, Stage::Scored);
        }
        let mut merged = Units::default();
        parts.into_iter().for_each(|part| merged.merge(part));
        assert_eq!(merged, whole);
        assert_eq!(whole.share(), 0.25);
        let counts = whole.counts(2, Stage::Scored);
        for count in counts {
            let all = count as f64 / whole.share();
            assert!((all - 50_000.0).abs() < 1_500.0, "{all}");
        }
    }
}
