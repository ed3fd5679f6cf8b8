//! The schema of a live table, from `system_schema`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cql_type::CqlType;

/// A column by its exact (case-sensitive, unquoted) name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Exact name, without quotes.
    pub name: String,
    pub cql_type: CqlType,
}

impl Column {
    /// Returns the number of values per cell, if the type determines it: a vector's width, else 1.
    pub fn width(&self) -> usize {
        match self.cql_type.thawed() {
            CqlType::Vector(_, width) => usize::from(*width),
            _ => 1,
        }
    }
}

/// Direction of a clustering column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Ascending.
    Asc,
    /// Descending.
    Desc,
}

/// A user's table: source, labels or predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// Exact keyspace name.
    pub keyspace: String,
    /// Exact table name.
    pub table: String,
    /// `system_schema.tables.id`, which changes if the table is dropped and created again.
    pub id: Uuid,
    /// In key order; at least one.
    pub partition_key: Vec<Column>,
    /// In key order.
    pub clustering: Vec<(Column, Order)>,
    /// Static columns.
    pub statics: Vec<Column>,
    /// All other columns.
    pub regulars: Vec<Column>,
}

/// An index on one column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableIndex {
    /// Exact name, without quotes.
    pub name: String,
    /// Exact name of the column.
    pub column: String,
    /// Its options, without `target`.
    pub options: BTreeMap<String, String>,
}

impl TableSchema {
    /// Returns all primary key columns in key order, partition key first.
    pub fn key(&self) -> impl Iterator<Item = &Column> {
        self.partition_key
            .iter()
            .chain(self.clustering.iter().map(|(column, _)| column))
    }

    /// Returns a column of any kind by its exact name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.key()
            .chain(&self.statics)
            .chain(&self.regulars)
            .find(|column| column.name == name)
    }
}
