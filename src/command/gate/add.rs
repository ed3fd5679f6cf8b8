//! `helenus gate add`.

use super::{Context, as_json, text};
use crate::{
    domain::{
        gate::{Gate, GateRow},
        model::check_name,
    },
    failure::Failure,
    output::Answer,
    process,
    worker::gates,
};

/// Say what a version must show before it may get an alias
///
/// The gate is judged against the newest evaluation of the challenger against the version that the
/// alias points at. Its interval holds at every look (confidence sequence), so evaluating every day
/// fools nobody. Evidence that is stale, partial, unlabelled or leakage_unchecked never passes. A
/// gate that passes moves nothing: it waits for `helenus gate approve`, unless it was told to act:
///
///   --auto     a worker promotes the challenger once it passes, not before the --cooldown since the
///              alias was last changed, and never to a version that the alias was moved away from
///   --demote   a worker rolls the alias back once two evaluations in a row, made after it was moved,
///              show the version surely worse than the one before
///
/// Examples:
///
///     helenus gate add tumour better --metric roc_auc --least-improvement 0.002 --least-labelled 5000 \
///       --labels clinic.outcomes.diagnosis
///     helenus gate add tumour better --metric log_loss --least-labelled 5000 \
///       --labels clinic.outcomes.diagnosis --segment-margin 0.01 --full-coverage
///     helenus gate add tumour better --metric log_loss --least-labelled 5000 \
///       --labels clinic.outcomes.diagnosis --auto --cooldown 1d --demote
///
/// JSON result: as of `helenus gate show`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// A name of its own among the model's gates
    name: String,
    /// What must be better: a metric of `helenus evaluate`
    #[arg(long)]
    metric: String,
    /// Where labels must have been: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// By more than this, in units of the metric
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    least_improvement: f64,
    /// On at least so many labelled rows
    #[arg(long, value_name = "ROWS")]
    least_labelled: i64,
    /// That all intervals of all looks hold what is true
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// In no segment worse by more than this; evaluations must tell segments apart
    #[arg(long, value_name = "NUMBER")]
    segment_margin: Option<f64>,
    /// Not one prediction of a labelled row may be missing or stale
    #[arg(long)]
    full_coverage: bool,
    /// The alias that may move [default: champion]
    #[arg(long)]
    alias: Option<String>,
    /// The alias of whoever wants it [default: challenger]
    #[arg(long)]
    challenger: Option<String>,
    /// Older evaluations do not count [default: 7d]
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Promote without an approval
    #[arg(long, requires = "cooldown")]
    auto: bool,
    /// With --auto: the alias stays where it is for so long before this gate promotes
    #[arg(long, value_name = "DURATION", requires = "auto")]
    cooldown: Option<String>,
    /// With --auto: roll back what two evaluations in a row show worse
    #[arg(long, requires = "auto")]
    demote: bool,
    /// Kept with it
    #[arg(long)]
    note: Option<String>,
}

/// Writes the row, judges.
///
/// # Errors
/// Exit 2: all that is wrong with it.
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
        least_improvement: Some(args.least_improvement),
        confidence: Some(args.confidence),
        least_labelled: Some(args.least_labelled),
        segment_margin: args.segment_margin,
        full_coverage: Some(args.full_coverage),
        max_age: args.max_age,
        auto: Some(args.auto),
        demote: Some(args.demote),
        cooldown: args.cooldown,
        removed: Some(false),
        created_by: Some(process::user()),
        note: args.note,
    };
    let gate = Gate::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    store.put_gate(&row).await?;
    let judged = gates::judge(&store, gate, chrono::Utc::now()).await?;
    let step = gates::step(&store, &judged).await?;
    Ok(Answer::new(as_json(&judged, &step), text(&judged, &step)))
}
