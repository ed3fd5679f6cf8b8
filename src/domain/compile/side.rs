//! What stands beside a prediction table: whether it can be made, and whether a live one fits.

use std::collections::BTreeMap;

use super::target::{TOO_LONG, described_key};
use crate::domain::{
    cql_type::CqlType,
    job::{CompiledJob, HistoryTable, OutputColumn},
    manifest::TableName,
    mapping::name_of,
    problem::Problem,
    schema::{Column, Order, TableSchema},
};

/// The time of a prediction, in the key of a history table.
const SCORED_AT: &str = "scored_at";

/// Names that the history table needs for itself.
pub(super) fn check_history(
    history: &HistoryTable,
    outputs: &[OutputColumn],
    key: &[Column],
    problems: &mut Vec<Problem>,
) {
    let names = outputs.iter().map(|column| &column.name);
    let mut names = names.chain(key.iter().map(|column| &column.name));
    if names.any(|name| name == SCORED_AT) {
        problems.push(
            Problem::new(
                "job.name_collision",
                format!("a history has a column `{SCORED_AT}` of its own"),
            )
            .at("outputs.history")
            .help("give the output another name; a key column of that name takes no history"),
        );
    }
    check_length(&history.table, "outputs.history", problems);
}

/// The table of the champion's predictions must be another one than the prediction table and the
/// source.
pub(super) fn check_current(
    current: &str,
    predictions: &TableName,
    source: &TableSchema,
    problems: &mut Vec<Problem>,
) {
    if (&*predictions.keyspace, current) == (&*source.keyspace, &*source.table) {
        problems.push(
            Problem::new(
                "job.target_is_source",
                format!("{} would be read and written", name_of(source)),
            )
            .at("outputs.current")
            .help("give the job another name, or leave it out"),
        );
    }
    if current == predictions.table {
        let message =
            format!("`{current}` would be the table of all predictions and of the champion's");
        problems.push(
            Problem::new("job.name_collision", message)
                .at("outputs.table")
                .help("give the prediction table another name, or leave it out"),
        );
    }
}

fn check_length(table: &str, place: &str, problems: &mut Vec<Problem>) {
    if table.len() > TOO_LONG {
        let message =
            format!("`{table}` is longer than the {TOO_LONG} characters that Cassandra takes");
        problems.push(
            Problem::new("job.table_name", message)
                .at(place)
                .help("give the prediction table a shorter name: [outputs] table"),
        );
    }
}

/// A table beside the prediction table.
#[derive(Debug, Clone, PartialEq)]
pub struct SideTable {
    /// Its name.
    pub name: TableName,
    /// What of the manifest asks for it.
    pub place: &'static str,
    /// What stands behind the source's key, descending.
    own_key: Vec<(&'static str, CqlType)>,
}

impl CompiledJob {
    /// The history's name, where there is one.
    pub fn history_table(&self) -> Option<TableName> {
        let history = self.target.history.as_ref()?;
        Some(TableName {
            keyspace: self.target.keyspace.clone(),
            table: history.table.clone(),
        })
    }

    /// The name of the table of the champion's predictions, where there is one.
    pub fn current_table(&self) -> Option<TableName> {
        Some(TableName {
            keyspace: self.target.keyspace.clone(),
            table: self.target.current.clone()?,
        })
    }

    /// All tables that are written with the prediction table.
    pub fn side_tables(&self) -> Vec<SideTable> {
        let history = self.history_table().map(|name| SideTable {
            name,
            place: "outputs.history",
            own_key: vec![
                ("model_version", CqlType::Int),
                (SCORED_AT, CqlType::Timestamp),
            ],
        });
        let current = self.current_table().map(|name| SideTable {
            name,
            place: "outputs.current",
            own_key: Vec::new(),
        });
        history.into_iter().chain(current).collect()
    }

    /// Why a live table can't be that one; empty when it can.
    pub fn misfits(&self, table: &SideTable, live: &TableSchema) -> Vec<Problem> {
        let mut key = self.key.clone();
        let mut orders: BTreeMap<&str, Order> = BTreeMap::new();
        for (column, order) in &self.source.clustering {
            orders.insert(&column.name, *order);
        }
        for (name, cql_type) in &table.own_key {
            let (name, cql_type) = ((*name).to_owned(), cql_type.clone());
            key.push(Column { name, cql_type });
        }
        orders.extend(table.own_key.iter().map(|(name, _)| (*name, Order::Desc)));
        let wanted = described_key(&key, self.partition_key_len, orders);
        let clustering = live.clustering.iter();
        let found = described_key(
            &live.key().cloned().collect::<Vec<_>>(),
            live.partition_key.len(),
            clustering
                .map(|(column, order)| (&*column.name, *order))
                .collect(),
        );
        let mut problems = Vec::new();
        if wanted != found {
            let name = name_of(live);
            let message = format!("{name} has the key ({found}), it would be ({wanted})");
            problems.push(
                Problem::new("job.target_key", message)
                    .at(table.place)
                    .help("name another prediction table, or rename or drop that one"),
            );
        }
        for column in &self.target.outputs {
            if let Some(other) = live.column(&column.name)
                && other.cql_type != column.cql_type
            {
                problems.push(
                    Problem::new(
                        "job.version_does_not_fit",
                        format!(
                            "column `{}` of {} is {}, the versions give {}",
                            column.name,
                            name_of(live),
                            other.cql_type,
                            column.cql_type
                        ),
                    )
                    .at(table.place),
                );
            }
        }
        problems
    }
}

impl TableSchema {
    /// Whether it is the history of a prediction table.
    pub fn is_history_table(&self) -> bool {
        let names = self
            .clustering
            .iter()
            .rev()
            .map(|(column, _)| &*column.name);
        names.take(2).eq([SCORED_AT, "model_version"]) && self.column("lineage").is_some()
    }
}
