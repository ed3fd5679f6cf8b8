//! `helenus experiment start`.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Context, find, view,
    wait::{Wait, answered},
};
use crate::{
    domain::{
        experiment::{Experiment, ExperimentRow, ExperimentState},
        problem::Problem,
        trigger::duration,
    },
    failure::Failure,
    inspect::experiment::state,
    output::Answer,
    process,
    store::Store,
};

/// Start an experiment: serve shares of the rows by different versions, and compare them
///
/// Every version of the job scores every row. What the experiment changes is which version is
/// **served**: the table of current predictions, HTTP and `explain` follow the row's arm, a hash of
/// its unit (the key, or a column such as patient_id). The same unit is always in the same arm.
///
/// The metric is one of `helenus evaluate` (roc_auc, log_loss, rmse …), or `mean`: the mean of the
/// label column, such as a conversion. While the experiment runs, its interval is valid at every
/// look; at the planned end the narrower fixed one decides. If the arms do not have the sizes that
/// they should have (sample ratio mismatch), no verdict is given.
///
/// Arms are frozen at the start: aliases are resolved once. A change is a new revision (--change),
/// which assigns all units anew.
///
/// Examples:
///
///     helenus experiment start tumour sharper --arm control=champion@0.5 --arm sharper=4@0.5 \
///       --metric log_loss --labels clinic.outcomes.diagnosis --label-time known_at --ends 14d
///     helenus experiment start offers discount --arm control=champion --arm bold=challenger \
///       --unit customer_id --traffic 0.2 --metric mean --labels shop.orders.paid \
///       --label-time ordered_at --ends 2027-01-31T00:00:00Z --margin 0.01
///
/// Exit code 2: the experiment is invalid or refused; 4: one of this name is running.
///
/// JSON result: as `helenus experiment show`
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// The experiment's name, unique within the job
    name: String,
    /// An arm with its version or alias, and its share of the units that take part [default share:
    /// the same for all arms]
    #[arg(long, value_name = "NAME=VERSION[@SHARE]", required = true)]
    arm: Vec<String>,
    /// The arm that the others are compared with [default: `control`, or the champion's]
    #[arg(long, value_name = "ARM")]
    control: Option<String>,
    /// Source column whose values are assigned to arms [default: the key]
    #[arg(long, value_name = "COLUMN")]
    unit: Option<String>,
    /// Share of all units that take part; the champion serves the others [default: 1]
    #[arg(long, value_name = "SHARE")]
    traffic: Option<f64>,
    /// The metric, as named by `helenus evaluate`, or mean
    #[arg(long)]
    metric: String,
    /// With --metric mean: whether `higher` or `lower` is better [default: higher]
    #[arg(long, value_name = "DIRECTION")]
    better: Option<String>,
    /// Column of the labels or outcomes: KEYSPACE.TABLE.COLUMN
    #[arg(long, value_name = "COLUMN")]
    labels: String,
    /// Column of the label table with the time at which the outcome was known
    #[arg(long, value_name = "COLUMN")]
    label_time: Option<String>,
    /// The positive class [default: outputs.positive of the manifest]
    #[arg(long, value_name = "CLASS", allow_negative_numbers = true)]
    positive: Option<String>,
    /// A label and its class (can be repeated)
    #[arg(long, value_name = "LABEL=CLASS", allow_hyphen_values = true)]
    label_map: Vec<String>,
    /// Output column whose value from before the start explains a part of the outcome (metric mean)
    #[arg(long, value_name = "COLUMN")]
    covariate: Option<String>,
    /// Differences smaller than this do not matter; lets the end say no_difference
    #[arg(long, value_name = "NUMBER")]
    margin: Option<f64>,
    /// When it starts: a time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    starts: Option<DateTime<Utc>>,
    /// When it ends: a time (RFC 3339), or a duration from the start such as 14d
    #[arg(long, value_name = "TIME", value_parser = end)]
    ends: End,
    /// Probability of a false verdict [default: 0.05]
    #[arg(long, value_name = "NUMBER")]
    alpha: Option<f64>,
    /// Labelled rows expected at the end, where the interval is narrowest [default: 5000]
    #[arg(long, value_name = "ROWS")]
    expected_rows: Option<i64>,
    /// Salt of the assignment [default: the experiment's name]
    #[arg(long)]
    salt: Option<String>,
    /// Replace the running revision by a new one
    #[arg(long)]
    change: bool,
    /// A note, stored with the experiment
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    wait: Wait,
}

/// A planned end as it is written.
#[derive(Debug, Clone, Copy)]
enum End {
    At(DateTime<Utc>),
    After(Duration),
}

fn end(text: &str) -> Result<End, String> {
    let after = duration::parse(text).map(End::After);
    after.or_else(|_| {
        let at = text.parse().map(End::At);
        at.map_err(|_| {
            format!("invalid end `{text}`: write a time (RFC 3339) or a duration such as 14d")
        })
    })
}

