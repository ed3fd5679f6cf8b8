//! `helenus apply`.

mod act;
pub mod commit;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    Context, ask,
    plan::{self, FolderPlan, PlanArgs, SavedPlan},
};
use crate::{
    domain::{folder::steps::FolderStep, problem::Problem},
    failpoint,
    failure::Failure,
    inspect::folder::{self, CheckedStep},
    output::Answer,
};

/// Write what a folder of Git declares: models, jobs, triggers, gates, experiments, aliases, roles
///
/// The folder is compared with Cassandra and checked as by `helenus plan`. If anything in it is wrong
/// or refused, nothing is written. Then each step is taken in order of dependency, by the same rows
/// that `model push`, `job create`, `trigger add`, `gate add`, `experiment start` and `model promote`
/// write, with `git:COMMIT` as their author. A step that fails ends the command, and the next apply
/// of the same folder does what is left. An unchanged folder writes nothing.
///
/// The commit is read from the work tree, which must not have changes within the folder. Without Git,
/// give --commit. With --plan, a plan that `helenus plan --out` saved is applied; it is refused if the
/// folder or the database changed since. What is not in the folder is kept; with --prune, what an
/// earlier commit of this repository made is removed, but never a version or a prediction.
///
/// Examples:
///
///     helenus apply ml/
///     helenus plan ml/ --out plan.json && helenus apply ml/ --plan plan.json
///     helenus apply ml/ --prune --wait 600
///
/// Exit code 1: a model or expected rows are refused; 2: mistakes in the folder; 4: the saved plan is
/// stale, or another process wrote the same meanwhile.
///
/// JSON result: {"commit", "changed": steps written, "steps": [{"kind", "name", "action", "details",
///   "ddl", "warnings", "problems", "applied": bool} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,
    /// Apply exactly this plan, which `helenus plan --out` saved
    #[arg(long = "plan", value_name = "FILE")]
    saved: Option<PathBuf>,
    /// Apply although files of the folder are not committed; the author becomes git:COMMIT+changes
    #[arg(long)]
    allow_dirty: bool,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Applies the folder.
///
/// # Errors
/// Exit 2: all mistakes of the folder; as [`plan::plan`]; the failure of a step, after those before it were taken.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let saved = args.saved.as_deref().map(SavedPlan::read).transpose()?;
    let read = folder::read(&args.plan.folder)?;
    let commit = commit::of_folder(&args.plan, args.allow_dirty)?;
    let store = context.store().await?;
    let planned = plan::plan(&store, read, &args.plan).await?;
    if let Some(saved) = saved {
        saved.check(&planned)?;
    }
    if let Some(failure) = planned.refusal() {
        return Err(failure);
    }
    let actor = act::Actor {
        store: &store,
        context,
        desired: &planned.desired,
        commit: &commit,
        wait: args.wait,
    };
    let writes: Vec<_> = planned
        .steps
        .iter()
        .filter(|one| one.step.action.is_write())
        .collect();
    let mut applied = Vec::new();
    let mut warnings = Vec::new();
    let mut failed = None;
    for checked in &writes {
        let step = &checked.step;
        ask::say(
            context,
            &format!("{} {}", step.action.as_str(), plan::title(step)),
        );
        failpoint::hit("before_apply_step");
        match Box::pin(actor.take(step)).await {
            Ok(answer) => {
                warnings.extend(answer.warnings);
                applied.push(step);
            }
            Err(failure) => {
                failed = Some(placed(failure, step, applied.len(), writes.len()));
                break;
            }
        }
        failpoint::hit("after_apply_step");
    }
    let result = json!({
        "commit": commit,
        "changed": applied.len(),
        "steps": as_json(&planned, &applied),
    });
    let text = match (applied.len(), failed.is_some()) {
        (0, false) => "nothing to do: Cassandra is as the folder says".to_owned(),
        (count, _) => format!(
            "applied {count} of {} changes of commit {commit}",
            writes.len()
        ),
    };
    let mut answer = Answer::new(result, text);
    answer.warnings = warnings;
    answer.failed = failed;
    Ok(answer)
}

/// Adds to a failure which step it was, and what to do.
fn placed(mut failure: Failure, step: &FolderStep, done: usize, all: usize) -> Failure {
    for problem in &mut failure.problems {
        let place = match &problem.place {
            Some(place) => format!("{}: {place}", plan::title(step)),
            None => plan::title(step),
        };
        problem.place = Some(place);
    }
    let what = format!("{done} of {all} changes were applied");
    failure.problems.push(
        Problem::new("apply.unfinished", what)
            .help("fix the cause, then apply the folder again: it does what is left"),
    );
    failure
}

fn as_json(planned: &FolderPlan, applied: &[&FolderStep]) -> Vec<Value> {
    let steps = planned.steps.iter();
    let step = |checked: &CheckedStep| {
        let mut json = plan::step_json(checked);
        json["applied"] = json!(applied.iter().any(|step| **step == checked.step));
        json
    };
    steps.map(step).collect()
}
