//! `helenus plan`.

mod saved;
mod view;

use std::{collections::BTreeSet, path::PathBuf};

use serde_json::json;

pub use saved::SavedPlan;
pub use view::{step_json, title};

use super::{Context, apply::commit};
use crate::{
    domain::{
        folder::{
            DesiredState,
            state::{ActualState, commit_of},
            steps::{self, Prune, StepAction},
        },
        problem::Problem,
    },
    failure::{Exit, Failure},
    inspect::folder::{self, CheckedStep, Folder},
    output::{Answer, Format},
    store::Store,
};

/// Show what `helenus apply` would write for a folder of Git, and change nothing
///
/// The folder declares models, jobs and what belongs to them:
///
///     models/tumour/model.toml      one version that changes, or models/tumour/1/model.toml, 2, 3
///     jobs/tumour.toml              manifests, as for helenus job create
///     aliases.toml  triggers.toml  gates.toml  experiments.toml  roles.toml
///
/// All mistakes of all files are reported at once. New versions are examined as admission does, jobs
/// are checked against tables and models, and their expected rows are scored by the new versions. The
/// plan lists what would be created, changed, removed and kept, what people changed by hand, and the
/// DDL that jobs need. --output markdown is for the comment of a pull request.
///
/// Examples:
///
///     helenus plan ml/
///     helenus plan ml/ --output markdown > comment.md
///     helenus plan ml/ --detailed-exitcode --out plan.json
///
/// Exit code 1: a model or expected rows are refused; 2: mistakes in the folder. With
/// --detailed-exitcode 0: nothing to do, 2: changes, 1: mistakes or refusals.
///
/// JSON result: {"commit", "changes": number, "steps": [{"kind", "name", "action": "create" |
///   "change" | "remove" | "keep" | "leave", "details": [line …], "ddl": [statement …],
///   "warnings": […], "problems": […]}]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,
    /// Exit with 2 if there are changes, with 1 after an error in the folder
    #[arg(long)]
    detailed_exitcode: bool,
    /// Save the plan for `helenus apply --plan`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments of `plan` and `apply`.
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Remove triggers, gates, experiments and jobs that earlier commits of this repository made and
    /// that the folder no longer has
    #[arg(long)]
    pub prune: bool,
    /// The commit of the folder [default: that of its work tree]
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
}

/// A plan: what the folder declares, what Cassandra has, and what must be written.
pub struct FolderPlan {
    pub desired: DesiredState,
    /// Hash of all files that the folder uses.
    pub folder: String,
    /// Hash of the database's state.
    pub database: String,
    pub steps: Vec<CheckedStep>,
}

impl FolderPlan {
    /// Returns how many steps write something.
    pub fn changes(&self) -> usize {
        let steps = self.steps.iter();
        steps.filter(|one| one.step.action.is_write()).count()
    }

    /// Returns why the plan must not be applied.
    pub fn refusal(&self) -> Option<Failure> {
        let problems: Vec<Problem> = self
            .steps
            .iter()
            .flat_map(|checked| checked.problems.iter().cloned())
            .collect();
        (!problems.is_empty()).then_some(Failure {
            exit: Exit::No,
            problems,
        })
    }
}

/// Compares a folder with Cassandra and checks what would change.
///
/// # Errors
/// Exit 2: what the folder names and nothing has; exit 3: Cassandra, or this machine.
pub async fn plan(store: &Store, read: Folder, args: &PlanArgs) -> Result<FolderPlan, Failure> {
    let actual = folder::read_actual(store, &read.desired).await?;
    let prune = Prune {
        is_wanted: args.prune,
        commits: match args.prune {
            true => commit::known(&args.folder, &commits(&actual)),
            false => BTreeSet::new(),
        },
    };
    let steps = steps::steps(&read.desired, &actual, &prune).map_err(Failure::inputs)?;
    let steps = folder::check(store, &read.desired, steps).await?;
    Ok(FolderPlan {
        desired: read.desired,
        folder: read.digest,
        database: actual.fingerprint(),
        steps,
    })
}

/// Returns the commits by which anything was applied.
fn commits(actual: &ActualState) -> BTreeSet<String> {
    let jobs = actual.jobs.values().map(|job| &job.author);
    let triggers = actual.triggers.iter().map(|row| &row.created_by);
    let gates = actual.gates.iter().map(|row| &row.created_by);
    let experiments = actual.experiments.iter().map(|one| &one.row.created_by);
    let authors = jobs.chain(triggers).chain(gates).chain(experiments);
    let commits = authors.filter_map(|author| commit_of(author.as_deref()));
    commits.map(str::to_owned).collect()
}

/// Plans and prints.
///
/// # Errors
/// As [`plan`].
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let planned = planned(&args, context).await;
    let is_markdown = context.format == Format::Markdown;
    let mut answer = match planned {
        Ok(answer) => answer,
        // A comment that says nothing would look like a plan without changes.
        Err(failure) if is_markdown => Answer {
            text: view::refused_markdown(&failure.problems),
            failed: Some(failure),
            ..Answer::default()
        },
        Err(failure) => Answer {
            failed: Some(failure),
            ..Answer::default()
        },
    };
    if let (true, Some(failure)) = (args.detailed_exitcode, &mut answer.failed)
        && failure.exit == Exit::Input
    {
        failure.exit = Exit::No;
    }
    Ok(answer)
}

async fn planned(args: &Args, context: &Context) -> Result<Answer, Failure> {
    // Mistakes are reported without Cassandra, too.
    let read = folder::read(&args.plan.folder)?;
    let commit = commit::of_folder(&args.plan, true).ok();
    let store = context.store().await?;
    let planned = plan(&store, read, &args.plan).await?;
    if let Some(path) = &args.out {
        SavedPlan::from_plan(&planned, args.plan.prune, commit.clone()).write(path)?;
    }
    let steps: Vec<_> = planned.steps.iter().map(step_json).collect();
    let result = json!({
        "commit": commit,
        "changes": planned.changes(),
        "steps": steps,
    });
    let text = match context.format {
        Format::Markdown => view::markdown(&planned, commit.as_deref()),
        _ => view::text(&planned),
    };
    let mut answer = Answer::new(result, text);
    answer.failed = planned.refusal();
    answer.warnings = planned
        .steps
        .iter()
        .flat_map(|checked| {
            let title = title(&checked.step);
            let warnings = checked.warnings.iter();
            warnings.map(move |warning| format!("{title}: {warning}"))
        })
        .collect();
    if args.detailed_exitcode && planned.changes() > 0 {
        answer.exit = Exit::Input as u8;
    }
    Ok(answer)
}

/// Counts steps by action, for the last line.
fn counts(planned: &FolderPlan) -> String {
    let count = |action: StepAction| {
        let steps = planned.steps.iter();
        steps.filter(|one| one.step.action == action).count()
    };
    format!(
        "{} to create, {} to change, {} to remove, {} as they are, {} left alone",
        count(StepAction::Create),
        count(StepAction::Change),
        count(StepAction::Remove),
        count(StepAction::Keep),
        count(StepAction::Leave),
    )
}
