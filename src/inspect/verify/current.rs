//! Compares the table of current predictions with the prediction table.
//!
//! This is the walk over source and predictions, with the table of current predictions in place of
//! the source. Each of its rows is seen together with the champion's stored prediction. Predictions
//! without a row there are counted like orphans.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt};

use super::{patiently, tally::LISTED};
use crate::{
    codec::{
        cql_type::CqlType,
        ring::TokenRange,
        schema::{Column, TableSchema},
    },
    domain::{
        job::{
            CompiledJob,
            manifest::TableName,
            served::{Arms, Served},
        },
        model::alias::CHAMPION,
        run::Part,
    },
    engine::run::{
        lineage::{ARM as LINEAGE_ARM, append_with_arm},
        plan,
        source::Reading,
        split_error::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit, visit_range},
    },
    failure::Failure,
    store::{
        Store,
        driver::raw::cells_of,
        predictions::{prediction_ddl::LINEAGE, selects::Carry},
        runs::rejected_rows::key_text_of_cells,
    },
};

/// The result of the comparison with the table of current predictions.
#[derive(Debug, Clone)]
pub struct CurrentReport {
    pub table: TableName,
    /// The champion, whose predictions belong in the table.
    pub version: i32,
    /// Counts and first findings.
    pub tally: CurrentTally,
}

/// Counts and first findings, of one range or of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CurrentTally {
    /// Rows seen.
    pub rows: u64,
    /// Rows of another version than the one that serves them: their arm's, or the champion.
    pub other_version: u64,
    /// Rows of the champion whose outputs or lineage differ from its prediction.
    pub differing: u64,
    /// Rows of the champion that have no prediction.
    pub extra: u64,
    /// The champion's predictions that have no row.
    pub missing: u64,
    /// The first of all these.
    pub findings: Vec<CurrentFinding>,
}

/// A row of the current table that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentFinding {
    /// Key columns in text form.
    pub key: BTreeMap<String, String>,
    /// What is wrong with the row.
    pub fault: Fault,
    /// The version that the row names; for a missing row, the champion.
    pub version: Option<i32>,
}

/// What is wrong with a row of the table of current predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    OtherVersion,
    Differing,
    Extra,
    Missing,
}

impl Fault {
    /// Returns its name in output for users and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherVersion => "other_version",
            Self::Differing => "differing",
            Self::Extra => "extra",
            Self::Missing => "missing",
        }
    }
}

impl CurrentTally {
    /// Returns the number of rows that are wrong or missing.
    pub fn wrong(&self) -> u64 {
        self.other_version + self.differing + self.extra + self.missing
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.other_version += other.other_version;
        self.differing += other.differing;
        self.extra += other.extra;
        self.missing += other.missing;
        self.list(other.findings);
    }

    fn list(&mut self, findings: impl IntoIterator<Item = CurrentFinding>) {
        let room = LISTED.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
    }
}

/// Compares the job's table of current predictions with the champion's predictions.
/// Returns `None` if the job keeps no such table, or the champion is not among the versions of
/// `job`.
///
/// # Errors
/// Cassandra's errors.
pub async fn compare(store: &Store, job: &CompiledJob) -> Result<Option<CurrentReport>, Failure> {
    let (Some(table), Some(first)) = (job.current_table(), job.versions.first()) else {
        return Ok(None);
    };
    let champion = store.alias_now(&first.ready.model, CHAMPION).await?;
    let mut numbers = job.versions.iter().map(|version| version.ready.version);
    let champion = champion.map(|(version, _)| version);
    let Some(version) = numbers.find(|version| champion == Some(*version)) else {
        return Ok(None);
    };
    let mut served = Served {
        champion: Some(version),
        arms: None,
    };
    if let Some(allocation) = store.allocation_now(&job.job).await?.allocation {
        let arms = Arms::new(job, allocation).map_err(Failure::input)?;
        served.arms = Some(Arc::new(arms));
    }
    let job = reading_from(job, &table, &served);
    let served = &served;
    let splits = plan::splits(store, &job, &Part::Whole).await?;
    let tallies = futures::stream::iter(splits.into_iter().flatten())
        .map(|range| {
            let job = &job;
            patiently(async move || of_range(store, job, range, version, served).await)
        })
        .buffer_unordered(store.config().readers.max(1));
    let tally = tallies
        .try_fold(CurrentTally::default(), async |mut sum, tally| {
            sum.add(tally);
            Ok(sum)
        })
        .await?;
    Ok(Some(CurrentReport {
        table,
        version,
        tally,
    }))
}

