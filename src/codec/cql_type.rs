//! CQL types in the spelling of `system_schema`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Fields of a user type in order, by exact name.
pub type Fields = Vec<(String, CqlType)>;

/// A CQL type. Native names as in `system_schema.columns.type`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CqlType {
    Ascii,
    Bigint,
    Blob,
    Boolean,
    Counter,
    Date,
    Decimal,
    Double,
    Duration,
    Float,
    Inet,
    Int,
    Smallint,
    Text,
    Time,
    Timestamp,
    Timeuuid,
    Tinyint,
    Uuid,
    Varint,
    List(Box<CqlType>),
    Set(Box<CqlType>),
    Map(Box<CqlType>, Box<CqlType>),
    Tuple(Vec<CqlType>),
    Vector(Box<CqlType>, u16),
    Frozen(Box<CqlType>),
    /// A user type of the table's keyspace: its name as in the schema (quotes included) and its
    /// fields.
    Udt(String, Fields),
    /// An opaque type: a user type whose fields are not known (yet), or a custom class.
    Named(String),
}

impl CqlType {
    /// Parses the spelling of `system_schema.columns.type`, such as `frozen<list<float>>`.
    ///
    /// Unknown names become [`CqlType::Named`]. Returns `None` only for unbalanced brackets or an
    /// invalid vector width.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(open) = text.find('<') else {
            return Some(Self::native(text));
        };
        let inner = text.get(open + 1..)?.strip_suffix('>')?;
        let arguments = split_arguments(inner)?;
        let one = || match arguments.as_slice() {
            [one] => Self::parse(one).map(Box::new),
            _ => None,
        };
        match &text[..open] {
            "list" => Some(Self::List(one()?)),
            "set" => Some(Self::Set(one()?)),
            "frozen" => Some(Self::Frozen(one()?)),
            "map" => match arguments.as_slice() {
                [key, value] => Some(Self::Map(
                    Box::new(Self::parse(key)?),
                    Box::new(Self::parse(value)?),
                )),
                _ => None,
            },
            "tuple" => arguments
                .iter()
                .map(|argument| Self::parse(argument))
                .collect::<Option<Vec<_>>>()
                .map(Self::Tuple),
            "vector" => match arguments.as_slice() {
                [element, width] => Some(Self::Vector(
                    Box::new(Self::parse(element)?),
                    width.trim().parse().ok()?,
                )),
                _ => None,
            },
            _ => Some(Self::Named(text.to_owned())),
        }
    }

    fn native(name: &str) -> Self {
        match name {
            "ascii" => Self::Ascii,
            "bigint" => Self::Bigint,
            "blob" => Self::Blob,
            "boolean" => Self::Boolean,
            "counter" => Self::Counter,
            "date" => Self::Date,
            "decimal" => Self::Decimal,
            "double" => Self::Double,
            "duration" => Self::Duration,
            "float" => Self::Float,
            "inet" => Self::Inet,
            "int" => Self::Int,
            "smallint" => Self::Smallint,
            "text" | "varchar" => Self::Text,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timeuuid" => Self::Timeuuid,
            "tinyint" => Self::Tinyint,
            "uuid" => Self::Uuid,
            "varint" => Self::Varint,
            other => Self::Named(other.to_owned()),
        }
    }

    /// Returns the type with each name that `fields` knows replaced by the user type.
    pub fn resolve(&self, fields: &dyn Fn(&str) -> Option<Fields>) -> Self {
        let inner = |inner: &Self| Box::new(inner.resolve(fields));
        match self {
            Self::List(element) => Self::List(inner(element)),
            Self::Set(element) => Self::Set(inner(element)),
            Self::Map(key, value) => Self::Map(inner(key), inner(value)),
            Self::Tuple(parts) => {
                Self::Tuple(parts.iter().map(|part| part.resolve(fields)).collect())
            }
            Self::Vector(element, width) => Self::Vector(inner(element), *width),
            Self::Frozen(frozen) => Self::Frozen(inner(frozen)),
            Self::Named(name) => match fields(name) {
                Some(known) => Self::Udt(
                    name.clone(),
                    known
                        .iter()
                        .map(|(field, cql_type)| (field.clone(), cql_type.resolve(fields)))
                        .collect(),
                ),
                None => self.clone(),
            },
            other => other.clone(),
        }
    }

    /// Returns the type without a `frozen<>` around it.
    pub fn thawed(&self) -> &Self {
        match self {
            Self::Frozen(inner) => inner,
            other => other,
        }
    }
}

fn split_arguments(inner: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, character) in inner.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    parts.push(&inner[start..]);
    (depth == 0).then_some(parts)
}

impl fmt::Display for CqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ascii => f.write_str("ascii"),
            Self::Bigint => f.write_str("bigint"),
            Self::Blob => f.write_str("blob"),
            Self::Boolean => f.write_str("boolean"),
            Self::Counter => f.write_str("counter"),
            Self::Date => f.write_str("date"),
            Self::Decimal => f.write_str("decimal"),
            Self::Double => f.write_str("double"),
            Self::Duration => f.write_str("duration"),
            Self::Float => f.write_str("float"),
            Self::Inet => f.write_str("inet"),
            Self::Int => f.write_str("int"),
            Self::Smallint => f.write_str("smallint"),
            Self::Text => f.write_str("text"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Timeuuid => f.write_str("timeuuid"),
            Self::Tinyint => f.write_str("tinyint"),
            Self::Uuid => f.write_str("uuid"),
            Self::Varint => f.write_str("varint"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Set(inner) => write!(f, "set<{inner}>"),
            Self::Map(key, value) => write!(f, "map<{key}, {value}>"),
            Self::Tuple(parts) => {
                f.write_str("tuple<")?;
                for (at, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str(">")
            }
            Self::Vector(element, width) => write!(f, "vector<{element}, {width}>"),
            Self::Frozen(inner) => write!(f, "frozen<{inner}>"),
            Self::Udt(name, _) | Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CqlType;

    #[test]
    fn spellings_of_the_schema_tables_read_back_the_same() {
        for text in [
            "int",
            "frozen<list<float>>",
            "map<text, frozen<map<text, int>>>",
            "vector<float, 64>",
            "tuple<int, frozen<set<uuid>>, text>",
            "address",
        ] {
            assert_eq!(CqlType::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(CqlType::parse("list<int"), None);
        assert_eq!(CqlType::parse("vector<float, many>"), None);
    }
}
