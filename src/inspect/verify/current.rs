//! Compares the table of current predictions with the prediction table.
//!
//! This is the walk over source and predictions, with the table of current predictions in place of
//! the source. Each of its rows is seen together with the champion's stored prediction. Predictions
//! without a row there are counted like orphans.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::{patiently, tally::LISTED};
use crate::{
    codec::{
        cql_type::CqlType,
        ring::TokenRange,
        schema::{Column, TableSchema},
    },
    domain::{
        job::{CompiledJob, manifest::TableName},
        model::alias::CHAMPION,
        run::Part,
    },
    engine::run::{
        plan,
        source::Reading,
        split::SplitError,
        stored::StoredPredictions,
        walk::{Arrived, Next, SourceRow, Visit, visit_range},
    },
    failure::Failure,
    store::{
        Store,
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
    /// Rows of another version than the champion.
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
    let job = reading_from(job, &table, version);
    let splits = plan::splits(store, &job, &Part::Whole).await?;
    let tallies = futures::stream::iter(splits.into_iter().flatten())
        .map(|range| {
            let job = &job;
            patiently(async move || of_range(store, job, range, version).await)
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

/// Returns the job changed to read the table of current predictions, with the champion as its only
/// version.
fn reading_from(job: &CompiledJob, table: &TableName, champion: i32) -> CompiledJob {
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
    let versions = &mut reading.versions;
    versions.retain(|version| version.ready.version == champion);
    reading
}

async fn of_range(
    store: &Store,
    job: &CompiledJob,
    range: TokenRange,
    champion: i32,
) -> Result<CurrentTally, SplitError> {
    let reading = Reading {
        carry: Carry::Whole(champion),
        orphans: Some(LISTED),
        ..Reading::default()
    };
    let mut compared = Compared {
        job,
        champion,
        tally: CurrentTally::default(),
    };
    let seen = visit_range(store, job, range, &reading, &mut compared).await?;
    let mut tally = compared.tally;
    tally.rows = seen.source_rows;
    tally.missing = seen.orphaned.values().sum();
    if let Some(orphans) = &seen.orphans {
        tally.list((0..orphans.versions.len()).map(|row| CurrentFinding {
            key: key_text_of_cells(job, orphans.keys.row(row)),
            fault: Fault::Missing,
            version: Some(champion),
        }));
    }
    Ok(tally)
}

struct Compared<'a> {
    job: &'a CompiledJob,
    champion: i32,
    tally: CurrentTally,
}

impl Visit for Compared<'_> {
    fn arrived(&self, _: &Arrived) {}

    fn row(&mut self, row: &SourceRow<'_>, stored: &StoredPredictions<'_>) -> Next {
        let (key, cells) = row.cells.split_at(self.job.key.len());
        let version = cells.first().copied().flatten();
        let version = version.and_then(|bytes| bytes.try_into().ok().map(i32::from_be_bytes));
        let standing = stored.of(row.identity);
        let fault = if version != Some(self.champion) {
            self.tally.other_version += 1;
            Fault::OtherVersion
        } else if let Some(mut whole) = standing.whole(self.champion) {
            // The cells are lineage, TTL, outputs. The TTL is skipped: a copy lives about as long
            // as its original had left.
            let lineage = whole.next();
            if lineage
                .into_iter()
                .chain(whole.skip(1))
                .eq(cells[1..].iter().copied())
            {
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
