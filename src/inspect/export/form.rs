//! The formats of exported rows.

use std::io::Write;

use serde_json::{Map, Value};

use super::{parquet::ParquetFile, unwritten};
use crate::{
    codec::{cell_json, literal, schema::Column},
    failure::Failure,
};

/// CSV (RFC 4180), one JSON object per line, or Apache Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A header; null is empty, an empty text is `""`.
    Csv,
    /// One object a row.
    Jsonl,
    /// Typed columns, Snappy.
    Parquet,
}

/// Receives rows, one after the other.
pub enum Sink<'a, W: Write + Send> {
    /// Line by line.
    Lines(Text, &'a [Column], W, Vec<u8>),
    /// In row groups.
    Parquet(Box<ParquetFile<'a, W>>),
}

impl<'a, W: Write + Send> Sink<'a, W> {
    /// Begins the output and writes what comes before the first row. `about` is stored if the
    /// format has a place for it.
    ///
    /// # Errors
    /// The stream's errors.
    pub fn begin(
        form: Form,
        columns: &'a [Column],
        about: &[(String, String)],
        mut out: W,
    ) -> Result<Self, Failure> {
        let text = match form {
            Form::Csv => Text::Csv,
            Form::Jsonl => Text::Jsonl,
            Form::Parquet => {
                let file = ParquetFile::begin(columns, about, out)?;
                return Ok(Self::Parquet(Box::new(file)));
            }
        };
        let mut line = Vec::new();
        text.header(columns, &mut line);
        out.write_all(&line).map_err(unwritten)?;
        Ok(Self::Lines(text, columns, out, line))
    }

    /// Writes a row.
    ///
    /// # Errors
    /// The stream's errors; for Parquet, cells that are not valid values of their type.
    pub fn row<'c>(&mut self, cell: impl Fn(usize) -> Option<&'c [u8]>) -> Result<(), Failure> {
        match self {
            Self::Lines(text, columns, out, line) => {
                line.clear();
                text.row(columns, cell, line);
                out.write_all(line).map_err(unwritten)
            }
            Self::Parquet(file) => file.row(cell),
        }
    }

    /// Ends the output and writes what comes after the last row.
    ///
    /// # Errors
    /// Those of [`Sink::row`].
    pub fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Lines(_, _, mut out, _) => out.flush().map_err(unwritten),
            Self::Parquet(file) => file.finish(),
        }
    }
}

/// A format of text lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Like [`Form::Csv`].
    Csv,
    /// Like [`Form::Jsonl`].
    Jsonl,
}

impl Text {
    /// Appends what comes before the first row.
    fn header(self, columns: &[Column], out: &mut Vec<u8>) {
        if self == Self::Csv {
            record(columns.iter().map(|column| Some(column.name.clone())), out);
        }
    }

    /// Appends a row.
    fn row<'a>(
        self,
        columns: &[Column],
        cell: impl Fn(usize) -> Option<&'a [u8]>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Csv => {
                let fields = columns.iter().enumerate().map(|(at, column)| {
                    cell(at).map(|bytes| literal::to_text(&column.cql_type, bytes))
                });
                record(fields, out);
            }
            Self::Jsonl => {
                let fields = columns.iter().enumerate().map(|(at, column)| {
                    let value = cell_json::cell(&column.cql_type, cell(at));
                    (column.name.clone(), value)
                });
                let object = Value::Object(fields.collect::<Map<_, _>>());
                out.extend_from_slice(object.to_string().as_bytes());
                out.push(b'\n');
            }
        }
    }
}

fn record(fields: impl Iterator<Item = Option<String>>, out: &mut Vec<u8>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let Some(field) = field else { continue };
        match field.is_empty() || field.contains([',', '"', '\n', '\r']) {
            true => {
                out.push(b'"');
                out.extend_from_slice(field.replace('"', "\"\"").as_bytes());
                out.push(b'"');
            }
            false => out.extend_from_slice(field.as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
}
