//! Cells from JSON, as CQL's `INSERT … JSON` takes them: the inverse of [`super::cell_json`].
//!
//! The JSON text is read by the column's type, so that numbers keep all their digits: a 64-bit
//! integer or a decimal never passes through a float, and a `float` is rounded once. The depth of
//! the recursion is the depth of the type, whatever the text is.
//!
//! Five things differ from Cassandra. Blobs are also read without `0x`, and infinities as `inf`,
//! because [`super::cell_json`] writes them so. A blob is also read from `{"b64": "…"}`. A finite number that is out of a float's range is
//! refused instead of becoming infinite. An empty string is refused where it is not a text or a
//! blob (Cassandra stores an empty value), and `0x` is the empty value of every other type. A
//! repeated name is refused in user types and maps.

mod collection;
mod duration;
mod scalar;

use std::borrow::Cow;

use super::{cells::CellBuffer, cql_type::CqlType};

/// Appends the cell of a JSON value; `json` is its text. `null` is a null cell.
///
/// # Errors
/// A sentence that says what is invalid; `cells` is unchanged then.
pub fn append(cql_type: &CqlType, json: &str, cells: &mut CellBuffer) -> Result<(), String> {
    match RawJson::parse(json)? {
        RawJson::Null => {
            cells.push(None);
            Ok(())
        }
        value => cells.try_push_with(|out| write(cql_type, value, out)),
    }
}

/// Appends the bytes of a value that is given as the content of a JSON string.
///
/// # Errors
/// A sentence that says what is invalid; bytes may have been appended.
pub fn write_text(cql_type: &CqlType, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    write(cql_type, RawJson::Text(Cow::Borrowed(text)), out)
}

/// A JSON value whose parts are not parsed yet.
#[derive(Debug, Clone, PartialEq)]
enum RawJson<'a> {
    Null,
    Boolean(bool),
    /// The digits as they are written.
    Number(&'a str),
    Text(Cow<'a, str>),
    /// The text from `[`.
    Array(&'a str),
    /// The text from `{`.
    Object(&'a str),
}

impl<'a> RawJson<'a> {
    /// Looks at the first character only, except for numbers and strings. Strings without escapes
    /// are borrowed.
    fn parse(json: &'a str) -> Result<Self, String> {
        let json = json.trim_ascii();
        match json.as_bytes() {
            [b'-' | b'0'..=b'9', rest @ ..] if rest.iter().all(|byte| is_numeric(*byte)) => {
                Ok(Self::Number(json))
            }
            [b'"', inner @ .., b'"'] => match inner.iter().any(|byte| is_special(*byte)) {
                false => Ok(Self::Text(Cow::Borrowed(&json[1..json.len() - 1]))),
                true => match serde_json::from_str(json) {
                    Ok(text) => Ok(Self::Text(Cow::Owned(text))),
                    Err(error) => Err(format!("the string is not valid JSON: {error}")),
                },
            },
            [b'[', ..] => Ok(Self::Array(json)),
            [b'{', ..] => Ok(Self::Object(json)),
            b"null" => Ok(Self::Null),
            b"true" => Ok(Self::Boolean(true)),
            b"false" => Ok(Self::Boolean(false)),
            _ => Err(format!("`{}` is not valid JSON", clip(json))),
        }
    }

    /// Returns what kind of value it is, for error messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn is_numeric(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

/// Returns whether the byte has a meaning inside a JSON string.
fn is_special(byte: u8) -> bool {
    matches!(byte, b'\\' | b'"' | 0..0x20)
}

/// Appends the bytes of a value that is not null.
fn write(cql_type: &CqlType, json: RawJson<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    match cql_type {
        CqlType::Frozen(inner) => write(inner, json, out),
        CqlType::List(_)
        | CqlType::Set(_)
        | CqlType::Map(..)
        | CqlType::Tuple(_)
        | CqlType::Vector(..)
        | CqlType::Udt(..) => collection::write(cql_type, json, out),
        _ => scalar::write(cql_type, json, out),
    }
}

/// Returns the beginning of a text, for error messages.
fn clip(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests;
