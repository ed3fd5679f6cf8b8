//! `current_tables`: which jobs keep a table of current predictions, and how far each is.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};
use crate::domain::{
    manifest::TableName,
    run::{Current, Run},
};

const COLUMNS: &str =
    "job, model, revision, version, last_seq, done_revision, run_id, refreshed_at";
const INSERT: &str = "INSERT INTO current_tables (job, table_name, model, revision) VALUES (?, ?, ?, ?) IF NOT EXISTS";
const FOLLOW: &str = "UPDATE current_tables SET table_name = ?, model = ?, revision = ? WHERE job = ? IF revision = ?";
const UNFOLLOW: &str = "DELETE FROM current_tables WHERE job = ? IF revision < ?";
const NOTE: &str = "UPDATE current_tables SET version = ?, last_seq = ?, done_revision = ?, run_id = ?, refreshed_at = ? WHERE job = ? IF revision != null AND run_id = ?";

/// How often a row is written while others write it, too.
const RACES: usize = 10;

/// A row of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentTable {
    /// The job.
    pub job: String,
    /// Its model.
    pub model: String,
    /// The revision that keeps the table.
    pub revision: i32,
    /// What it holds; `None`: it was never filled.
    pub holds: Option<Holds>,
}

/// What a table of current predictions holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// The version.
    pub version: i32,
    /// Number of the champion's move that led to it.
    pub last_seq: i32,
    /// Revision of the job whose predictions they are.
    pub revision: i32,
    /// The run that copied them.
    pub run_id: Uuid,
    /// When it had.
    pub since: DateTime<Utc>,
}

#[derive(DeserializeRow)]
struct Row {
    job: String,
    model: Option<String>,
    revision: Option<i32>,
    version: Option<i32>,
    last_seq: Option<i32>,
    done_revision: Option<i32>,
    run_id: Option<CqlTimeuuid>,
    refreshed_at: Option<CqlTimestamp>,
}

impl Row {
    fn table(self) -> Option<CurrentTable> {
        let holds = || {
            Some(Holds {
                version: self.version?,
                last_seq: self.last_seq?,
                revision: self.done_revision?,
                run_id: self.run_id?.into(),
                since: DateTime::from_timestamp_millis(self.refreshed_at?.0)?,
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
    /// All of them: one for each job that keeps such a table.
    ///
    /// # Errors
    /// Cassandra's.
    pub async fn current_tables(&self) -> Result<Vec<CurrentTable>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM current_tables");
        let rows: Vec<Row> = self.rows(&cql, ()).await?;
        Ok(rows.into_iter().filter_map(Row::table).collect())
    }

    /// A job's; `None`: it keeps none.
    ///
    /// # Errors
    /// Cassandra's.
    pub async fn current_table(&self, job: &str) -> Result<Option<CurrentTable>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM current_tables WHERE job = ?");
        let row: Option<Row> = self.serial_row(&cql, (job,)).await?;
        Ok(row.and_then(Row::table))
    }

    /// A revision of the job is about to be ready that keeps this table, or none. Safe to repeat;
    /// an older revision changes nothing.
    ///
    /// # Errors
    /// Cassandra's.
    pub async fn keep_current_table(
        &self,
        job: &str,
        model: &str,
        revision: i32,
        table: Option<&TableName>,
    ) -> Result<(), StoreError> {
        for _ in 0..RACES {
            let standing = self.current_table(job).await?;
            let outcome = match (&standing, table.map(TableName::to_string)) {
                (None, None) => return Ok(()),
                (Some(standing), _) if standing.revision >= revision => return Ok(()),
                (Some(_), None) => self.apply(UNFOLLOW, (job, revision)).await,
                (None, Some(table)) => self.apply(INSERT, (job, table, model, revision)).await,
                (Some(standing), Some(table)) => {
                    let values = (table, model, revision, job, standing.revision);
                    self.apply(FOLLOW, values).await
                }
            };
            match outcome {
                // Whether it was this write or another's, what stands is read again.
                Ok(_) => {}
                Err(error) if error.kind == StoreErrorKind::Unknown => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError {
            kind: StoreErrorKind::Unknown,
            detail: format!("the row of job `{job}` does not become what it should be"),
            cql: FOLLOW.to_owned(),
        })
    }

    /// A run has copied all of its version's predictions. What a later move of the champion led to
    /// stays.
    ///
    /// # Errors
    /// Cassandra's.
    pub async fn note_current(&self, run: &Run) -> Result<(), StoreError> {
        let Some(Current { version, seq, .. }) = run.current else {
            return Ok(());
        };
        let standing = self.current_table(&run.job).await?;
        let Some(standing) = standing else {
            return Ok(());
        };
        let order = |seq, revision| (revision, seq);
        let mine = order(seq, run.job_revision);
        let holds = standing.holds;
        if holds
            .as_ref()
            .is_some_and(|holds| order(holds.last_seq, holds.revision) > mine)
        {
            return Ok(());
        }
        let values = (
            version,
            seq,
            run.job_revision,
            CqlTimeuuid::from(run.run_id),
            CqlTimestamp(Utc::now().timestamp_millis()),
            &run.job,
            holds.map(|holds| CqlTimeuuid::from(holds.run_id)),
        );
        match self.apply(NOTE, values).await {
            // Somebody noted it as well; if neither did, another run copies them again.
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::Unknown => Ok(()),
            Err(error) => Err(error),
        }
    }
}
