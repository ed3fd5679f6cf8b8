//! Validates rows of `experiments`.

use super::{ArmSpec, Experiment, ExperimentRow, MEAN};
use crate::domain::{
    evidence::{
        evaluation::report::Better,
        experiment::allocation::{BUCKETS, ranges},
    },
    job::manifest::VersionWish,
    model::{alias::CHAMPION, check_name},
    problem::Problem,
};

/// Most arms of one experiment.
const MOST_ARMS: usize = 10;
/// Tolerance of a sum of shares.
const ROUNDING: f64 = 1e-6;
const ALPHA: f64 = 0.05;
const EXPECTED_ROWS: u64 = 5_000;
/// Options of an evaluation that an experiment has, too.
const OPTIONS: [&str; 8] = [
    "positive",
    "column",
    "threshold",
    "label_time",
    "gap",
    "label_map",
    "missing_label",
    "mature_after",
];

/// All problems of a row.
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: &str, message: impl Into<String>, help: &str) {
        let problem = Problem::new("experiment.invalid", message).at(place);
        self.0.push(problem.help(help));
    }
}

pub(super) fn read(row: &ExperimentRow) -> Result<Experiment, Vec<Problem>> {
    let mut problems = Problems(Vec::new());
    if check_name("an experiment", &row.name).is_err() {
        let help = "use a lower-case letter, then lower-case letters, digits and `_`; 48 at most";
        problems.add("name", format!("invalid name `{}`", row.name), help);
    }
    if row.revision < 1 {
        problems.add(
            "revision",
            format!("invalid revision {}", row.revision),
            "start at 1",
        );
    }
    let arms = arms(row, &mut problems);
    let control = control(row, &arms, &mut problems);
    let traffic = row.traffic.unwrap_or(1.0);
    let buckets = (traffic * f64::from(BUCKETS)).round();
    if !(traffic <= 1.0 && buckets >= 1.0) {
        let message = format!("invalid traffic {traffic}");
        problems.add(
            "traffic",
            message,
            "write the share of units that take part: more than 0, at most 1",
        );
    }
    let (metric, better) = metric(row, &mut problems);
    let labels = row.labels.clone().unwrap_or_default();
    if labels.split('.').filter(|part| !part.is_empty()).count() != 3 {
        let help = "write KEYSPACE.TABLE.COLUMN of a table with the source's key";
        problems.add("labels", format!("`{labels}` is not a column"), help);
    }
    for option in row.options.keys() {
        if !OPTIONS.contains(&option.as_str()) {
            let help = format!("the options are {}", OPTIONS.join(", "));
            problems.add("options", format!("unknown option `{option}`"), &help);
        }
    }
    if row.covariate.is_some() && metric != MEAN {
        let message = format!("a covariate does not apply to metric `{metric}`");
        problems.add("covariate", message, "use it with metric mean");
    }
    if row.covariate.is_some() && row.unit.is_some() {
        let help = "rows of one unit are not independent; leave one of both out";
        problems.add(
            "covariate",
            "a covariate does not apply to units of several rows",
            help,
        );
    }
    if row
        .margin
        .is_some_and(|margin| !(margin.is_finite() && margin > 0.0))
    {
        let help = "write more than 0, in units of the metric: smaller differences do not matter";
        problems.add("margin", "invalid margin", help);
    }
    let alpha = row.alpha.unwrap_or(ALPHA);
    if !(alpha > 0.0 && alpha <= 0.5) {
        problems.add(
            "alpha",
            format!("invalid alpha {alpha}"),
            "write more than 0, at most 0.5",
        );
    }
    let expected = row.expected_rows.unwrap_or(EXPECTED_ROWS as i64);
    if expected < 1 {
        let help = "write the number of labelled rows that you expect at the end";
        problems.add("expected_rows", format!("invalid number {expected}"), help);
    }
    let end = row.ends_at;
    match (row.starts_at, end) {
        (_, None) => {
            let help = "plan the end before the start: the fixed interval is valid only there";
            problems.add("ends_at", "no planned end", help);
        }
        (Some(start), Some(end)) if end <= start => {
            problems.add(
                "ends_at",
                "the end is not after the start",
                "plan a later end",
            );
        }
        _ => {}
    }
    match (end, better, control) {
        (Some(ends_at), Some(better), Some(control)) if problems.0.is_empty() => Ok(Experiment {
            job: row.job.clone(),
            name: row.name.clone(),
            revision: row.revision,
            unit: row.unit.clone().filter(|unit| unit != "key"),
            salt: row.salt.clone().unwrap_or_else(|| row.name.clone()),
            arms,
            traffic: buckets as u32,
            control,
            metric,
            better,
            labels,
            options: row.options.clone(),
            covariate: row.covariate.clone(),
            margin: row.margin,
            starts_at: row.starts_at,
            ends_at,
            alpha,
            expected_rows: expected as u64,
            stopped: row.stopped == Some(true),
        }),
        _ => Err(problems.0),
    }
}

