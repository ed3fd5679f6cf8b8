//! Runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::{
    codec::utc,
    domain::{problem::Problem, run::Run},
    failure::Failure,
};

/// A row of `runs`. Counts are written when the run ends.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RunDetail {
    pub job: String,
    pub run_id: String,
    /// planning, running, waiting, succeeded, failed or cancelled.
    pub state: &'static str,
    /// What it waits for, or why it ended.
    pub reason: Option<String>,
    pub job_revision: i32,
    pub versions: BTreeSet<i32>,
    /// The manifest's aliases when the run was planned.
    pub aliases: BTreeMap<String, i32>,
    /// By version, in hex.
    #[schema(value_type = BTreeMap<String, String>)]
    pub model_sha256: BTreeMap<i32, String>,
    /// pending, all, range, keys or current.
    pub scope: &'static str,
    /// `keyspace.table`.
    pub source: String,
    /// `keyspace.table`.
    pub target: String,
    /// What started it: `request`, or the trigger.
    pub trigger: String,
    pub request_id: Option<String>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
    pub cancel_requested: bool,
    pub priority: i32,
    /// Whether it is past its deadline, or ended after it.
    pub late: bool,
    #[schema(format = DateTime)]
    pub due_at: String,
    #[schema(format = DateTime)]
    pub deadline: Option<String>,
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// Microseconds: predictions have this timestamp or a later one.
    pub run_base: Option<i64>,
    /// The champion, whose predictions are also written to the table of current predictions.
    pub current_version: Option<i32>,
    pub current_copied: Option<bool>,
    pub splits_total: i32,
    pub splits_done: i32,
    pub source_rows: u64,
    /// Predictions whose source row no longer exists.
    pub orphaned: u64,
    /// Rows by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub scored: BTreeMap<i32, u64>,
    /// Rows by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub unchanged: BTreeMap<i32, u64>,
    /// Rows by version.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub rejected: BTreeMap<i32, u64>,
    /// Statistics of each output column, by version.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub output_statistics: BTreeMap<i32, Value>,
    pub warnings: Vec<String>,
    pub helenus_version: String,
    pub runtime_version: Option<String>,
}

impl From<&Run> for RunDetail {
    fn from(run: &Run) -> Self {
        let statistics = run.output_statistics.iter();
        let sha256 = run.model_sha256.iter();
        Self {
            job: run.job.clone(),
            run_id: run.run_id.to_string(),
            state: run.state.as_str(),
            reason: run.reason.clone(),
            job_revision: run.job_revision,
            versions: run.versions.clone(),
            aliases: run.aliases.clone(),
            model_sha256: sha256
                .map(|(version, sha)| (*version, hex::encode(sha)))
                .collect(),
            scope: run.scope.as_str(),
            source: run.source.clone(),
            target: run.target.clone(),
            trigger: run.trigger.clone(),
            request_id: run.request_id.map(|id| id.to_string()),
            requested_by: run.requested_by.clone(),
            note: run.note.clone(),
            cancel_requested: run.cancel_requested,
            priority: run.priority,
            late: run.late,
            due_at: utc::to_millisecond(run.due_at),
            deadline: run.deadline.map(utc::to_millisecond),
            started_at: run.started_at.map(utc::to_millisecond),
            finished_at: run.finished_at.map(utc::to_millisecond),
            run_base: run.run_base,
            current_version: run.current.map(|current| current.version),
            current_copied: run.current.map(|current| current.copies),
            splits_total: run.splits_total,
            splits_done: run.splits_done,
            source_rows: run.counts.source_rows,
            orphaned: run.counts.orphaned,
            scored: run.counts.scored.clone(),
            unchanged: run.counts.unchanged.clone(),
            rejected: run.counts.rejected.clone(),
            output_statistics: statistics
                .map(|(version, json)| (*version, serde_json::from_str(json).unwrap_or_default()))
                .collect(),
            warnings: run.warnings.clone(),
            helenus_version: run.helenus_version.clone(),
            runtime_version: run.runtime_version.clone(),
        }
    }
}

/// Returns the failure for an unknown run of a job.
pub fn no_run(job: &str) -> Failure {
    Failure::not_found(
        Problem::new("run.unknown", format!("job `{job}` has no such run")).help(format!(
            "list the job's runs with `helenus run list {job}`, or start one with `helenus score {job}`"
        )),
    )
}
