//! Avro values as the JSON texts that rows are read from, without loss.

use std::{collections::HashMap, fmt::Write as _};

use apache_avro::{
    Schema,
    reader::datum::GenericDatumReader,
    schema::{Name, RecordSchema},
    types::Value,
};
use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, TimeDelta};
use num_bigint::BigInt;

use crate::codec::{cql_type::CqlType, wire::part_type};

/// A message cannot ask for more memory than this.
const MAX_VALUE: usize = 64 << 20;

/// A writer's schema, parsed.
#[derive(Debug)]
pub struct WriterSchema {
    schema: Schema,
    /// Records and fixed types by full name, for references to them.
    names: HashMap<Name, Schema>,
}

impl WriterSchema {
    /// Parses a schema.
    ///
    /// # Errors
    /// A message for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        apache_avro::util::max_allocation_bytes(MAX_VALUE);
        let schema = Schema::parse_str(text).map_err(|error| error.to_string())?;
        let mut names = HashMap::new();
        collect(&schema, &mut names);
        Ok(Self { schema, names })
    }

    /// Decodes a value.
    ///
    /// # Errors
    /// A message for people.
    pub fn decode(&self, mut bytes: &[u8]) -> Result<Value, String> {
        let reader = GenericDatumReader::builder(&self.schema)
            .build()
            .map_err(|error| error.to_string())?;
        let value = reader
            .read_value(&mut bytes)
            .map_err(|error| error.to_string())?;
        match bytes.is_empty() {
            true => Ok(value),
            false => Err(format!("{} bytes follow the value", bytes.len())),
        }
    }

    /// Returns the schema of the value itself.
    pub fn root(&self) -> &Schema {
        &self.schema
    }

    /// Returns the record that a value is, with its schema; `None` if it is not a record.
    pub fn record<'v>(
        &'v self,
        value: &'v Value,
        schema: &'v Schema,
    ) -> Option<(&'v [(String, Value)], &'v RecordSchema)> {
        match (value, self.resolved(schema)) {
            (Value::Union(at, inner), Schema::Union(union)) => {
                self.record(inner, union.variants().get(*at as usize)?)
            }
            (Value::Record(fields), Schema::Record(schema)) => Some((fields, schema)),
            _ => None,
        }
    }

    /// Appends the JSON text of a value for a column of this type.
    ///
    /// # Errors
    /// A message for people: the value has no form that the type takes.
    pub fn write_json(
        &self,
        value: &Value,
        schema: &Schema,
        cql_type: &CqlType,
        out: &mut String,
    ) -> Result<(), String> {
        let cql_type = cql_type.thawed();
        let schema = self.resolved(schema);
        match value {
            Value::Null => out.push_str("null"),
            Value::Boolean(truth) => write(out, truth),
            Value::Int(number) => write(out, number),
            Value::Long(number) => write(out, number),
            Value::Float(number) => write_float(out, f64::from(*number)),
            Value::Double(number) => write_float(out, *number),
            Value::String(text) | Value::Enum(_, text) => write_text(out, text),
            Value::Uuid(id) => write_text(out, &id.to_string()),
            Value::Bytes(bytes) | Value::Fixed(_, bytes) => match cql_type {
                CqlType::Blob => write_text(out, &format!("0x{}", hex::encode(bytes))),
                _ => return Err(format!("bytes are not a valid {cql_type}")),
            },
            Value::Decimal(decimal) => {
                let Schema::Decimal(schema) = schema else {
                    return Err("the decimal has no scale in its schema".to_owned());
                };
                let digits = BigInt::from(decimal.clone());
                let decimal = BigDecimal::new(digits, schema.scale as i64);
                write_text(out, &decimal.to_plain_string());
            }
            Value::BigDecimal(decimal) => write_text(out, &decimal.to_string()),
            Value::Date(days) => match cql_type {
                CqlType::Date => write_text(out, &date(*days)?),
                CqlType::Timestamp => write(out, i64::from(*days) * 86_400_000),
                _ => write(out, days),
            },
            Value::TimeMillis(time) => {
                write_time(out, cql_type, i64::from(*time), 1_000_000)?;
            }
            Value::TimeMicros(time) => write_time(out, cql_type, *time, 1_000)?,
            Value::TimestampMillis(time) | Value::LocalTimestampMillis(time) => {
                write_timestamp(out, cql_type, *time, 1)?;
            }
            Value::TimestampMicros(time) | Value::LocalTimestampMicros(time) => {
                write_timestamp(out, cql_type, *time, 1_000)?;
            }
            Value::TimestampNanos(time) | Value::LocalTimestampNanos(time) => {
                write_timestamp(out, cql_type, *time, 1_000_000)?;
            }
            Value::Duration(_) => return Err("an Avro duration is not supported".to_owned()),
            Value::Union(at, inner) => {
                let variant = match schema {
                    Schema::Union(union) => union.variants().get(*at as usize),
                    _ => None,
                };
                self.write_json(inner, variant.unwrap_or(schema), cql_type, out)?;
            }
            Value::Array(items) => {
                let item: &Schema = match schema {
                    Schema::Array(array) => &array.items,
                    _ => schema,
                };
                out.push('[');
                for (at, value) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    let part =
                        part_type(cql_type, at).ok_or_else(|| not_a("an array", cql_type))?;
                    self.write_json(value, item, part, out)?;
                }
                out.push(']');
            }
            Value::Map(entries) => {
                let inner: &Schema = match schema {
                    Schema::Map(map) => &map.types,
                    _ => schema,
                };
                let CqlType::Map(_, part) = cql_type else {
                    return Err(not_a("a map", cql_type));
                };
                let entries = entries
                    .iter()
                    .map(|(key, value)| (key, value, inner, &**part));
                self.write_object(entries, out)?;
            }
            Value::Record(fields) => {
                let (Schema::Record(record), CqlType::Udt(_, parts)) = (schema, cql_type) else {
                    return Err(not_a("a record", cql_type));
                };
                let fields = fields.iter().zip(&record.fields);
                let fields = fields.filter_map(|((name, value), field)| {
                    let part = parts.iter().find(|(part, _)| part == name)?;
                    Some((name, value, &field.schema, &part.1))
                });
                self.write_object(fields, out)?;
            }
        }
        Ok(())
    }

    fn write_object<'v>(
        &self,
        fields: impl Iterator<Item = (&'v String, &'v Value, &'v Schema, &'v CqlType)>,
        out: &mut String,
    ) -> Result<(), String> {
        out.push('{');
        for (at, (name, value, schema, cql_type)) in fields.enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_text(out, name);
            out.push(':');
            self.write_json(value, schema, cql_type, out)?;
        }
        out.push('}');
        Ok(())
    }

    fn resolved<'s>(&'s self, schema: &'s Schema) -> &'s Schema {
        match schema {
            Schema::Ref { name } => self.names.get(name).unwrap_or(schema),
            other => other,
        }
    }
}

