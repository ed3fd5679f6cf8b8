//! `open_runs`: which run may write predictions of (job, version) now, and from which timestamp.

use std::{collections::BTreeSet, time::Duration};

use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    codec::ring::TokenRange,
    store::{
        Store,
        driver::{
            codec,
            conditional::known,
            error::{StoreError, StoreErrorKind},
        },
    },
};

const OPEN: &str = "UPDATE open_runs SET run_id = ? WHERE job = ? AND version = ? IF run_id = null";
const REFRESH: &str = "UPDATE open_runs SET run_id = ? WHERE job = ? AND version = ? IF run_id = ?";
const FREE: &str = "UPDATE open_runs SET run_id = null, last_base = ?, unfinished = ? WHERE job = ? AND version = ? IF run_id = ?";
const FREE_UNUSED: &str =
    "UPDATE open_runs SET run_id = null WHERE job = ? AND version = ? IF run_id = ?";
const READ: &str = "SELECT version, run_id, WRITETIME(run_id) AS written_at, last_base, unfinished FROM open_runs WHERE job = ?";

/// Attempts to open a run while no other run holds the versions but the attempt is not applied.
const OPEN_TRIES: u32 = 5;

/// A row of `open_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    pub version: i32,
    /// The run that may write; `None` if free.
    pub run_id: Option<Uuid>,
    /// Cassandra's own timestamp of `run_id`, in microseconds.
    pub written_at: Option<i64>,
    /// Base of the last run that was freed here.
    pub last_base: Option<i64>,
    /// Ranges that an earlier run left claimed and unfinished.
    pub unfinished: Vec<TokenRange>,
}

#[derive(DeserializeRow)]
struct Row {
    version: i32,
    run_id: Option<CqlTimeuuid>,
    written_at: Option<i64>,
    last_base: Option<i64>,
    unfinished: Option<Vec<u8>>,
}

/// Outcome of an attempt to open a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// This run holds all versions.
    Mine,
    /// Another run holds at least one of the versions.
    HeldBy(Uuid),
}

impl Store {
    /// Returns all rows of a job, after every decided conditional write.
    pub async fn open_runs(&self, job: &str) -> Result<Vec<OpenRun>, StoreError> {
        let rows: Vec<Row> = self.serial_rows(READ, (job,)).await?;
        rows.into_iter()
            .map(|row| {
                let unfinished = row.unfinished.map_or(Ok(Vec::new()), |bytes| {
                    codec::decode(&bytes).map_err(|error| StoreError::corrupt(error, READ))
                })?;
                Ok(OpenRun {
                    version: row.version,
                    run_id: row.run_id.map(Uuid::from),
                    written_at: row.written_at,
                    last_base: row.last_base,
                    unfinished,
                })
            })
            .collect()
    }

    /// Takes all `versions` for `run_id`, or none. Safe to repeat: a run that already holds them
    /// keeps them.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] if none of several attempts arrived at Cassandra.
    pub async fn open_run(
        &self,
        job: &str,
        versions: &BTreeSet<i32>,
        run_id: Uuid,
    ) -> Result<Opened, StoreError> {
        let mut tries = 1;
        loop {
            match self.open_run_once(job, versions, run_id).await {
                // The request was lost, or the holder of a version has just freed it.
                Err(error) if error.kind == StoreErrorKind::Unknown && tries < OPEN_TRIES => {
                    tracing::debug!(job, %run_id, %error, "opening again");
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn open_run_once(
        &self,
        job: &str,
        versions: &BTreeSet<i32>,
        run_id: Uuid,
    ) -> Result<Opened, StoreError> {
        let id = CqlTimeuuid::from(run_id);
        let statements = vec![OPEN; versions.len()];
        let values: Vec<_> = versions.iter().map(|version| (id, job, version)).collect();
        // Refused or unknown: the rows show which run holds the versions.
        if known(self.apply_batch(&statements, values).await)?.unwrap_or(false) {
            return Ok(Opened::Mine);
        }
        let rows = self.open_runs(job).await?;
        let holder = |version: &i32| rows.iter().find(|row| row.version == *version)?.run_id;
        match versions
            .iter()
            .filter_map(holder)
            .find(|holder| *holder != run_id)
        {
            Some(other) => Ok(Opened::HeldBy(other)),
            None if versions
                .iter()
                .all(|version| holder(version) == Some(run_id)) =>
            {
                Ok(Opened::Mine)
            }
            None => Err(StoreError::unknown("opening the run was not applied", OPEN)),
        }
    }

    /// Writes the same run id again, for a newer WRITETIME. Returns `false` if the run no longer
    /// holds the versions.
    pub async fn refresh_open_run(
        &self,
        job: &str,
        versions: &BTreeSet<i32>,
        run_id: Uuid,
    ) -> Result<bool, StoreError> {
        let id = CqlTimeuuid::from(run_id);
        let statements = vec![REFRESH; versions.len()];
        let values: Vec<_> = versions
            .iter()
            .map(|version| (id, job, version, id))
            .collect();
        // Whether or not an unknown write took place, the reader sees which run holds the versions
        // and since when.
        Ok(known(self.apply_batch(&statements, values).await)?.unwrap_or(true))
    }

    /// Frees versions after the run's terminal transition, each with the ranges it leaves
    /// unfinished. Safe to repeat, by any process: it is conditional on the run.
    pub async fn free_open_run(
        &self,
        job: &str,
        run_id: Uuid,
        run_base: Option<i64>,
        versions: &[(i32, Vec<TokenRange>)],
    ) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(run_id);
        // One by one: versions that were freed before must not prevent freeing the others.
        for (version, unfinished) in versions {
            let unfinished = (!unfinished.is_empty()).then(|| codec::encode(unfinished));
            let applied = match run_base {
                Some(base) => self.apply(FREE, (base, unfinished, job, version, id)).await,
                None => self.apply(FREE_UNUSED, (job, version, id)).await,
            };
            // The next process that opens a run finds a terminal run there and frees it again.
            if let Err(error) = known(applied)? {
                tracing::warn!(%error, "freeing the run");
            }
        }
        Ok(())
    }
}
