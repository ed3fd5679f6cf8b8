//! Writes what a model is trained on: the source's rows that have a label, as Apache Parquet.
//!
//! Rows that are held out go to a file of their own, **without their labels**: the trainer can show
//! predictions of them (golden rows), but not learn from them. Source and labels are walked
//! together, so that memory does not grow with the tables.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    evaluate::{check_time, no_feature, words},
    export::ParquetFile,
    pass::{LabelSpec, PassSpec, Scope, Side},
};
use crate::{
    codec::{cql_type::CqlType, ring::TokenRange, schema::Column},
    domain::{
        evidence::group,
        job::{CompiledVersion, NullRule},
        model::alias::CHAMPION,
        problem::Problem,
        retraining::TrainingSpec,
    },
    engine::{
        jobs::{self, PreparedJob},
        run::position::{Position, row_identity},
    },
    failure::Failure,
    store::{Store, predictions::side_select::side_range},
};

const DAY_MS: i64 = 86_400_000;
/// Name of the column with the label, in the file of training rows.
const LABEL: &str = "label";

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrainingData {
    /// Rows in `train.parquet`.
    pub rows: u64,
    /// Rows in `held_out.parquet`.
    pub held_out_rows: u64,
    /// Sha256 over both files.
    pub sha256: Vec<u8>,
    /// Begin and end of the labels' times, if the time of labels is known.
    pub window: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

/// Writes `train.parquet`, `held_out.parquet` and `training.json` into `directory`. `now` ends the
/// window of labels.
///
/// # Errors
/// Exit 2: an unknown job, table or column; the label is a feature; too few or too many rows. Errors
/// of Cassandra and of the directory (exit 3).
pub async fn write(
    store: &Store,
    spec: &TrainingSpec,
    now: DateTime<Utc>,
    directory: &Path,
) -> Result<TrainingData, Failure> {
    let (table, column) = words::place(&spec.labels).map_err(Failure::input)?;
    let pass = PassSpec {
        job: spec.job.clone(),
        labels: Some(LabelSpec {
            table,
            column,
            time: spec.label_time.clone(),
        }),
        ..PassSpec::default()
    };
    let scope = Box::pin(Scope::resolve(store, &pass)).await?;
    check(&scope).map_err(Failure::input)?;
    let prepared = Box::pin(jobs::read_ready(store, &spec.job)).await?;
    let files = ["train.parquet", "held_out.parquet"].map(|name| directory.join(name));
    let mut data = split(store, spec, &scope, now, &files).await?;
    data.sha256 = sha256(&files).map_err(|error| unwritten(&error))?;
    let about = describe(spec, &prepared, &data);
    std::fs::write(directory.join("training.json"), about.to_string())
        .map_err(|error| unwritten(&error))?;
    Ok(data)
}

fn check(scope: &Scope) -> Result<(), Problem> {
    no_feature(scope)?;
    if scope.job.source_version.is_some() {
        let message = "the source of the job is a prediction table";
        return Err(Problem::new("training.source", message)
            .at("job")
            .help("name a job whose source is your own table"));
    }
    check_time(scope)
}

/// The rows of both files.
async fn split(
    store: &Store,
    spec: &TrainingSpec,
    scope: &Scope,
    now: DateTime<Utc>,
    files: &[PathBuf; 2],
) -> Result<TrainingData, Failure> {
    let Some(labels) = &scope.labels else {
        let problem = Problem::new("labels.missing", "no labels are named");
        return Err(Failure::input(problem));
    };
    let job = &scope.job;
    let (key_len, partition_key_len) = (job.key.len(), job.partition_key_len);
    let source: Vec<Column> = job.key.iter().chain(&job.columns).cloned().collect();
    let mut trained = source.clone();
    trained.push(named(&labels.column, LABEL));
    trained.extend(labels.time.iter().map(|time| named(time, "label_time")));
    let begin = |at: usize| {
        let file = File::create(&files[at]).map_err(|error| unwritten(&error))?;
        Ok::<_, Failure>(BufWriter::new(file))
    };
    let mut train = ParquetFile::begin(&trained, &[], begin(0)?)?;
    let mut held = ParquetFile::begin(&source, &[], begin(1)?)?;
    let held_out = spec.held_out();
    let from = spec.window_seconds.and_then(|seconds| {
        let window = TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?;
        now.checked_sub_signed(window)
    });
    let mut data = TrainingData::default();
    let mut side = Side::labels(store, labels, TokenRange::WHOLE);
    let mut pages = store.scan(side_range(&job.source, &job.columns), TokenRange::WHOLE);
    let (mut position, mut next) = (None, Position::default());
    let mut scratch = Vec::new();
    while let Some(page) = pages.recv().await.transpose()? {
        for row in 0..page.rows() {
            // A partition that has only static columns is not a row.
            if page.row(row).take(key_len).any(|cell| cell.is_none()) {
                continue;
            }
            next.set(page.row(row).take(partition_key_len))?;
            if position.as_ref() != Some(&next) {
                side.seek(&next).await?;
                position = Some(next.clone());
            }
            let clustering = page.row(row).take(key_len).skip(partition_key_len);
            let clustering_key = &job.key[partition_key_len..];
            let identity = row_identity(clustering_key, clustering, &mut scratch);
            let Some(label) = label_of(&mut side, identity) else {
                continue;
            };
            let time = labels.time.as_ref().map(|column| known_at(column, &label));
            if let Some(time) = time {
                // Without a time, or from the future, it is not of this window.
                let Some(time) =
                    time.filter(|at| *at <= now && from.is_none_or(|from| *at >= from))
                else {
                    continue;
                };
                data.window = Some(match data.window {
                    None => (time, time),
                    Some((first, last)) => (first.min(time), last.max(time)),
                });
            }
            if held_out.contains(group::hash_of(&next.partition_key)) {
                data.held_out_rows += 1;
                held.row(|at| page.cell(row, at))?;
                continue;
            }
            data.rows += 1;
            if data.rows > spec.max_rows {
                return Err(too_many(spec));
            }
            train.row(|at| match at.checked_sub(source.len()) {
                None => page.cell(row, at),
                Some(at) => label.get(at).and_then(|cell| cell.as_deref()),
            })?;
        }
    }
    train.finish()?;
    held.finish()?;
    if data.rows < spec.min_rows {
        return Err(too_few(spec, &data));
    }
    Ok(data)
}

/// Returns the label's cells: value, and time if it is read. `None`: no row, or a null label.
fn label_of(side: &mut Side, identity: u128) -> Option<Vec<Option<Vec<u8>>>> {
    let cells: Vec<_> = side
        .get(identity)?
        .map(|cell| cell.map(<[u8]>::to_vec))
        .collect();
    cells.first()?.is_some().then_some(cells)
}

fn known_at(column: &Column, label: &[Option<Vec<u8>>]) -> Option<DateTime<Utc>> {
    let bytes = label.get(1)?.as_deref()?;
    let milliseconds = match column.cql_type.thawed() {
        CqlType::Date => {
            let days = u32::from_be_bytes(bytes.try_into().ok()?);
            (i64::from(days) - (1 << 31)) * DAY_MS
        }
        _ => i64::from_be_bytes(bytes.try_into().ok()?),
    };
    DateTime::from_timestamp_millis(milliseconds)
}

fn named(column: &Column, name: &str) -> Column {
    Column {
        name: name.to_owned(),
        cql_type: column.cql_type.clone(),
    }
}

fn too_many(spec: &TrainingSpec) -> Failure {
    let message = format!("there are more than {} training rows", spec.max_rows);
    Failure::input(
        Problem::new("training.too_many_rows", message)
            .at("max_rows")
            .help("set a shorter window, a larger held_out, or raise max_rows"),
    )
}

fn too_few(spec: &TrainingSpec, data: &TrainingData) -> Failure {
    let message = format!(
        "there are {} training rows and {} held out; at least {} are needed to train",
        data.rows, data.held_out_rows, spec.min_rows
    );
    let help =
        "check that the label table has the source's keys; set a longer window, or lower min_rows";
    Failure::input(
        Problem::new("training.too_few_rows", message)
            .at("labels")
            .help(help),
    )
}

fn sha256(files: &[PathBuf]) -> std::io::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    for file in files {
        std::io::copy(&mut File::open(file)?, &mut HashWriter(&mut hash))?;
    }
    Ok(hash.finalize().to_vec())
}

