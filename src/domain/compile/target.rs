//! One prediction table for all versions of a job, over all its revisions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Asked, Existing};
use crate::domain::{
    classes::Filled,
    cql_type::CqlType,
    job::OutputColumn,
    manifest::TableName,
    mapping::{listed, name_of},
    problem::Problem,
    schema::{Column, Order, TableSchema},
};

/// Characters of a table's name.
pub(super) const TOO_LONG: usize = 48;

const ANOTHER_JOB: &str =
    "one table holds one kind of prediction: make another job for that version";

/// The columns that all versions fill; a problem for each version that fills others.
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
                        "version {} and version {} give different columns: the former also {}, the latter also {}",
                        number(0), number(at), only(&mine, &theirs), only(&theirs, &mine)
                    ),
                )
                .at("versions")
                .help(ANOTHER_JOB),
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
                        "column `{}` {what} {mine} in version {} and {theirs} in version {}",
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

/// Output columns among each other, and against the key and helenus's own columns.
pub(super) fn check_names(
    outputs: &[OutputColumn],
    key: &[Column],
    source: &TableSchema,
    target: &TableName,
    problems: &mut Vec<Problem>,
) {
    for (at, column) in outputs.iter().enumerate() {
        let name = column.name.as_str();
        let taken_by = if let Some(other) = outputs[..at].iter().find(|other| other.name == name) {
            let what = |column: &OutputColumn| match column.classes.as_slice() {
                [class] => format!("class `{class}`"),
                _ => "another output".to_owned(),
            };
            Some(format!("{} and {}", what(other), what(column)))
        } else if key.iter().any(|key| key.name == name) {
            Some(format!("an output and the key of {}", name_of(source)))
        } else if name == "model_version" || name == "lineage" {
            Some("an output and helenus itself".to_owned())
        } else {
            None
        };
        if let Some(taken_by) = taken_by {
            problems.push(
                Problem::new(
                    "job.name_collision",
                    format!("two things would be column `{name}`: {taken_by}"),
                )
                .at("outputs.columns")
                .help("give the output another name: other_name = { output = \"…\" }"),
            );
        }
    }
    if target.keyspace == source.keyspace && target.table == source.table {
        problems.push(
            Problem::new(
                "job.target_is_source",
                format!("{target} would be read and written"),
            )
            .at("outputs.table")
            .help("name another table, or leave it out"),
        );
    }
    if target.table.len() > TOO_LONG {
        problems.push(
            Problem::new(
                "job.table_name",
                format!(
                    "`{}` is longer than the {TOO_LONG} characters that Cassandra takes",
                    target.table
                ),
            )
            .at("outputs.table"),
        );
    }
}

/// Whether the table that stands there can take these predictions. Gives the columns of earlier
/// revisions that this one does not fill.
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
                format!("{name} is no prediction table of helenus"),
            )
            .at("outputs.table")
            .help("name a table that does not exist yet: helenus makes it"),
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
                    "{name} has the key ({found}), the source {} has ({wanted})",
                    name_of(source)
                ),
            )
            .at("outputs.table")
            .help("the source's key has changed: make another job, which makes another table"),
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
                        "column `{}` of {name} is {}, the versions give {}",
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
                .help("give the output another name, or drop that column"),
            );
        }
    }
    let is_filled = |name: &str| outputs.iter().any(|column| column.name == name);
    existing
        .made
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|made| !is_filled(made))
        // A column that somebody dropped needs no null.
        .filter_map(|made| table.column(made))
        .map(|column| OutputColumn {
            name: column.name.clone(),
            cql_type: column.cql_type.clone(),
            index: false,
            classes: Vec::new(),
        })
        .collect()
}

/// Columns of the table that helenus neither made nor touches.
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
            "target_stranger: {} has columns that helenus did not make and leaves alone, and that a rejected row loses: {}",
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

/// The schema spells a key column's type frozen in one table and not in another.
fn plain(cql_type: &CqlType) -> String {
    cql_type.thawed().to_string()
}
