//! Compiles a manifest with live tables and admitted versions. All checks are made here, before
//! anything is created, and all mistakes are reported at once.

mod drift;
mod fingerprint;
mod indexes;
mod names;
mod order;
mod side;
mod stream;
mod target;

use std::collections::BTreeMap;

pub use order::is_unproven;

use super::{
    classes::{Filled, output_columns},
    manifest::{Manifest, VersionWish},
    mapping::{Mapped, Mapper, name_of, with_indices},
};
use crate::{
    codec::{
        cql_type::CqlType,
        schema::{Column, Order, TableIndex, TableSchema},
    },
    domain::{
        job::{
            CompiledJob, CompiledVersion, HistoryTable, OutputCell, OutputColumn, PredictionTable,
            served::Served, similarity::Similarity,
        },
        model::{ReadyVersion, artifact::Artifacts},
        problem::Problem,
    },
};

/// A version that the manifest requests.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The result of its admission.
    pub ready: ReadyVersion,
    /// How the manifest names it: its number, and the aliases of `versions` that point to it now.
    pub by: Vec<VersionWish>,
    /// Its artifacts.
    pub artifacts: Artifacts,
}

/// The live prediction table, and the columns that helenus created in it.
#[derive(Debug, Clone, Copy)]
pub struct Existing<'a> {
    /// Its live schema.
    pub schema: &'a TableSchema,
    /// Output columns that the job's revisions have created so far, name -> type; helenus does not
    /// own other columns. `None` if nothing is known about the table.
    pub made: Option<&'a BTreeMap<String, String>>,
    /// Its live indexes.
    pub indexes: &'a [TableIndex],
    /// Functions of the indexes that later revisions are about to add, by column.
    pub announced: &'a BTreeMap<String, Similarity>,
}

