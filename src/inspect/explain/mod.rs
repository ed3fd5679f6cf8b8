//! Explains one entity: from its cells to its predictions, and from those to what made them.

mod at;
mod fed;
mod key;
mod prepared;
mod standing;
mod version;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    codec::cell_json,
    domain::{
        job::{CompiledJob, served::Arms},
        model::{alias::CHAMPION, proof::Lineage, verdict::Verdict},
        problem::Problem,
        run::Run,
    },
    engine::{
        jobs,
        run::source::{AskedKey, asked_keys},
    },
    failure::Failure,
    store::{Store, driver::raw::cells_of, predictions::selects},
};
pub use at::{Then, ThenVersion, explain_at};
pub use fed::Fed;
pub use key::KeyWords;
use standing::{Standing, aliases, first_row, stored};
use version::VersionView;

/// An entity and everything known about its predictions.
#[derive(Debug)]
pub struct Explained {
    /// The job as it is now.
    pub job: CompiledJob,
    /// The job's revision.
    pub revision: i32,
    /// Key columns: name and value, in key order.
    pub key: Vec<(String, Value)>,
    /// The columns that the job reads; `None` if the source does not have the row (any more).
    pub source: Option<Vec<SourceValue>>,
    /// What serves the entity: the champion, or its arm's version while an experiment runs.
    pub served: ServedBy,
    /// By version: the job's versions, and others that have a stored prediction.
    pub versions: BTreeMap<i32, ExplainedVersion>,
}

/// What serves an entity now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServedBy {
    /// `None`: the job does not score the champion, or the source has no such row.
    pub version: Option<i32>,
    /// The arm of the running experiment, as `lineage.arm` names it.
    pub arm: Option<String>,
}

/// A source column of the entity.
#[derive(Debug, Clone)]
pub struct SourceValue {
    /// The column's name.
    pub column: String,
    pub cql_type: String,
    /// Of a long blob, its size and first bytes.
    pub value: Value,
}

/// One version's view of the entity.
#[derive(Debug)]
pub struct ExplainedVersion {
    /// The model's name.
    pub model: String,
    /// SHA-256 of the version's model; `None` for a version that could not be prepared.
    pub sha256: Option<[u8; 32]>,
    /// The revision whose mapping was used to re-score the row.
    pub revision: i32,
    /// Aliases that point to the version now.
    pub aliases: Vec<String>,
    /// What the model is fed, in the model's order; empty without a source row.
    pub fed: Vec<Fed>,
    /// Today's `input_hash` of the row.
    pub input_hash: Option<u128>,
    /// Today's hash of all columns that the job reads.
    pub source_hash: Option<u128>,
    /// The stored prediction, if there is one.
    pub stored: Option<StoredPrediction>,
    /// The result of re-scoring today's row.
    pub recomputed: Recomputed,
    /// The verdict on the stored prediction; `None` if there is none, or if the row could not be
    /// re-scored.
    pub verdict: Option<Verdict>,
}

/// A stored prediction.
#[derive(Debug)]
pub struct StoredPrediction {
    /// By output column, in the table's order.
    pub outputs: Vec<(String, Value)>,
    /// Where the prediction comes from.
    pub lineage: Lineage,
    /// Aliases that pointed to the version when it was scored.
    pub aliases_then: Vec<String>,
    /// The run that wrote it, if its row still exists.
    pub run: Option<Run>,
}

/// The result of scoring today's row.
#[derive(Debug, Clone, PartialEq)]
pub enum Recomputed {
    /// Values by output column, in the table's order.
    Outputs(Vec<Value>),
    /// The row is rejected, for this reason.
    Rejected(String),
    /// The row was not scored, for this reason.
    Not(String),
}

/// Explains the entity with this key: all primary key columns by name, values as CQL literals
/// without quotes.
///
/// # Errors
/// Exit 2 for an invalid key, exit 5 if neither the source nor the prediction table has it; those
/// of [`jobs::prepare`], of the models, and Cassandra's errors.
pub async fn explain(store: &Store, job: &str, key: &KeyWords) -> Result<Explained, Failure> {
    let prepared = jobs::prepare(store, job, None).await?;
    let (mut job, revision) = (prepared.job, prepared.revision);
    job.served.champion = prepared.aliases.get(CHAMPION).copied();
    if let Some(allocation) = store.allocation_now(&job.job).await?.allocation {
        let arms = Arms::new(&job, allocation).map_err(Failure::input)?;
        job.served.arms = Some(Arc::new(arms));
    }
    let (key, asked) = typed_key(&job, key)?;
    let standing = Standing::read(store, &job, &asked).await?;
    let source = first_row(store, &selects::source_key(&job), &asked, job.key.len()).await?;
    if source.is_none() && standing.versions.is_empty() {
        return Err(no_such_row(&job, &key));
    }
    let mut versions = BTreeMap::new();
    for version in &job.versions {
        let seen = VersionView {
            store,
            job: &job,
            revision,
            version,
            source: source.as_ref(),
            standing: &standing,
        };
        versions.insert(version.ready.version, seen.explain().await?);
    }
    for number in standing.versions.keys() {
        if !versions.contains_key(number) {
            let other = other_version(store, &job, *number, &standing, &asked).await?;
            versions.insert(*number, other);
        }
    }
    let served = source.as_ref().map(|source| {
        let cells: Vec<_> = cells_of(&asked.cells).chain(source.row(0)).collect();
        let arm = job.served.arm_of(&cells, &mut Vec::new());
        ServedBy {
            version: job.served.version_of(arm),
            arm: job.served.label(arm).map(str::to_owned),
        }
    });
    let source = source.map(|cells| {
        let values = job.columns.iter().zip(cells.row(0));
        values
            .map(|(column, cell)| SourceValue {
                column: column.name.clone(),
                cql_type: column.cql_type.to_string(),
                value: prepared::source(&column.cql_type, cell),
            })
            .collect()
    });
    Ok(Explained {
        key: shown_key(&job, &asked),
        served: served.unwrap_or_default(),
        job,
        revision,
        source,
        versions,
    })
}

