//! `current_tables`: which jobs keep a table of current predictions, and what each holds.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::{
        job::manifest::TableName,
        run::{Current, Run},
    },
    store::{
        Store,
        driver::{columns::Cell, error::StoreError},
    },
};

const COLUMNS: &str =
    "job, model, revision, version, last_seq, done_revision, run_id, refreshed_at, allocation_seq";
const INSERT: &str = "INSERT INTO current_tables (job, table_name, model, revision) VALUES (?, ?, ?, ?) IF NOT EXISTS";
const FOLLOW: &str = "UPDATE current_tables SET table_name = ?, model = ?, revision = ? WHERE job = ? IF revision = ?";
const UNFOLLOW: &str = "DELETE FROM current_tables WHERE job = ? IF revision < ?";
const NOTE: &str = "UPDATE current_tables SET version = ?, last_seq = ?, done_revision = ?, run_id = ?, refreshed_at = ?, allocation_seq = ? WHERE job = ? IF revision != null AND run_id = ?";

/// Attempts to write a row while other processes write it, too.
const RACES: usize = 10;

/// A row of `current_tables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentTable {
    pub job: String,
    pub model: String,
    /// The revision that keeps the table.
    pub revision: i32,
    /// What the table holds; `None`: it was never filled.
    pub holds: Option<Holds>,
}

/// What a table of current predictions holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    pub version: i32,
    /// Number of the champion's move that led to it.
    pub last_seq: i32,
    /// Revision of the job whose predictions they are.
    pub revision: i32,
    /// The run that copied them.
    pub run_id: Uuid,
    /// When the run had copied them.
    pub since: DateTime<Utc>,
    /// Number of the change of the job's experiments that it follows.
    pub allocation_seq: i32,
}

#[derive(DeserializeRow)]
struct CurrentTableColumns {
    job: String,
    model: Option<String>,
    revision: Option<i32>,
    version: Option<i32>,
    last_seq: Option<i32>,
    done_revision: Option<i32>,
    run_id: Option<CqlTimeuuid>,
    refreshed_at: Option<CqlTimestamp>,
    allocation_seq: Option<i32>,
}

impl CurrentTableColumns {
    fn table(self) -> Option<CurrentTable> {
        let holds = || {
            Some(Holds {
                version: self.version?,
                last_seq: self.last_seq?,
                revision: self.done_revision?,
                run_id: self.run_id?.into(),
                since: Cell::<Option<_>>::cell(self.refreshed_at)?,
                allocation_seq: self.allocation_seq.unwrap_or_default(),
            })
        };
        Some(CurrentTable {
            holds: holds(),
            job: self.job,
            model: self.model?,
            revision: self.revision?,
        })
    }
}

impl Store {
    /// Returns all rows: one for each job that keeps such a table.
    pub async fn current_tables(&self) -> Result<Vec<CurrentTable>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM current_tables");
        let rows: Vec<CurrentTableColumns> = self.rows(&cql, ()).await?;
        Ok(rows
            .into_iter()
            .filter_map(CurrentTableColumns::table)
            .collect())
    }

    /// Returns a job's row, or `None` if the job keeps no such table.
    pub async fn current_table(&self, job: &str) -> Result<Option<CurrentTable>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM current_tables WHERE job = ?");
        let row: Option<CurrentTableColumns> = self.serial_row(&cql, (job,)).await?;
        Ok(row.and_then(CurrentTableColumns::table))
    }

    /// Records that a revision of the job is about to be ready that keeps this table, or none. Safe
    /// to repeat; an older revision changes nothing.
    pub async fn keep_current_table(
        &self,
        job: &str,
        model: &str,
        revision: i32,
        table: Option<&TableName>,
    ) -> Result<(), StoreError> {
        for _ in 0..RACES {
            let standing = self.current_table(job).await?;
            // Whether this write or another one succeeded, the stored row is read again.
            match (&standing, table.map(TableName::to_string)) {
                (None, None) => return Ok(()),
                (Some(standing), _) if standing.revision >= revision => return Ok(()),
                (Some(_), None) => {
                    let values = (job, revision);
                    self.apply_ignoring_unknown(UNFOLLOW, values).await?;
                }
                (None, Some(table)) => {
                    let values = (job, table, model, revision);
                    self.apply_ignoring_unknown(INSERT, values).await?;
                }
                (Some(standing), Some(table)) => {
                    let values = (table, model, revision, job, standing.revision);
                    self.apply_ignoring_unknown(FOLLOW, values).await?;
                }
            }
        }
        let detail = format!("the row of job `{job}` does not become what it should be");
        Err(StoreError::unknown(detail, FOLLOW))
    }

    /// Records that a run has copied all of its version's predictions. A record of a later move of
    /// the champion is kept.
    pub async fn note_current(&self, run: &Run) -> Result<(), StoreError> {
        let Some(Current {
            version,
            seq,
            allocation_seq,
            ..
        }) = run.current
        else {
            return Ok(());
        };
        let standing = self.current_table(&run.job).await?;
        let Some(standing) = standing else {
            return Ok(());
        };
        let order = |seq, revision, allocation_seq| (revision, seq, allocation_seq);
        let mine = order(seq, run.job_revision, allocation_seq);
        let holds = standing.holds;
        if holds
            .as_ref()
            .is_some_and(|holds| order(holds.last_seq, holds.revision, holds.allocation_seq) > mine)
        {
            return Ok(());
        }
        let values = (
            version,
            seq,
            run.job_revision,
            CqlTimeuuid::from(run.run_id),
            Utc::now(),
            allocation_seq,
            &run.job,
            holds.map(|holds| CqlTimeuuid::from(holds.run_id)),
        );
        // Refused: another process recorded it as well. If neither did, another run copies them
        // again.
        self.apply_ignoring_unknown(NOTE, values).await
    }
}
