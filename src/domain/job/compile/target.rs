//! The prediction table that all versions and revisions of a job share.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Existing, names::column_line};
use crate::{
    codec::{
        cql_type::CqlType,
        schema::{Column, Order, TableSchema},
    },
    domain::{
        job::{
            OutputColumn,
            classes::Filled,
            manifest::TableName,
            mapping::{listed, name_of},
        },
        model::Output,
        problem::Problem,
    },
};

/// Maximum length of a table name, in characters.
pub(super) const TOO_LONG: usize = 48;

const ANOTHER_JOB: &str =
    "create another job for that version: a table holds one kind of prediction";

/// Returns the columns that all versions fill; reports each version that fills other columns.
pub(super) fn common_columns(
    versions: &[&Asked],
    filled: &[Vec<Filled>],
    problems: &mut Vec<Problem>,
) -> Vec<OutputColumn> {
    let Some(first) = filled.first() else {
        return Vec::new();
    };
    let columns: Vec<OutputColumn> = first.iter().map(|filled| filled.column.clone()).collect();
    let number = |at: usize| versions.get(at).map_or(0, |asked| asked.ready.version);
    for (at, others) in filled.iter().enumerate().skip(1) {
        let names = |filled: &[Filled]| -> BTreeSet<String> {
            let name = |filled: &Filled| filled.column.name.clone();
            filled.iter().map(name).collect()
        };
        let (mine, theirs) = (names(first), names(others));
        if mine != theirs {
            let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
                listed(a.difference(b).map(String::as_str))
            };
            problems.push(
                Problem::new(
                    "job.version_does_not_fit",
                    format!(
                        "versions {} and {} have different columns: only the former has {}, only the latter {}",
                        number(0), number(at), only(&mine, &theirs), only(&theirs, &mine)
                    ),
                )
                .at("versions")
                .help(same_classes(versions, at, first, others).unwrap_or(ANOTHER_JOB.to_owned())),
            );
        }
        for other in others {
            let Some(column) = columns.iter().find(|c| c.name == other.column.name) else {
                continue;
            };
            let (what, mine, theirs) = if column.cql_type != other.column.cql_type {
                (
                    "is",
                    column.cql_type.to_string(),
                    other.column.cql_type.to_string(),
                )
            } else if column.classes != other.column.classes {
                (
                    "holds classes",
                    listed(column.classes.iter().map(String::as_str)),
                    listed(other.column.classes.iter().map(String::as_str)),
                )
            } else {
                continue;
            };
            problems.push(
                Problem::new(
                    "job.version_does_not_fit",
                    format!(
                        "column `{}` {what} {mine} in version {} but {theirs} in version {}",
                        column.name,
                        number(0),
                        number(at)
                    ),
                )
                .at("versions")
                .help(ANOTHER_JOB),
            );
        }
    }
    columns
}

/// Returns manifest lines that make version number `at` fit the first one, if both score the same
/// classes and only one's scores are probabilities (an int8 softmax sums to 1 only within 1/256).
fn same_classes(
    versions: &[&Asked],
    at: usize,
    first: &[Filled],
    others: &[Filled],
) -> Option<String> {
    let differing = |mine: &[Filled], theirs: &[Filled]| -> Vec<Filled> {
        let differs = |filled: &&Filled| {
            let name = &filled.column.name;
            !theirs.iter().any(|other| other.column.name == *name)
        };
        mine.iter().filter(differs).cloned().collect()
    };
    let (mine, theirs) = (differing(first, others), differing(others, first));
    let classes = |all: &[Filled]| -> BTreeSet<Vec<String>> {
        let of = |filled: &Filled| filled.column.classes.clone();
        all.iter().map(of).collect()
    };
    let alike = mine
        .iter()
        .chain(&theirs)
        .all(|f| f.column.classes.len() == 1)
        && mine.len() == theirs.len()
        && classes(&mine) == classes(&theirs);
    if !alike {
        return None;
    }
    let number = match mine.iter().any(|f| f.column.name.starts_with("p_")) {
        true => 0,
        false => at,
    };
    let wanted = if number == 0 { mine } else { theirs };
    let outputs = |at: usize| Some(&versions.get(at)?.ready.admitted.signature.outputs);
    let (own, all) = (outputs(number)?, [outputs(0)?, outputs(at)?]);
    let line = |filled: &Filled| {
        let name = own.get(filled.cell.output)?.public_name.as_str();
        let has = |outputs: &&Vec<Output>| outputs.iter().any(|o| o.public_name == name);
        let shared = all.iter().all(has);
        let output = if shared { name } else { "probabilities" };
        Some(column_line(&filled.column.name, output, &filled.column))
    };
    let lines: Vec<String> = wanted.iter().map(line).collect::<Option<_>>()?;
    Some(format!(
        "if both mean the same, name the columns for all versions (the scores of one did not sum to 1 within 1e-3, as with an int8 softmax):\n[outputs.columns]\n{}",
        lines.join("\n")
    ))
}

