//! Resolves the names in a manifest to live tables and admitted versions.

use std::collections::BTreeMap;

use super::{
    outlook::Outlook,
    versions::{source_version, versions},
};
use crate::{
    codec::schema::{TableIndex, TableSchema},
    domain::{
        job::{
            CompiledJob,
            compile::{Existing, compile},
            manifest::{Manifest, TableName},
            mapping::listed,
        },
        names::nearest,
        problem::Problem,
    },
    store::{Store, driver::error::StoreError, predictions::prediction_tables::Claim},
};

/// A manifest that fits its tables and models.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The compiled job, ready to run once its table exists.
    pub job: CompiledJob,
    /// The manifest's aliases and the versions they point to now.
    pub aliases: BTreeMap<String, i32>,
}

/// Problem code for a version that admission has yet to decide about; not a mistake of the
/// manifest.
pub const PENDING: &str = "model.undecided";

const NO_VERSION: &str = "job.no_version";

/// Checks a manifest against everything that it names; changes nothing.
///
/// # Errors
/// Errors of Cassandra; the inner error is all of the manifest's mistakes.
pub async fn check(
    store: &Store,
    manifest: &Manifest,
) -> Result<Result<Checked, Vec<Problem>>, StoreError> {
    check_planned(store, manifest, &Outlook::default()).await
}

/// As [`check`], as if these aliases pointed there.
///
/// # Errors
/// As [`check`].
pub async fn check_pointing(
    store: &Store,
    manifest: &Manifest,
    pointing: &BTreeMap<String, i32>,
) -> Result<Result<Checked, Vec<Problem>>, StoreError> {
    let outlook = Outlook {
        pointing: pointing.clone(),
        ..Outlook::default()
    };
    check_planned(store, manifest, &outlook).await
}

/// As [`check`], as if these aliases and versions were written.
///
/// # Errors
/// As [`check`].
pub async fn check_planned(
    store: &Store,
    manifest: &Manifest,
    outlook: &Outlook,
) -> Result<Result<Checked, Vec<Problem>>, StoreError> {
    let mut problems = Vec::new();
    let source = source(store, manifest, &mut problems).await?;
    let source_version = source_version(store, manifest, source.as_ref(), &mut problems).await?;
    let versions = versions(store, manifest, outlook, &mut problems);
    let (asked, aliases) = Box::pin(versions).await?;
    let target = Box::pin(target(store, manifest, &mut problems)).await?;
    let Some(source) = source else {
        return Ok(Err(problems));
    };
    // A run that writes is compiled with those of later revisions.
    let announced = BTreeMap::new();
    let existing = target.live.as_ref().map(|schema| Existing {
        schema,
        made: target.claim.as_ref().map(|claim| &claim.outputs),
        indexes: &target.indexes,
        announced: &announced,
    });
    Ok(
        match compile(manifest, &source, source_version, existing, &asked) {
            Ok(job) if problems.is_empty() => {
                problems.extend(side_tables(store, &job).await?);
                problems.extend(unsupported_outputs(store, &job).await?);
                match problems.is_empty() {
                    true => Ok(Checked { job, aliases }),
                    false => Err(problems),
                }
            }
            Ok(_) => Err(problems),
            Err(more) => {
                // Why there is no version was reported above.
                problems.extend(more.into_iter().filter(|more| more.code != NO_VERSION));
                Err(problems)
            }
        },
    )
}

async fn source(
    store: &Store,
    manifest: &Manifest,
    problems: &mut Vec<Problem>,
) -> Result<Option<TableSchema>, StoreError> {
    let table = store.table(&manifest.source).await?;
    if table.is_none() {
        problems.push(missing_table(store, &manifest.source, "source.table").await?);
    }
    Ok(table)
}

