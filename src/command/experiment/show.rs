//! `helenus experiment show`.

use std::path::PathBuf;

use super::{Context, find, view};
use crate::{
    command::{watched::watched, whole_file::WholeFile},
    control::experiments,
    domain::{experiment::ExperimentState, problem::Problem},
    failure::Failure,
    inspect::pass::Running,
    output::Answer,
};

/// Looks that are shown on the page.
const LOOKS: i32 = 200;

/// Show an experiment: its arms, their sizes, the differences, and the verdict
///
/// A worker looks at running experiments every hour, after runs, and at the planned end. --look takes
/// a look now; looking often changes nothing about how often a verdict is false.
///
/// Verdicts: running, srm (the arms do not have their sizes: nothing else is said), better, worse;
/// at the planned end also no_difference (with a margin) and inconclusive.
///
/// Examples:
///
///     helenus experiment show tumour sharper
///     helenus experiment show tumour sharper --look --html sharper.html
///
/// JSON result: {"job", "name", "revision", "state", "reason", "arms": {arm: {"version", "share"}},
///   "control", "unit", "traffic", "metric", "labels", "covariate", "margin", "alpha", "starts_at",
///   "ends_at", "started_at", "ended_at", "look": null or {"id", "at", "final", "verdict", "reason",
///   "verdicts", "counts": {"assigned", "scored", "labelled": {arm: units}}, "without_unit",
///   "outside", "early", "leaked", "sample_ratio": {stage: {"p", "sequential_p"}}, "values",
///   "standard_errors", "differences", "adjusted", "paired": {arm: {"difference", "interval":
///   [low, high], "fixed": null or [low, high]}}, "warnings"}, "html" (with --html)}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The experiment
    name: String,
    /// Take a look now, and store it
    #[arg(long)]
    look: bool,
    /// Also write an HTML page, as one file that needs no network. An existing file is replaced and
    /// keeps its mode; only you can read a new one; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Shows the newest revision and its newest look.
///
/// # Errors
/// Exit 5: no such experiment; exit 2: --look, but it has not started.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let begin = |path| WholeFile::begin_page(path, context.format);
    let file = args.html.as_deref().map(begin).transpose()?;
    let store = context.store().await?;
    let mut state = find(&store, &args.job, &args.name, LOOKS).await?;
    if args.look {
        let status = state.status.clone();
        let status = status
            .filter(|status| {
                matches!(
                    status.state,
                    ExperimentState::Running | ExperimentState::Ended
                )
            })
            .ok_or_else(|| {
                let message = format!("experiment `{}` is {}", args.name, state.state());
                Failure::input(
                    Problem::new("experiment.not_running", message)
                        .at("--look")
                        .help("only running and ended experiments can be looked at"),
                )
            })?;
        let running = Running::new(None);
        let looking = Box::pin(experiments::take_look(&store, &status, &running));
        watched(context.format, &running, looking).await?;
        state = find(&store, &args.job, &args.name, LOOKS).await?;
    }
    let mut answer = Answer::new(view::as_json(&state), view::text(&state));
    if let Some(look) = state.looks.first() {
        answer.warnings.clone_from(&look.warnings);
    }
    if let Some(file) = file {
        file.finish_page(&crate::report::experiment::render(&state), &mut answer)?;
    }
    Ok(answer)
}
