//! Rows from messages: the cells of a source table, and which of its columns the message has.
//!
//! Values are read from their JSON texts by [`json_value`], which reads the rows of HTTP, too: the
//! same value gives the same cell whatever way it comes.

pub mod avro;
mod debezium_blobs;
mod envelope;
mod fields;
mod key;

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use crate::{
    codec::{
        cells::CellBuffer,
        cql_type::CqlType,
        json_value,
        schema::{Column, TableSchema},
    },
    domain::{
        job::{
            CompiledJob,
            stream::{MessageFormat, MessageTime, StreamInput},
        },
        problem::Problem,
    },
    serve::routes::unit,
};
use avro::WriterSchema;
use debezium_blobs::column_json;
use envelope::{Change, open};
use fields::Fields;

/// Names of unknown fields that are remembered.
const MAX_UNKNOWN: usize = 100;

/// Which columns of its table a job takes from messages.
#[derive(Debug)]
pub struct RowLayout {
    /// The table's key, static and regular columns.
    pub columns: Vec<Column>,
    by_name: HashMap<String, usize>,
    /// How many of `columns` are the table's key.
    pub table_key: usize,
    /// Places of the job's key.
    pub key: Vec<usize>,
    /// Places of the columns that are scored, in the order of [`unit::columns`].
    pub scored: Vec<usize>,
}

impl RowLayout {
    /// Finds the job's columns in its table.
    pub fn new(job: &CompiledJob) -> Self {
        let table: &TableSchema = &job.source;
        let columns = table.key().chain(&table.statics).chain(&table.regulars);
        let columns: Vec<Column> = columns.cloned().collect();
        let by_name: HashMap<_, _> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.clone(), at))
            .collect();
        let places = |wanted: &[Column]| -> Vec<usize> {
            let found = wanted.iter().filter_map(|column| by_name.get(&column.name));
            found.copied().collect()
        };
        Self {
            key: places(&job.key),
            scored: places(&unit::columns(job)),
            table_key: table.key().count(),
            by_name,
            columns,
        }
    }
}

/// The rows of a batch.
#[derive(Debug, Default)]
pub struct DecodedRows {
    /// Cells of the layout's columns.
    pub cells: CellBuffer,
    /// Which cells the message has, row by row.
    present: Vec<bool>,
}

impl DecodedRows {
    /// Returns an empty buffer.
    pub fn new(layout: &RowLayout) -> Self {
        Self {
            cells: CellBuffer::new(layout.columns.len()),
            present: Vec::new(),
        }
    }

    /// Returns whether the message has the column.
    pub fn is_present(&self, row: usize, column: usize) -> bool {
        self.present[row * self.cells.width() + column]
    }
}

/// What a message asks for. For rows and deletes a row of cells was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    Row {
        /// Its time, if the row has a field for it.
        time_ms: Option<i64>,
    },
    Delete,
    Ignored,
}

/// Reads the messages of one topic.
#[derive(Debug)]
pub struct MessageDecoder<'l> {
    pub layout: &'l RowLayout,
    pub input: &'l StreamInput,
    /// Largest value in bytes.
    pub max_bytes: usize,
    /// Fields that the table does not have.
    pub unknown: BTreeSet<String>,
}

/// The schemas of Avro messages, by number.
pub trait Schemas {
    /// Returns a schema.
    ///
    /// # Errors
    /// Why there is none.
    fn schema(&self, id: u32) -> Result<&WriterSchema, Problem>;
}