/// Checks the prediction table's own name.
pub(super) fn check_table(target: &TableName, source: &TableSchema, problems: &mut Vec<Problem>) {
    if target.keyspace == source.keyspace && target.table == source.table {
        problems.push(
            Problem::new(
                "job.target_is_source",
                format!("{target} would be both read and written"),
            )
            .at("outputs.table")
            .help("name another table, or remove `table`"),
        );
    }
    if target.table.len() > TOO_LONG {
        problems.push(
            Problem::new(
                "job.table_name",
                format!(
                    "`{}` is longer than Cassandra's limit of {TOO_LONG} characters",
                    target.table
                ),
            )
            .at("outputs.table"),
        );
    }
}

/// Checks that a live table can store these predictions. Returns the columns of earlier revisions
/// that this one does not fill.
pub(super) fn check_existing(
    existing: Existing<'_>,
    key: &[Column],
    source: &TableSchema,
    outputs: &[OutputColumn],
    problems: &mut Vec<Problem>,
) -> Vec<OutputColumn> {
    let table = existing.schema;
    let name = name_of(table);
    if !table.is_prediction_table() {
        problems.push(
            Problem::new(
                "job.target_taken",
                format!("{name} is not a prediction table of helenus"),
            )
            .at("outputs.table")
            .help("name a table that does not exist yet: helenus creates it"),
        );
        return Vec::new();
    }
    let wanted = described_key(
        key,
        source.partition_key.len(),
        source
            .clustering
            .iter()
            .map(|(column, order)| (&*column.name, *order))
            .collect(),
    );
    let live_key: Vec<Column> = table
        .key()
        .filter(|column| column.name != "model_version")
        .cloned()
        .collect();
    let found = described_key(
        &live_key,
        table.partition_key.len(),
        table
            .clustering
            .iter()
            .map(|(column, order)| (&*column.name, *order))
            .collect(),
    );
    if wanted != found {
        problems.push(
            Problem::new(
                "job.target_key",
                format!(
                    "{name} has the key ({found}), but the source {} has ({wanted})",
                    name_of(source)
                ),
            )
            .at("outputs.table")
            .help("create another job with another table: the source's key has changed"),
        );
    }
    for column in outputs {
        let Some(live) = table.column(&column.name) else {
            continue;
        };
        if live.cql_type != column.cql_type {
            problems.push(
                Problem::new(
                    "job.version_does_not_fit",
                    format!(
                        "column `{}` of {name} is {}, but the versions give {}",
                        column.name, live.cql_type, column.cql_type
                    ),
                )
                .at("versions")
                .help(ANOTHER_JOB),
            );
        } else if existing
            .made
            .is_some_and(|made| !made.contains_key(&column.name))
        {
            problems.push(
                Problem::new(
                    "job.target_altered",
                    format!("column `{}` of {name} was not made by helenus", column.name),
                )
                .at("outputs.columns")
                .help("rename the output, or drop that column"),
            );
        }
    }
    let is_filled = |name: &str| outputs.iter().any(|column| column.name == name);
    existing
        .made
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|made| !is_filled(made))
        // A column that was dropped needs no null.
        .filter_map(|made| table.column(made))
        .map(|column| OutputColumn {
            name: column.name.clone(),
            cql_type: column.cql_type.clone(),
            index: None,
            classes: Vec::new(),
        })
        .collect()
}

/// Warns about columns of the table that helenus neither created nor writes.
pub(super) fn strangers(
    existing: Existing<'_>,
    outputs: &[OutputColumn],
    retired: &[OutputColumn],
) -> Option<String> {
    let table = existing.schema;
    let known = |name: &str| {
        name == "lineage"
            || outputs
                .iter()
                .chain(retired)
                .any(|column| column.name == name)
    };
    let strangers: Vec<&str> = table
        .statics
        .iter()
        .chain(&table.regulars)
        .map(|column| column.name.as_str())
        .filter(|name| !known(name))
        .collect();
    (!strangers.is_empty()).then(|| {
        format!(
            "target_stranger: {} has columns that helenus does not manage, and that a rejected row loses: {}",
            name_of(table),
            listed(strangers.into_iter())
        )
    })
}

pub(super) fn described_key(
    key: &[Column],
    partition_key_len: usize,
    orders: BTreeMap<&str, Order>,
) -> String {
    let column = |column: &Column| {
        let order = match orders.get(column.name.as_str()) {
            Some(Order::Desc) => " DESC",
            _ => "",
        };
        format!("{} {}{order}", column.name, plain(&column.cql_type))
    };
    let columns: Vec<_> = key.iter().map(column).collect();
    let (partition, clustering) = columns.split_at(partition_key_len.min(columns.len()));
    let partition = format!("({})", partition.join(", "));
    [&[partition], clustering].concat().join(", ")
}

/// Removes `frozen`, which the schema shows for a key column in one table and not in another.
fn plain(cql_type: &CqlType) -> String {
    cql_type.thawed().to_string()
}