struct HashWriter<'h>(&'h mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Describes the rows for the trainer's script. Features are those of the champion, in its order.
fn describe(spec: &TrainingSpec, prepared: &PreparedJob, data: &TrainingData) -> Value {
    let job = &prepared.job;
    let champion = prepared.aliases.get(CHAMPION);
    let of = |version: &&CompiledVersion| Some(&version.ready.version) == champion;
    let version = job.versions.iter().find(of).or(job.versions.last());
    let places = version.iter().flat_map(|version| &version.inputs);
    let features = places.flat_map(|input| &input.places).map(|place| {
        let column = &job.columns[place.column];
        json!({
            "name": place.feature,
            "column": column.name,
            "type": column.cql_type.to_string(),
            "width": place.width,
            "null": place.rule().map_or(Value::Null, |rule| null_rule(&rule.null)),
        })
    });
    json!({
        "job": spec.job,
        "model": prepared.manifest.model,
        "features": features.collect::<Value>(),
        "key": job.key.iter().map(|column| &column.name).collect::<Vec<_>>(),
        "label": LABEL,
        "labels": spec.labels,
        "positive": job.positive,
        "seed": spec.seed,
        "rows": data.rows,
        "held_out_rows": data.held_out_rows,
        "window": data.window.map(|(from, to)| [from, to]),
    })
}

/// What the job gives the model for a null; `null`: it rejects the row.
fn null_rule(rule: &NullRule) -> Value {
    match rule {
        NullRule::Reject => Value::Null,
        NullRule::Nan => json!("nan"),
        NullRule::Number(number) => json!(number),
        NullRule::Integer(number) => json!(number),
        NullRule::Bool(truth) => json!(truth),
        NullRule::Text(text) => json!(text),
    }
}

fn unwritten(error: &std::io::Error) -> Failure {
    Failure::system(Problem::new(
        "training.write",
        format!("the training rows cannot be written: {error}"),
    ))
}