/// Returns a key by column, and with the types of its columns.
///
/// # Errors
/// Exit 2: it is not a key of this job.
pub fn typed_key(
    job: &CompiledJob,
    key: &KeyWords,
) -> Result<(BTreeMap<String, String>, AskedKey), Failure> {
    let key = key.by_column(job).map_err(Failure::input)?;
    let asked = asked_keys(job, std::slice::from_ref(&key)).map_err(|problems| {
        let typed = problems.into_iter().map(|problem| problem.at("KEY"));
        Failure::inputs(typed.collect())
    })?;
    match asked.into_iter().next() {
        Some(asked) => Ok((key, asked)),
        None => Err(Failure::input(Problem::new("keys.missing", "no key"))),
    }
}

fn shown_key(job: &CompiledJob, asked: &AskedKey) -> Vec<(String, Value)> {
    let cells = job.key.iter().zip(cells_of(&asked.cells));
    cells
        .map(|(column, cell)| {
            let value = cell_json::cell(&column.cql_type, cell);
            (column.name.clone(), value)
        })
        .collect()
}

fn format_key(key: &BTreeMap<String, String>) -> String {
    let key = key.iter().map(|(name, value)| format!("{name}={value}"));
    key.collect::<Vec<_>>().join(" ")
}

fn no_such_row(job: &CompiledJob, key: &BTreeMap<String, String>) -> Failure {
    Failure::not_found(Problem::new(
        "explain.no_row",
        format!(
            "{}.{} has no row {}, and there is no prediction of it",
            job.source.keyspace,
            job.source.table,
            format_key(key)
        ),
    ))
}

/// Explains a stored prediction of a version that the job does not have now. It uses the mapping of
/// the run that wrote the prediction, as far as that is still available.
async fn other_version(
    store: &Store,
    job: &CompiledJob,
    number: i32,
    standing: &Standing,
    key: &AskedKey,
) -> Result<ExplainedVersion, Failure> {
    let model = match job.versions.first() {
        Some(version) => version.ready.model.clone(),
        None => String::new(),
    };
    let stored = match standing.prediction(number) {
        Some(standing) => Some(stored(store, job, &model, number, standing).await?),
        None => None,
    };
    let run = stored.as_ref().and_then(|stored| stored.run.clone());
    let why = match run {
        None => {
            "it is none of the job's versions now, and the run that wrote it is gone".to_owned()
        }
        Some(mut run) => {
            run.versions.retain(|version| *version == number);
            match jobs::prepare_planned(store, &run).await {
                Ok(planned) if !planned.job.versions.is_empty() => {
                    return by_plan(store, &planned.job, planned.revision, key).await;
                }
                Ok(_) => "the run that its lineage names was not for this version".to_owned(),
                Err(failure) if failure.is_retryable() => return Err(failure),
                Err(failure) => failure.to_string(),
            }
        }
    };
    Ok(ExplainedVersion {
        aliases: aliases(store, &model, number, None).await?,
        model,
        sha256: None,
        revision: stored
            .as_ref()
            .and_then(|stored| stored.lineage.job_revision)
            .unwrap_or_default(),
        fed: Vec::new(),
        input_hash: None,
        source_hash: None,
        stored,
        recomputed: Recomputed::Not(why),
        verdict: None,
    })
}

async fn by_plan(
    store: &Store,
    job: &CompiledJob,
    revision: i32,
    key: &AskedKey,
) -> Result<ExplainedVersion, Failure> {
    let source = first_row(store, &selects::source_key(job), key, job.key.len()).await?;
    // Revisions differ in their columns, so the prediction is read again.
    let standing = Standing::read(store, job, key).await?;
    let seen = VersionView {
        store,
        job,
        revision,
        version: &job.versions[0],
        source: source.as_ref(),
        standing: &standing,
    };
    seen.explain().await
}