fn collect(schema: &Schema, names: &mut HashMap<Name, Schema>) {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.clone(), schema.clone());
            record
                .fields
                .iter()
                .for_each(|field| collect(&field.schema, names));
        }
        Schema::Union(union) => union.variants().iter().for_each(|one| collect(one, names)),
        Schema::Array(array) => collect(&array.items, names),
        Schema::Map(map) => collect(&map.types, names),
        other => {
            if let Some(name) = other.name() {
                names.insert(name.clone(), other.clone());
            }
        }
    }
}

fn write(out: &mut String, value: impl std::fmt::Display) {
    // A String takes everything.
    let _ = write!(out, "{value}");
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn write_float(out: &mut String, number: f64) {
    match number.is_finite() {
        true => write(out, number),
        false => write_text(out, &number.to_string()),
    }
}

fn write_timestamp(
    out: &mut String,
    cql_type: &CqlType,
    time: i64,
    per_millisecond: i64,
) -> Result<(), String> {
    let milliseconds = time.div_euclid(per_millisecond);
    match cql_type {
        // Finer parts than the type has are cut off.
        CqlType::Timestamp => write(out, milliseconds),
        CqlType::Date => {
            let days = milliseconds.div_euclid(86_400_000);
            write_text(
                out,
                &date(i32::try_from(days).map_err(|error| error.to_string())?)?,
            );
        }
        CqlType::Text | CqlType::Ascii => {
            let time = DateTime::from_timestamp_millis(milliseconds);
            let time = time.ok_or_else(|| format!("the timestamp {time:?} is out of range"))?;
            write_text(out, &time.to_rfc3339());
        }
        _ => write(out, time),
    }
    Ok(())
}

fn write_time(
    out: &mut String,
    cql_type: &CqlType,
    time: i64,
    nanoseconds: i64,
) -> Result<(), String> {
    if *cql_type != CqlType::Time {
        write(out, time);
        return Ok(());
    }
    let total = time.checked_mul(nanoseconds);
    let total = total.filter(|total| (0..86_400_000_000_000).contains(total));
    let total = total.ok_or_else(|| format!("the time {time} is not within a day"))?;
    let (seconds, fraction) = (total / 1_000_000_000, total % 1_000_000_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let text = format!("{hours:02}:{minutes:02}:{:02}.{fraction:09}", seconds % 60);
    write_text(out, &text);
    Ok(())
}

fn date(days: i32) -> Result<String, String> {
    let epoch = NaiveDate::default();
    let date = epoch.checked_add_signed(TimeDelta::days(days.into()));
    let date = date.ok_or_else(|| format!("the date {days} is out of range"))?;
    Ok(date.format("%Y-%m-%d").to_string())
}

fn not_a(what: &str, cql_type: &CqlType) -> String {
    format!("{what} is not a valid {cql_type}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(schema: &str, value: &Value, cql_type: &str) -> Result<String, String> {
        let schema = WriterSchema::parse(schema).unwrap();
        let mut out = String::new();
        let cql_type = CqlType::parse(cql_type).unwrap();
        schema.write_json(value, schema.root(), &cql_type, &mut out)?;
        Ok(out)
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let big = 9_007_199_254_740_993;
        assert_eq!(
            json("\"long\"", &Value::Long(big), "bigint").unwrap(),
            big.to_string()
        );
        assert_eq!(
            json("\"double\"", &Value::Double(0.1), "double").unwrap(),
            "0.1"
        );
        assert_eq!(
            json("\"float\"", &Value::Float(0.1), "float").unwrap(),
            "0.10000000149011612"
        );
        assert_eq!(
            json("\"double\"", &Value::Double(f64::NAN), "double").unwrap(),
            "\"NaN\""
        );
        let decimal = r#"{"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}"#;
        let value = Value::Decimal(
            BigInt::from(-123_456_789_012_345_600_i64)
                .to_signed_bytes_be()
                .into(),
        );
        assert_eq!(
            json(decimal, &value, "decimal").unwrap(),
            "\"-1234567890123456.00\""
        );
    }

    #[test]
    fn logical_types_follow_the_column() {
        let micros = r#"{"type": "long", "logicalType": "timestamp-micros"}"#;
        let value = Value::TimestampMicros(1_700_000_000_123_456);
        assert_eq!(json(micros, &value, "timestamp").unwrap(), "1700000000123");
        assert_eq!(json(micros, &value, "bigint").unwrap(), "1700000000123456");
        assert_eq!(json(micros, &value, "date").unwrap(), "\"2023-11-14\"");
        let days = r#"{"type": "int", "logicalType": "date"}"#;
        assert_eq!(
            json(days, &Value::Date(19_675), "date").unwrap(),
            "\"2023-11-14\""
        );
        assert_eq!(json(days, &Value::Date(19_675), "int").unwrap(), "19675");
        let time = r#"{"type": "int", "logicalType": "time-millis"}"#;
        let value = Value::TimeMillis(45_296_789);
        assert_eq!(
            json(time, &value, "time").unwrap(),
            "\"12:34:56.789000000\""
        );
        assert_eq!(
            json("\"bytes\"", &Value::Bytes(vec![1, 255]), "blob").unwrap(),
            "\"0x01ff\""
        );
        assert!(json("\"bytes\"", &Value::Bytes(vec![1]), "text").is_err());
    }

    #[test]
    fn collections_and_references_are_followed() {
        let list = Value::Array(vec![Value::Float(1.5), Value::Float(2.0)]);
        let schema = r#"{"type": "array", "items": "float"}"#;
        assert_eq!(json(schema, &list, "vector<float, 2>").unwrap(), "[1.5,2]");
        let map = Value::Map([("a\"b".to_owned(), Value::Long(1))].into());
        let schema = r#"{"type": "map", "values": "long"}"#;
        assert_eq!(
            json(schema, &map, "map<text, bigint>").unwrap(),
            r#"{"a\"b":1}"#
        );
        assert!(json(schema, &map, "text").is_err());
    }
}
