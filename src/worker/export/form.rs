//! The forms that rows are exported in.

use serde_json::{Map, Value};

use crate::domain::{cell_json, literal, schema::Column};

/// CSV (RFC 4180), or a JSON object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A header; null is empty, an empty text is `""`.
    Csv,
    /// One object a row.
    Jsonl,
}

impl Form {
    /// What stands before the first row.
    pub fn header(self, columns: &[Column], out: &mut Vec<u8>) {
        if self == Self::Csv {
            record(columns.iter().map(|column| Some(column.name.clone())), out);
        }
    }

    /// A row.
    pub fn row<'a>(
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
