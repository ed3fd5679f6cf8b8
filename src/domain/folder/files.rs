//! Reads the texts of a folder's files.

mod model_file;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
pub use model_file::{FeatureNames, ModelFile, model};
use serde::{Deserialize, de::DeserializeOwned};

use super::{AliasTarget, DesiredAlias, DesiredRole, MovedBy};
use crate::domain::{
    access::{self, Kind, Reach},
    experiment::{Experiment, ExperimentRow},
    gate::{Gate, GateRow},
    job::manifest::{TableName, VersionWish},
    model::{alias::PREVIOUS, check_name},
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasEntry {
    version: AliasVersion,
    moved_by: String,
    coverage: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write \"folder\", or the number of a version")]
enum AliasVersion {
    Number(i32),
    Word(String),
}

/// Reads `aliases.toml`: `[MODEL.ALIAS]`.
///
/// # Errors
/// All its mistakes.
pub fn aliases(text: &str) -> Result<Vec<DesiredAlias>, Vec<Problem>> {
    entries(text, |model, alias, raw: AliasEntry| {
        let mut problems = Vec::new();
        problems.extend(check_name("a model", model).err());
        problems.extend(check_name("an alias", alias).err());
        let mut wrong = |place: &str, message: String, help: &str| {
            problems.push(Problem::new("folder.alias", message).at(place).help(help));
        };
        if alias == PREVIOUS {
            let help = "move `champion`: `previous` is always the version before it";
            wrong(
                "alias",
                "the alias `previous` can't be set".to_owned(),
                help,
            );
        }
        let target = match raw.version {
            AliasVersion::Number(number) if number > 0 => AliasTarget::Number(number),
            AliasVersion::Word(word) if word == "folder" => AliasTarget::Folder,
            _ => {
                let help = "write \"folder\" for the folder's version, or a version's number";
                wrong("version", "invalid version".to_owned(), help);
                AliasTarget::Folder
            }
        };
        let moved_by = match raw.moved_by.as_str() {
            "git" => MovedBy::Git,
            "people" => MovedBy::People,
            other => {
                let help = "write \"git\" if every apply moves the alias, or \"people\"";
                wrong("moved_by", format!("invalid value `{other}`"), help);
                MovedBy::People
            }
        };
        let coverage = raw.coverage.unwrap_or_else(|| "when_covered".to_owned());
        if !["full", "when_covered", "now"].contains(&coverage.as_str()) {
            let help = "write full, when_covered or now, as for `helenus model promote`";
            wrong("coverage", format!("invalid value `{coverage}`"), help);
        }
        match problems.is_empty() {
            true => Ok(DesiredAlias {
                model: model.to_owned(),
                alias: alias.to_owned(),
                target,
                moved_by,
                coverage,
            }),
            false => Err(problems),
        }
    })
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    kind: String,
    #[serde(default)]
    data_keyspaces: Vec<String>,
    #[serde(default)]
    source_tables: Vec<String>,
    #[serde(default)]
    prediction_tables: Vec<String>,
    #[serde(default)]
    ddl: bool,
}

/// Reads `roles.toml`: `[ROLE]` with the options of `helenus role create`.
///
/// # Errors
/// All its mistakes.
pub fn roles(text: &str) -> Result<Vec<DesiredRole>, Vec<Problem>> {
    let entries: BTreeMap<String, RoleEntry> = read(text).map_err(|problem| vec![problem])?;
    let mut roles = Vec::new();
    let mut problems = Vec::new();
    for (name, raw) in entries {
        let Some(kind) = Kind::parse(&raw.kind) else {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            let problem = Problem::new("folder.role", format!("unknown kind `{}`", raw.kind));
            let problem = problem.help(format!("the kinds are {known}"));
            problems.push(problem.at(format!("{name}.kind")));
            continue;
        };
        let mut tables = |field: &str, given: &[String]| {
            let mut tables = Vec::new();
            for table in given {
                match table.split_once('.') {
                    Some((keyspace, table)) => tables.push(TableName {
                        keyspace: keyspace.to_owned(),
                        table: table.to_owned(),
                    }),
                    None => {
                        let problem =
                            Problem::new("folder.role", format!("invalid table `{table}`"));
                        let problem = problem.at(format!("{name}.{field}"));
                        problems.push(problem.help("write KEYSPACE.TABLE with the exact names"));
                    }
                }
            }
            tables
        };
        let reach = Reach {
            data_keyspaces: raw.data_keyspaces,
            source_tables: tables("source_tables", &raw.source_tables),
            prediction_tables: tables("prediction_tables", &raw.prediction_tables),
            ddl: raw.ddl,
        };
        if let Err(problem) = access::grants(kind, "helenus", &reach) {
            problems.push(problem.at(name.clone()));
        }
        roles.push(DesiredRole { name, kind, reach });
    }
    match problems.is_empty() {
        true => Ok(roles),
        false => Err(problems),
    }
}
