//! Counts the findings, and lists the first of them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    domain::{job::CompiledJob, model::verdict::Verdict},
    engine::run::walk::JoinSummary,
    store::runs::rejected_rows::key_text_of_cells,
};

/// Findings of each kind that are listed for users.
pub const LISTED: usize = 20;

/// Counts and first findings, of one range or of several.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Source rows seen.
    pub source_rows: u64,
    /// Counts by version.
    pub versions: BTreeMap<i32, VersionTally>,
    /// The first columns that differ.
    pub differences: Vec<Difference>,
    /// The first rows without a prediction.
    pub missing: Vec<Absent>,
    /// The first predictions without a row.
    pub orphaned: Vec<Absent>,
}

/// Counts of one version's predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionTally {
    /// Equal to what the model predicts for today's rows.
    pub matching: u64,
    /// Made from other values, or by another mapping.
    pub stale: u64,
    /// Different from what the model predicts for the same values, or without proof.
    pub differing: u64,
    /// Stored as rejected, and the row is still rejected.
    pub rejected: u64,
    /// Stored as rejected, but the model scores the row.
    pub no_longer_rejected: u64,
    /// Source rows without a prediction.
    pub missing: u64,
    /// Predictions without a source row.
    pub orphaned: u64,
}

/// One column of one prediction that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Key columns in text form.
    pub key: BTreeMap<String, String>,
    /// The model version.
    pub version: i32,
    /// An output column, or `lineage.…`.
    pub column: String,
    /// The stored value.
    pub stored: Value,
    /// The expected value.
    pub recomputed: Value,
}

/// A row without a prediction, or a prediction without a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Key columns in text form.
    pub key: BTreeMap<String, String>,
    /// The model version.
    pub version: i32,
}

impl VersionTally {
    /// Returns the number of predictions that were checked.
    pub fn seen(&self) -> u64 {
        self.matching + self.stale + self.differing + self.rejected + self.no_longer_rejected
    }

    /// Returns the number of predictions that are not what they claim to be.
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
    /// Adds another range's findings.
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

    /// Adds the predictions that a walk found without a source row.
    pub fn take_orphans(&mut self, job: &CompiledJob, seen: &JoinSummary) {
        for (version, rows) in &seen.orphaned {
            self.versions.entry(*version).or_default().orphaned += rows;
        }
        if let Some(orphans) = &seen.orphans {
            let listed = orphans.versions.iter().enumerate();
            let absent = listed.map(|(row, version)| Absent {
                key: key_text_of_cells(job, orphans.keys.row(row)),
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
