//! The key of a row from the key of its message.

use apache_avro::types::Value;

use super::{Schemas, debezium_blobs::column_json, fields::Fields, not_a_value, read_avro};
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
        json_value::append(&column.cql_type, text, &mut cells)
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
