//! The fields of a message, by name, as JSON texts: what JSON, Avro and Debezium's envelope have in
//! common.

use std::borrow::Cow;

use apache_avro::types::Value;
use serde_json::value::RawValue;

use super::avro::WriterSchema;
use crate::{codec::cql_type::CqlType, serve::rows::Row};

/// A JSON object or an Avro record.
#[derive(Debug)]
pub enum Fields<'m> {
    Json(Row<'m>),
    Avro {
        schema: &'m WriterSchema,
        fields: &'m [(String, Value)],
        record: &'m apache_avro::schema::RecordSchema,
    },
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Field<'f> {
    Json(&'f RawValue),
    Avro {
        schema: &'f WriterSchema,
        value: &'f Value,
        of: &'f apache_avro::Schema,
    },
}

impl<'m> Fields<'m> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// A message for people.
    pub fn of_json(bytes: &'m [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("the value is not UTF-8 at byte {}", error.valid_up_to()))?;
        let row = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self::Json(row))
    }

    /// Returns an Avro record's fields; `None` if the value is not a record.
    pub fn of_avro(schema: &'m WriterSchema, value: &'m Value) -> Option<Self> {
        let (fields, record) = schema.record(value, schema.root())?;
        Some(Self::Avro {
            schema,
            fields,
            record,
        })
    }

    /// Visits each field: its name, the names that it had before, and its value.
    ///
    /// # Errors
    /// Those of `visit`, which end the visit.
    pub fn visit<E>(
        &self,
        mut visit: impl FnMut(&str, &[String], Field<'m>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Json(Row(fields)) => {
                for (name, value) in fields {
                    visit(name, &[], Field::Json(value))?;
                }
            }
            Self::Avro {
                schema,
                fields,
                record,
            } => {
                for ((name, value), field) in fields.iter().zip(&record.fields) {
                    let of = &field.schema;
                    visit(name, &field.aliases, Field::Avro { schema, value, of })?;
                }
            }
        }
        Ok(())
    }

    /// Returns a field by its name.
    pub fn get(&self, wanted: &str) -> Option<Field<'m>> {
        match self {
            Self::Json(Row(fields)) => {
                let found = fields.iter().find(|(name, _)| name == wanted);
                found.map(|(_, value)| Field::Json(value))
            }
            Self::Avro {
                schema,
                fields,
                record,
            } => {
                let at = fields.iter().position(|(name, _)| name == wanted)?;
                Some(Field::Avro {
                    schema,
                    value: &fields[at].1,
                    of: &record.fields.get(at)?.schema,
                })
            }
        }
    }
}

impl<'f> Field<'f> {
    /// Returns the JSON text for a column of this type.
    ///
    /// # Errors
    /// A message for people.
    pub fn json(self, cql_type: &CqlType) -> Result<Cow<'f, str>, String> {
        match self {
            Self::Json(raw) => Ok(Cow::Borrowed(raw.get())),
            Self::Avro { schema, value, of } => {
                let mut text = String::new();
                schema.write_json(value, of, cql_type, &mut text)?;
                Ok(Cow::Owned(text))
            }
        }
    }

    /// Returns the fields of a record or object; `None` if it is null or something else.
    pub fn fields(self) -> Option<Fields<'f>> {
        match self {
            Self::Json(raw) => serde_json::from_str(raw.get()).ok().map(Fields::Json),
            Self::Avro { schema, value, of } => {
                let (fields, record) = schema.record(value, of)?;
                Some(Fields::Avro {
                    schema,
                    fields,
                    record,
                })
            }
        }
    }

    /// Returns a text.
    pub fn text(self) -> Option<String> {
        let json = self.json(&CqlType::Text).ok()?;
        serde_json::from_str(&json).ok()
    }
}
