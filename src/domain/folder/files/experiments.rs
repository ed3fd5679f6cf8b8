//! `experiments.toml`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::entries;
use crate::domain::{
    experiment::{Experiment, ExperimentRow},
    job::manifest::VersionWish,
    problem::Problem,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExperimentEntry {
    arms: BTreeMap<String, VersionWish>,
    shares: Option<BTreeMap<String, f64>>,
    control: Option<String>,
    unit: Option<String>,
    salt: Option<String>,
    traffic: Option<f64>,
    metric: String,
    better: Option<String>,
    labels: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
    covariate: Option<String>,
    margin: Option<f64>,
    starts: Option<String>,
    ends: String,
    alpha: Option<f64>,
    expected_rows: Option<i64>,
    note: Option<String>,
}

/// Reads a time to milliseconds, as Cassandra keeps it.
fn time(place: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    let parsed = text.parse::<DateTime<Utc>>().ok();
    parsed
        .and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis()))
        .ok_or_else(|| {
            Problem::new("folder.time", format!("invalid time `{text}`"))
                .at(place)
                .help("write a time such as 2027-01-31T00:00:00Z: each apply must mean the same")
        })
}

/// Reads `experiments.toml`: `[JOB.EXPERIMENT]` with the options of `helenus experiment start`.
///
/// # Errors
/// All its mistakes.
pub fn experiments(text: &str) -> Result<Vec<ExperimentRow>, Vec<Problem>> {
    entries(text, |job, name, raw: ExperimentEntry| {
        let mut problems = Vec::new();
        let ends_at = time("ends", &raw.ends).map_err(|one| problems.push(one));
        let starts_at = raw.starts.as_deref().map(|text| time("starts", text));
        let starts_at = starts_at.transpose().map_err(|one| problems.push(one));
        let share = 1.0 / raw.arms.len().max(1) as f64;
        let equal = || raw.arms.keys().map(|arm| (arm.clone(), share)).collect();
        let row = ExperimentRow {
            job: job.to_owned(),
            name: name.to_owned(),
            revision: 1,
            unit: raw.unit,
            salt: raw.salt,
            shares: raw.shares.unwrap_or_else(equal),
            arms: (raw.arms.iter())
                .map(|(arm, version)| (arm.clone(), version.to_string()))
                .collect(),
            traffic: raw.traffic,
            control: raw.control,
            metric: Some(raw.metric),
            better: raw.better,
            labels: Some(raw.labels),
            options: raw.options,
            covariate: raw.covariate,
            margin: raw.margin,
            starts_at: starts_at.ok().flatten(),
            ends_at: ends_at.ok(),
            alpha: raw.alpha,
            expected_rows: raw.expected_rows,
            stopped: None,
            created_by: None,
            note: raw.note,
        };
        if problems.is_empty() {
            problems.extend(Experiment::read(&row).err().into_iter().flatten());
        }
        match problems.is_empty() {
            true => Ok(row),
            false => Err(problems),
        }
    })
}
