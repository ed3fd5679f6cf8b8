//! JSON arrays and objects: lists, sets, maps, tuples, vectors and user types.

use std::{collections::HashSet, fmt};

use serde::{
    Deserializer as _,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{RawJson, clip};
use crate::codec::{
    cql_type::{CqlType, Fields},
    wire::{fixed_size, insert_vint_length},
};

/// Appends the bytes of a value. As in Cassandra a string may hold the array or object; so do the
/// keys of an object.
pub(super) fn write(
    cql_type: &CqlType,
    json: RawJson<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match json {
        // The empty value, which is not null.
        RawJson::Text(text) if text == "0x" => Ok(()),
        RawJson::Text(text) => match RawJson::parse(&text) {
            Ok(inner @ (RawJson::Array(_) | RawJson::Object(_))) => opened(cql_type, inner, out),
            _ => Err(mismatch(cql_type, "a string")),
        },
        json => opened(cql_type, json, out),
    }
}

fn opened(cql_type: &CqlType, json: RawJson<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    match (cql_type, json) {
        (CqlType::List(element), RawJson::Array(text)) => counted(out, |out| {
            each(text, |at, json| {
                element_part(element, at, json, out)?;
                Ok(1)
            })
        }),
        (CqlType::Set(element), RawJson::Array(text)) => {
            counted(out, |out| set(element, text, out))
        }
        (CqlType::Map(key, value), RawJson::Array(text)) => {
            counted(out, |out| pairs((key, value), text, out))
        }
        (CqlType::Map(key, value), RawJson::Object(text)) => {
            counted(out, |out| entries((key, value), text, out))
        }
        (CqlType::Tuple(types), RawJson::Array(text)) => tuple(cql_type, types, text, out),
        (CqlType::Vector(element, width), RawJson::Array(text)) => {
            vector(cql_type, (element, *width), text, out)
        }
        (CqlType::Udt(_, fields), RawJson::Object(text)) => udt(cql_type, fields, text, out),
        (_, json) => Err(mismatch(cql_type, json.kind())),
    }
}

fn mismatch(cql_type: &CqlType, kind: &str) -> String {
    let expected = match cql_type {
        CqlType::Map(..) => "an object or an array of pairs",
        CqlType::Udt(..) => "an object",
        _ => "an array",
    };
    format!("{kind} is not a valid {cql_type}: write {expected}")
}

/// Appends what `write` appends after the number of parts that it returns.
fn counted(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<usize, String>,
) -> Result<(), String> {
    framed(out, write, |count, _| count)
}

/// Appends a part that is preceded by its length. `json` is not null.
fn part(cql_type: &CqlType, json: RawJson<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    framed(
        out,
        |out| super::write(cql_type, json, out),
        |(), length| length,
    )
}

/// Appends what `write` appends after an i32, which `head` makes of what `write` returns and of the
/// number of bytes.
fn framed<T>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, String>,
    head: impl FnOnce(T, usize) -> usize,
) -> Result<(), String> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let written = write(out)?;
    let head = head(written, out.len() - start - 4);
    let head = i32::try_from(head).map_err(|_| "the value exceeds 2 GiB".to_owned())?;
    out[start..start + 4].copy_from_slice(&head.to_be_bytes());
    Ok(())
}

fn not_null<'a>(json: &'a str, what: &str) -> Result<RawJson<'a>, String> {
    match RawJson::parse(json)? {
        RawJson::Null => Err(format!("{what} must not be null")),
        json => Ok(json),
    }
}

fn element_part(element: &CqlType, at: usize, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    not_null(json, "an element")
        .and_then(|json| part(element, json, out))
        .map_err(|error| format!("element {at}: {error}"))
}

/// Appends the elements of a set in their order, repeated ones once.
fn set(element: &CqlType, text: &str, out: &mut Vec<u8>) -> Result<usize, String> {
    let mut seen = HashSet::new();
    each(text, |at, json| {
        let start = out.len();
        element_part(element, at, json, out)?;
        let is_new = seen.insert(out[start..].to_vec());
        if !is_new {
            out.truncate(start);
        }
        Ok(usize::from(is_new))
    })
}

/// Appends the entries of an object in their order.
fn entries(types: (&CqlType, &CqlType), text: &str, out: &mut Vec<u8>) -> Result<usize, String> {
    let mut seen = HashSet::new();
    each_entry(text, |key, json| {
        entry(types, RawJson::parse(key)?, json, &mut seen, out)
            .map_err(|error| format!("key {}: {error}", clip(key)))
    })
}

/// Appends the entries of an array of pairs in their order.
fn pairs(types: (&CqlType, &CqlType), text: &str, out: &mut Vec<u8>) -> Result<usize, String> {
    let mut seen = HashSet::new();
    each(text, |at, json| {
        let RawJson::Array(pair) = RawJson::parse(json)? else {
            return Err(format!("entry {at} is not an array of key and value"));
        };
        let mut parts = ["", ""];
        let found = each(pair, |place, json| {
            if let Some(part) = parts.get_mut(place) {
                *part = json;
            }
            Ok(1)
        })?;
        if found != 2 {
            return Err(format!("entry {at} has {found} values instead of 2"));
        }
        not_null(parts[0], "a key")
            .and_then(|key| entry(types, key, parts[1], &mut seen, out))
            .map_err(|error| format!("entry {at}: {error}"))
    })
}

