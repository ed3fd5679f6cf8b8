//! `runs`: one row a run. Its state changes only by the conditional writes here.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store, codec,
    error::{StoreError, StoreErrorKind},
    statement::Applied,
};
use crate::domain::run::{Counts, Current, Part, Plan, Run, RunState, Scope};

const COLUMNS: &str = "job, run_id, job_revision, versions, aliases, model_sha256, scope, token_from, token_to, keys, source, source_version, target, trigger, request_id, requested_by, note, priority, max_rows_per_s, state, reason, warnings, cancel_requested, late, due_at, deadline, started_at, finished_at, run_base, current_version, current_seq, current_copied, plan, splits_total, splits_done, source_rows, orphaned, scored, unchanged, rejected, output_statistics, helenus_version, runtime_version";

const INSERT: &str = "INSERT INTO runs (job, run_id, job_revision, versions, aliases, model_sha256, scope, token_from, token_to, keys, source, source_version, target, trigger, request_id, requested_by, note, priority, max_rows_per_s, state, due_at, deadline, helenus_version, runtime_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const START: &str = "UPDATE runs SET state = 'running', run_base = ?, current_version = ?, current_seq = ?, current_copied = ?, plan = ?, splits_total = ?, splits_done = 0, started_at = ?, warnings = ? WHERE job = ? AND run_id = ? IF state = 'planning'";
const REQUEST_CANCEL: &str = "UPDATE runs SET cancel_requested = true WHERE job = ? AND run_id = ? IF state IN ('planning', 'running', 'waiting')";
const MARK_LATE: &str =
    "UPDATE runs SET late = true WHERE job = ? AND run_id = ? IF state IN ('planning', 'running')";
const PROGRESS: &str = "UPDATE runs SET splits_done = ? WHERE job = ? AND run_id = ? IF state = 'running' AND splits_done < ?";
const FINISH: &str = "UPDATE runs SET state = ?, reason = ?, warnings = ?, late = ?, finished_at = ?, splits_done = ?, source_rows = ?, orphaned = ?, scored = ?, unchanged = ?, rejected = ?, output_statistics = ? WHERE job = ? AND run_id = ? IF state IN ('planning', 'running')";

/// How a run ended.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Ending {
    pub state: RunState,
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    pub late: bool,
    pub splits_done: i32,
    pub counts: Counts,
    pub output_statistics: BTreeMap<i32, String>,
}

#[derive(DeserializeRow)]
struct RunRow {
    job: String,
    run_id: CqlTimeuuid,
    job_revision: Option<i32>,
    versions: Option<BTreeSet<i32>>,
    aliases: Option<BTreeMap<String, i32>>,
    model_sha256: Option<BTreeMap<i32, Vec<u8>>>,
    scope: Option<String>,
    token_from: Option<i64>,
    token_to: Option<i64>,
    keys: Option<Vec<BTreeMap<String, String>>>,
    source: Option<String>,
    source_version: Option<i32>,
    target: Option<String>,
    trigger: Option<String>,
    request_id: Option<CqlTimeuuid>,
    requested_by: Option<String>,
    note: Option<String>,
    priority: Option<i32>,
    max_rows_per_s: Option<i32>,
    state: Option<String>,
    reason: Option<String>,
    warnings: Option<Vec<String>>,
    cancel_requested: Option<bool>,
    late: Option<bool>,
    due_at: Option<CqlTimestamp>,
    deadline: Option<CqlTimestamp>,
    started_at: Option<CqlTimestamp>,
    finished_at: Option<CqlTimestamp>,
    run_base: Option<i64>,
    current_version: Option<i32>,
    current_seq: Option<i32>,
    current_copied: Option<bool>,
    plan: Option<Vec<u8>>,
    splits_total: Option<i32>,
    splits_done: Option<i32>,
    source_rows: Option<i64>,
    orphaned: Option<i64>,
    scored: Option<BTreeMap<i32, i64>>,
    unchanged: Option<BTreeMap<i32, i64>>,
    rejected: Option<BTreeMap<i32, i64>>,
    output_statistics: Option<BTreeMap<i32, String>>,
    helenus_version: Option<String>,
    runtime_version: Option<String>,
}

