//! Rows as JSON objects, written without making the values in between: what a stream does for each
//! message.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{cell_json, cql_type::CqlType};

/// Columns with their types and cells as a JSON object, sorted by name: the same text as a map of
/// [`cell_json::cell`].
#[derive(Debug, Clone)]
pub struct JsonRow<F>(pub F);

impl<'a, F> Serialize for JsonRow<F>
where
    F: Iterator<Item = (&'a str, &'a CqlType, Option<&'a [u8]>)> + Clone,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields: Vec<_> = self.0.clone().collect();
        fields.sort_unstable_by_key(|(name, ..)| *name);
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, cql_type, cell) in fields {
            map.serialize_entry(name, &JsonCell(cql_type, cell))?;
        }
        map.end()
    }
}

struct JsonCell<'a>(&'a CqlType, Option<&'a [u8]>);

impl Serialize for JsonCell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(cql_type, cell) = *self;
        // Texts and whole numbers are most of what models give; the rest may cost more.
        match (cql_type.thawed(), cell) {
            (CqlType::Text | CqlType::Ascii, Some(bytes)) => {
                if let Ok(text) = std::str::from_utf8(bytes) {
                    return serializer.serialize_str(text);
                }
            }
            (CqlType::Bigint | CqlType::Counter, Some(bytes)) => {
                if let Ok(bytes) = bytes.try_into() {
                    return serializer.serialize_i64(i64::from_be_bytes(bytes));
                }
            }
            _ => {}
        }
        cell_json::cell(cql_type, cell).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::codec::literal;

    #[test]
    fn a_row_is_written_as_the_map_of_its_cells_would_be() {
        let given = [
            ("z", "text", Some("a \"quoted\" line\n, ümlaut")),
            ("b", "bigint", Some("9007199254740993")),
            ("a", "int", Some("-1")),
            ("c", "float", Some("0.1")),
            ("d", "double", Some("NaN")),
            ("e", "ascii", Some("x")),
            ("f", "vector<float, 2>", Some("[0.1, 2.0]")),
            ("g", "decimal", Some("1.10")),
            ("h", "text", None),
            ("i", "frozen<list<int>>", Some("[1, 2]")),
        ];
        let types = given.map(|(_, cql_type, _)| CqlType::parse(cql_type).unwrap());
        let mut bytes: Vec<Option<Vec<u8>>> = types
            .iter()
            .zip(given)
            .map(|(cql_type, (.., text))| {
                text.map(|text| literal::from_text(cql_type, text).unwrap())
            })
            .collect();
        let check = |bytes: &[Option<Vec<u8>>]| {
            let fields = given.iter().zip(&types).zip(bytes);
            let fields =
                fields.map(|(((name, ..), cql_type), cell)| (*name, cql_type, cell.as_deref()));
            let map: Map<String, Value> = fields
                .clone()
                .map(|(name, cql_type, cell)| (name.to_owned(), cell_json::cell(cql_type, cell)))
                .collect();
            assert_eq!(
                serde_json::to_string(&JsonRow(fields)).unwrap(),
                serde_json::to_string(&map).unwrap()
            );
        };
        check(&bytes);
        // Bytes that are not a value of their type.
        bytes[0] = Some(vec![0xff]);
        bytes[1] = Some(vec![1]);
        bytes[2] = Some(vec![]);
        check(&bytes);
    }
}
