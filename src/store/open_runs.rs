//! `open_runs`: which run may write predictions of (job, version) now, and from which timestamp.

use std::{collections::BTreeSet, time::Duration};

use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use super::{
    Store, codec,
    error::{StoreError, StoreErrorKind},
    statement::Applied,
};
use crate::domain::ring::TokenRange;

const OPEN: &str = "UPDATE open_runs SET run_id = ? WHERE job = ? AND version = ? IF run_id = null";
const REFRESH: &str = "UPDATE open_runs SET run_id = ? WHERE job = ? AND version = ? IF run_id = ?";
const FREE: &str = "UPDATE open_runs SET run_id = null, last_base = ?, unfinished = ? WHERE job = ? AND version = ? IF run_id = ?";
const FREE_UNUSED: &str =
    "UPDATE open_runs SET run_id = null WHERE job = ? AND version = ? IF run_id = ?";
const READ: &str =
    "SELECT version, run_id, WRITETIME(run_id), last_base, unfinished FROM open_runs WHERE job = ?";

/// How often a run is tried to be opened while nobody holds it and it does not become ours.
const OPEN_TRIES: u32 = 5;

/// A row of `open_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The model version.
    pub version: i32,
    /// The run that may write; `None` when free.
    pub run_id: Option<Uuid>,
    /// Cassandra's own timestamp of that, in microseconds.
    pub written_at: Option<i64>,
    /// Base of the last run that was freed here.
    pub last_base: Option<i64>,
    /// Ranges that an earlier run left claimed and unfinished.
    pub unfinished: Vec<TokenRange>,
}

/// What became of an attempt to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// All versions are this run's.
    Mine,
    /// Another run holds at least one of them.
    HeldBy(Uuid),
}

impl Store {
    /// All rows of a job, after every decided conditional write.
    pub async fn open_runs(&self, job: &str) -> Result<Vec<OpenRun>, StoreError> {
        type Row = (
            i32,
            Option<CqlTimeuuid>,
            Option<i64>,
            Option<i64>,
            Option<Vec<u8>>,
        );
        let rows: Vec<Row> = self.serial_rows(READ, (job,)).await?;
        rows.into_iter()
            .map(|(version, run_id, written_at, last_base, unfinished)| {
                let unfinished = unfinished.map_or(Ok(Vec::new()), |bytes| {
                    codec::decode(&bytes).map_err(|error| StoreError::corrupt(error, READ))
                })?;
                Ok(OpenRun {
                    version,
                    run_id: run_id.map(Uuid::from),
                    written_at,
                    last_base,
                    unfinished,
                })
            })
            .collect()
    }

    /// Takes all `versions` for `run_id`, or none. Safe to repeat: a run that holds them already
    /// has them.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] where Cassandra let it arrive in none of several tries.
    pub async fn open_run(
        &self,
        job: &str,
        versions: &BTreeSet<i32>,
        run_id: Uuid,
    ) -> Result<Opened, StoreError> {
        let mut tries = 1;
        loop {
            match self.open_run_once(job, versions, run_id).await {
                // Its request was lost, or who held a version has just freed it.
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
        match self.apply_batch(&statements, values).await {
            Ok(Applied::Yes) => return Ok(Opened::Mine),
            Ok(Applied::No(_)) => {}
            Err(error) if error.kind == StoreErrorKind::Unknown => {}
            Err(error) => return Err(error),
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
            None => Err(StoreError {
                kind: StoreErrorKind::Unknown,
                detail: "opening the run was not applied".to_owned(),
                cql: OPEN.to_owned(),
            }),
        }
    }

    /// Writes the same run id again, for a newer WRITETIME. `false`: the run no longer holds them.
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
        match self.apply_batch(&statements, values).await {
            Ok(applied) => Ok(applied.yes()),
            // Whether it took place or not, the reader sees whose it is and since when.
            Err(error) if error.kind == StoreErrorKind::Unknown => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Frees versions after the run's terminal transition, each with what it leaves unfinished.
    /// Safe to repeat, and by anybody: it is conditional on the run.
    pub async fn free_open_run(
        &self,
        job: &str,
        run_id: Uuid,
        run_base: Option<i64>,
        versions: &[(i32, Vec<TokenRange>)],
    ) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(run_id);
        // One by one: those that were freed before must not keep the others from it.
        for (version, unfinished) in versions {
            let unfinished = (!unfinished.is_empty()).then(|| codec::encode(unfinished));
            let applied = match run_base {
                Some(base) => self.apply(FREE, (base, unfinished, job, version, id)).await,
                None => self.apply(FREE_UNUSED, (job, version, id)).await,
            };
            match applied {
                Ok(_) => {}
                // The next opener finds a terminal run there and frees it again.
                Err(error) if error.kind == StoreErrorKind::Unknown => {
                    tracing::warn!(%error, "freeing the run");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
