//! `helenus compare`.

mod again;
mod json;
mod page;
mod text;

use std::path::PathBuf;

use super::{Context, watched::watched, whole_file::WholeFile};
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::Answer,
    worker::{
        compare::{self, MOST_LISTED, Report, Wish},
        pass,
        pass::Running,
    },
};

/// Hold versions of a job against each other, over the predictions that stand
///
/// Reads the predictions in step with the source; nothing is scored. The first version is the
/// baseline, each other one is held against it, over rows of which both have a prediction as the
/// row is now:
///   compared    such rows; all figures are about them
///   stale       one of the two is of other values than the row's now, or by another model
///   missing     one of the two is not there
///   rejected    one of the two models could not score the row
/// and told are the share of equal labels and which became which, score differences (version less
/// baseline), Spearman's rank correlation with its error, and the entities that differ most.
///
/// If it is stopped or killed, the same command goes on where it was, for 6 hours and until the
/// next run. The result stands in table `comparisons`, too.
///
/// Examples:
///
///     helenus compare tumour --versions champion,2
///     helenus compare tumour --versions 1,2,3 --segment clinic --top 20
///     helenus compare tumour --versions champion,2 --html compared.html
///
/// Exit code 1: no row could be compared; 130: interrupted. JSON result: {"job",
///   "comparison_id", "baseline", "label", "score", "score_columns", "source_rows", "versions":
///   {version: {"aliases", "current", "stale", "rejected", "missing", "orphaned"}}, "against":
///   [{"version", "compared", "stale", "missing", "rejected", "agreement", "label_changes":
///   [{"from", "to", "rows"}], "differences": {"mean", "deviation", "mean_absolute", "least",
///   "largest", "quantiles", "histogram": [{"from", "to", "rows"}]}, "rank_correlation":
///   {"value", "error"}, "segments": [{"segment", …}], "most_different": [{"key", "cql",
///   "difference", "labels", "scores", "segment"}]}], "begun_at", "finished_at", "html"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Two to four versions by number or alias, the baseline first
    #[arg(long, value_name = "V,V", value_delimiter = ',', required = true)]
    versions: Vec<String>,
    /// Tell all this for each value of a source column, too (at most 50 values)
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// Compare this output column's scores; without it the positive class's, the only one, or the
    /// largest difference of all
    #[arg(long, value_name = "COLUMN")]
    score: Option<String>,
    /// List so many of the entities that differ most
    #[arg(long, value_name = "K", default_value = "10", value_parser = clap::value_parser!(u16).range(0..=MOST_LISTED as i64))]
    top: u16,
    /// Read at most so many source rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Write a page for people, too: coverage, changes, differences, segments; one file that needs
    /// no network. It is replaced
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Compares, reports.
///
/// # Errors
/// As the exit codes say.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let wish = Wish {
        pass: pass::Wish {
            job: args.job.clone(),
            versions: args.versions.clone(),
            segment: args.segment.clone(),
            labels: None,
        },
        score: args.score.clone(),
        top: args.top.into(),
        requested_by: Some(super::who()),
        request_id: None,
    };
    // A place that can't be written is told before hours of reading, not after.
    let file = args.html.as_deref().map(WholeFile::begin).transpose()?;
    let store = context.store().await?;
    let running = Running::new(args.max_rate);
    let comparing = compare::compare(&store, &wish, &running);
    let report = watched(context.format, &running, comparing).await?;
    let mut answer = Answer::new(json::of(&report), text::of(&report));
    answer.warnings.clone_from(&report.warnings);
    if let (Some(file), Some(path)) = (file, &args.html) {
        file.finish_with(&page::of(&report, &args))?;
        answer.result["html"] = path.display().to_string().into();
        answer
            .text
            .push_str(&format!("\n\npage: {}", path.display()));
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
        "no row has predictions of versions {} and {version} as it is now: {} stale, {} missing, {} rejected",
        report.baseline(),
        rows.stale,
        rows.missing,
        rows.rejected
    );
    let job = &report.scope.job.job;
    Some(
        Problem::new("compare.nothing_in_common", message).help(format!(
            "`helenus score {job}` brings predictions up to date"
        )),
    )
}