/// Returns the number of the schema of an Avro message, as Confluent's serializers write it.
pub fn schema_id(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [0, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

impl MessageDecoder<'_> {
    /// Reads a message and appends the cells of its row.
    ///
    /// # Errors
    /// What is wrong with the message; no row was added.
    pub fn decode(
        &mut self,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<Decoded, Problem> {
        let before = rows.cells.len();
        let decoded = self.decode_into(key, value, schemas, rows);
        if decoded.is_err() {
            rows.cells.truncate(before);
            rows.present.truncate(before);
        }
        decoded
    }

    fn decode_into(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<Decoded, Problem> {
        let Some(value) = value else {
            return self.deleted(key, None, schemas, rows);
        };
        if value.len() > self.max_bytes {
            let message = format!(
                "the value has {} bytes; {} are the limit",
                value.len(),
                self.max_bytes
            );
            return Err(Problem::new("message.too_large", message).at("serve.max_body_mib"));
        }
        match self.input.format {
            MessageFormat::Json => {
                let fields = Fields::of_json(value).map_err(|error| malformed("JSON", &error))?;
                self.read(key, fields, schemas, rows)
            }
            MessageFormat::Avro => {
                let (schema, value) = read_avro(value, schemas)?;
                let fields = Fields::of_avro(schema, &value)
                    .ok_or_else(|| malformed("Avro", "the value is not a record"))?;
                self.read(key, fields, schemas, rows)
            }
        }
    }

    fn read(
        &mut self,
        key: Option<&[u8]>,
        fields: Fields<'_>,
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<Decoded, Problem> {
        if !self.input.is_debezium {
            return self.row(key, &fields, schemas, rows);
        }
        match open(&fields)? {
            Change::Row(after) => self.row(key, &after, schemas, rows),
            Change::Deleted(before) => self.deleted(key, before.as_ref(), schemas, rows),
            Change::Other => Ok(Decoded::Ignored),
        }
    }

    fn row(
        &mut self,
        key: Option<&[u8]>,
        fields: &Fields<'_>,
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<Decoded, Problem> {
        let layout = self.layout;
        let mut found: Vec<Option<Cow<'_, str>>> = vec![None; layout.columns.len()];
        let mut unknown: Option<String> = None;
        fields.visit(|name, earlier, field| {
            let at = layout.by_name.get(name).copied();
            let at = at.or_else(|| {
                earlier
                    .iter()
                    .find_map(|name| layout.by_name.get(name).copied())
            });
            let Some(at) = at else {
                if self.unknown.len() < MAX_UNKNOWN && !self.unknown.contains(name) {
                    unknown = Some(name.to_owned());
                    self.unknown.insert(name.to_owned());
                }
                return Ok(());
            };
            let column = &layout.columns[at];
            let json = column_json(field, &column.cql_type, self.input.is_debezium);
            let json = json.map_err(|error| not_a_value(column, &error))?;
            match found[at].replace(json) {
                None => Ok(()),
                Some(_) => Err(crate::serve::rows::repeated(name)),
            }
        })?;
        if let Some(name) = unknown {
            tracing::info!(
                field = name,
                "ignored a field: the source table has no such column"
            );
        }
        let time_ms = match &self.input.time {
            MessageTime::Message => None,
            MessageTime::Field(name) => Some(time_of(fields, name)?),
        };
        for (column, json) in layout.columns.iter().zip(&found) {
            match json {
                None => rows.cells.push(None),
                Some(json) => json_value::append(&column.cql_type, json, &mut rows.cells)
                    .map_err(|error| not_a_value(column, &error))?,
            }
            rows.present.push(json.is_some());
        }
        self.complete_key(key, schemas, rows)?;
        Ok(Decoded::Row { time_ms })
    }

    /// Adds the key of a row to delete.
    fn deleted(
        &mut self,
        key: Option<&[u8]>,
        before: Option<&Fields<'_>>,
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<Decoded, Problem> {
        if !self.input.is_deleting {
            return Ok(Decoded::Ignored);
        }
        let layout = self.layout;
        for (at, column) in layout.columns.iter().enumerate() {
            let field = before.and_then(|before| before.get(&column.name));
            match field.filter(|_| at < layout.table_key) {
                None => rows.cells.push(None),
                Some(field) => {
                    let json = column_json(field, &column.cql_type, self.input.is_debezium);
                    json.and_then(|json| {
                        json_value::append(&column.cql_type, &json, &mut rows.cells)
                    })
                    .map_err(|error| not_a_value(column, &error))?;
                }
            }
            rows.present.push(field.is_some() && at < layout.table_key);
        }
        self.complete_key(key, schemas, rows)?;
        Ok(Decoded::Delete)
    }

    /// Takes key columns that the value does not have from the message's key, and checks that none
    /// is null.
    fn complete_key(
        &self,
        key: Option<&[u8]>,
        schemas: &impl Schemas,
        rows: &mut DecodedRows,
    ) -> Result<(), Problem> {
        let layout = self.layout;
        let width = layout.columns.len();
        let row = rows.cells.rows() - 1;
        let is_missing = |at: &usize| rows.cells.cell(row, *at).is_none();
        let is_needed = |at: &usize| *at < layout.table_key || layout.key.contains(at);
        let missing: Vec<usize> = (0..width)
            .filter(|at| is_needed(at) && is_missing(at))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let given = |at: &usize| rows.present[row * width + at];
        if let Some(null) = missing.iter().find(|at| given(at)) {
            let name = &layout.columns[*null].name;
            let message = format!("the key column `{name}` is null");
            return Err(Problem::new("row.no_key", message).at(name.clone()));
        }
        let columns: Vec<&Column> = missing.iter().map(|at| &layout.columns[*at]).collect();
        let found = key::cells(&columns, key, self.input, schemas)?;
        let mut completed = CellBuffer::new(width);
        for at in 0..width {
            match missing.iter().position(|missing| *missing == at) {
                Some(place) => completed.push(found.cell(0, place)),
                None => completed.push(rows.cells.cell(row, at)),
            }
        }
        rows.cells.truncate(row * width);
        for at in 0..width {
            rows.cells.push(completed.cell(0, at));
        }
        missing
            .iter()
            .for_each(|at| rows.present[row * width + at] = true);
        Ok(())
    }
}

/// Reads the value of an Avro message.
fn read_avro<'s>(
    bytes: &[u8],
    schemas: &'s impl Schemas,
) -> Result<(&'s WriterSchema, apache_avro::types::Value), Problem> {
    let id = schema_id(bytes).ok_or_else(|| {
        malformed(
            "Avro",
            "it does not begin with a zero byte and the number of a schema",
        )
    })?;
    let schema = schemas.schema(id)?;
    let value = schema.decode(&bytes[5..]);
    Ok((schema, value.map_err(|error| malformed("Avro", &error))?))
}

fn time_of(fields: &Fields<'_>, name: &str) -> Result<i64, Problem> {
    let wrong = |message: String| Problem::new("message.time", message).at(name.to_owned());
    let field = fields
        .get(name)
        .ok_or_else(|| wrong(format!("the message has no field `{name}` for its time")))?;
    let mut cell = CellBuffer::new(1);
    field
        .json(&CqlType::Timestamp)
        .and_then(|json| json_value::append(&CqlType::Timestamp, &json, &mut cell))
        .map_err(|error| wrong(format!("`{name}`: {error}")))?;
    let bytes = cell.cell(0, 0).and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(i64::from_be_bytes)
        .ok_or_else(|| wrong(format!("`{name}`, the time of the message, is null")))
}

fn malformed(format: &str, error: &str) -> Problem {
    let code = format!("message.{}", format.to_lowercase());
    Problem::new(&code, format!("the message is not valid {format}: {error}"))
}

fn not_a_value(column: &Column, error: &str) -> Problem {
    Problem::new("row.not_a_value", format!("`{}`: {error}", column.name)).at(column.name.clone())
}
