//! The text that identifies an entity in `rejected_rows.entity`.

use num_bigint::BigInt;
use sha2::{Digest, Sha256};

use crate::codec::{
    canonical::{Zeros, append_cell},
    cql_type::CqlType,
    literal,
    schema::Column,
    wire::part_type,
};

/// Longer labels are replaced by a hash: Cassandra stores at most 64 KiB of a clustering key.
const MAX_BYTES: usize = 1_000;
/// Maximum number of trailing zeros of an integer decimal that is written without an exponent.
const PLAIN_ZEROS: i64 = 40;

/// Returns the label of an entity. Keys that Cassandra considers equal have the same label; keys
/// that it considers different have different labels.
///
/// The label consists of the values as CQL literals without quotes, joined by `|`; inside a value,
/// `|` and `\` follow a `\`. A value whose literal does not identify it is `\x` and its bytes, and
/// a long label is `\h` and its SHA-256, both in hexadecimal.
pub fn label<'a>(
    columns: &[Column],
    partition_key_len: usize,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
) -> String {
    let mut out = String::new();
    for (at, (column, cell)) in columns.iter().zip(cells).enumerate() {
        if at > 0 {
            out.push('|');
        }
        let cell = cell.unwrap_or_default();
        let value = match at < partition_key_len {
            true => of_partition(&column.cql_type, cell),
            false => of_clustering(&column.cql_type, cell),
        };
        out.push_str(&value);
    }
    match out.len() > MAX_BYTES {
        true => format!("\\h{}", hex::encode(Sha256::digest(out.as_bytes()))),
        false => out,
    }
}

/// Appends a value of the partition key, which Cassandra compares by its bytes.
fn of_partition(cql_type: &CqlType, cell: &[u8]) -> String {
    let text = literal::to_text(cql_type, cell);
    match literal::from_text(cql_type, &text).is_ok_and(|bytes| bytes == cell) {
        true => escaped(&text),
        false => bytes(cell),
    }
}

/// Appends a value of a clustering column, which Cassandra compares by value.
fn of_clustering(cql_type: &CqlType, cell: &[u8]) -> String {
    let mut canonical = Vec::new();
    append_cell(cql_type, Some(cell), Zeros::Distinct, &mut canonical);
    let text = match cql_type.thawed() {
        CqlType::Decimal => shortest_decimal(cell),
        composed if part_type(composed, 0).is_some() => None,
        _ => Some(literal::to_text(cql_type, cell)),
    };
    let text = text.filter(|text| {
        literal::from_text(cql_type, text).is_ok_and(|bytes| {
            let mut same = Vec::new();
            append_cell(cql_type, Some(&bytes), Zeros::Distinct, &mut same);
            same == canonical
        })
    });
    text.map_or_else(|| bytes(&canonical), |text| escaped(&text))
}

/// Returns the number without redundant zeros: 1.50 is 1.5, and 1E2 is 100.
fn shortest_decimal(cell: &[u8]) -> Option<String> {
    let (scale, unscaled) = cell.split_first_chunk()?;
    let mut scale = i64::from(i32::from_be_bytes(*scale));
    let mut number = BigInt::from_signed_bytes_be(unscaled);
    let digits = number.to_string();
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    if digits == "0" {
        scale = 0;
    } else {
        number /= BigInt::from(10).pow(u32::try_from(zeros).ok()?);
        scale -= i64::try_from(zeros).ok()?;
    }
    if (-PLAIN_ZEROS..0).contains(&scale) {
        number *= BigInt::from(10).pow(u32::try_from(-scale).ok()?);
        scale = 0;
    }
    let bytes = [
        &i32::try_from(scale).ok()?.to_be_bytes()[..],
        &number.to_signed_bytes_be(),
    ];
    Some(literal::to_text(&CqlType::Decimal, &bytes.concat()))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}