/// Returns the job changed to read the table of current predictions, with the versions that are
/// served.
fn reading_from(job: &CompiledJob, table: &TableName, served: &Served) -> CompiledJob {
    let column = |name: &str, cql_type| Column {
        name: name.to_owned(),
        cql_type,
    };
    let own = [
        column("model_version", CqlType::Int),
        column("lineage", CqlType::Named(LINEAGE.to_owned())),
    ];
    let outputs = job.target.outputs.iter();
    let outputs = outputs.map(|output| column(&output.name, output.cql_type.clone()));
    let mut reading = CompiledJob {
        source: TableSchema {
            keyspace: table.keyspace.clone(),
            table: table.table.clone(),
            ..job.source.clone()
        },
        source_version: None,
        columns: own.into_iter().chain(outputs).collect(),
        ..job.clone()
    };
    let numbers = served.versions();
    let versions = &mut reading.versions;
    versions.retain(|version| numbers.contains(&version.ready.version));
    reading
}

async fn of_range(
    store: &Store,
    job: &CompiledJob,
    range: TokenRange,
    champion: i32,
    served: &Served,
) -> Result<CurrentTally, SplitError> {
    let reading = Reading {
        carry: Carry::Whole,
        orphans: Some(LISTED),
        ..Reading::default()
    };
    let mut compared = Compared {
        job,
        served,
        scratch: Vec::new(),
        tally: CurrentTally::default(),
    };
    let seen = visit_range(store, job, range, &reading, &mut compared).await?;
    let mut tally = compared.tally;
    tally.rows = seen.source_rows;
    // Entities are counted by the champion's predictions: each may have one of every arm's version.
    tally.missing = seen.orphaned.get(&champion).copied().unwrap_or_default();
    if let Some(orphans) = &seen.orphans {
        let rows = orphans.versions.iter().enumerate();
        let rows = rows.filter(|(_, version)| **version == champion);
        tally.list(rows.map(|(row, _)| CurrentFinding {
            key: key_text_of_cells(job, orphans.keys.row(row)),
            fault: Fault::Missing,
            version: Some(champion),
        }));
    }
    Ok(tally)
}

struct Compared<'a> {
    job: &'a CompiledJob,
    served: &'a Served,
    scratch: Vec<u8>,
    tally: CurrentTally,
}

impl Compared<'_> {
    /// Returns the arm of a row: by its key, or by its lineage where the unit is another column, which
    /// the table of current predictions does not have.
    fn arm(&mut self, cells: &[Option<&[u8]>], lineage: &[u8]) -> Option<usize> {
        let arms = self.served.arms.as_ref()?;
        if arms.allocation.unit.is_none() {
            return arms.of_row(cells, &mut self.scratch).arm();
        }
        let label = cells_of(lineage).nth(LINEAGE_ARM).flatten()?;
        arms.labelled(std::str::from_utf8(label).ok()?)
    }
}

impl Visit for Compared<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let (key, cells) = row.cells.split_at(self.job.key.len());
        let version = cells.first().copied().flatten();
        let version = version.and_then(|bytes| bytes.try_into().ok().map(i32::from_be_bytes));
        let standing = stored.standing(row.identity);
        let lineage = cells.get(1).copied().flatten().unwrap_or_default();
        let arm = self.arm(row.cells, lineage);
        let served = self.served.version_of(arm).unwrap_or_default();
        let fault = if version != Some(served) {
            self.tally.other_version += 1;
            Fault::OtherVersion
        } else if let Some(mut whole) = standing.whole(served) {
            // The cells are lineage, TTL, outputs. The TTL is skipped: a copy lives about as long
            // as its original had left. The lineage names the arm that the row is in now.
            let mut expected = Vec::new();
            let own = whole.next().flatten().unwrap_or_default();
            append_with_arm(own, self.served.label(arm), &mut expected);
            let outputs: Vec<_> = whole.skip(1).collect();
            if cells.get(1) == Some(&Some(&expected[..])) && outputs == cells[2..] {
                return Next::Row;
            }
            self.tally.differing += 1;
            Fault::Differing
        } else {
            self.tally.extra += 1;
            Fault::Extra
        };
        if self.tally.findings.len() < LISTED {
            self.tally.findings.push(CurrentFinding {
                key: key_text_of_cells(self.job, key.iter().copied()),
                fault,
                version,
            });
        }
        Next::Row
    }

    async fn flush(&mut self) -> Result<(), SplitError> {
        Ok(())
    }
}
