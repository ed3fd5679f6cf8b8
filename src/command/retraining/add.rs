//! `helenus retraining add`.

use super::{Context, as_json};
use crate::{
    domain::{
        model::check_name,
        retraining::{Retraining, RetrainingRow},
    },
    failure::Failure,
    output::Answer,
    process,
};

/// Define when a model is trained again, by whom, on which rows
///
/// When it is due, a worker asks for a training, and a trainer (`helenus trainer`) that serves the
/// name trains on the job's source rows that have a label. The new version becomes the challenger, is
/// scored, and is evaluated on rows that the trainer did not see; --gate judges it. Nothing but a gate
/// that acts (`helenus gate add --auto`) or your approval promotes it. The job must score the
/// challenger: shadow = ["challenger"] in its manifest.
///
/// Examples:
///
///     helenus retraining add tumour weekly --job tumour --trainer lightgbm \
///       --labels clinic.outcomes.diagnosis --cron '0 3 * * 0' --gate better
///     helenus retraining add tumour on_drift --job tumour --trainer lightgbm \
///       --labels clinic.outcomes.diagnosis --label-time known_at --window 180d \
///       --on-alarm drift --labelled-rows 5000
///
/// JSON result: as `helenus retraining show`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    model: String,
    /// The retraining's name, unique within the model
    name: String,
    /// The job whose source and features are used
    #[arg(long)]
    job: String,
    /// Name of a trainer in the settings of `helenus trainer`
    #[arg(long, value_name = "NAME")]
    trainer: String,
    /// Column of the labels: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// Column of the label table with the time at which the outcome was known
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// Only labels known within this time, such as 180d
    #[arg(long, value_name = "DURATION", requires = "label_time")]
    window: Option<String>,
    /// Train at these times: minute, hour, day, month, weekday
    #[arg(long, value_name = "PATTERN")]
    cron: Option<String>,
    /// Time zone of --cron [default: UTC]
    #[arg(long, value_name = "ZONE", requires = "cron")]
    time_zone: Option<String>,
    /// Train when an alarm of this kind is seen in two runs: KIND or KIND/SUBJECT
    #[arg(long, value_name = "ALARM")]
    on_alarm: Option<String>,
    /// Train when evaluations find this many more labelled rows than at the last training
    #[arg(long, value_name = "ROWS")]
    labelled_rows: Option<i64>,
    /// Share of the partitions that the trainer does not see [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    held_out: Option<f64>,
    /// Seed that draws this share [default: 1]
    #[arg(long)]
    seed: Option<i64>,
    /// Minimum number of training rows [default: 100]
    #[arg(long, value_name = "ROWS")]
    min_rows: Option<i64>,
    /// Maximum number of training rows [default: 1000000]
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<i64>,
    /// The alias that the new version gets [default: challenger]
    #[arg(long, value_name = "ALIAS")]
    challenger: Option<String>,
    /// The gate that judges the new version
    #[arg(long)]
    gate: Option<String>,
    /// Evaluate the new version for each value of this source column, too
    #[arg(long, value_name = "COLUMN")]
    segment: Option<String>,
    /// A note, stored with the retraining
    #[arg(long)]
    note: Option<String>,
}

/// Writes the retraining's row.
///
/// # Errors
/// Exit 2: all problems of the retraining.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.model).map_err(Failure::input)?;
    let row = RetrainingRow {
        model: args.model,
        name: args.name,
        job: Some(args.job),
        trainer: Some(args.trainer),
        labels: Some(args.labels),
        label_time: args.label_time,
        cron: args.cron,
        time_zone: args.time_zone,
        on_alarm: args.on_alarm,
        labelled_rows: args.labelled_rows,
        start: None,
        window: args.window,
        held_out: args.held_out,
        seed: args.seed,
        min_rows: args.min_rows,
        max_rows: args.max_rows,
        challenger: args.challenger,
        gate: args.gate,
        segment: args.segment,
        paused: Some(false),
        removed: Some(false),
        created_by: Some(process::user()),
        note: args.note,
    };
    Retraining::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    store.put_retraining(&row).await?;
    let status = store.retraining_status(&row.model, &row.name).await?;
    let text = format!(
        "retraining `{}` of model `{}`: {}",
        row.name,
        row.model,
        super::when(&row)
    );
    Ok(Answer::new(as_json(&row, &status, &[]), text))
}