/// Writes a revision and waits for its answer.
///
/// # Errors
/// Exit 2: all problems; exit 4: it is running already.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let row = row(&args).map_err(Failure::input)?;
    Experiment::read(&row).map_err(Failure::inputs)?;
    let store = context.store().await?;
    let states = state::states(&store, Some(&row.job), 1).await?;
    let newest = states.iter().find(|state| state.row.name == row.name);
    let is_open = newest.is_some_and(|state| {
        let status = state.status.as_ref();
        status.is_none_or(|status| {
            !status.state.is_over() && status.state != ExperimentState::Refused
        })
    });
    if is_open && !args.change {
        let message = format!("experiment `{}` of job `{}` is not over", row.name, row.job);
        let help = "--change replaces it by a new revision, which assigns all units anew";
        return Err(Failure::conflict(
            Problem::new("experiment.running", message).help(help),
        ));
    }
    let row = ExperimentRow {
        revision: newest.map_or(1, |state| state.row.revision + 1),
        ..row
    };
    start_revision(&store, context, &row, args.wait).await
}

/// Writes this revision and waits for its answer.
///
/// # Errors
/// Exit 2: refused; exit 4: another process wrote this revision meanwhile.
pub async fn start_revision(
    store: &Store,
    context: &Context,
    row: &ExperimentRow,
    wait: Wait,
) -> Result<Answer, Failure> {
    if !store.insert_experiment(row).await? && !is_stored(store, row).await? {
        let message = format!(
            "revision {} of `{}` was written meanwhile",
            row.revision, row.name
        );
        return Err(Failure::conflict(
            Problem::new("experiment.conflict", message).help("look at it, then ask again"),
        ));
    }
    let revision = (row.job.as_str(), row.name.as_str(), row.revision);
    let status = answered(store, context, revision, |_| true, wait).await?;
    if status.state == ExperimentState::Refused {
        let reason = status.reason.unwrap_or_default();
        return Err(Failure::input(Problem::new("experiment.refused", reason)));
    }
    let state = find(store, &row.job, &row.name, 1).await?;
    Ok(Answer::new(view::as_json(&state), view::text(&state)))
}

/// Returns whether this revision was written before, or by another process that means the same.
async fn is_stored(store: &Store, row: &ExperimentRow) -> Result<bool, Failure> {
    let stored = store.experiments_of(&row.job).await?;
    let same = |other: &ExperimentRow| {
        (&other.name, other.revision) == (&row.name, row.revision) && other.hash() == row.hash()
    };
    Ok(stored.iter().any(same))
}

fn row(args: &Args) -> Result<ExperimentRow, Problem> {
    let mut arms = BTreeMap::new();
    let mut shares = BTreeMap::new();
    for text in &args.arm {
        let wrong = || {
            Problem::new("experiment.arm", format!("invalid arm `{text}`"))
                .at("--arm")
                .help("write NAME=VERSION or NAME=VERSION@SHARE, such as control=champion@0.5")
        };
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (version, share) = match rest.split_once('@') {
            Some((version, share)) => (version, share.parse().map_err(|_| wrong())?),
            None => (rest, 1.0 / args.arm.len() as f64),
        };
        if arms.insert(name.to_owned(), version.to_owned()).is_some() {
            let problem = Problem::new("experiment.arm", format!("arm `{name}` is given twice"));
            return Err(problem.at("--arm").help("name each arm once"));
        }
        shares.insert(name.to_owned(), share);
    }
    let start = args.starts.unwrap_or_else(Utc::now);
    let ends_at = match args.ends {
        End::At(at) => at,
        End::After(after) => TimeDelta::from_std(after)
            .ok()
            .and_then(|after| start.checked_add_signed(after))
            .ok_or_else(|| Problem::new("experiment.end", "the end is too far").at("--ends"))?,
    };
    let mut options = BTreeMap::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            options.insert(name.to_owned(), value);
        }
    };
    put("label_time", args.label_time.clone());
    put("positive", args.positive.clone());
    put("label_map", Some(args.label_map.join(",")));
    Ok(ExperimentRow {
        job: args.job.clone(),
        name: args.name.clone(),
        revision: 1,
        unit: args.unit.clone(),
        salt: args.salt.clone(),
        arms,
        shares,
        traffic: args.traffic,
        control: args.control.clone(),
        metric: Some(args.metric.clone()),
        better: args.better.clone(),
        labels: Some(args.labels.clone()),
        options,
        covariate: args.covariate.clone(),
        margin: args.margin,
        starts_at: args.starts,
        // Cassandra keeps milliseconds.
        ends_at: DateTime::from_timestamp_millis(ends_at.timestamp_millis()),
        alpha: args.alpha,
        expected_rows: args.expected_rows,
        stopped: None,
        created_by: Some(process::user()),
        note: args.note.clone(),
    })
}