/// Compiles `manifest` for table `source` and these versions (at least one).
///
/// # Errors
/// All mistakes at once, each with its place in the manifest and a remedy.
pub fn compile(
    manifest: &Manifest,
    source: &TableSchema,
    source_version: Option<i32>,
    existing: Option<Existing<'_>>,
    versions: &[Asked],
) -> Result<CompiledJob, Vec<Problem>> {
    let mut problems = Vec::new();
    let key = key(manifest, source, &mut problems);
    let mut mapper = Mapper::new(manifest, source);
    let mut versions: Vec<&Asked> = versions.iter().collect();
    versions.sort_by_key(|asked| asked.ready.version);
    if versions.is_empty() {
        problems.push(Problem::new("job.no_version", "no version is ready").at("versions"));
    }
    let mapped: Vec<Mapped> = versions
        .iter()
        .map(|asked| mapper.map(&asked.ready, &asked.by, &asked.artifacts))
        .collect();
    let mut filled: Vec<Vec<Filled>> = versions
        .iter()
        .map(|asked| {
            let mut found = Vec::new();
            let filled = output_columns(
                &manifest.outputs,
                &asked.ready,
                &asked.artifacts,
                &mut found,
            );
            problems.append(&mut found);
            filled
        })
        .collect();
    indexes::guard(&mut filled, existing);
    let mut outputs = target::common_columns(&versions, &filled, &mut problems);
    let target = manifest.target();
    let first = versions
        .first()
        .copied()
        .zip(filled.first().map(Vec::as_slice));
    names::check(first, &key, source, &mut problems);
    target::check_table(&target, source, &mut problems);
    let history = manifest.outputs.history.map(|ttl_seconds| HistoryTable {
        table: format!("{}_history", target.table),
        ttl_seconds,
    });
    if let Some(history) = &history {
        side::check_history(history, &outputs, &key, &mut problems);
    }
    let current = manifest.outputs.current;
    let current = current.then(|| format!("{}_current", manifest.job));
    if let Some(current) = &current {
        side::check_current(current, &target, source, &mut problems);
    }
    let mut warnings = Vec::new();
    if let Some(existing) = existing {
        let retired = target::check_existing(existing, &key, source, &outputs, &mut problems);
        warnings.extend(target::strangers(existing, &outputs, &retired));
        outputs.extend(retired);
        let (schema, live) = (existing.schema, existing.indexes);
        warnings.extend(indexes::check(schema, live, &outputs, &mut problems));
    }
    let unused: Vec<_> = mapper.unused().map(|name| format!("`{name}`")).collect();
    if !unused.is_empty() {
        warnings.push(format!(
            "feature_unused: no version uses {}",
            unused.join(", ")
        ));
    }
    let columns = mapper.columns_read();
    problems.append(&mut mapper.problems);
    let places = mapped
        .iter()
        .flat_map(|mapped| mapped.inputs.iter().flatten());
    // A feature that only another version uses is known: an alias may move.
    let places = places
        .map(|(place, _)| place.feature.as_str())
        .chain(mapper.unused());
    drift::check(&manifest.drift, places, &outputs, source, &mut problems);
    stream::check(&manifest.stream, &outputs, &mut problems);
    dedup(&mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let target = PredictionTable {
        keyspace: target.keyspace,
        table: target.table,
        outputs,
        history,
        current,
    };
    let compiled: Vec<CompiledVersion> = versions
        .iter()
        .zip(mapped)
        .zip(&filled)
        .map(|((asked, mapped), filled)| {
            let inputs = with_indices(mapped.inputs, &columns);
            let cells = cells(&target.outputs, filled);
            let prints = fingerprint::of_version(
                &asked.ready,
                &inputs,
                &columns,
                &cells,
                &target,
                manifest.outputs.nan,
            );
            CompiledVersion {
                ready: asked.ready.clone(),
                inputs,
                ordered_by_manifest: mapped.ordered_by_manifest,
                outputs: cells,
                nan_output: manifest.outputs.nan,
                hash_prefix: prints,
            }
        })
        .collect();
    for asked in &versions {
        let lasting = asked.ready.admitted.warnings.iter();
        // Whether the order is proven also depends on the manifest.
        warnings.extend(
            lasting
                .filter(|warning| !order::is_unproven(warning))
                .map(|warning| format!("version {}: {warning}", asked.ready.version)),
        );
    }
    let mut job = CompiledJob {
        job: manifest.job.clone(),
        source: source.clone(),
        partition_key_len: source.partition_key.len(),
        key,
        source_version,
        served: Served::default(),
        fingerprint: fingerprint::of_job(&compiled),
        columns,
        versions: compiled,
        target,
        rules: manifest.rules.clone(),
        drift: manifest.drift.clone(),
        stream: manifest.stream.clone(),
        extra_columns: 0,
        positive: manifest.outputs.positive.clone(),
        warnings,
    };
    job.warnings.extend(order::unproven(manifest, &job));
    Ok(job)
}

/// Returns the key of the prediction table without its own `model_version`.
fn key(manifest: &Manifest, source: &TableSchema, problems: &mut Vec<Problem>) -> Vec<Column> {
    let table = name_of(source);
    let is_predictions = source.is_prediction_table();
    if is_predictions && manifest.source_version.is_none() {
        problems.push(
            Problem::new(
                "job.source_version",
                format!("{table} is a prediction table, which holds rows of several versions"),
            )
            .at("source")
            .help("name the version to read: version = \"champion\", or a number"),
        );
    }
    if !is_predictions && manifest.source_version.is_some() {
        problems.push(
            Problem::new(
                "job.source_version",
                format!("{table} is not a prediction table"),
            )
            .at("source.version")
            .help("remove version"),
        );
    }
    let key: Vec<Column> = source
        .key()
        .filter(|column| !(is_predictions && column.name == "model_version"))
        .cloned()
        .collect();
    for column in &key {
        let taken = ["model_version", "lineage"].contains(&column.name.as_str());
        if taken {
            problems.push(
                Problem::new(
                    "job.reserved_name",
                    format!(
                        "key column `{}` of {table} has a name that is reserved in prediction tables",
                        column.name
                    ),
                )
                .at("source.table")
                .help("copy the table with another name for that column"),
            );
        }
        let own_type = has_own_type(&column.cql_type);
        if own_type && manifest.target().keyspace != source.keyspace {
            problems.push(
                Problem::new(
                    "job.key_type",
                    format!(
                        "key column `{}` of {table} has the user type {}, which exists only in its keyspace",
                        column.name, column.cql_type
                    ),
                )
                .at("outputs.table")
                .help(format!("put predictions into keyspace {}", source.keyspace)),
            );
        }
    }
    key
}

fn has_own_type(cql_type: &CqlType) -> bool {
    match cql_type {
        CqlType::Udt(..) | CqlType::Named(_) => true,
        CqlType::List(inner)
        | CqlType::Set(inner)
        | CqlType::Vector(inner, _)
        | CqlType::Frozen(inner) => has_own_type(inner),
        CqlType::Map(key, value) => has_own_type(key) || has_own_type(value),
        CqlType::Tuple(parts) => parts.iter().any(has_own_type),
        _ => false,
    }
}

/// Returns a version's cells in the target's order.
fn cells(columns: &[OutputColumn], filled: &[Filled]) -> Vec<Option<OutputCell>> {
    columns
        .iter()
        .map(|column| {
            filled
                .iter()
                .find(|filled| filled.column.name == column.name)
                .map(|filled| filled.cell.clone())
        })
        .collect()
}

fn dedup(problems: &mut Vec<Problem>) {
    let mut seen: Vec<Problem> = Vec::new();
    problems.retain(|problem| {
        let new = !seen.contains(problem);
        if new {
            seen.push(problem.clone());
        }
        new
    });
}

impl TableSchema {
    /// Returns whether this is a prediction table of helenus: `model_version` ends its key, and
    /// `lineage` has helenus's type.
    pub fn is_prediction_table(&self) -> bool {
        let versioned = self.clustering.last().is_some_and(|(column, order)| {
            column.name == "model_version"
                && column.cql_type == CqlType::Int
                && *order == Order::Desc
        });
        let lineage = self.column("lineage").is_some_and(|column| {
            matches!(
                column.cql_type.thawed(),
                CqlType::Udt(name, _) | CqlType::Named(name) if name == "helenus_lineage"
            )
        });
        versioned && lineage
    }
}

#[cfg(test)]
mod tests;
