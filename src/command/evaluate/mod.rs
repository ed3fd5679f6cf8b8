//! `helenus evaluate`.

mod again;
mod page;
mod show;

use std::{path::PathBuf, time::Duration};

use super::{Context, watched::watched, whole_file::WholeFile};
use crate::{
    control::jobs,
    domain::{
        evidence::evaluation::{labels::Wording, target::Question},
        problem::Problem,
        trigger::duration,
    },
    failure::Failure,
    inspect::{
        evaluate::{self, EvaluateSpec, Evaluated, words},
        pass::{LabelSpec, Running},
    },
    output::Answer,
    process,
};

/// Evaluate predictions against labels
///
/// Labels are in a table with the source's key, which can be the source itself. A row counts if it
/// has a label and every named version has a prediction of the current source row, so all versions
/// are evaluated on the same rows. The first version is the baseline of the others.
///
///   binary      roc_auc, average_precision, log_loss, brier, calibration_error; accuracy, precision,
///               recall, f1 at each threshold, and at the best one (chosen on half of the groups,
///               reported on the other half)
///   classes     accuracy, macro_f1, weighted_f1, log_loss, top_k_accuracy, confusion matrix
///   regression  mae, mse, rmse, r2, mape, mean_error, quantiles of the error
///
/// Intervals are 95 %, and differences are paired. Without --label-time helenus cannot check that
/// predictions were made before the outcome: the result is marked leakage_unchecked, and no gate
/// accepts it; unless --held-out counts only rows that no trainer saw. The result is also stored in the table `evaluations`, one row per version.
///
/// Examples:
///
///     helenus evaluate tumour --versions champion,4 --labels clinic.outcomes.diagnosis
///     helenus evaluate tumour --versions 3,4 --labels clinic.outcomes.diagnosis --label-time known_at --gap 1d --threshold 0.5,0.8 --segment site
///     helenus evaluate tumour --versions 3,4 --labels clinic.outcomes.diagnosis --html tumour.html
///     helenus evaluate fraud --versions 7 --labels shop.chargebacks.reason --label-map stolen=fraud --missing-label genuine --mature-after 90d
///
/// Exit code 130: interrupted; the same command continues the work.
///
/// JSON result: {"evaluation", "evaluated_at", "job", "revision", "task", "positive", "labels",
///   "leakage", "stored", "source_rows", "labelled", "evaluated", "untimed", "stray_labels",
///   "headline", "html" (with --html), "versions": [{"version", "aliases", "baseline", "rows",
///   "predictions": {"usable", "missing", "rejected", "stale", "leaked", "immature", "not_a_number",
///   "orphaned"}, "metrics", "low", "high", "scores": "exact" or "binned", "bounds", "absent", "against": null or
///   {"differences", "standard_errors", "low", "high", "p_values", "gained", "lost"}, "segments":
///   {segment: {"rows", "metrics", …}}, "details"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Versions by number or alias, comma-separated; the first is the baseline
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', required = true)]
    versions: Vec<String>,
    /// Column of the labels: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// The positive class [default: outputs.positive of the manifest]
    #[arg(long, value_name = "CLASS", allow_negative_numbers = true)]
    positive: Option<String>,
    /// The output column of the number or score, if there are several
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Thresholds from which a score counts as positive, comma-separated; the first gives the headline
    /// [default: 0.5]
    #[arg(
        long,
        value_name = "SCORE",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    threshold: Vec<f64>,
    /// Report the metrics for each value of this source column, too (at most 32 values)
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// Column of the label table with the time at which the outcome was known (timestamp or date);
    /// only earlier predictions count
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// Minimum time between a prediction and the time of its label
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    gap: Option<Duration>,
    /// A label and its class (can be repeated)
    #[arg(long, value_name = "LABEL=CLASS", allow_hyphen_values = true)]
    label_map: Vec<String>,
    /// Label of rows without a label
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true)]
    missing_label: Option<String>,
    /// Leave out predictions younger than this, whose labels may still arrive
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    mature_after: Option<Duration>,
    /// Count only rows that the trainers of the versions did not see (`helenus retraining`)
    #[arg(long, conflicts_with = "label_time")]
    held_out: bool,
    /// Maximum number of source rows read per second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Also write an HTML page with curves, calibration, decisions and segments, as one file that
    /// needs no network. An existing file is replaced and keeps its mode; only you can read a new
    /// one; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Evaluates the predictions.
///
/// # Errors
/// Exit 5: unknown job; exit 2: a question that can't be answered; exit 3: Cassandra; exit 130:
/// interrupted, the same command continues.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let request = request(&args).map_err(Failure::input)?;
    // A file that can't be written is reported before hours of reading.
    let begin = |path| WholeFile::begin_page(path, context.format);
    let file = args.html.as_deref().map(begin).transpose()?;
    let store = context.store().await?;
    jobs::answer(&store, &request.job).await?;
    let running = Running::new(args.max_rate);
    let evaluating = Box::pin(evaluate::evaluate(&store, &request, &running));
    let evaluated = watched(context.format, &running, evaluating).await?;
    let mut answer = answer(&evaluated, &request);
    if let Some(file) = file {
        let page = page::render(&evaluated, &request, &args, &answer.warnings);
        file.finish_page(&page, &mut answer)?;
    }
    Ok(answer)
}

fn request(args: &Args) -> Result<EvaluateSpec, Problem> {
    let (table, column) = words::place(&args.labels)?;
    Ok(EvaluateSpec {
        job: args.job.clone(),
        versions: args.versions.clone(),
        labels: LabelSpec {
            table,
            column,
            time: args.label_time.clone(),
        },
        segment: args.segment.clone(),
        question: Question {
            positive: args.positive.clone(),
            column: args.column.clone(),
            thresholds: words::thresholds(&args.threshold)?,
        },
        wording: Wording {
            map: words::label_map(args.label_map.iter().map(String::as_str))?,
            missing: args.missing_label.clone(),
        },
        held_out: args.held_out,
        gap: args.gap.unwrap_or_default(),
        mature_after: args.mature_after,
        requested_by: Some(process::user()),
        request_id: None,
    })
}

fn answer(evaluated: &Evaluated, wish: &EvaluateSpec) -> Answer {
    let mut answer = Answer::new(show::as_json(evaluated, wish), show::text(evaluated, wish));
    answer.warnings.clone_from(&evaluated.warnings);
    if !evaluated.stored {
        answer.warnings.push(
            "not_stored: this login has no permission to write `evaluations`; a worker's login has"
                .to_owned(),
        );
    }
    answer
}