impl RunRow {
    fn into_run(self) -> Result<Run, String> {
        let plan = self
            .plan
            .map(|bytes| codec::decode::<Plan>(&bytes))
            .transpose()?;
        Ok(Run {
            scope: Scope::from_columns(
                self.scope.as_deref(),
                self.token_from,
                self.token_to,
                self.keys,
            )?,
            state: self.state.as_deref().unwrap_or_default().parse()?,
            job: self.job,
            run_id: self.run_id.into(),
            job_revision: self.job_revision.unwrap_or_default(),
            versions: self.versions.unwrap_or_default(),
            aliases: self.aliases.unwrap_or_default(),
            model_sha256: self.model_sha256.unwrap_or_default(),
            source: self.source.unwrap_or_default(),
            source_version: self.source_version,
            target: self.target.unwrap_or_default(),
            trigger: self.trigger.unwrap_or_default(),
            request_id: self.request_id.map(Uuid::from),
            requested_by: self.requested_by,
            note: self.note,
            priority: self.priority.unwrap_or_default(),
            max_rows_per_s: self.max_rows_per_s,
            reason: self.reason,
            warnings: self.warnings.unwrap_or_default(),
            cancel_requested: self.cancel_requested.unwrap_or(false),
            late: self.late.unwrap_or(false),
            due_at: time(self.due_at).unwrap_or_default(),
            deadline: time(self.deadline),
            started_at: time(self.started_at),
            finished_at: time(self.finished_at),
            run_base: self.run_base,
            current: self
                .current_version
                .zip(self.current_seq)
                .map(|(version, seq)| Current {
                    version,
                    seq,
                    copies: self.current_copied == Some(true),
                }),
            plan,
            splits_total: self.splits_total.unwrap_or_default(),
            splits_done: self.splits_done.unwrap_or_default(),
            counts: Counts {
                source_rows: unsigned(self.source_rows),
                orphaned: unsigned(self.orphaned),
                scored: counts(self.scored),
                unchanged: counts(self.unchanged),
                rejected: counts(self.rejected),
            },
            output_statistics: self.output_statistics.unwrap_or_default(),
            helenus_version: self.helenus_version.unwrap_or_default(),
            runtime_version: self.runtime_version,
        })
    }
}

fn time(timestamp: Option<CqlTimestamp>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(timestamp?.0)
}

fn unsigned(count: Option<i64>) -> u64 {
    count.unwrap_or_default().max(0) as u64
}

pub(super) fn counts(map: Option<BTreeMap<i32, i64>>) -> BTreeMap<i32, u64> {
    let map = map.unwrap_or_default().into_iter();
    map.map(|(version, rows)| (version, unsigned(Some(rows))))
        .collect()
}

pub(super) fn signed(map: &BTreeMap<i32, u64>) -> BTreeMap<i32, i64> {
    map.iter()
        .map(|(version, rows)| (*version, *rows as i64))
        .collect()
}

