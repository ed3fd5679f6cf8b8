//! `helenus compare`.

mod again;
mod json;
mod page;
mod text;

use std::path::PathBuf;

use super::{Context, watched::watched, whole_file::WholeFile};
use crate::{
    control::jobs,
    domain::problem::Problem,
    failure::Failure,
    inspect::{
        compare::{self, CompareSpec, MOST_LISTED, Report},
        pass::{self, Running},
    },
    output::Answer,
    process,
};

/// Compare the stored predictions of versions of a job
///
/// Reads the predictions in step with the source; nothing is scored. The first version is the
/// baseline of the others. A row is compared if both versions have a prediction of the current
/// source row:
///   compared    such rows; all figures are about them
///   stale       one of the two predictions was made from other values, or by another model
///   missing     one of the two predictions does not exist
///   rejected    one of the two models could not score the row
/// Reports label agreement and label transitions, score differences (version minus baseline),
/// Spearman's rank correlation with its error, and the entities that differ most.
///
/// If it is interrupted or killed, the same command continues where it was, for 6 hours and until
/// the next run. The result is also stored in the table `comparisons`.
///
/// Examples:
///
///     helenus compare tumour --versions champion,2
///     helenus compare tumour --versions 1,2,3 --segment clinic --top 20
///     helenus compare tumour --versions champion,2 --html compared.html
///
/// Exit code 1: no row could be compared; 130: interrupted.
///
/// JSON result: {"job", "revision", "target", "comparison_id", "baseline", "label", "score",
///   "score_columns", "segment", "source_rows", "versions": {version: {"aliases", "current", "stale",
///   "rejected", "missing", "orphaned"}}, "against": [{"version", "compared", "stale", "missing",
///   "rejected", "labelled", "agreeing", "agreement", "label_changes": [{"from", "to", "rows"}],
///   "other_changes", "unscored", "differences": null or {"count", "mean", "deviation",
///   "mean_absolute", "least", "most", "largest", "quantiles", "histogram": [{"from", "to", "rows"}]},
///   "rank_correlation": null or {"value", "error"}, "segments": [{"segment", …}],
///   "most_different": [{"key", "cql", "difference", "labels", "scores", "segment"}]}], "begun_at",
///   "finished_at", "html" (with --html)}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Two to four versions by number or alias, the baseline first
    #[arg(long, value_name = "V,V", value_delimiter = ',', required = true)]
    versions: Vec<String>,
    /// Report the figures for each value of this source column, too (at most 50 values)
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// Compare the scores of this output column [default: the positive class's, the only one, or the
    /// largest difference of all]
    #[arg(long, value_name = "COLUMN")]
    score: Option<String>,
    /// List this many of the entities that differ most
    #[arg(long, value_name = "K", default_value = "10", value_parser = clap::value_parser!(u16).range(0..=MOST_LISTED as i64))]
    top: u16,
    /// Maximum number of source rows read per second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Also write an HTML page with coverage, changes, differences and segments, as one file that
    /// needs no network. An existing file is replaced and keeps its mode; only you can read a new
    /// one; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Compares the versions and reports the result.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let wish = CompareSpec {
        pass: pass::PassSpec {
            job: args.job.clone(),
            versions: args.versions.clone(),
            segment: args.segment.clone(),
            labels: None,
        },
        score: args.score.clone(),
        top: args.top.into(),
        requested_by: Some(process::user()),
        request_id: None,
    };
    // A file that can't be written is reported before hours of reading.
    let begin = |path| WholeFile::begin_page(path, context.format);
    let file = args.html.as_deref().map(begin).transpose()?;
    let store = context.store().await?;
    jobs::answer(&store, &wish.pass.job).await?;
    let running = Running::new(args.max_rate);
    let comparing = Box::pin(compare::compare(&store, &wish, &running));
    let report = watched(context.format, &running, comparing).await?;
    let mut answer = Answer::new(json::render(&report), text::render(&report));
    answer.warnings.clone_from(&report.warnings);
    if let Some(file) = file {
        file.finish_page(&page::render(&report, &args), &mut answer)?;
    }
    answer.failed = nothing_in_common(&report).map(Failure::no);
    Ok(answer)
}

fn nothing_in_common(report: &Report) -> Option<Problem> {
    let mut without = report
        .against()
        .filter(|(_, against)| against.all.rows.compared == 0);
    let (version, against) = without.next()?;
    let rows = &against.all.rows;
    let message = format!(
        "no row to compare for versions {} and {version}: {} stale, {} missing, {} rejected",
        report.baseline(),
        rows.stale,
        rows.missing,
        rows.rejected
    );
    let job = &report.scope.job.job;
    Some(
        Problem::new("compare.nothing_in_common", message).help(format!(
            "bring the predictions up to date with `helenus score {job}`"
        )),
    )
}