fn entry(
    (key_type, value_type): (&CqlType, &CqlType),
    key: RawJson<'_>,
    value: &str,
    seen: &mut HashSet<Vec<u8>>,
    out: &mut Vec<u8>,
) -> Result<usize, String> {
    let start = out.len();
    part(key_type, key, out)?;
    if !seen.insert(out[start..].to_vec()) {
        return Err("the key is repeated".to_owned());
    }
    part(value_type, not_null(value, "a value")?, out)?;
    Ok(1)
}

fn tuple(
    cql_type: &CqlType,
    types: &[CqlType],
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let found = each(text, |at, json| {
        if let Some(inner) = types.get(at) {
            nullable(inner, json, out).map_err(|error| format!("value {at}: {error}"))?;
        }
        Ok(1)
    })?;
    match found == types.len() {
        true => Ok(()),
        false => Err(format!(
            "{found} values are not a valid {cql_type}: it has {}",
            types.len()
        )),
    }
}

fn nullable(cql_type: &CqlType, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    match RawJson::parse(json)? {
        RawJson::Null => {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            Ok(())
        }
        json => part(cql_type, json, out),
    }
}

fn vector(
    cql_type: &CqlType,
    (element, width): (&CqlType, u16),
    text: &str,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let size = fixed_size(element);
    let found = each(text, |at, json| {
        if at >= usize::from(width) {
            return Ok(1);
        }
        let start = out.len();
        not_null(json, "an element")
            .and_then(|json| super::write(element, json, out))
            .map_err(|error| format!("element {at}: {error}"))?;
        let length = out.len() - start;
        match size {
            Some(size) if size != length => {
                return Err(format!("element {at} must not be empty"));
            }
            Some(_) => {}
            None => insert_vint_length(start, out),
        }
        Ok(1)
    })?;
    match found == usize::from(width) {
        true => Ok(()),
        false => Err(format!("{found} elements are not a valid {cql_type}")),
    }
}

fn udt(cql_type: &CqlType, fields: &Fields, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let mut values: Vec<Option<&str>> = vec![None; fields.len()];
    each_entry(text, |key, json| {
        let RawJson::Text(name) = RawJson::parse(key)? else {
            return Err(format!("{} is not a field's name", clip(key)));
        };
        let at = field(fields, &name)
            .ok_or_else(|| format!("{cql_type} has no field `{}`", clip(&name)))?;
        match values[at].replace(json) {
            None => Ok(1),
            Some(_) => Err(format!("field `{}` is repeated", clip(&name))),
        }
    })?;
    for ((name, inner), json) in fields.iter().zip(values) {
        nullable(inner, json.unwrap_or("null"), out)
            .map_err(|error| format!("field `{name}`: {error}"))?;
    }
    Ok(())
}

/// Finds a field by its exact name, or as Cassandra does: lower case, unless the name is in double
/// quotes.
fn field(fields: &Fields, name: &str) -> Option<usize> {
    let find = |name: &str| fields.iter().position(|(known, _)| known == name);
    find(name).or_else(|| {
        let quoted = name
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        match quoted {
            Some(exact) => find(exact),
            None => find(&name.to_lowercase()),
        }
    })
}

/// Calls `visit` with the index and the text of each element, and returns the sum of what it
/// returns.
fn each<'a>(
    array: &'a str,
    mut visit: impl FnMut(usize, &'a str) -> Result<usize, String>,
) -> Result<usize, String> {
    let mut at = 0;
    walk(array, |_, json| {
        let seen = visit(at, json);
        at += 1;
        seen
    })
}

/// Calls `visit` with the texts of each name (in its quotes) and value, and returns the sum of what
/// it returns.
fn each_entry<'a>(
    object: &'a str,
    visit: impl FnMut(&'a str, &'a str) -> Result<usize, String>,
) -> Result<usize, String> {
    walk(object, visit)
}

/// Calls `visit` with each element of an array or entry of an object; an element's name is empty.
fn walk<'a>(
    text: &'a str,
    visit: impl FnMut(&'a str, &'a str) -> Result<usize, String>,
) -> Result<usize, String> {
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walked = deserializer
        .deserialize_any(Walk {
            visit,
            refused: &mut refused,
        })
        .and_then(|sum| deserializer.end().map(|()| sum));
    match (refused, walked) {
        (Some(refused), _) => Err(refused),
        (None, walked) => walked.map_err(|error| format!("not valid JSON: {error}")),
    }
}

struct Walk<'r, F> {
    visit: F,
    /// What `visit` refused; serde would add line and column to it.
    refused: &'r mut Option<String>,
}

impl<'a, F: FnMut(&'a str, &'a str) -> Result<usize, String>> Walk<'_, F> {
    fn see<E: serde::de::Error>(&mut self, name: &'a str, value: &'a RawValue) -> Result<usize, E> {
        (self.visit)(name, value.get()).map_err(|refused| {
            *self.refused = Some(refused);
            E::custom("refused")
        })
    }
}

impl<'de, F: FnMut(&'de str, &'de str) -> Result<usize, String>> Visitor<'de> for Walk<'_, F> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<usize, A::Error> {
        let mut sum = 0;
        while let Some(value) = elements.next_element::<&RawValue>()? {
            sum += self.see::<A::Error>("", value)?;
        }
        Ok(sum)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<usize, A::Error> {
        let mut sum = 0;
        while let Some((name, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            sum += self.see::<A::Error>(name.get(), value)?;
        }
        Ok(sum)
    }
}
