//! `runs`: one row per run. Its state changes only by the conditional writes here.

pub mod answers;
pub mod open_runs;
pub mod rejected_rows;
pub mod request_ids;
pub mod run_heads;
pub mod run_outcomes;
pub mod run_requests;
pub mod split_leases;
pub mod splits;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::Store;
use crate::{
    domain::{
        evidence::experiment::allocation::Allocation,
        run::{Counts, Current, Part, Plan, Run, RunState, Scope},
    },
    store::driver::{
        codec,
        columns::{Cell, insert, stored},
        conditional::known,
        error::StoreError,
    },
};

const COLUMNS: &str = "job, run_id, job_revision, versions, aliases, model_sha256, scope, token_from, token_to, keys, source, source_version, target, trigger, request_id, requested_by, note, priority, max_rows_per_s, state, reason, warnings, cancel_requested, late, due_at, deadline, started_at, finished_at, run_base, current_version, current_seq, current_copied, allocation, allocation_seq, plan, splits_total, splits_done, source_rows, orphaned, scored, unchanged, rejected, output_statistics, helenus_version, runtime_version";

const START: &str = "UPDATE runs SET state = 'running', run_base = ?, current_version = ?, current_seq = ?, current_copied = ?, allocation = ?, allocation_seq = ?, plan = ?, splits_total = ?, splits_done = 0, started_at = ?, warnings = ? WHERE job = ? AND run_id = ? IF state = 'planning'";
const REQUEST_CANCEL: &str = "UPDATE runs SET cancel_requested = true WHERE job = ? AND run_id = ? IF state IN ('planning', 'running', 'waiting')";
const MARK_LATE: &str =
    "UPDATE runs SET late = true WHERE job = ? AND run_id = ? IF state IN ('planning', 'running')";
const PROGRESS: &str = "UPDATE runs SET splits_done = ? WHERE job = ? AND run_id = ? IF state = 'running' AND splits_done < ?";
const FINISH: &str = "UPDATE runs SET whole_ended = whole_ended + ?, state = ?, reason = ?, warnings = ?, late = ?, finished_at = ?, splits_done = ?, source_rows = ?, orphaned = ?, scored = ?, unchanged = ?, rejected = ?, output_statistics = ? WHERE job = ? AND run_id = ? IF state IN ('planning', 'running')";

/// Restricts a SELECT to rows of runs: without it, a partition whose rows were all deleted would
/// still return one, of its static column.
pub(super) const ROWS: &str = "run_id > minTimeuuid('1970-01-01 00:00:00+0000')";

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ending {
    pub state: RunState,
    /// The run was over the whole ring.
    pub whole: bool,
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
    allocation: Option<String>,
    allocation_seq: Option<i32>,
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

stored! {
    write struct Planned of Run {
        job: String,
        run_id: CqlTimeuuid,
        job_revision: i32,
        versions: BTreeSet<i32>,
        aliases: BTreeMap<String, i32>,
        model_sha256: BTreeMap<i32, Vec<u8>>,
        source: String,
        source_version: Option<i32>,
        target: String,
        trigger: String,
        request_id: Option<CqlTimeuuid>,
        requested_by: Option<String>,
        note: Option<String>,
        priority: i32,
        max_rows_per_s: Option<i32>,
        due_at: DateTime<Utc>,
        deadline: Option<DateTime<Utc>>,
        helenus_version: String,
        runtime_version: Option<String>,
    }
}

/// The columns of [`Insert`] in addition to those of [`Planned`].
const PLANNED_SCOPE: &str = "scope, token_from, token_to, keys, state";

#[derive(SerializeRow)]
struct Insert<'a> {
    #[scylla(flatten)]
    run: Planned,
    scope: &'a str,
    token_from: Option<i64>,
    token_to: Option<i64>,
    keys: Option<&'a Vec<BTreeMap<String, String>>>,
    state: &'a str,
}

impl RunRow {
    fn into_run(self) -> Result<Run, String> {
        let plan = self
            .plan
            .map(|bytes| codec::decode::<Plan>(&bytes))
            .transpose()?;
        let allocation = self.allocation.as_deref();
        let allocation = allocation.map(serde_json::from_str::<Box<Allocation>>);
        let allocation = allocation.transpose().map_err(|error| error.to_string())?;
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
            request_id: self.request_id.cell(),
            requested_by: self.requested_by,
            note: self.note,
            priority: self.priority.unwrap_or_default(),
            max_rows_per_s: self.max_rows_per_s,
            reason: self.reason,
            warnings: self.warnings.unwrap_or_default(),
            cancel_requested: self.cancel_requested.unwrap_or(false),
            late: self.late.unwrap_or(false),
            due_at: self.due_at.cell(),
            deadline: self.deadline.cell(),
            started_at: self.started_at.cell(),
            finished_at: self.finished_at.cell(),
            run_base: self.run_base,
            current: self
                .current_version
                .zip(self.current_seq)
                .map(|(version, seq)| Current {
                    version,
                    seq,
                    copies: self.current_copied == Some(true),
                    allocation_seq: self.allocation_seq.unwrap_or_default(),
                }),
            allocation,
            plan,
            splits_total: self.splits_total.unwrap_or_default(),
            splits_done: self.splits_done.unwrap_or_default(),
            counts: Counts {
                source_rows: self.source_rows.cell(),
                orphaned: self.orphaned.cell(),
                scored: self.scored.cell(),
                unchanged: self.unchanged.cell(),
                rejected: self.rejected.cell(),
            },
            output_statistics: self.output_statistics.unwrap_or_default(),
            helenus_version: self.helenus_version.unwrap_or_default(),
            runtime_version: self.runtime_version,
        })
    }
}

