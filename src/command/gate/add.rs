//! `helenus gate add`.

use serde_json::json;

use super::{Context, text};
use crate::{
    control::gates::{self, GateDetail},
    domain::{
        gate::{Gate, GateRow},
        model::check_name,
    },
    failure::Failure,
    output::Answer,
    process,
};

/// Define the evidence that a version needs before it can get an alias
///
/// The gate uses the newest evaluation of the challenger against the version that the alias points
/// at. Its interval is a confidence sequence, which is valid at every evaluation, so repeated
/// evaluation does not inflate false positives. Evidence that is stale, partial, unlabelled or
/// leakage_unchecked never passes. A gate that passes moves nothing: it waits for
/// `helenus gate approve`, unless it has one of these options:
///
///   --auto     a worker promotes the challenger once the gate passes, but not before the --cooldown
///              since the alias was last changed, and never to a version that the alias was moved
///              away from
///   --demote   a worker rolls the alias back once two evaluations in a row, made after the move,
///              show with confidence that the version is worse than the one before
///
/// Examples:
///
///     helenus gate add tumour better --metric roc_auc --min-improvement 0.002 \
///       --min-labelled-rows 5000 --labels clinic.outcomes.diagnosis
///     helenus gate add tumour better --metric log_loss --min-labelled-rows 5000 \
///       --labels clinic.outcomes.diagnosis --segment-margin 0.01 --full-coverage
///     helenus gate add tumour better --metric log_loss --min-labelled-rows 5000 \
///       --labels clinic.outcomes.diagnosis --auto --cooldown 1d --demote
///
/// JSON result: as `helenus gate show`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The gate's name, unique within the model
    name: String,
    /// The metric that must improve, as named by `helenus evaluate`
    #[arg(long)]
    metric: String,
    /// Column of the labels that evaluations must have used: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// Minimum improvement, exclusive, in units of the metric
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    min_improvement: f64,
    /// Minimum number of labelled rows
    #[arg(long, value_name = "ROWS")]
    min_labelled_rows: i64,
    /// Confidence that the intervals of all evaluations contain the true value
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Maximum loss in any segment; evaluations must use --segment
    #[arg(long, value_name = "NUMBER")]
    segment_margin: Option<f64>,
    /// Require that no prediction of a labelled row is missing or stale
    #[arg(long)]
    full_coverage: bool,
    /// Require that an arm with the version is better in this experiment
    #[arg(long, value_name = "JOB/NAME")]
    experiment: Option<String>,
    /// The alias to move [default: champion]
    #[arg(long)]
    alias: Option<String>,
    /// The alias of the challenger [default: challenger]
    #[arg(long)]
    challenger: Option<String>,
    /// Maximum age of an evaluation [default: 7d]
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Promote without an approval
    #[arg(long, requires = "cooldown")]
    auto: bool,
    /// With --auto: minimum time since the alias was last changed
    #[arg(long, value_name = "DURATION", requires = "auto")]
    cooldown: Option<String>,
    /// With --auto: roll back if two evaluations in a row show that the version is worse
    #[arg(long, requires = "auto")]
    demote: bool,
    /// A note, stored with the gate
    #[arg(long)]
    note: Option<String>,
}

/// Writes the gate's row and prints its verdict.
///
/// # Errors
/// Exit 2: all problems of the gate.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.model).map_err(Failure::input)?;
    check_name("a gate", &args.name).map_err(Failure::input)?;
    let row = GateRow {
        model: args.model,
        name: args.name,
        alias: args.alias,
        challenger: args.challenger,
        metric: Some(args.metric),
        labels: Some(args.labels),
        min_improvement: Some(args.min_improvement),
        confidence: Some(args.confidence),
        min_labelled_rows: Some(args.min_labelled_rows),
        segment_margin: args.segment_margin,
        full_coverage: Some(args.full_coverage),
        max_age: args.max_age,
        auto: Some(args.auto),
        demote: Some(args.demote),
        cooldown: args.cooldown,
        removed: Some(false),
        created_by: Some(process::user()),
        note: args.note,
        experiment: args.experiment,
        ..GateRow::default()
    };
    let gate = Gate::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    store.put_gate(&row).await?;
    let judged = gates::judge(&store, gate, chrono::Utc::now()).await?;
    let step = gates::step(&store, &judged).await?;
    Ok(Answer::new(
        json!(GateDetail::new(&judged, &step)),
        text(&judged, &step),
    ))
}
