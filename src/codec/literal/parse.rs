//! Parser of literals of composed types.

use super::{brackets, scalar};
use crate::codec::{
    cql_type::CqlType,
    wire::{fixed_size, part_type, write_unsigned_vint},
};

/// Parses a whole text as a value of a composed type.
pub(super) fn composed(cql_type: &CqlType, text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim();
    if text == "0x" {
        return Ok(Vec::new());
    }
    let mut cursor = Cursor { rest: text };
    let bytes = cursor.composed(cql_type)?;
    match cursor.rest.trim() {
        "" => Ok(bytes),
        rest => Err(format!("unexpected `{rest}` after the end of a {cql_type}")),
    }
}

/// Reserved words of CQL, which are identifiers only in quotes.
const RESERVED: &[&str] = &[
    "add",
    "allow",
    "alter",
    "and",
    "apply",
    "asc",
    "authorize",
    "batch",
    "begin",
    "by",
    "columnfamily",
    "create",
    "default",
    "delete",
    "desc",
    "describe",
    "drop",
    "entries",
    "execute",
    "from",
    "full",
    "grant",
    "if",
    "in",
    "index",
    "infinity",
    "insert",
    "into",
    "is",
    "keyspace",
    "limit",
    "materialized",
    "mbean",
    "mbeans",
    "modify",
    "nan",
    "norecursive",
    "not",
    "null",
    "of",
    "on",
    "or",
    "order",
    "primary",
    "rename",
    "replace",
    "revoke",
    "schema",
    "select",
    "set",
    "table",
    "to",
    "token",
    "truncate",
    "unlogged",
    "unset",
    "update",
    "use",
    "using",
    "view",
    "where",
    "with",
];

/// Appends a field's name, quoted if CQL requires it.
pub(super) fn write_name(name: &str, out: &mut String) {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    match plain {
        true => out.push_str(name),
        false => {
            out.push('"');
            out.push_str(&name.replace('"', "\"\""));
            out.push('"');
        }
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip_blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.skip_blank();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char, cql_type: &CqlType) -> Result<(), String> {
        match self.eat(wanted) {
            true => Ok(()),
            false => Err(match self.rest.chars().next() {
                Some(found) => format!("found `{found}` instead of `{wanted}` in a {cql_type}"),
                None => format!("the text ends before `{wanted}` in a {cql_type}"),
            }),
        }
    }

    /// Parses one part; `None` is null.
    fn value(&mut self, cql_type: &CqlType) -> Result<Option<Vec<u8>>, String> {
        self.skip_blank();
        let opens =
            brackets(cql_type.thawed()).is_some_and(|(open, _)| self.rest.starts_with(open));
        if opens {
            return self.composed(cql_type.thawed()).map(Some);
        }
        if self.rest.starts_with('\'') {
            let text = self.quoted('\'')?;
            return scalar::from_text(cql_type.thawed(), &text).map(Some);
        }
        let end = self
            .rest
            .find([',', ':', ')', ']', '}'])
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        match token.trim() {
            "null" => Ok(None),
            "0x" => Ok(Some(Vec::new())),
            token if scalar::is_quoted(cql_type.thawed()) => {
                Err(format!("`{token}` requires single quotes here"))
            }
            token => scalar::from_text(cql_type.thawed(), token).map(Some),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character != quote {
                text.push(character);
                continue;
            }
            match characters.peek() {
                Some((_, next)) if *next == quote => {
                    text.push(quote);
                    characters.next();
                }
                _ => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
            }
        }
        Err(format!("unclosed {quote}"))
    }

    fn composed(&mut self, cql_type: &CqlType) -> Result<Vec<u8>, String> {
        let Some((open, close)) = brackets(cql_type) else {
            return Err(format!("type {cql_type} has no literals"));
        };
        self.expect(open, cql_type)?;
        if let CqlType::Udt(_, fields) = cql_type {
            return self.fields(cql_type, fields);
        }
        let mut parts = Vec::new();
        while !self.eat(close) {
            if !parts.is_empty() {
                let is_map_value = matches!(cql_type, CqlType::Map(..)) && parts.len() % 2 == 1;
                self.expect(if is_map_value { ':' } else { ',' }, cql_type)?;
            }
            let inner = part_type(cql_type, parts.len())
                .ok_or_else(|| format!("too many values for a {cql_type}"))?;
            parts.push(self.value(inner)?);
        }
        frame(cql_type, &parts)
    }

    fn fields(
        &mut self,
        cql_type: &CqlType,
        fields: &[(String, CqlType)],
    ) -> Result<Vec<u8>, String> {
        let mut values = vec![None; fields.len()];
        let mut first = true;
        while !self.eat('}') {
            if !first {
                self.expect(',', cql_type)?;
            }
            first = false;
            let name = self.name()?;
            let at = fields
                .iter()
                .position(|(known, _)| *known == name)
                .ok_or_else(|| format!("{cql_type} has no field `{name}`"))?;
            self.expect(':', cql_type)?;
            values[at] = self.value(&fields[at].1)?;
        }
        frame(cql_type, &values)
    }

    fn name(&mut self) -> Result<String, String> {
        self.skip_blank();
        if self.rest.starts_with('"') {
            return self.quoted('"');
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name.to_lowercase())
    }
}

fn frame(cql_type: &CqlType, parts: &[Option<Vec<u8>>]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match cql_type {
        CqlType::Map(..) if parts.len() % 2 == 1 => {
            return Err(format!("a key of a {cql_type} has no value"));
        }
        CqlType::Map(..) => out.extend_from_slice(&((parts.len() / 2) as i32).to_be_bytes()),
        CqlType::List(_) | CqlType::Set(_) => {
            out.extend_from_slice(&(parts.len() as i32).to_be_bytes());
        }
        CqlType::Vector(element, width) => {
            if parts.len() != usize::from(*width) {
                return Err(format!("found {} values for a {cql_type}", parts.len()));
            }
            let size = fixed_size(element);
            for part in parts {
                let part = part
                    .as_deref()
                    .filter(|part| size.is_none_or(|size| size == part.len()))
                    .ok_or_else(|| format!("a {cql_type} must not contain null or empty values"))?;
                if size.is_none() {
                    write_unsigned_vint(part.len() as u64, &mut out);
                }
                out.extend_from_slice(part);
            }
            return Ok(out);
        }
        _ => {}
    }
    for part in parts {
        match part {
            Some(part) => {
                out.extend_from_slice(&(part.len() as i32).to_be_bytes());
                out.extend_from_slice(part);
            }
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    Ok(out)
}