async fn missing_table(
    store: &Store,
    table: &TableName,
    place: &str,
) -> Result<Problem, StoreError> {
    let names = store.table_names(&table.keyspace).await?;
    Ok(match names {
        None => {
            let keyspaces = store.keyspaces().await?;
            let near = nearest(&table.keyspace, keyspaces.iter().map(String::as_str));
            Problem::new(
                "job.unknown_keyspace",
                format!("there is no keyspace `{}`", table.keyspace),
            )
            .at(place)
            .help(near.map_or_else(
                || "names are exact, without quotes".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ))
        }
        Some(names) => {
            let near = nearest(&table.table, names.iter().map(String::as_str));
            Problem::new("job.unknown_table", format!("there is no table `{table}`"))
                .at(place)
                .help(near.map_or_else(
                    || {
                        format!(
                            "keyspace {} has {}",
                            table.keyspace,
                            listed(names.iter().map(String::as_str))
                        )
                    },
                    |near| format!("did you mean `{}.{near}`?", table.keyspace),
                ))
        }
    })
}

struct Target {
    live: Option<TableSchema>,
    indexes: Vec<TableIndex>,
    claim: Option<Claim>,
}

async fn target(
    store: &Store,
    manifest: &Manifest,
    problems: &mut Vec<Problem>,
) -> Result<Target, StoreError> {
    let name = manifest.target();
    let live = store.table(&name).await?;
    if live.is_none() && store.table_names(&name.keyspace).await?.is_none() {
        // A missing source keyspace was reported for the source.
        if name.keyspace != manifest.source.keyspace {
            problems.push(missing_table(store, &name, "outputs.table").await?);
        }
    } else {
        problems.extend(not_allowed(store, manifest).await?);
    }
    let claim = store.claim_of(&name).await?;
    if let Some(claim) = &claim
        && claim.job != manifest.job
    {
        problems.push(belongs_to(&name, &claim.job));
    }
    let indexes = match &live {
        Some(_) => store.table_indexes(&name).await?,
        None => Vec::new(),
    };
    Ok(Target {
        live,
        indexes,
        claim,
    })
}

/// Returns why the tables beside the prediction table cannot be this job's.
async fn side_tables(store: &Store, job: &CompiledJob) -> Result<Vec<Problem>, StoreError> {
    let mut problems = Vec::new();
    for table in job.side_tables() {
        let live = store.table(&table.name).await?;
        match (store.claim_of(&table.name).await?, live) {
            (Some(claim), _) if claim.job != job.job => {
                problems.push(belongs_to(&table.name, &claim.job).at(table.place));
            }
            (None, Some(_)) => problems.push(
                Problem::new(
                    "job.target_taken",
                    format!("{} was not made by helenus", table.name),
                )
                .at(table.place)
                .help("rename or drop it, or name another prediction table"),
            ),
            (Some(_), Some(live)) => problems.extend(job.misfits(&table, &live)),
            (_, None) => {}
        }
    }
    Ok(problems)
}

/// Returns why the cluster's release of Cassandra cannot store the job's outputs.
async fn unsupported_outputs(store: &Store, job: &CompiledJob) -> Result<Vec<Problem>, StoreError> {
    match job.needs_server_features() {
        true => Ok(job.unsupported_outputs(&store.release().await?)),
        false => Ok(Vec::new()),
    }
}

/// Problem code for a prediction table in another keyspace that no administrator allowed.
pub(super) const NOT_ALLOWED: &str = "job.target_not_allowed";

/// Returns a problem if the job must not write into its target's keyspace. Predictions reveal facts
/// about the rows that they are made from. Only an administrator may permit them in another
/// keyspace, where others may read; in the source's own keyspace, its permissions apply.
async fn not_allowed(store: &Store, manifest: &Manifest) -> Result<Option<Problem>, StoreError> {
    let (source, target) = (&manifest.source, manifest.target());
    if target.keyspace == source.keyspace || store.may_copy(source, &target.keyspace).await? {
        return Ok(None);
    }
    let message = format!(
        "predictions about {source} must not be written into keyspace {}",
        target.keyspace
    );
    let help = format!(
        "an administrator may allow it: `{}`; in the source's keyspace none is needed",
        store.allow_statement(source, &target.keyspace)
    );
    Ok(Some(
        Problem::new(NOT_ALLOWED, message)
            .at("outputs.table")
            .help(help),
    ))
}

/// Returns the problem for a claimed table: one prediction table belongs to one job.
pub fn belongs_to(table: &TableName, job: &str) -> Problem {
    Problem::new(
        "job.target_claimed",
        format!("prediction table {table} belongs to job `{job}`"),
    )
    .at("outputs.table")
    .help("name another table, or leave it out")
}
