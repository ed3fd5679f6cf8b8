//! What a split of a run counts, for all its versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{Bins, Counter, Measure};

/// Maximum number of features of a version that are counted, in the order of its inputs.
pub const MAX_FEATURES: usize = 256;
/// Maximum number of segments; all others are counted as one.
const MAX_SEGMENTS: usize = 20;
/// Rows of a run that are all counted, whatever the number of its splits.
const DENSE_ROWS: u64 = 30_000;
/// Beyond these, one row of so many is counted, chosen by its key.
const THINNED: u64 = 16;

/// A feature or output to count.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    /// The feature's name, or `out.` and the output column's.
    pub name: String,
    pub is_text: bool,
    /// Its bins; `None`: values are kept until they can be made.
    pub bins: Option<Bins>,
    pub measure: Measure,
}

/// What is counted of a version.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedVersion {
    pub version: i32,
    pub features: Vec<Counted>,
    pub outputs: Vec<Counted>,
}

/// What a run counts.
#[derive(Debug, Clone, PartialEq)]
pub struct CountingPlan {
    pub versions: Vec<CountedVersion>,
    /// Number of the run's splits.
    pub splits: u64,
}

/// What a split has counted of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionProfile {
    pub features: Vec<Counter>,
    pub outputs: Vec<Counter>,
    /// The features by segment; only those with bins are counted.
    pub segments: BTreeMap<String, Vec<Counter>>,
}

/// What a split has counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// [`CountingPlan::fingerprint`] of the plan.
    pub plan: u128,
    /// By version, in the plan's order.
    pub versions: Vec<VersionProfile>,
}

impl CountingPlan {
    /// Returns a hash of everything that decides what is counted where.
    pub fn fingerprint(&self) -> u128 {
        let mut text = String::new();
        for version in &self.versions {
            let counted = version.features.iter().chain(&version.outputs);
            text.push_str(&format!("version {}\n", version.version));
            counted.for_each(|one| text.push_str(&format!("{one:?}\n")));
        }
        xxh3_128(text.as_bytes())
    }

    /// Returns whether a row is counted: the first rows of a split all are, then one in so many. The
    /// same rows are chosen whoever reads the split. `read`: rows of the split read before; `hash`: of
    /// the row's key.
    pub fn takes(&self, read: u64, hash: u64) -> bool {
        read < DENSE_ROWS.div_ceil(self.splits.max(1)) || hash.is_multiple_of(THINNED)
    }

    /// Returns how many rows of a split are kept for a version's features and outputs without bins.
    pub fn kept_rows(&self, version: &CountedVersion) -> u64 {
        let values = version.features.len() + version.outputs.len();
        let rows = super::SAMPLED_ROWS.min(super::MAX_SAMPLED_VALUES / values.max(1));
        let rows = rows.max(2 * super::MIN_ROWS as usize) as u64;
        rows.div_ceil(self.splits.max(1))
    }
}

impl VersionProfile {
    /// Returns empty counters.
    pub fn new(counted: &CountedVersion) -> Self {
        Self {
            features: counters(&counted.features),
            outputs: counters(&counted.outputs),
            segments: BTreeMap::new(),
        }
    }

    /// Returns the counters of a segment's features. After twenty segments, all further
    /// ones share those of `others`.
    pub fn segment(
        &mut self,
        counted: &CountedVersion,
        name: &str,
        others: &str,
    ) -> &mut [Counter] {
        let is_room = self.segments.len() < MAX_SEGMENTS;
        let name = match is_room || self.segments.contains_key(name) {
            true => name,
            false => others,
        };
        let fresh = || counters(&counted.features);
        self.segments.entry(name.to_owned()).or_insert_with(fresh)
    }
}

impl Profile {
    /// Returns empty counters for all versions of a plan.
    pub fn new(plan: &CountingPlan) -> Self {
        Self {
            plan: plan.fingerprint(),
            versions: plan.versions.iter().map(VersionProfile::new).collect(),
        }
    }

    /// Adds the profile of another split. Returns `false`, and adds nothing, if it was made by
    /// another plan.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.plan != other.plan || self.versions.len() != other.versions.len() {
            return false;
        }
        for (mine, theirs) in self.versions.iter_mut().zip(&other.versions) {
            add(&mut mine.features, &theirs.features);
            add(&mut mine.outputs, &theirs.outputs);
            for (name, counters) in &theirs.segments {
                match mine.segments.get_mut(name) {
                    Some(known) => add(known, counters),
                    None => {
                        mine.segments.insert(name.clone(), counters.clone());
                    }
                }
            }
        }
        true
    }
}

fn counters(counted: &[Counted]) -> Vec<Counter> {
    let new = |one: &Counted| Counter::new(one.bins.as_ref(), one.is_text);
    counted.iter().map(new).collect()
}

fn add(mine: &mut [Counter], theirs: &[Counter]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        // Counters of one plan are of one kind.
        mine.merge(theirs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_twenty_thousand_rows_are_counted_if_there_are_as_many() {
        for (rows, splits) in [(20_000, 1), (25_000, 7), (100_000, 64), (1_000_000, 256)] {
            let plan = CountingPlan {
                versions: Vec::new(),
                splits,
            };
            let mut taken = 0_u64;
            for split in 0..splits {
                for row in 0..rows / splits {
                    let hash = xxh3_128(&(split * 1_000_000 + row).to_le_bytes()) as u64;
                    taken += u64::from(plan.takes(row, hash));
                }
            }
            assert!(taken >= 19_900, "{taken} of {rows} in {splits} splits");
            assert!(taken <= 32_000 + rows / 12, "{taken} of {rows}");
        }
    }

    #[test]
    fn splits_add_up_in_any_order_and_other_plans_do_not() {
        let plan = |bins: Option<Bins>| CountingPlan {
            versions: vec![CountedVersion {
                version: 1,
                features: vec![Counted {
                    name: "a".to_owned(),
                    is_text: false,
                    bins,
                    measure: Measure::Index,
                }],
                outputs: Vec::new(),
            }],
            splits: 2,
        };
        for bins in [None, Some(Bins::Ranges(vec![10.0, 20.0]))] {
            let plan = plan(bins.clone());
            let part = |from: u32| {
                let mut profile = Profile::new(&plan);
                let version = &mut profile.versions[0];
                for value in from..from + 30 {
                    version.features[0].add_number(bins.as_ref(), f64::from(value));
                    let segment = version.segment(&plan.versions[0], "north", "(others)");
                    segment[0].add_null();
                }
                profile
            };
            let (mut one, mut other) = (part(0), part(100));
            assert!(one.merge(&part(100)) && other.merge(&part(0)));
            let told = |profile: Profile| {
                let version = profile.versions.into_iter().next().unwrap();
                let counter = version.features.into_iter().next().unwrap();
                (
                    counter.into_distribution(bins.as_ref()),
                    version.segments["north"][0].rows(),
                )
            };
            let (one, other) = (told(one), told(other));
            assert_eq!(one.0.cells, other.0.cells);
            assert_eq!((one.1, other.1), (60, 60));
            assert!((one.0.std.unwrap() - other.0.std.unwrap()).abs() < 1e-12);
        }
        let mut one = Profile::new(&plan(None));
        assert!(!one.merge(&Profile::new(&plan(Some(Bins::Ranges(vec![1.0]))))));
    }
}
