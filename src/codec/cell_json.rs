//! Cells as JSON: numbers as numbers, values without a JSON form as text.

use serde_json::{Value, json};

use super::{
    cql_type::CqlType,
    literal,
    wire::{Parts, part_type},
};

/// Returns a cell as JSON; null for a null cell. NaN, infinities, decimals and varints are strings,
/// blobs lower-case hex, lists, sets, tuples and vectors arrays, maps arrays of pairs, user types
/// objects; everything else is the text that [`literal::to_text`] writes.
pub fn cell(cql_type: &CqlType, cell: Option<&[u8]>) -> Value {
    let Some(bytes) = cell else {
        return Value::Null;
    };
    known(cql_type, bytes).unwrap_or_else(|| json!(literal::to_text(cql_type, bytes)))
}

fn known(cql_type: &CqlType, bytes: &[u8]) -> Option<Value> {
    Some(match cql_type.thawed() {
        CqlType::Float => float(f32::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Double => double(f64::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Tinyint => json!(i8::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Smallint => json!(i16::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Int => json!(i32::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Bigint | CqlType::Counter => json!(i64::from_be_bytes(bytes.try_into().ok()?)),
        CqlType::Boolean if bytes.len() == 1 => json!(bytes != [0]),
        CqlType::Blob => json!(hex::encode(bytes)),
        composed => parts(composed, bytes)?,
    })
}

/// Returns the shortest digits that parse to the same `f32`.
pub fn float(value: f32) -> Value {
    match value.is_finite() {
        true => value
            .to_string()
            .parse()
            .map_or(Value::Null, |wide: f64| json!(wide)),
        false => json!(value.to_string()),
    }
}

/// Returns a number; NaN and infinities are strings.
pub fn double(value: f64) -> Value {
    match value.is_finite() {
        true => json!(value),
        false => json!(value.to_string()),
    }
}

fn parts(cql_type: &CqlType, bytes: &[u8]) -> Option<Value> {
    let parts: Vec<Option<&[u8]>> = Parts::open(cql_type, bytes)?
        .ok()?
        .collect::<Result<_, _>>()
        .ok()?;
    let inner = |(at, part): (usize, &Option<&[u8]>)| Some(cell(part_type(cql_type, at)?, *part));
    let values: Vec<Value> = parts.iter().enumerate().map(inner).collect::<Option<_>>()?;
    Some(match cql_type {
        CqlType::Map(..) => values.chunks(2).map(|pair| json!(pair)).collect(),
        CqlType::Udt(_, fields) => {
            let names = fields.iter().map(|(name, _)| name.clone());
            Value::Object(names.zip(values).collect())
        }
        _ => Value::Array(values),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(cql_type: &str, text: &str) -> Value {
        let cql_type = CqlType::parse(cql_type).unwrap();
        let bytes = literal::from_text(&cql_type, text).unwrap();
        cell(&cql_type, Some(&bytes))
    }

    #[test]
    fn values_keep_their_digits_and_their_kind() {
        assert_eq!(json_of("float", "0.3"), json!(0.3));
        assert_eq!(json_of("float", "NaN"), json!("NaN"));
        assert_eq!(json_of("double", "-Infinity"), json!("-inf"));
        assert_eq!(
            json_of("bigint", "9007199254740993"),
            json!(9_007_199_254_740_993_i64)
        );
        assert_eq!(json_of("decimal", "1.10"), json!("1.10"));
        assert_eq!(json_of("boolean", "true"), json!(true));
        assert_eq!(json_of("blob", "0x00FF"), json!("00ff"));
        assert_eq!(json_of("vector<float, 2>", "[0.1, 2.0]"), json!([0.1, 2.0]));
        assert_eq!(json_of("map<text, int>", "{'a': 1}"), json!([["a", 1]]));
        assert_eq!(json_of("date", "2024-02-29"), json!("2024-02-29"));
        assert_eq!(cell(&CqlType::Int, None), Value::Null);
    }

    #[test]
    fn bytes_that_are_no_value_are_shown_as_they_are() {
        assert_eq!(cell(&CqlType::Int, Some(&[1, 2])), json!("0x0102"));
        assert_eq!(cell(&CqlType::Int, Some(&[])), json!("0x"));
    }
}