fn arms(row: &ExperimentRow, problems: &mut Problems) -> Vec<ArmSpec> {
    let mut arms = Vec::new();
    for (name, version) in &row.arms {
        if check_name("an arm", name).is_err() {
            let help = "use a lower-case letter, then lower-case letters, digits and `_`";
            problems.add("arms", format!("invalid arm `{name}`"), help);
        }
        let share = row.shares.get(name).copied();
        let share = share.unwrap_or_else(|| {
            problems.add(
                "shares",
                format!("arm `{name}` has no share"),
                "give each arm its share",
            );
            0.0
        });
        arms.push(ArmSpec {
            name: name.clone(),
            version: match version.parse() {
                Ok(number) => VersionWish::Number(number),
                Err(_) => VersionWish::Alias(version.clone()),
            },
            share,
        });
    }
    if let Some(stranger) = row.shares.keys().find(|name| !row.arms.contains_key(*name)) {
        let help = "name the version that it is served by in `arms`";
        problems.add("shares", format!("there is no arm `{stranger}`"), help);
    }
    if !(2..=MOST_ARMS).contains(&arms.len()) {
        let message = format!("{} arms", arms.len());
        problems.add(
            "arms",
            message,
            "name 2 to 10 arms, each with its version or alias",
        );
        return arms;
    }
    let shares: Vec<f64> = arms.iter().map(|arm| arm.share).collect();
    let sum: f64 = shares.iter().sum();
    if !shares.iter().all(|share| share.is_finite() && *share > 0.0) {
        problems.add(
            "shares",
            "a share is not more than 0",
            "give each arm more than 0",
        );
    } else if (sum - 1.0).abs() > ROUNDING {
        let help = "traffic is the share of all units that take part; shares divide those";
        problems.add(
            "shares",
            format!("the shares sum to {sum}; they must sum to 1"),
            help,
        );
    } else if ranges(&shares).iter().any(|(from, to)| from == to) {
        problems.add(
            "shares",
            "a share is too small",
            "give each arm at least 0.0001",
        );
    }
    arms
}

/// Returns the index of the control: the one that is named, else `control`, else the champion's.
fn control(row: &ExperimentRow, arms: &[ArmSpec], problems: &mut Problems) -> Option<usize> {
    let named = |name: &str| arms.iter().position(|arm| arm.name == name);
    let found = match &row.control {
        Some(name) => named(name),
        None => named("control").or_else(|| {
            let champion = VersionWish::Alias(CHAMPION.to_owned());
            arms.iter().position(|arm| arm.version == champion)
        }),
    };
    if found.is_none() {
        let message = match &row.control {
            Some(name) => format!("there is no arm `{name}`"),
            None => "no arm is the control".to_owned(),
        };
        problems.add(
            "control",
            message,
            "name the arm that the others are compared with",
        );
    }
    found
}

fn metric(row: &ExperimentRow, problems: &mut Problems) -> (String, Option<Better>) {
    let metric = row.metric.clone().unwrap_or_default();
    let own = match metric.as_str() {
        "" => None,
        MEAN => Some(Better::Higher),
        other => Better::for_metric(other),
    };
    let named = match row.better.as_deref() {
        None => own,
        Some("higher") => Some(Better::Higher),
        Some("lower") => Some(Better::Lower),
        Some(other) => {
            problems.add(
                "better",
                format!("unknown direction `{other}`"),
                "write higher or lower",
            );
            own
        }
    };
    if own.is_none() {
        let message = match metric.as_str() {
            "" => "no metric is named".to_owned(),
            _ => format!("neither higher nor lower values of `{metric}` are better"),
        };
        let help = "name a metric of docs/evaluate.md, or mean: the mean of the label column";
        problems.add("metric", message, help);
    } else if metric != MEAN && named != own {
        let message = format!("`{metric}` has a direction of its own");
        problems.add("better", message, "leave it out; it is for metric mean");
    }
    (metric, named)
}
