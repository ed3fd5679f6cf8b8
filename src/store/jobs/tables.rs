//! Reads the live schema of users' tables from `system_schema`.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use crate::{
    codec::{
        cql_type::{CqlType, Fields},
        schema::{Column, Order, TableIndex, TableSchema},
    },
    domain::job::manifest::TableName,
    store::{Store, driver::error::StoreError},
};

const TABLE: &str =
    "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?";
const COLUMNS: &str = "SELECT column_name, kind, position, clustering_order, type FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?";
const TYPES: &str =
    "SELECT type_name, field_names, field_types FROM system_schema.types WHERE keyspace_name = ?";
const INDEXES: &str = "SELECT index_name, options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?";
const NAMES: &str = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
const KEYSPACES: &str = "SELECT keyspace_name FROM system_schema.keyspaces";

type ColumnRow = (String, String, i32, String, String);

impl Store {
    /// Returns the current schema of a table; `None`: it does not exist.
    pub async fn table(&self, table: &TableName) -> Result<Option<TableSchema>, StoreError> {
        let key = (&table.keyspace, &table.table);
        let Some((id,)) = self.row::<(Uuid,)>(TABLE, key).await? else {
            return Ok(None);
        };
        let mut columns: Vec<ColumnRow> = self.rows(COLUMNS, key).await?;
        columns.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
        let types = self.user_types(&table.keyspace).await?;
        let fields = |name: &str| types.get(&unquoted(name)).cloned();
        let mut schema = TableSchema {
            keyspace: table.keyspace.clone(),
            table: table.table.clone(),
            id,
            partition_key: Vec::new(),
            clustering: Vec::new(),
            statics: Vec::new(),
            regulars: Vec::new(),
        };
        for (name, kind, _, order, spelled) in columns {
            let cql_type = CqlType::parse(&spelled).ok_or_else(|| {
                StoreError::corrupt(format!("type `{spelled}` of column `{name}`"), COLUMNS)
            })?;
            let column = Column {
                name,
                cql_type: cql_type.resolve(&fields),
            };
            match (kind.as_str(), order.to_ascii_lowercase().as_str()) {
                ("partition_key", _) => schema.partition_key.push(column),
                ("clustering", "desc") => schema.clustering.push((column, Order::Desc)),
                ("clustering", _) => schema.clustering.push((column, Order::Asc)),
                ("static", _) => schema.statics.push(column),
                _ => schema.regulars.push(column),
            }
        }
        Ok(Some(schema))
    }

    /// Returns the keyspace's user types: exact name -> fields (types of other user types by name).
    pub(in crate::store) async fn user_types(
        &self,
        keyspace: &str,
    ) -> Result<BTreeMap<String, Fields>, StoreError> {
        let rows: Vec<(String, Vec<String>, Vec<String>)> = self.rows(TYPES, (keyspace,)).await?;
        let mut types = BTreeMap::new();
        for (name, fields, spelled) in rows {
            let mut known = Fields::new();
            for (field, spelled) in fields.into_iter().zip(spelled) {
                let cql_type = CqlType::parse(&spelled).ok_or_else(|| {
                    StoreError::corrupt(format!("type `{spelled}` of field `{field}`"), TYPES)
                })?;
                known.push((field, cql_type));
            }
            types.insert(name, known);
        }
        Ok(types)
    }

    /// Returns the indexes of a table on whole columns.
    pub async fn table_indexes(&self, table: &TableName) -> Result<Vec<TableIndex>, StoreError> {
        let rows: Vec<(String, HashMap<String, String>)> =
            self.rows(INDEXES, (&table.keyspace, &table.table)).await?;
        let indexes = rows.into_iter().filter_map(|(name, mut options)| {
            let column = unquoted(&options.remove("target")?);
            Some(TableIndex {
                name,
                column,
                options: options.into_iter().collect(),
            })
        });
        Ok(indexes.collect())
    }

    /// Returns the names of a keyspace's tables; `None`: the keyspace does not exist.
    pub async fn table_names(&self, keyspace: &str) -> Result<Option<Vec<String>>, StoreError> {
        if !self.keyspaces().await?.iter().any(|name| name == keyspace) {
            return Ok(None);
        }
        let rows: Vec<(String,)> = self.rows(NAMES, (keyspace,)).await?;
        Ok(Some(rows.into_iter().map(|(name,)| name).collect()))
    }

    pub async fn keyspaces(&self) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self.rows(KEYSPACES, ()).await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}

/// Returns the exact name for CQL's spelling.
fn unquoted(name: &str) -> String {
    match name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}