fn bytes(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(types: &[&str]) -> Vec<Column> {
        let column = |(at, cql_type): (usize, &&str)| Column {
            name: format!("k{at}"),
            cql_type: CqlType::parse(cql_type).unwrap(),
        };
        types.iter().enumerate().map(column).collect()
    }

    /// The label of a key of one partition column and clustering columns.
    fn labelled(types: &[&str], values: &[&str]) -> String {
        let columns = columns(types);
        let cells: Vec<_> = columns
            .iter()
            .zip(values)
            .map(|(column, value)| literal::from_text(&column.cql_type, value).unwrap())
            .collect();
        label(&columns, 1, cells.iter().map(|cell| Some(cell.as_slice())))
    }

    #[test]
    fn usual_keys_read_as_they_did() {
        assert_eq!(
            labelled(&["text", "int"], &["patient-7", "1"]),
            "patient-7|1"
        );
        assert_eq!(labelled(&["int"], &["-5"]), "-5");
    }

    #[test]
    fn two_entities_never_share_a_label() {
        let texts = |values: [&str; 2]| labelled(&["text", "text"], &values);
        let labels = [
            texts(["a|b", "c"]),
            texts(["a", "b|c"]),
            texts(["a\\", "b"]),
            texts(["a", "\\|b"]),
            texts(["a", "\\b"]),
            texts(["", "a|b"]),
            texts(["a|b", ""]),
            texts(["\\xab", "c"]),
        ];
        for (at, one) in labels.iter().enumerate() {
            assert!(!labels[at + 1..].contains(one), "{one}");
        }
        // To a partition key, these are two.
        let of = |value| labelled(&["decimal"], &[value]);
        assert_ne!(of("1.5"), of("1.50"));
        let of = |cell: &[u8]| label(&columns(&["varint"]), 1, [Some(cell)].into_iter());
        assert_ne!(of(&[7]), of(&[0, 7]));
        let of = |value: &str| labelled(&["text", "text"], &[&value.repeat(40_000), ""]);
        assert_ne!(of("a"), of("b"));
        assert!(of("a").len() < MAX_BYTES);
    }

    #[test]
    fn one_entity_has_one_label_however_its_key_is_spelled() {
        let same = |cql_type: &str, spellings: &[&str]| {
            let labels: Vec<_> = spellings
                .iter()
                .map(|spelled| labelled(&["int", cql_type], &["1", spelled]))
                .collect();
            for other in &labels[1..] {
                assert_eq!(other, &labels[0], "{cql_type}: {spellings:?}");
            }
            labels[0].clone()
        };
        assert_eq!(same("decimal", &["1.5", "1.50", "15E-1", "01.5"]), "1|1.5");
        assert_eq!(same("decimal", &["100", "1E2", "100.00"]), "1|100");
        assert_eq!(same("decimal", &["0", "0.00", "-0", "0E9"]), "1|0");
        assert_eq!(same("decimal", &["1E99", "10E98"]), "1|1E99");
        same("varint", &["7", "007", "+7"]);
        same("float", &["0.5", ".5", "5e-1"]);
        same("double", &["NaN", "nan"]);
        same("blob", &["0xAB", "0Xab"]);
        same("inet", &["2001:db8::1", "2001:0DB8:0:0:0:0:0:1"]);
        same("boolean", &["true", "TRUE"]);
        same(
            "uuid",
            &[
                "6FA459EA-EE8A-3CA4-894E-DB77E160355E",
                "6fa459ea-ee8a-3ca4-894e-db77e160355e",
            ],
        );
        same(
            "timestamp",
            &[
                "2024-01-31T12:00:00.000Z",
                "2024-01-31 13:00+0100",
                "1706702400000",
            ],
        );
        same("frozen<list<decimal>>", &["[1.5, 2]", "[1.50,2.0]"]);
        let zero = |value| labelled(&["int", "float"], &["1", value]);
        assert_ne!(zero("-0.0"), zero("0.0"), "Cassandra orders them");
        assert_ne!(same("text", &["a"]), same("text", &["A"]));
    }
}
