//! Reads the texts of a folder's files.

mod aliases;
mod experiments;
mod model_file;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, de::DeserializeOwned};

pub use aliases::aliases;
pub use experiments::experiments;
pub use model_file::{FeatureNames, ModelFile, model};
pub use roles::roles;

use crate::domain::{
    gate::{Gate, GateRow},
    model::check_name,
    problem::Problem,
    trigger::{Trigger, TriggerRow},
};

/// Entries of a file by the names of their two tables: `[tumour.nightly]`.
type Entries<T> = BTreeMap<String, BTreeMap<String, T>>;

/// Reads a TOML text; the problem has its line and column.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| {
        let problem = Problem::new("folder.file", error.message().replace('\n', " "));
        match error.span() {
            Some(span) => {
                let before = &text[..span.start.min(text.len())];
                let line = before.matches('\n').count() + 1;
                let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
                problem.at(format!("line {line}, column {column}"))
            }
            None => problem,
        }
    })
}

/// Returns a problem within a file's entry.
fn within(entry: &str, problem: Problem) -> Problem {
    let place = match &problem.place {
        Some(place) => format!("{entry}.{place}"),
        None => entry.to_owned(),
    };
    problem.at(place)
}

/// Collects the rows of a file with two levels of names.
fn entries<T, R>(
    text: &str,
    mut row: impl FnMut(&str, &str, T) -> Result<R, Vec<Problem>>,
) -> Result<Vec<R>, Vec<Problem>>
where
    T: DeserializeOwned,
{
    let entries: Entries<T> = read(text).map_err(|problem| vec![problem])?;
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for (of, inner) in entries {
        for (name, raw) in inner {
            match row(&of, &name, raw) {
                Ok(row) => rows.push(row),
                Err(more) => {
                    let entry = format!("{of}.{name}");
                    problems.extend(more.into_iter().map(|one| within(&entry, one)));
                }
            }
        }
    }
    match problems.is_empty() {
        true => Ok(rows),
        false => Err(problems),
    }
}

/// `after_job`: as stored, or as a list.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write the name of a job, or a list of names")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TriggerEntry {
    cron: Option<String>,
    time_zone: Option<String>,
    every: Option<String>,
    pending_rows: Option<i64>,
    oldest_wait: Option<String>,
    use_hints: Option<bool>,
    after_job: Option<OneOrMore>,
    on_promotion: Option<String>,
    on_alarm: Option<String>,
    overlap: Option<String>,
    missed: Option<String>,
    missed_limit: Option<i32>,
    jitter: Option<String>,
    deadline: Option<String>,
    scope: Option<String>,
    versions: Option<BTreeSet<i32>>,
    priority: Option<i32>,
    max_rows_per_s: Option<i32>,
    note: Option<String>,
}

/// Reads `triggers.toml`: `[JOB.TRIGGER]` with the options of `helenus trigger add`.
///
/// # Errors
/// All its mistakes.
pub fn triggers(text: &str) -> Result<Vec<TriggerRow>, Vec<Problem>> {
    entries(text, |job, name, raw: TriggerEntry| {
        let row = TriggerRow {
            job: job.to_owned(),
            name: name.to_owned(),
            cron: raw.cron,
            time_zone: raw.time_zone,
            every: raw.every,
            pending_rows: raw.pending_rows,
            oldest_wait: raw.oldest_wait,
            use_hints: raw.use_hints.filter(|used| *used),
            after_job: raw.after_job.map(|after| match after {
                OneOrMore::One(job) => job,
                OneOrMore::More(jobs) => jobs.join(","),
            }),
            on_promotion: raw.on_promotion,
            on_alarm: raw.on_alarm,
            overlap: raw.overlap,
            missed: raw.missed,
            missed_limit: raw.missed_limit,
            jitter: raw.jitter,
            deadline: raw.deadline,
            scope: raw.scope,
            versions: raw.versions.filter(|versions| !versions.is_empty()),
            priority: raw.priority,
            max_rows_per_s: raw.max_rows_per_s,
            paused: None,
            removed: None,
            created_by: None,
            note: raw.note,
        };
        Trigger::read(&row).map(|_| row)
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GateEntry {
    metric: String,
    labels: String,
    min_improvement: Option<f64>,
    min_labelled_rows: i64,
    confidence: Option<f64>,
    segment_margin: Option<f64>,
    full_coverage: Option<bool>,
    experiment: Option<String>,
    alias: Option<String>,
    challenger: Option<String>,
    max_age: Option<String>,
    auto: Option<bool>,
    cooldown: Option<String>,
    demote: Option<bool>,
    note: Option<String>,
}

/// Reads `gates.toml`: `[MODEL.GATE]` with the options of `helenus gate add`.
///
/// # Errors
/// All its mistakes.
pub fn gates(text: &str) -> Result<Vec<GateRow>, Vec<Problem>> {
    entries(text, |model, name, raw: GateEntry| {
        let row = GateRow {
            model: model.to_owned(),
            name: name.to_owned(),
            alias: raw.alias,
            challenger: raw.challenger,
            metric: Some(raw.metric),
            labels: Some(raw.labels),
            min_improvement: Some(raw.min_improvement.unwrap_or(0.0)),
            confidence: Some(raw.confidence.unwrap_or(0.95)),
            min_labelled_rows: Some(raw.min_labelled_rows),
            segment_margin: raw.segment_margin,
            full_coverage: Some(raw.full_coverage.unwrap_or(false)),
            max_age: raw.max_age,
            auto: Some(raw.auto.unwrap_or(false)),
            demote: Some(raw.demote.unwrap_or(false)),
            cooldown: raw.cooldown,
            removed: Some(false),
            note: raw.note,
            experiment: raw.experiment,
            ..GateRow::default()
        };
        let mut problems = Vec::new();
        problems.extend(check_name("a model", model).err());
        problems.extend(check_name("a gate", name).err());
        problems.extend(Gate::read(&row).err().into_iter().flatten());
        match problems.is_empty() {
            true => Ok(row),
            false => Err(problems),
        }
    })
}
