//! What was found, counted, with the first findings by name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    domain::{job::CompiledJob, verdict::Verdict},
    store::{raw::push_cell, rejected_rows::key_text},
    worker::run::walk::Seen,
};

/// Findings of a kind that are kept for people.
pub const LISTED: usize = 20;

/// Counts and first findings; of one range or of many.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Source rows seen.
    pub source_rows: u64,
    /// By version.
    pub versions: BTreeMap<i32, VersionTally>,
    /// The first columns that differ.
    pub differences: Vec<Difference>,
    /// The first rows without a prediction.
    pub missing: Vec<Absent>,
    /// The first predictions without a row.
    pub orphaned: Vec<Absent>,
}

/// Predictions of one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionTally {
    /// They are what the model says of today's rows.
    pub matching: u64,
    /// Made of other values, or by another mapping.
    pub stale: u64,
    /// Not what the model says of the same values, or without proof.
    pub differing: u64,
    /// Stand as rejected, and the row still is.
    pub rejected: u64,
    /// Stand as rejected, though the model scores the row.
    pub no_longer_rejected: u64,
    /// Source rows without a prediction.
    pub missing: u64,
    /// Predictions without a source row.
    pub orphaned: u64,
}

/// One column of one prediction that is not what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Key columns as people write them.
    pub key: BTreeMap<String, String>,
    /// The model version.
    pub version: i32,
    /// An output column, or `lineage.…`.
    pub column: String,
    /// What stands there.
    pub stored: Value,
    /// What should.
    pub recomputed: Value,
}

/// A row without a prediction, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Key columns as people write them.
    pub key: BTreeMap<String, String>,
    /// The model version.
    pub version: i32,
}

impl VersionTally {
    /// Predictions that were looked at.
    pub fn seen(&self) -> u64 {
        self.matching + self.stale + self.differing + self.rejected + self.no_longer_rejected
    }

    /// Predictions that are not what they claim to be.
    pub fn wrong(&self) -> u64 {
        self.differing + self.no_longer_rejected
    }

    fn add(&mut self, other: Self) {
        self.matching += other.matching;
        self.stale += other.stale;
        self.differing += other.differing;
        self.rejected += other.rejected;
        self.no_longer_rejected += other.no_longer_rejected;
        self.missing += other.missing;
        self.orphaned += other.orphaned;
    }
}

impl Tally {
    /// Takes another range's findings in.
    pub fn add(&mut self, other: Self) {
        self.source_rows += other.source_rows;
        for (version, tally) in other.versions {
            self.versions.entry(version).or_default().add(tally);
        }
        extend(&mut self.differences, other.differences);
        extend(&mut self.missing, other.missing);
        extend(&mut self.orphaned, other.orphaned);
    }

    /// Counts a verdict.
    pub fn count(&mut self, version: i32, verdict: &Verdict) {
        let tally = self.versions.entry(version).or_default();
        let count = match verdict {
            Verdict::Matching => &mut tally.matching,
            Verdict::Stale => &mut tally.stale,
            Verdict::Rejected => &mut tally.rejected,
            Verdict::NoLongerRejected => &mut tally.no_longer_rejected,
            Verdict::NowRejected(_)
            | Verdict::Differing(_)
            | Verdict::Unproven
            | Verdict::OtherModel => &mut tally.differing,
        };
        *count += 1;
    }

    /// Counts a source row that has no prediction.
    pub fn miss(&mut self, version: i32, key: impl FnOnce() -> BTreeMap<String, String>) {
        self.versions.entry(version).or_default().missing += 1;
        if self.missing.len() < LISTED {
            self.missing.push(Absent {
                key: key(),
                version,
            });
        }
    }

    /// Takes what a walk found without a source row.
    pub fn take_orphans(&mut self, job: &CompiledJob, seen: &Seen) {
        for (version, rows) in &seen.orphaned {
            self.versions.entry(*version).or_default().orphaned += rows;
        }
        if let Some(orphans) = &seen.orphans {
            let listed = orphans.versions.iter().enumerate();
            let absent = listed.map(|(row, version)| Absent {
                key: key_of(job, orphans.keys.row(row)),
                version: *version,
            });
            extend(&mut self.orphaned, absent);
        }
    }
}

fn extend<T>(list: &mut Vec<T>, more: impl IntoIterator<Item = T>) {
    let room = LISTED.saturating_sub(list.len());
    list.extend(more.into_iter().take(room));
}

/// Key cells by column, as people write them.
pub fn key_of<'a>(
    job: &CompiledJob,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
) -> BTreeMap<String, String> {
    let mut bytes = Vec::new();
    cells.for_each(|cell| push_cell(&mut bytes, cell));
    key_text(job, &bytes)
}
