//! Writes rows of messages into a source table, each at the time of its message.
//!
//! A column that the message does not have stays unset, so that it keeps its value; a null deletes
//! it. Time and bytes depend on the message alone: whoever writes it again changes nothing.

use std::sync::Arc;

use scylla::{
    errors::SerializationError,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::prepared::PreparedStatement,
};

use crate::{
    codec::schema::TableSchema,
    store::{
        Store,
        driver::{
            error::{Failed, StoreError},
            quote::{name, table_name},
            statement::{Mode, PATIENCE, retried},
        },
    },
};

/// The statements that write a source table.
#[derive(Clone)]
pub struct SourceWriter {
    store: Store,
    upsert: Arc<PreparedStatement>,
    upsert_cql: Arc<str>,
    delete: Arc<PreparedStatement>,
    delete_cql: Arc<str>,
}

/// A cell of a row to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceCell<'a> {
    /// The column stays as it is.
    Unset,
    /// The column is deleted.
    Null,
    Value(&'a [u8]),
}

/// Values of a statement: a timestamp, in the order of the statement's text, and cells.
struct SourceValues<'a> {
    before: Option<[u8; 8]>,
    cells: &'a [SourceCell<'a>],
    after: Option<[u8; 8]>,
}

impl SerializeRow for SourceValues<'_> {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let before = self.before.as_ref().map(|bytes| SourceCell::Value(bytes));
        let after = self.after.as_ref().map(|bytes| SourceCell::Value(bytes));
        let cells = before.iter().chain(self.cells).chain(after.iter());
        for cell in cells {
            let writer = writer.make_cell_writer();
            match cell {
                SourceCell::Unset => writer.set_unset(),
                SourceCell::Null => writer.set_null(),
                SourceCell::Value(bytes) => {
                    writer.set_value(bytes).map_err(SerializationError::new)?
                }
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl Store {
    /// Prepares the statements that write a table.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn source_writer(&self, table: &TableSchema) -> Result<SourceWriter, StoreError> {
        let full_name = table_name(&table.keyspace, &table.table);
        let columns = table.key().chain(&table.statics).chain(&table.regulars);
        let columns: Vec<String> = columns.map(|column| name(&column.name)).collect();
        let marks = vec!["?"; columns.len()];
        let upsert_cql = format!(
            "INSERT INTO {full_name} ({}) VALUES ({}) USING TIMESTAMP ?",
            columns.join(", "),
            marks.join(", ")
        );
        let conditions: Vec<String> = table
            .key()
            .map(|column| format!("{} = ?", name(&column.name)))
            .collect();
        let delete_cql = format!(
            "DELETE FROM {full_name} USING TIMESTAMP ? WHERE {}",
            conditions.join(" AND ")
        );
        Ok(SourceWriter {
            store: self.clone(),
            upsert: self.prepared(Mode::Write, &upsert_cql).await?,
            upsert_cql: upsert_cql.into(),
            delete: self.prepared(Mode::Write, &delete_cql).await?,
            delete_cql: delete_cql.into(),
        })
    }
}

impl SourceWriter {
    /// Writes a row. `cells`: key, static and regular columns, in the schema's order; `timestamp`
    /// in microseconds.
    ///
    /// # Errors
    /// Errors of Cassandra, after retries while it is unavailable.
    pub async fn upsert(&self, cells: &[SourceCell<'_>], timestamp: i64) -> Result<(), StoreError> {
        let values = SourceValues {
            before: None,
            cells,
            after: Some(timestamp.to_be_bytes()),
        };
        self.send(&self.upsert, &self.upsert_cql, &values).await
    }

    /// Deletes a row: what was written before `timestamp`, in microseconds, or at it. `key`: the
    /// table's key, in its order.
    ///
    /// # Errors
    /// Errors of Cassandra, after retries while it is unavailable.
    pub async fn delete(&self, key: &[SourceCell<'_>], timestamp: i64) -> Result<(), StoreError> {
        let values = SourceValues {
            before: Some(timestamp.to_be_bytes()),
            cells: key,
            after: None,
        };
        self.send(&self.delete, &self.delete_cql, &values).await
    }

    async fn send(
        &self,
        statement: &PreparedStatement,
        cql: &str,
        values: &impl SerializeRow,
    ) -> Result<(), StoreError> {
        let store = &self.store;
        retried(PATIENCE, || async {
            let place = store.writes().enter().await;
            Mode::Write.count();
            let sent = async {
                Box::pin(store.session.execute_unpaged(statement, values))
                    .await
                    .map(drop)
                    .map_err(|error| Failed::execution(&error, cql))
            };
            place.send(sent).await
        })
        .await
    }
}
