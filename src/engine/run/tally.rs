//! Sums the outcomes of batches that Cassandra acknowledged.

use std::collections::{BTreeMap, btree_map::Entry};

use rand::RngExt;

use crate::{
    codec::cells::CellBuffer,
    domain::{
        evidence::{drift::Profile, statistics::OutputAccumulator},
        run::Counts,
    },
    engine::predict::{Predicted, profile::OutputCounters},
    store::{driver::raw::push_cell, runs::splits::Sampled},
};

/// Written rows of a split that are sampled, for the closing check to read back.
const SAMPLE: usize = 16;
/// Rejected rows of one split that are listed for users.
const LISTED: usize = 1_000;

/// Sums over the batches of a split.
#[derive(Default)]
pub struct Tally {
    /// Outcomes, counted once their writes were acknowledged.
    pub counts: Counts,
    /// Output statistics by version.
    pub statistics: BTreeMap<i32, OutputAccumulator>,
    /// By version: counts of the outputs of scored rows.
    pub outputs: BTreeMap<i32, OutputCounters>,
    /// What the split has counted.
    pub profile: Option<Profile>,
    /// Written rows, each with a random priority; the highest priorities of a split form its
    /// sample.
    pub sample: Vec<(u64, Sampled)>,
    /// Rejected rows listed for users: key cells (as bound), version, reason.
    pub rejected: Vec<(Vec<u8>, i32, String)>,
}

impl Tally {
    /// Merges another tally of the same split.
    pub fn add(&mut self, other: Self) {
        self.counts.add(&other.counts);
        for (version, statistics) in other.statistics {
            self.statistics
                .entry(version)
                .or_default()
                .merge(statistics);
        }
        for (version, outputs) in other.outputs {
            match self.outputs.entry(version) {
                Entry::Vacant(empty) => drop(empty.insert(outputs)),
                Entry::Occupied(mut known) => known.get_mut().merge(&outputs),
            }
        }
        for (priority, sampled) in other.sample {
            self.sampled(priority, || sampled);
        }
        let room = LISTED.saturating_sub(self.rejected.len());
        self.rejected.extend(other.rejected.into_iter().take(room));
    }

    /// Counts one version's rows of an acknowledged batch with these keys.
    pub fn acknowledged(&mut self, version: &Predicted, keys: &CellBuffer) {
        let number = version.number;
        let counts = &mut self.counts;
        *counts.scored.entry(number).or_default() += version.scored.len() as u64;
        *counts.rejected.entry(number).or_default() += version.rejected.len() as u64;
        let scored = version.scored.iter().copied();
        let rejected = version.rejected.iter().map(|row| (row.row, row.input_hash));
        let mut random = rand::rng();
        for (row, input_hash) in scored.chain(rejected) {
            self.sampled(random.random(), || Sampled {
                key: key(keys, row),
                version: number,
                input_hash,
            });
        }
        let room = LISTED.saturating_sub(self.rejected.len());
        let listed = version.rejected.iter().take(room);
        self.rejected
            .extend(listed.map(|row| (key(keys, row.row), number, row.reason.clone())));
    }

    /// Adds a row to the sample, which keeps the highest priorities.
    fn sampled(&mut self, priority: u64, sampled: impl FnOnce() -> Sampled) {
        if self.sample.len() < SAMPLE {
            self.sample.push((priority, sampled()));
        } else if let Some(least) = self.sample.iter_mut().min_by_key(|(least, _)| *least)
            && least.0 < priority
        {
            *least = (priority, sampled());
        }
    }
}

fn key(keys: &CellBuffer, row: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    keys.row(row as usize)
        .for_each(|cell| push_cell(&mut bytes, cell));
    bytes
}