pub(super) fn signed(map: &BTreeMap<i32, u64>) -> BTreeMap<i32, i64> {
    map.iter()
        .map(|(version, rows)| (*version, *rows as i64))
        .collect()
}

impl Store {
    /// Returns one run, after every decided transition.
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

    /// Returns a job's newest runs.
    pub async fn runs(&self, job: &str, limit: i32) -> Result<Vec<Run>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM runs WHERE job = ? AND {ROWS} LIMIT ?");
        let rows: Vec<RunRow> = self.rows(&cql, (job, limit)).await?;
        rows.into_iter()
            .map(|row| {
                row.into_run()
                    .map_err(|error| StoreError::corrupt(error, &cql))
            })
            .collect()
    }

    /// Writes a new run in state `planning`. Safe to repeat: an existing row is not changed.
    pub async fn insert_run(&self, run: &Run) -> Result<(), StoreError> {
        let (range, keys) = match &run.scope.part {
            Part::Whole => (None, None),
            Part::Range(range) => (Some(range), None),
            Part::Keys(keys) => (None, Some(keys)),
        };
        let columns = format!("{}, {}", Planned::COLUMNS, PLANNED_SCOPE);
        let cql = insert("runs", &columns) + " IF NOT EXISTS";
        let values = Insert {
            run: run.into(),
            scope: run.scope.as_str(),
            token_from: range.map(|range| range.after),
            token_to: range.map(|range| range.up_to),
            keys,
            state: RunState::Planning.as_str(),
        };
        let read_back = async {
            let standing = self.run(&run.job, run.run_id).await?;
            Ok(standing.map(|_| true))
        };
        let written = self.apply_or_read_back(&cql, values, read_back).await;
        written.map(drop)
    }

    /// Moves a run from planning to running, with the base (microseconds), what it writes to the
    /// table of current predictions, the running experiment's arms, and the plan. Returns `false` if another planner was first, or
    /// the run has ended; read it again.
    pub async fn start_run(
        &self,
        (job, run_id): (&str, Uuid),
        run_base: i64,
        current: Option<Current>,
        allocation: Option<&Allocation>,
        plan: &Plan,
        warnings: &[String],
    ) -> Result<bool, StoreError> {
        let allocation = allocation.map(serde_json::to_string).transpose();
        let allocation =
            allocation.map_err(|error| StoreError::corrupt(error.to_string(), START))?;
        let values = (
            run_base,
            current.map(|current| current.version),
            current.map(|current| current.seq),
            current.map(|current| current.copies),
            allocation,
            current.map(|current| current.allocation_seq),
            codec::encode(plan),
            plan.splits.len() as i32,
            Utc::now(),
            warnings,
            job,
            CqlTimeuuid::from(run_id),
        );
        self.transition(START, values).await
    }

    /// Records a run's progress, for readers: at least `splits_done` splits are done.
    pub async fn note_progress(
        &self,
        job: &str,
        run_id: Uuid,
        splits_done: i32,
    ) -> Result<(), StoreError> {
        let values = (splits_done, job, CqlTimeuuid::from(run_id), splits_done);
        self.transition(PROGRESS, values).await.map(drop)
    }

    /// Requests that a run stops. Returns `false` if it has already ended.
    pub async fn request_cancel(&self, job: &str, run_id: Uuid) -> Result<bool, StoreError> {
        self.transition(REQUEST_CANCEL, (job, CqlTimeuuid::from(run_id)))
            .await
    }

    /// Records that a run is past its deadline and has not ended.
    pub async fn mark_late(&self, job: &str, run_id: Uuid) -> Result<bool, StoreError> {
        self.transition(MARK_LATE, (job, CqlTimeuuid::from(run_id)))
            .await
    }

    /// Makes the terminal transition. Returns `false` if another process made one.
    pub async fn finish_run(
        &self,
        job: &str,
        run_id: Uuid,
        ending: &Ending,
    ) -> Result<bool, StoreError> {
        let (id, now) = (CqlTimeuuid::from(run_id), Utc::now());
        let is_whole = ending.whole && ending.state == RunState::Succeeded;
        // For triggers after the job (`upstream`); an empty map adds nothing.
        let whole_ended: BTreeMap<_, _> = is_whole.then_some((id, now)).into_iter().collect();
        let values = (
            whole_ended,
            ending.state.as_str(),
            ending.reason.as_deref(),
            &ending.warnings,
            ending.late,
            now,
            ending.splits_done,
            ending.counts.source_rows as i64,
            ending.counts.orphaned as i64,
            signed(&ending.counts.scored),
            signed(&ending.counts.unchanged),
            signed(&ending.counts.rejected),
            &ending.output_statistics,
            job,
            id,
        );
        self.transition(FINISH, values).await
    }

    /// Applies a transition. An unknown outcome counts as "not by this process": every caller then
    /// reads the run again, and all transitions may be repeated.
    async fn transition(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<bool, StoreError> {
        Ok(known(self.apply(cql, values).await)?.unwrap_or(false))
    }
}
