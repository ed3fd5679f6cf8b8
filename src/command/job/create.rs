//! `helenus job create`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::{
    super::ask::{self, By, Intent, Reconciled, Wait},
    Context, check_all,
};
use crate::{
    control,
    domain::{
        job::{manifest::Manifest, mapping::listed},
        problem::Problem,
    },
    engine::jobs::{self, read_manifest},
    failure::Failure,
    inspect::similar::wait_built,
    output::{self, Answer},
    process,
    store::{
        Store,
        jobs::{JobState, JobStatus},
    },
};

/// The code of what this login is not permitted to do.
const DENIED: &str = "cassandra.denied";

/// Add a job, or a new revision of one, from its manifest
///
/// The manifest is first checked against the live tables and the admitted models, and its expected
/// rows are scored through the real mapping. All errors are reported at once, and nothing is written
/// if there are any. Then the row of `jobs` is written. This process answers it if its login is
/// permitted to, otherwise a worker does: the prediction table is created, or extended by new columns.
///
/// Examples:
///
///     helenus job create tumour.toml
///     helenus job create tumour.toml --note "adds version 3"
///
/// JSON result: {"job", "revision", "created": bool, "state", "model", "source", "target",
///   "ddl": [statement …], "answered_by": "this process" | "a worker"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The manifest (TOML)
    file: PathBuf,
    /// Reason, stored with the revision
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Adds a revision.
///
/// # Errors
/// Exit 2: the manifest, all problems; exit 3: a table that helenus may not make, with the
/// statements for an administrator.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let (text, manifest) = read_manifest(&args.file)?;
    let store = context.store().await?;
    let revision = NewRevision {
        text: &text,
        manifest: &manifest,
        path: Some(&args.file),
        by: &process::user(),
        note: args.note.as_deref(),
    };
    add_revision(&store, context, revision, args.wait).await
}

/// A revision of a job to be written.
pub struct NewRevision<'r> {
    /// The manifest as it is stored.
    pub text: &'r str,
    pub manifest: &'r Manifest,
    /// Its file, if it is one here.
    pub path: Option<&'r Path>,
    /// Its author.
    pub by: &'r str,
    pub note: Option<&'r str>,
}

/// Checks a revision, writes it unless the newest one has the same manifest and is ready, and has it
/// answered.
///
/// # Errors
/// As [`run`].
pub async fn add_revision(
    store: &Store,
    context: &Context,
    new: NewRevision<'_>,
    wait: Wait,
) -> Result<Answer, Failure> {
    match check_all(store, new.manifest, new.path).await {
        Ok(_) => {}
        // Reading the expected rows, or admitting a version first.
        Err(failure) if failure.is(DENIED) => {
            output::tell(&format!(
                "this login is not permitted to check everything; a worker will: {failure}"
            ));
        }
        Err(failure) => return Err(failure),
    }
    let job = new.manifest.job.as_str();
    if let Some(standing) = standing(store, job, new.text).await? {
        let said = format!(
            "job `{job}` is unchanged: revision {} has this manifest and is ready",
            standing.revision
        );
        return Ok(answer(&standing, false, "this process", said));
    }
    let revision = insert(store, &new).await?;
    let mut asking = JobIntent { job, revision };
    let (status, by) = ask::ask(store, context, &mut asking, wait).await?;
    let by = match by {
        By::ThisProcess => "this process",
        By::Worker => "a worker",
    };
    if status.state != JobState::Ready {
        return Err(jobs::refused(&status));
    }
    let unbuilt = unbuilt_indexes(store, job, wait).await?;
    let made = match status.ddl.len() {
        0 => "its prediction table exists already".to_owned(),
        1 => "1 statement made it ready".to_owned(),
        many => format!("{many} statements made it ready"),
    };
    let target = status.target.as_deref().unwrap_or_default();
    let said = format!(
        "job `{job}`, revision {revision}: predictions go to {target}; {made}\nanswered by {by}"
    );
    let mut answer = answer(&status, true, by, said);
    if !unbuilt.is_empty() {
        answer = answer.warn(format!(
            "index_building: Cassandra still builds the index on {}; until it has, `helenus similar` fails",
            listed(unbuilt.iter().map(String::as_str))
        ));
    }
    Ok(answer)
}

