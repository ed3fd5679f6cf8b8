//! The key of a row from the key of its message.

use apache_avro::types::Value;

use super::{
    Schemas,
    debezium_blobs::{base64, column_json},
    fields::Fields,
    not_a_value, read_avro,
};
use crate::{
    codec::{cells::CellBuffer, json_value, schema::Column},
    domain::{
        job::stream::{MessageFormat, StreamInput},
        problem::Problem,
    },
};

/// Returns the cells of key columns, in their order.
///
/// A key is a JSON object or an Avro record with these columns, in an envelope's `payload` or not;
/// for one column also the value itself.
///
/// # Errors
/// The key does not have them.
pub(super) fn cells(
    columns: &[&Column],
    key: Option<&[u8]>,
    input: &StreamInput,
    schemas: &impl Schemas,
) -> Result<CellBuffer, Problem> {
    let missing = |column: &Column, why: &str| {
        let message = format!("the message has no key column `{}`{why}", column.name);
        Problem::new("row.no_key", message).at(column.name.clone())
    };
    let Some(key) = key else {
        return Err(missing(columns[0], ", and its own key is null"));
    };
    let mut cells = CellBuffer::new(columns.len());
    let mut take = |fields: &Fields<'_>| {
        let inner = fields.get("payload").and_then(|payload| payload.fields());
        let fields = inner.as_ref().unwrap_or(fields);
        for column in columns {
            let field = fields.get(&column.name);
            let field = field.ok_or_else(|| missing(column, ""))?;
            let json = column_json(field, &column.cql_type, input.is_debezium);
            json.and_then(|json| json_value::append(&column.cql_type, &json, &mut cells))
                .map_err(|error| not_a_value(column, &error))?;
        }
        Ok(())
    };
    let is_avro = input.format == MessageFormat::Avro && key.first() == Some(&0);
    if is_avro {
        let (schema, value) = read_avro(key, schemas)?;
        match Fields::of_avro(schema, &value) {
            Some(fields) => take(&fields)?,
            None => {
                let json = alone(columns, &missing)?;
                let mut text = String::new();
                let value: &Value = &value;
                schema
                    .write_json(value, schema.root(), &json.cql_type, &mut text)
                    .and_then(|()| json_value::append(&json.cql_type, &text, &mut cells))
                    .map_err(|error| not_a_value(json, &error))?;
            }
        }
    } else if let Ok(fields) = Fields::of_json(key) {
        take(&fields)?;
    } else {
        let column = alone(columns, &missing)?;
        let text = std::str::from_utf8(key).map_err(|_| missing(column, ""))?;
        // `7` and `"7"` are JSON; `anna` is the text itself.
        let json = match input.is_debezium {
            true => base64(text.into(), &column.cql_type),
            false => Ok(text.into()),
        };
        json.and_then(|json| json_value::append(&column.cql_type, &json, &mut cells))
            .or_else(|_| {
                cells.try_push_with(|out| json_value::write_text(&column.cql_type, text, out))
            })
            .map_err(|error| not_a_value(column, &error))?;
    }
    match (0..columns.len()).find(|at| cells.cell(0, *at).is_none()) {
        None => Ok(cells),
        Some(null) => Err(missing(columns[null], ": it is null in the message's key")),
    }
}

fn alone<'c>(
    columns: &[&'c Column],
    missing: &impl Fn(&Column, &str) -> Problem,
) -> Result<&'c Column, Problem> {
    match columns {
        [column] => Ok(column),
        _ => Err(missing(columns[0], ": the message's key is not an object")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        codec::cql_type::CqlType,
        domain::job::{MaxRejected, stream::MessageTime},
        stream::decode::avro::WriterSchema,
    };

    struct NoSchemas;

    impl Schemas for NoSchemas {
        fn schema(&self, id: u32) -> Result<&WriterSchema, Problem> {
            Err(Problem::new("message.unknown_schema", id.to_string()))
        }
    }

    fn key_cell(key: &str, is_debezium: bool) -> Result<Vec<u8>, Problem> {
        let input = StreamInput {
            topic: String::new(),
            format: MessageFormat::Json,
            is_debezium,
            is_upserted: true,
            time: MessageTime::Message,
            is_deleting: true,
            max_rejected: MaxRejected::Count(1),
            window: Duration::from_secs(1),
        };
        let column = Column {
            name: "id".to_owned(),
            cql_type: CqlType::Blob,
        };
        let cells = cells(&[&column], Some(key.as_bytes()), &input, &NoSchemas)?;
        Ok(cells.cell(0, 0).unwrap().to_vec())
    }

    #[test]
    fn blobs_of_keys_are_spelled_as_those_of_values() {
        for key in [
            r#""abcd""#,
            r#"{"id": "abcd"}"#,
            r#"{"schema": {}, "payload": {"id": "abcd"}}"#,
        ] {
            assert_eq!(key_cell(key, true).unwrap(), [0x69, 0xb7, 0x1d], "{key}");
            assert_eq!(key_cell(key, false).unwrap(), [0xab, 0xcd], "{key}");
        }
        for key in [r#""AP8""#, r#"{"id": "AP8"}"#] {
            assert_eq!(key_cell(key, true).unwrap_err().code, "row.not_a_value");
        }
    }
}
