//! CQL literals as text, without the outer quotes (`0x…` for blobs).
//!
//! Inside a list, set, map, tuple or vector, texts, times and addresses have single quotes as in
//! CQL. An empty value of a type that requires bytes is `0x`; a null inside is `null`.

mod parse;
mod scalar;

use super::{
    cql_type::CqlType,
    wire::{Parts, part_type},
};

/// Returns the text of a value (not null). Bytes that are not a valid value are written as `0x…`.
pub fn to_text(cql_type: &CqlType, bytes: &[u8]) -> String {
    let mut out = String::new();
    write_value(cql_type, bytes, false, &mut out);
    out
}

/// Parses a text from [`to_text`] or from a person.
///
/// # Errors
/// A sentence that says what is invalid.
pub fn from_text(cql_type: &CqlType, text: &str) -> Result<Vec<u8>, String> {
    match cql_type.thawed() {
        CqlType::Text => Ok(text.as_bytes().to_vec()),
        CqlType::Ascii | CqlType::Blob => scalar::from_text(cql_type, text),
        composed if part_type(composed, 0).is_some() => parse::composed(composed, text),
        scalar => scalar::from_text(scalar, text.trim()),
    }
}

/// Formats a key as a WHERE clause for people: `id = 7 AND site = 'north'`.
pub fn condition<'a>(
    key: impl Iterator<Item = (&'a str, &'a CqlType, Option<&'a [u8]>)>,
) -> String {
    let mut out = String::new();
    for (name, cql_type, cell) in key {
        if !out.is_empty() {
            out.push_str(" AND ");
        }
        parse::write_name(name, &mut out);
        out.push_str(" = ");
        match cell {
            Some(cell) => write_value(cql_type, cell, true, &mut out),
            None => out.push_str("null"),
        }
    }
    out
}

/// Returns the name of a column, table or keyspace, quoted if CQL requires it.
pub fn name(name: &str) -> String {
    let mut out = String::new();
    parse::write_name(name, &mut out);
    out
}

fn write_value(cql_type: &CqlType, bytes: &[u8], nested: bool, out: &mut String) {
    let start = out.len();
    let composed = part_type(cql_type, 0).is_some();
    if composed && write_parts(cql_type.thawed(), bytes, out).is_some() {
        return;
    }
    out.truncate(start);
    let text = match composed {
        true => None,
        false => scalar::to_text(cql_type.thawed(), bytes),
    };
    match text {
        Some(text) if nested && scalar::is_quoted(cql_type.thawed()) => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Some(text) => out.push_str(&text),
        None => {
            out.push_str("0x");
            out.push_str(&hex::encode(bytes));
        }
    }
}

fn write_parts(cql_type: &CqlType, bytes: &[u8], out: &mut String) -> Option<()> {
    let (open, close) = brackets(cql_type)?;
    let mut parts = Parts::open(cql_type, bytes)?.ok()?;
    out.push(open);
    for (index, part) in parts.by_ref().enumerate() {
        let is_map_value = matches!(cql_type, CqlType::Map(..)) && index % 2 == 1;
        match (index, is_map_value) {
            (0, _) => {}
            (_, true) => out.push_str(": "),
            (_, false) => out.push_str(", "),
        }
        if let CqlType::Udt(_, fields) = cql_type {
            parse::write_name(&fields.get(index)?.0, out);
            out.push_str(": ");
        }
        match part.ok()? {
            Some(part) => write_value(part_type(cql_type, index)?, part, true, out),
            None => out.push_str("null"),
        }
    }
    out.push(close);
    parts.is_exhausted().then_some(())
}

fn brackets(cql_type: &CqlType) -> Option<(char, char)> {
    match cql_type {
        CqlType::List(_) | CqlType::Vector(..) => Some(('[', ']')),
        CqlType::Set(_) | CqlType::Map(..) | CqlType::Udt(..) => Some(('{', '}')),
        CqlType::Tuple(_) => Some(('(', ')')),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