/// Waits for indexes for search by similarity, at most as long as for a worker. Returns the columns
/// whose indexes are still being built then.
async fn unbuilt_indexes(store: &Store, job: &str, wait: Wait) -> Result<Vec<String>, Failure> {
    match wait_for_indexes(store, job, Duration::from_secs(wait.wait)).await {
        // Authors of jobs may not read predictions.
        Err(failure) if failure.is(DENIED) => Ok(Vec::new()),
        unbuilt => unbuilt,
    }
}

async fn wait_for_indexes(
    store: &Store,
    job: &str,
    patience: Duration,
) -> Result<Vec<String>, Failure> {
    let ready = jobs::read_ready(store, job).await?;
    Ok(wait_built(store, &ready.job, patience).await?)
}

fn answer(status: &JobStatus, created: bool, by: &str, said: String) -> Answer {
    let mut answer = Answer::new(
        json!({
            "job": status.job,
            "revision": status.revision,
            "created": created,
            "state": status.state.as_str(),
            "model": status.model,
            "source": status.source,
            "target": status.target,
            "ddl": status.ddl,
            "answered_by": by,
        }),
        said,
    );
    answer.warnings.clone_from(&status.warnings);
    answer
}

/// The ready answer to this very manifest, if it is the newest revision's.
async fn standing(store: &Store, job: &str, text: &str) -> Result<Option<JobStatus>, Failure> {
    let rows = store.job_rows(job).await?;
    let newest = rows
        .first()
        .filter(|row| row.manifest.as_deref() == Some(text) && row.deleted != Some(true));
    let Some(revision) = newest.and_then(|row| row.revision) else {
        return Ok(None);
    };
    let statuses = store.job_statuses(job).await?;
    Ok(statuses
        .into_iter()
        .find(|status| status.revision == revision && status.state == JobState::Ready))
}

async fn insert(store: &Store, new: &NewRevision<'_>) -> Result<i32, Failure> {
    let (job, text) = (new.manifest.job.as_str(), new.text);
    loop {
        let rows = store.job_rows(job).await?;
        if rows.iter().any(|row| row.deleted == Some(true)) {
            store.delete_job(job, false).await?;
        }
        let newest = rows.first().and_then(|row| Some((row, row.revision?)));
        // Somebody adds the same in this moment: one revision is enough.
        if let Some((row, revision)) = newest
            && row.manifest.as_deref() == Some(text)
            && !is_refused(store, job, revision).await?
        {
            return Ok(revision);
        }
        let next = newest.map_or(1, |(_, revision)| revision + 1);
        if store.insert_job(job, next, text, new.by, new.note).await? {
            return Ok(next);
        }
    }
}

async fn is_refused(store: &Store, job: &str, revision: i32) -> Result<bool, Failure> {
    let statuses = store.job_statuses(job).await?;
    Ok(statuses
        .iter()
        .any(|status| status.revision == revision && status.state != JobState::Ready))
}

struct JobIntent<'r> {
    job: &'r str,
    revision: i32,
}

impl Intent for JobIntent<'_> {
    type Answer = JobStatus;

    fn what(&self) -> &'static str {
        "answer jobs"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<JobStatus>, Failure> {
        let status = control::jobs::answer(store, self.job).await?;
        let gone = || {
            let job = self.job;
            let what = format!("job `{job}` was deleted, or a version of it withdrawn, meanwhile");
            Problem::new("job.unanswered", what)
                .help("the row is written; `helenus job show` prints its state")
        };
        if let Some(status) = status {
            return Ok(Reconciled::Answered(status));
        }
        let open = store.open_runs(self.job).await?;
        match open.iter().any(|run| run.run_id.is_some()) {
            true => Ok(Reconciled::Waits(Some(format!(
                "a run of job `{}` is open; the new index is made when it has ended",
                self.job
            )))),
            false => Err(Failure::conflict(gone())),
        }
    }

    /// The answer to the revision, or to a newer one.
    async fn answer(&mut self, store: &Store) -> Result<Option<JobStatus>, Failure> {
        let statuses = store.job_statuses(self.job).await?;
        let mut statuses = statuses.into_iter();
        Ok(statuses.find(|status| status.revision >= self.revision))
    }

    fn silence(&self, wait: Wait) -> Problem {
        let (job, revision) = (self.job, self.revision);
        Problem::new(
            "job.unanswered",
            format!(
                "no worker answered revision {revision} of job `{job}` within {} s",
                wait.wait
            ),
        )
        .help("the row is written: a worker answers it when one runs (`helenus worker`), and `helenus job show` prints its state")
    }
}
