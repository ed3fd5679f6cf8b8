//! `helenus evaluate`.

mod again;
mod page;
mod show;

use std::{path::PathBuf, time::Duration};

use super::{Context, watched::watched, whole_file::WholeFile};
use crate::{
    domain::{
        evaluation::{labels::Wording, target::Question},
        problem::Problem,
        trigger::duration,
    },
    failure::Failure,
    output::Answer,
    worker::{
        evaluate::{self, Evaluated, Wish, words},
        pass::{LabelWish, Running},
    },
};

/// Hold predictions against what came true
///
/// Labels stand in a table with the source's key (the source itself may be it). Counted are rows that
/// have a label and, of every version named, a prediction of the source row as it is now: all
/// versions are judged on the same rows. The first version is the baseline of the others.
///
///   binary      roc_auc, average_precision, log_loss, brier, calibration_error; accuracy, precision,
///               recall, f1 at each threshold, and at the best one (chosen on half of the groups,
///               told of the other half)
///   classes     accuracy, macro_f1, weighted_f1, log_loss, top_k_accuracy, confusion matrix
///   regression  mae, mse, rmse, r2, mape, mean_error, quantiles of the error
///
/// Intervals are 95 %, and differences are paired. Without --label-time nobody knows whether a
/// prediction was made before the outcome: the result says leakage_unchecked, and no gate takes it.
/// A row for each version is written to `evaluations`.
///
/// Examples:
///
///     helenus evaluate tumour --versions champion,4 --labels clinic.outcomes.diagnosis
///     helenus evaluate tumour --versions 3,4 --labels clinic.outcomes.diagnosis --label-time known_at --gap 1d --threshold 0.5,0.8 --segment site
///     helenus evaluate tumour --versions 3,4 --labels clinic.outcomes.diagnosis --html tumour.html
///     helenus evaluate fraud --versions 7 --labels shop.chargebacks.reason --label-map stolen=fraud --missing-label genuine --mature-after 90d
///
/// JSON result: {"evaluation", "evaluated_at", "job", "revision", "task", "positive", "labels", "leakage",
///   "stored", "source_rows", "labelled", "evaluated", "untimed", "stray_labels", "headline", "html",
///   "versions": [{"version", "aliases", "baseline", "rows", "predictions": {"usable", "missing",
///   "rejected", "stale", "leaked", "immature", "not_a_number", "orphaned"}, "metrics", "low", "high",
///   "bounds", "absent", "against": null or {"differences", "standard_errors", "low", "high", "p_values",
///   "gained", "lost"}, "segments": {segment: {"rows", "metrics", …}}, "details"} …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Numbers or aliases, commas between; the first is the baseline
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', required = true)]
    versions: Vec<String>,
    /// Where labels are: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// The class that is looked for [default: outputs.positive of the manifest]
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// The output column that holds the number or the score, where several do
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Decide positive from this score on, commas between; the first makes the headline [default: 0.5]
    #[arg(
        long,
        value_name = "SCORE",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    threshold: Vec<f64>,
    /// Tell all again for each value of this source column (32 at most)
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// The label table's column that tells when the outcome was known (timestamp or date); only
    /// predictions made before count
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// Predictions must have been made so long before the label's time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    gap: Option<Duration>,
    /// A label and the class that it means (may be repeated)
    #[arg(long, value_name = "LABEL=CLASS")]
    label_map: Vec<String>,
    /// What a row without a label means
    #[arg(long, value_name = "LABEL")]
    missing_label: Option<String>,
    /// Leave younger predictions out: their labels may still come
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    mature_after: Option<Duration>,
    /// At most so many source rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Write a page for people, too: curves, calibration, decisions, segments; one file that needs
    /// no network. It is replaced
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Walks, tells.
///
/// # Errors
/// Exit 5 for an unknown job, 2 for a question that can't be answered, 3 for Cassandra's, 130 when
/// interrupted: the same command goes on.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let wish = wish(&args).map_err(Failure::input)?;
    // A place that can't be written is told before hours of reading, not after.
    let file = args.html.as_deref().map(WholeFile::begin).transpose()?;
    let store = context.store().await?;
    let running = Running::new(args.max_rate);
    let evaluating = evaluate::evaluate(&store, &wish, &running);
    let evaluated = watched(context.format, &running, evaluating).await?;
    let mut answer = answer(&evaluated, &wish);
    if let (Some(file), Some(path)) = (file, &args.html) {
        file.finish_with(&page::of(&evaluated, &wish, &args, &answer.warnings))?;
        answer.result["html"] = path.display().to_string().into();
        answer
            .text
            .push_str(&format!("\n\npage: {}", path.display()));
    }
    Ok(answer)
}

fn wish(args: &Args) -> Result<Wish, Problem> {
    let (table, column) = words::place(&args.labels)?;
    Ok(Wish {
        job: args.job.clone(),
        versions: args.versions.clone(),
        labels: LabelWish {
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
        gap: args.gap.unwrap_or_default(),
        mature_after: args.mature_after,
        requested_by: Some(super::who()),
        request_id: None,
    })
}

fn answer(evaluated: &Evaluated, wish: &Wish) -> Answer {
    let mut answer = Answer::new(show::as_json(evaluated, wish), show::text(evaluated, wish));
    answer.warnings.clone_from(&evaluated.warnings);
    if !evaluated.stored {
        answer
            .warnings
            .push("not_stored: this login may not write `evaluations`; a worker's may".to_owned());
    }
    answer
}
