//! Blobs in Debezium's JSON: Kafka Connect's converter writes bytes in base64, where the JSON of
//! other messages has `0x` and hexadecimal digits.
//!
//! Some texts are both: `abcd`, and `0x00`, too. So a string in an envelope is always base64.

use std::borrow::Cow;

use super::fields::Field;
use crate::codec::cql_type::CqlType;

/// Returns the JSON text of a field for a column of this type, as `json_value` reads it.
///
/// # Errors
/// A message for people.
pub(super) fn column_json<'f>(
    field: Field<'f>,
    cql_type: &CqlType,
    is_debezium: bool,
) -> Result<Cow<'f, str>, String> {
    let json = field.json(cql_type)?;
    match field {
        Field::Json(_) if is_debezium => base64(json, cql_type),
        Field::Json(_) | Field::Avro { .. } => Ok(json),
    }
}

/// Marks a blob's string as base64.
///
/// # Errors
/// A message for people.
pub(super) fn base64<'f>(json: Cow<'f, str>, cql_type: &CqlType) -> Result<Cow<'f, str>, String> {
    match *cql_type == CqlType::Blob {
        true if json.starts_with('"') => Ok(Cow::Owned(format!("{{\"b64\": {json}}}"))),
        false if has_blobs(cql_type) && json != "null" => Err(format!(
            "a {cql_type} is not read from Debezium's JSON: it has blobs; use Avro"
        )),
        _ => Ok(json),
    }
}

/// Returns whether a value of this type has blobs inside.
fn has_blobs(cql_type: &CqlType) -> bool {
    match cql_type {
        CqlType::Blob => true,
        CqlType::Frozen(inner)
        | CqlType::List(inner)
        | CqlType::Set(inner)
        | CqlType::Vector(inner, _) => has_blobs(inner),
        CqlType::Map(key, value) => has_blobs(key) || has_blobs(value),
        CqlType::Tuple(types) => types.iter().any(has_blobs),
        CqlType::Udt(_, fields) => fields.iter().any(|(_, inner)| has_blobs(inner)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::codec::{cells::CellBuffer, json_value};

    fn cell(cql_type: &str, json: &str, is_debezium: bool) -> Result<Option<Vec<u8>>, String> {
        let cql_type = CqlType::parse(cql_type).unwrap();
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        let json = column_json(Field::Json(&raw), &cql_type, is_debezium)?;
        let mut cells = CellBuffer::new(1);
        json_value::append(&cql_type, &json, &mut cells)?;
        Ok(cells.cell(0, 0).map(<[u8]>::to_vec))
    }

    #[test]
    fn strings_of_envelopes_are_base64_and_others_hexadecimal() {
        let both = [
            (r#""abcd""#, vec![0x69, 0xb7, 0x1d], vec![0xab, 0xcd]),
            (r#""0x00""#, vec![0xd3, 0x1d, 0x34], vec![0x00]),
            (r#""""#, vec![], vec![]),
            (r#"{"b64": "0x8="}"#, vec![0xd3, 0x1f], vec![0xd3, 0x1f]),
        ];
        for (json, debezium, plain) in both {
            assert_eq!(cell("blob", json, true), Ok(Some(debezium)), "{json}");
            assert_eq!(cell("blob", json, false), Ok(Some(plain)), "{json}");
        }
        assert_eq!(cell("blob", "null", true), Ok(None));
        // Neither padding nor the other alphabet is guessed.
        for json in [r#""AP8""#, r#""0x00f""#, r#""-_8=""#, "7"] {
            assert!(cell("blob", json, true).is_err(), "{json}");
        }
        assert_eq!(cell("text", r#""AP8=""#, true), Ok(Some(b"AP8=".to_vec())));
    }

    #[test]
    fn blobs_inside_other_values_are_refused() {
        for cql_type in ["list<blob>", "map<text, blob>", "tuple<int, blob>"] {
            let refused = cell(cql_type, "[]", true).unwrap_err();
            assert!(refused.contains("use Avro"), "{refused}");
            assert_eq!(cell(cql_type, "null", true), Ok(None));
        }
        assert!(cell("list<blob>", r#"["0x00"]"#, false).is_ok());
        assert!(cell("list<int>", "[1]", true).is_ok());
    }
}
