//! `helenus job create`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{super::who, Context, check_all, read_manifest};
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
    store::{
        Store,
        jobs::{JobState, JobStatus},
    },
    worker::jobs,
};

/// The code of what this login may not do.
const DENIED: &str = "cassandra.denied";

/// How long to wait for a worker's answer where this login may not give it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Add a job, or a new revision of one, from its manifest
///
/// Everything is checked against the live tables and the admitted models first, the manifest's
/// expected rows are scored through the real mapping, and all mistakes are told at once; nothing is
/// written while there are any. Then the row of `jobs` is written, and answered in this process if
/// its login may, else by a worker: the prediction table is made, or extended by new columns.
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
    /// Why, for whoever reads the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Adds a revision.
///
/// # Errors
/// Exit 2: the manifest, all problems; exit 3: a table that helenus may not make, with the
/// statements for an administrator.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let (text, manifest) = read_manifest(&args.file)?;
    let store = context.store().await?;
    match check_all(&store, &manifest).await {
        Ok(_) => {}
        // Reading the expected rows, or admitting a version first.
        Err(failure) if failure.is(DENIED) => {
            eprintln!("this login may not check everything here, a worker will: {failure}");
        }
        Err(failure) => return Err(failure),
    }
    let job = manifest.job.as_str();
    if let Some(standing) = standing(&store, job, &text).await? {
        let said = format!(
            "job `{job}` is as it was: revision {} is this manifest, and ready",
            standing.revision
        );
        return Ok(answer(&standing, false, "this process", said));
    }
    let revision = insert(&store, job, &text, args.note.as_deref()).await?;
    let (status, by) = answered(&store, job, revision).await?;
    if status.state != JobState::Ready {
        return Err(jobs::refused(&status));
    }
    let made = match status.ddl.len() {
        0 => "its prediction table stands already".to_owned(),
        1 => "1 statement made it ready".to_owned(),
        many => format!("{many} statements made it ready"),
    };
    let target = status.target.as_deref().unwrap_or_default();
    let said = format!(
        "job `{job}`, revision {revision}: predictions go to {target}; {made}\nanswered by {by}"
    );
    Ok(answer(&status, true, by, said))
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

async fn insert(store: &Store, job: &str, text: &str, note: Option<&str>) -> Result<i32, Failure> {
    let by = who();
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
        if store.insert_job(job, next, text, &by, note).await? {
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

/// The answer to the revision, or to a newer one; and who gave it.
async fn answered(
    store: &Store,
    job: &str,
    revision: i32,
) -> Result<(JobStatus, &'static str), Failure> {
    match jobs::serve(store, job).await {
        Ok(Some(status)) => return Ok((status, "this process")),
        Ok(None) => {
            return Err(Failure::conflict(
                Problem::new(
                    "job.unanswered",
                    format!("job `{job}` was deleted, or a version of it withdrawn, meanwhile"),
                )
                .help("the row is written; `helenus job show` says how it stands"),
            ));
        }
        Err(failure) if !failure.is(DENIED) => return Err(failure),
        Err(_) => eprintln!(
            "this login may not answer; waiting up to {} s for a worker",
            PATIENCE.as_secs()
        ),
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let statuses = store.job_statuses(job).await?;
        if let Some(status) = statuses.into_iter().find(|s| s.revision >= revision) {
            return Ok((status, "a worker"));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Err(Failure::system(
        Problem::new(
            "job.unanswered",
            format!("no worker answered revision {revision} of job `{job}` within {} s", PATIENCE.as_secs()),
        )
        .help("the row is written: a worker answers it when one runs (`helenus worker`), and `helenus job show` tells"),
    ))
}
