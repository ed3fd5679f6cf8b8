//! `helenus job …`.

pub mod check;
pub mod create;
pub mod lifecycle;
pub mod list;
pub mod plan;
pub mod show;
pub mod target;

use std::path::Path;

use clap::Subcommand;

use super::Context;
use crate::{
    domain::job::manifest::Manifest,
    engine::{
        admission,
        jobs::{self, Checked},
    },
    failure::Failure,
    output::Answer,
    store::{Store, jobs::JobRow},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Job,
}

/// The subcommands. Most have their help where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Job {
    Create(create::Args),
    Check(check::Args),
    Plan(plan::Args),
    List(list::Args),
    Show(show::Args),
    Pause(lifecycle::PauseArgs),
    Resume(lifecycle::ResumeArgs),
    Delete(lifecycle::DeleteArgs),
    /// Manage the keyspaces that jobs can write into besides their source's
    Target(target::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Those of the subcommand.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match args.command {
        Job::Create(args) => create::run(args, context).await,
        Job::Check(args) => check::run(args, context).await,
        Job::Plan(args) => plan::run(args, context).await,
        Job::List(args) => list::run(args, context).await,
        Job::Show(args) => show::run(args, context).await,
        Job::Pause(args) => lifecycle::pause(&args.job, context, true).await,
        Job::Resume(args) => lifecycle::pause(&args.job, context, false).await,
        Job::Delete(args) => lifecycle::delete(&args.job, context).await,
        Job::Target(args) => target::run(args, context).await,
    }
}

/// Checks a manifest against its models, tables, expected rows and, if it is a file
/// (`path`), expected files. Admits versions that are waiting for admission first.
async fn check_all(
    store: &Store,
    manifest: &Manifest,
    path: Option<&Path>,
) -> Result<Checked, Failure> {
    let mut checked = jobs::check(store, manifest).await?;
    if let Err(problems) = &checked
        && problems.iter().any(|problem| problem.code == jobs::PENDING)
    {
        admission::run_once(store).await?;
        checked = jobs::check(store, manifest).await?;
    }
    let checked = checked.map_err(Failure::inputs)?;
    jobs::check_rows(store, manifest, &checked.aliases, &checked.job)
        .await?
        .map_err(Failure::inputs)?;
    if let Some(path) = path {
        let about = (&checked.aliases, &checked.job);
        jobs::check_files(store, manifest, about, path)
            .await?
            .map_err(Failure::inputs)?;
    }
    Ok(checked)
}

/// Returns the rows of a job that have a revision.
async fn rows_of(store: &Store, job: &str) -> Result<Vec<JobRow>, Failure> {
    let mut rows = store.job_rows(job).await?;
    rows.retain(|row| row.revision.is_some());
    match rows.is_empty() {
        true => Err(jobs::unknown(store, job).await?),
        false => Ok(rows),
    }
}
