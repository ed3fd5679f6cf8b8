//! `helenus verify`.

mod json;
mod text;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Context, model::check::tolerance};
use crate::{
    control::jobs,
    domain::problem::Problem,
    engine::run::context::Progress,
    failure::Failure,
    inspect::verify::{self, Report, VerifySpec, VersionTally},
    output::{Answer, Format},
    store::Store,
};

/// Re-score the current source rows and compare the stored predictions
///
/// Reads predictions with their lineage, loads the model that each of them names, feeds it the
/// current source row through the job's mapping, and counts for each version:
///   matching    the stored values are the model's: |a - b| <= 1e-6 + 1e-5 |b| for each number
///               (--atol, --rtol), or within the rounding of this row in batches of other sizes;
///               a label can differ where the scores that decide it are that close
///   stale       made from other values, or by another mapping; the next run replaces it
///   differing   made from the same values, but not what the model returns; or without proof
///   rejected    stored as rejected, and the row still is (or no longer is)
/// and with --coverage
///   missing     source rows without a prediction
///   orphaned    predictions without a source row
/// and, if the job keeps a table of current predictions, its rows that are
///   other_version   of another version than the champion
///   differing       different from the champion's prediction
///   extra           of the champion, without a prediction
///   missing         absent, although the champion has a prediction
///
/// Writes nothing.
///
/// Examples:
///
///     helenus verify tumour
///     helenus verify tumour --sample 1000 --coverage
///
/// Exit code 1: a prediction differs, a row stored as rejected no longer is, or with --coverage a
/// prediction is missing or the table of current predictions is not the champion's.
///
/// JSON result: {"job", "revision", "target", "sample", "source_rows", "versions": {version:
///   {"aliases", "model_sha256", "seen", "matching", "stale", "differing", "rejected",
///   "no_longer_rejected"}}, "differences": [{"key", "version", "column", "stored", "recomputed"}],
///   "coverage": null or {"source_rows", "versions": {version: {"missing", "orphaned"}},
///   "missing": […], "orphaned": […], "current": null or {"table", "version", "rows",
///   "other_version", "differing", "extra", "missing", "findings": [{"key", "finding",
///   "version"}]}}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Verify about N source rows at random places of the ring instead of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Also find missing and orphaned predictions, in the whole table
    #[arg(long)]
    coverage: bool,
    /// Relative tolerance for numbers [default: 1e-5]
    #[arg(long, value_name = "NUMBER")]
    rtol: Option<f64>,
    /// Absolute tolerance for numbers [default: 1e-6]
    #[arg(long, value_name = "NUMBER")]
    atol: Option<f64>,
    /// Only this version of the job (can be repeated)
    #[arg(long = "version", value_name = "N")]
    versions: Vec<i32>,
}

/// Verifies the predictions and reports the result.
///
/// # Errors
/// Exit 5: unknown job; exit 2: the job does not fit its tables; exit 3: Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let wish = VerifySpec {
        job: args.job,
        versions: (!args.versions.is_empty()).then(|| args.versions.into_iter().collect()),
        sample: args.sample,
        coverage: args.coverage,
        tolerance: tolerance(args.rtol, args.atol)?,
    };
    let store = context.store().await?;
    jobs::answer(&store, &wish.job).await?;
    let progress = Arc::<Progress>::default();
    let bar = bar(&store, &wish, context.format).await;
    let drawing = tokio::spawn(draw(bar.clone(), Arc::clone(&progress)));
    let report = Box::pin(verify::verify(&store, &wish, progress)).await;
    drawing.abort();
    bar.finish_and_clear();
    Ok(answer(&report?, &wish))
}

async fn bar(store: &Store, wish: &VerifySpec, format: Format) -> ProgressBar {
    let rows = match wish.sample {
        Some(rows) if !wish.coverage => Some(rows),
        _ => estimated_rows(store, &wish.job).await,
    };
    let (bar, template) = match rows {
        Some(rows) => (
            ProgressBar::new(rows),
            "{elapsed_precise} {bar:30} ~{percent} % {pos} rows verified, {per_sec}, ETA {eta}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{elapsed_precise} {spinner} {pos} rows verified, {per_sec}",
        ),
    };
    if format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar.with_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

/// Estimates the rows of the source, for the progress bar only.
async fn estimated_rows(store: &Store, job: &str) -> Option<u64> {
    let last = store.runs(job, 1).await.ok()?.into_iter().next()?;
    let (keyspace, table) = last.source.split_once('.')?;
    let estimate = store.estimated_partitions(keyspace, table).await.ok()??;
    Some(estimate.max(last.counts.source_rows))
}

async fn draw(bar: ProgressBar, progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bar.set_position(progress.so_far().0);
    }
}

fn answer(report: &Report, wish: &VerifySpec) -> Answer {
    let mut answer = Answer::new(json::render(report, wish), text::render(report, wish));
    for run in &report.open_runs {
        answer.warnings.push(format!(
            "run {run} was open in the meantime: rows that it had not reached count as stale or missing"
        ));
    }
    let wrong: u64 = report
        .tally
        .versions
        .values()
        .map(VersionTally::wrong)
        .sum();
    let missing = report.coverage.as_ref().map_or(0, |coverage| {
        coverage.versions.values().map(|tally| tally.missing).sum()
    });
    let mut failures = Vec::new();
    if wrong > 0 {
        failures.push(
            Problem::new(
                "verify.differs",
                format!("{wrong} predictions differ from what their models return"),
            )
            .help(format!(
                "check whether {} was altered by hand; rewrite all predictions with `helenus score {} --scope all`",
                target(report),
                wish.job
            )),
        );
    }
    if missing > 0 {
        failures.push(
            Problem::new(
                "verify.missing",
                format!("{missing} predictions are missing"),
            )
            .help(format!(
                "score the missing rows with `helenus score {}`",
                wish.job
            )),
        );
    }
    failures.extend(current_problem(report, wish));
    answer.failed = failures
        .into_iter()
        .map(Failure::no)
        .reduce(|mut all, one| {
            all.problems.extend(one.problems);
            all
        });
    answer
}

/// Returns the problem of a table of current predictions that is not the champion's.
fn current_problem(report: &Report, wish: &VerifySpec) -> Option<Problem> {
    let current = report.current.as_ref()?;
    let wrong = current.tally.wrong();
    let message = format!(
        "{wrong} rows of {} are not version {}'s predictions",
        current.table, current.version
    );
    let help = format!(
        "copy them again with `helenus score {} --scope current`; after a promotion a worker does this",
        wish.job
    );
    (wrong > 0).then(|| Problem::new("verify.current_differs", message).help(help))
}

fn target(report: &Report) -> String {
    let target = &report.job.target;
    format!("{}.{}", target.keyspace, target.table)
}

fn aliases_of(report: &Report, version: i32) -> Vec<&str> {
    let aliases = report.aliases.iter();
    aliases
        .filter(|(_, points_at)| **points_at == version)
        .map(|(alias, _)| alias.as_str())
        .collect()
}

/// Returns each version of the job with its sha256 and tally.
fn versions<'a>(
    report: &'a Report,
    tallies: &'a BTreeMap<i32, VersionTally>,
) -> impl Iterator<Item = (i32, &'a [u8; 32], VersionTally)> {
    report.job.versions.iter().map(|version| {
        let number = version.ready.version;
        let tally = tallies.get(&number).copied().unwrap_or_default();
        (number, &version.ready.admitted.sha256, tally)
    })
}
