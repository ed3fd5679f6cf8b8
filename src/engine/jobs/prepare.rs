//! Prepares a job for a run: compiles its newest ready revision against the current tables and
//! models.
//!
//! The answer to a revision is read and never written here. What was found to be wrong with it is
//! returned ([`NotReady::Outdated`]); control records it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ready::{NotReady, ReadyRevision},
    resolve::{self, Checked, NOT_ALLOWED},
};
use crate::{
    domain::{
        job::{
            CompiledJob,
            manifest::{Manifest, TableName},
            mapping::listed,
        },
        problem::Problem,
    },
    failure::Failure,
    store::{
        Store,
        jobs::{JobState, JobStatus},
        predictions::prediction_ddl::Made,
    },
};

/// What a run needs to know about its job.
#[derive(Debug, Clone)]
pub struct PreparedJob {
    /// The compiled job, for the requested versions.
    pub job: CompiledJob,
    /// The manifest that the job was compiled from.
    pub manifest: Manifest,
    /// The revision that the job was compiled from.
    pub revision: i32,
    /// The manifest's aliases and the versions they point to now.
    pub aliases: BTreeMap<String, i32>,
    /// Whether the job is paused, so that no run of it starts automatically.
    pub paused: bool,
}

/// Prepares the job as its newest ready revision says. A dropped prediction table is created again.
/// `versions`: only these of the job's versions.
///
/// # Errors
/// Those of [`ReadyRevision::find`] and [`ReadyRevision::prepare`].
pub async fn prepare(
    store: &Store,
    job: &str,
    versions: Option<&BTreeSet<i32>>,
) -> Result<PreparedJob, Failure> {
    let ready = ReadyRevision::find(store, job).await?;
    let nowhere = BTreeMap::new();
    Ok(Box::pin(ready.prepare(store, versions, &nowhere)).await?)
}

/// As [`prepare`], but the tables must exist. For processes that are not permitted to write.
///
/// # Errors
/// As [`prepare`].
pub async fn read_ready(store: &Store, job: &str) -> Result<PreparedJob, Failure> {
    let ready = ReadyRevision::find(store, job).await?;
    let checked = resolve::check(store, &ready.manifest).await?;
    Ok(ready.prepared(checked.map_err(Failure::inputs)?))
}

impl ReadyRevision {
    /// Compiles the revision, as if the aliases of `pointing` pointed there. Creates its prediction
    /// table if that is gone. `versions`: only these of the job's versions.
    ///
    /// # Errors
    /// `job.source_changed` if the source no longer fits (exit 2); a table that helenus is not
    /// permitted to create (exit 3); errors of Cassandra.
    pub async fn prepare(
        self,
        store: &Store,
        versions: Option<&BTreeSet<i32>>,
        pointing: &BTreeMap<String, i32>,
    ) -> Result<PreparedJob, NotReady> {
        let mut checked = resolve::check_pointing(store, &self.manifest, pointing)
            .await?
            .map_err(|problems| unfit(&self.status, problems))?;
        let job = &mut checked.job;
        if let Made::Denied(statements) = store.make_prediction_table(job).await? {
            let mut problem = needs_table(&self.manifest.target());
            problem.help = Some(format!(
                "an administrator must run: {}",
                statements.join("; ")
            ));
            return Err(Failure::system(problem).into());
        }
        let used = self.status.revision;
        if let Some(newest) = self.newest.as_ref().filter(|one| one.revision != used) {
            job.warnings.push(format!(
                "older_revision: revision {} is {}; revision {used} is used",
                newest.revision,
                newest.state.as_str(),
            ));
        }
        if let Some(wanted) = versions {
            narrow(job, wanted)?;
        }
        Ok(self.prepared(checked))
    }

    fn prepared(self, checked: Checked) -> PreparedJob {
        PreparedJob {
            job: checked.job,
            manifest: self.manifest,
            revision: self.status.revision,
            aliases: checked.aliases,
            paused: self.paused,
        }
    }
}

/// Returns why a ready revision cannot be used, and what its answer should be until it fits again.
fn unfit(status: &JobStatus, problems: Vec<Problem>) -> NotReady {
    // An alias that moved or a version that was retired is not a change of the source.
    let of_models = |problem: &Problem| {
        let place = problem.place.as_deref().unwrap_or_default();
        place == "versions" || place == "model" || place == "source.version"
    };
    if problems.iter().all(of_models) {
        return Failure::inputs(problems).into();
    }
    let now = |state: JobState, problems: &[Problem]| {
        Box::new(JobStatus {
            state,
            problems: problems.iter().map(Problem::coded_line).collect(),
            ..status.clone()
        })
    };
    if let Some(revoked) = problems.iter().find(|one| one.code == NOT_ALLOWED) {
        return NotReady::Outdated {
            now: now(JobState::Invalid, &problems),
            failure: Failure::input(revoked.clone()),
        };
    }
    let what = problems.first().map(Problem::line).unwrap_or_default();
    let problems = [vec![source_changed(&status.job, &what)], problems].concat();
    NotReady::Outdated {
        now: now(JobState::SourceChanged, &problems),
        failure: Failure::inputs(problems),
    }
}

/// Returns the problem of a job whose tables no longer fit it.
pub(super) fn source_changed(job: &str, what: &str) -> Problem {
    Problem::new(
        "job.source_changed",
        format!("the tables of job `{job}` no longer fit it: {what}"),
    )
    .help("bring the table back, or give the job a new revision")
}

/// Returns the problem of a prediction table that helenus is not permitted to create.
pub fn needs_table(target: &TableName) -> Problem {
    Problem::new(
        "job.needs_table",
        format!("helenus is not permitted to create the prediction table {target}"),
    )
    .at("outputs.table")
    .help("let an administrator run the statements of job_status.ddl (`helenus job show` prints them), or GRANT CREATE and ALTER")
}

fn narrow(job: &mut CompiledJob, wanted: &BTreeSet<i32>) -> Result<(), Failure> {
    let known: BTreeSet<i32> = job.versions.iter().map(|v| v.ready.version).collect();
    if let Some(stranger) = wanted.difference(&known).next() {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        return Err(Failure::input(
            Problem::new(
                "job.unknown_version",
                format!("version {stranger} is none of job `{}`", job.job),
            )
            .at("versions")
            .help(format!(
                "its versions are {} now; add {stranger} to the manifest's `versions`",
                listed(known.iter().map(String::as_str))
            )),
        ));
    }
    job.versions.retain(|v| wanted.contains(&v.ready.version));
    Ok(())
}
