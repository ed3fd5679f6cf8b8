//! Side tables (history, current predictions): whether they can be created, and whether live ones
//! fit.

use std::collections::BTreeMap;

use super::target::{TOO_LONG, described_key};
use crate::{
    codec::{
        cql_type::CqlType,
        schema::{Column, Order, TableSchema},
    },
    domain::{
        job::{CompiledJob, HistoryTable, OutputColumn, manifest::TableName, mapping::name_of},
        problem::Problem,
    },
};

/// Key column of a history table: the time of a prediction.
const SCORED_AT: &str = "scored_at";

/// Checks the names in the history table.
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
                format!("column `{SCORED_AT}` is reserved in history tables"),
            )
            .at("outputs.history")
            .help("rename the output; history is not supported for a key column of that name"),
        );
    }
    check_length(&history.table, "outputs.history", problems);
}

/// Checks that the table of the champion's predictions differs from the prediction table and the
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
                format!("{} would be both read and written", name_of(source)),
            )
            .at("outputs.current")
            .help("rename the job, or remove `current`"),
        );
    }
    if current == predictions.table {
        let message = format!("`{current}` would hold both all predictions and the champion's");
        problems.push(
            Problem::new("job.name_collision", message)
                .at("outputs.table")
                .help("rename the prediction table, or remove `current`"),
        );
    }
}

fn check_length(table: &str, place: &str, problems: &mut Vec<Problem>) {
    if table.len() > TOO_LONG {
        let message =
            format!("`{table}` is longer than Cassandra's limit of {TOO_LONG} characters");
        problems.push(
            Problem::new("job.table_name", message)
                .at(place)
                .help("shorten the prediction table's name: [outputs] table"),
        );
    }
}

/// A table beside the prediction table.
#[derive(Debug, Clone, PartialEq)]
pub struct SideTable {
    pub name: TableName,
    /// The manifest key that requests it.
    pub place: &'static str,
    /// Key columns after the source's key, descending.
    own_key: Vec<(&'static str, CqlType)>,
}

impl CompiledJob {
    /// Returns the history table's name, if there is one.
    pub fn history_table(&self) -> Option<TableName> {
        let history = self.target.history.as_ref()?;
        Some(TableName {
            keyspace: self.target.keyspace.clone(),
            table: history.table.clone(),
        })
    }

    /// Returns the name of the table of the champion's predictions, if there is one.
    pub fn current_table(&self) -> Option<TableName> {
        Some(TableName {
            keyspace: self.target.keyspace.clone(),
            table: self.target.current.clone()?,
        })
    }

    /// Returns all tables that are written together with the prediction table.
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

    /// Returns the reasons why a live table does not fit; empty if it fits.
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
            let message = format!("{name} has the key ({found}), expected ({wanted})");
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
                            "column `{}` of {} is {}, but the versions give {}",
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
    /// Returns whether it is the history of a prediction table.
    pub fn is_history_table(&self) -> bool {
        let names = self
            .clustering
            .iter()
            .rev()
            .map(|(column, _)| &*column.name);
        names.take(2).eq([SCORED_AT, "model_version"]) && self.column("lineage").is_some()
    }
}