impl Store {
    /// One run, after every decided transition.
    pub async fn run(&self, job: &str, run_id: Uuid) -> Result<Option<Run>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND run_id = ?");
        let row: Option<RunRow> = self
            .serial_row(&cql, (job, CqlTimeuuid::from(run_id)))
            .await?;
        row.map(|row| {
            row.into_run()
                .map_err(|error| StoreError::corrupt(error, &cql))
        })
        .transpose()
    }

    /// A job's newest runs.
    pub async fn runs(&self, job: &str, limit: i32) -> Result<Vec<Run>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? LIMIT ?");
        let rows: Vec<RunRow> = self.rows(&cql, (job, limit)).await?;
        rows.into_iter()
            .map(|row| {
                row.into_run()
                    .map_err(|error| StoreError::corrupt(error, &cql))
            })
            .collect()
    }

    /// Writes a new run in state `planning`. Safe to repeat: the row that stands there stays.
    pub async fn insert_run(&self, run: &Run) -> Result<(), StoreError> {
        let (range, keys) = match &run.scope.part {
            Part::Whole => (None, None),
            Part::Range(range) => (Some(range), None),
            Part::Keys(keys) => (None, Some(keys)),
        };
        // Two tuples' worth of columns: the driver's tuples end at 16.
        let values = InsertRun {
            job: &run.job,
            run_id: run.run_id.into(),
            job_revision: run.job_revision,
            versions: &run.versions,
            aliases: &run.aliases,
            model_sha256: &run.model_sha256,
            scope: run.scope.as_str(),
            token_from: range.map(|range| range.after),
            token_to: range.map(|range| range.up_to),
            keys,
            source: &run.source,
            source_version: run.source_version,
            target: &run.target,
            trigger: &run.trigger,
            request_id: run.request_id.map(CqlTimeuuid::from),
            requested_by: run.requested_by.as_deref(),
            note: run.note.as_deref(),
            priority: run.priority,
            max_rows_per_s: run.max_rows_per_s,
            state: RunState::Planning.as_str(),
            due_at: CqlTimestamp(run.due_at.timestamp_millis()),
            deadline: run.deadline.map(|at| CqlTimestamp(at.timestamp_millis())),
            helenus_version: &run.helenus_version,
            runtime_version: run.runtime_version.as_deref(),
        };
        match self.apply(INSERT, values).await {
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                match self.run(&run.job, run.run_id).await? {
                    Some(_) => Ok(()),
                    None => Err(error),
                }
            }
            answer => answer.map(drop),
        }
    }

    /// planning → running, with the base (microseconds), what it writes to the table of current
    /// predictions, and the plan. `false`: another planner was first, or the run has ended; read it
    /// again.
    pub async fn start_run(
        &self,
        (job, run_id): (&str, Uuid),
        run_base: i64,
        current: Option<Current>,
        plan: &Plan,
        warnings: &[String],
    ) -> Result<bool, StoreError> {
        let values = (
            run_base,
            current.map(|current| current.version),
            current.map(|current| current.seq),
            current.map(|current| current.copies),
            codec::encode(plan),
            plan.splits.len() as i32,
            CqlTimestamp(Utc::now().timestamp_millis()),
            warnings,
            job,
            CqlTimeuuid::from(run_id),
        );
        self.transition(START, values).await
    }

    /// Notes how far a run is, for readers: at least so many splits are done.
    pub async fn note_progress(
        &self,
        job: &str,
        run_id: Uuid,
        splits_done: i32,
    ) -> Result<(), StoreError> {
        let values = (splits_done, job, CqlTimeuuid::from(run_id), splits_done);
        self.transition(PROGRESS, values).await.map(drop)
    }

    /// Asks a run to stop. `false`: it has ended already.
    pub async fn request_cancel(&self, job: &str, run_id: Uuid) -> Result<bool, StoreError> {
        self.transition(REQUEST_CANCEL, (job, CqlTimeuuid::from(run_id)))
            .await
    }

    /// Notes that a run is past its deadline and has not ended.
    pub async fn mark_late(&self, job: &str, run_id: Uuid) -> Result<bool, StoreError> {
        self.transition(MARK_LATE, (job, CqlTimeuuid::from(run_id)))
            .await
    }

    /// The terminal transition. `false`: somebody else made one.
    pub async fn finish_run(
        &self,
        job: &str,
        run_id: Uuid,
        ending: &Ending,
    ) -> Result<bool, StoreError> {
        let values = (
            ending.state.as_str(),
            ending.reason.as_deref(),
            &ending.warnings,
            ending.late,
            CqlTimestamp(Utc::now().timestamp_millis()),
            ending.splits_done,
            ending.counts.source_rows as i64,
            ending.counts.orphaned as i64,
            signed(&ending.counts.scored),
            signed(&ending.counts.unchanged),
            signed(&ending.counts.rejected),
            &ending.output_statistics,
            job,
            CqlTimeuuid::from(run_id),
        );
        self.transition(FINISH, values).await
    }

    /// An unknown outcome counts as "not by us": every caller reads the run again then, and all
    /// transitions may be repeated.
    async fn transition(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<bool, StoreError> {
        match self.apply(cql, values).await {
            Ok(applied) => Ok(applied == Applied::Yes),
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                tracing::debug!(%error, "outcome unknown");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(scylla::SerializeRow)]
struct InsertRun<'a> {
    job: &'a str,
    run_id: CqlTimeuuid,
    job_revision: i32,
    versions: &'a BTreeSet<i32>,
    aliases: &'a BTreeMap<String, i32>,
    model_sha256: &'a BTreeMap<i32, Vec<u8>>,
    scope: &'a str,
    token_from: Option<i64>,
    token_to: Option<i64>,
    keys: Option<&'a Vec<BTreeMap<String, String>>>,
    source: &'a str,
    source_version: Option<i32>,
    target: &'a str,
    trigger: &'a str,
    request_id: Option<CqlTimeuuid>,
    requested_by: Option<&'a str>,
    note: Option<&'a str>,
    priority: i32,
    max_rows_per_s: Option<i32>,
    state: &'a str,
    due_at: CqlTimestamp,
    deadline: Option<CqlTimestamp>,
    helenus_version: &'a str,
    runtime_version: Option<&'a str>,
}
