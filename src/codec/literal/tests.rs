use proptest::prelude::*;

use super::*;
use crate::codec::canonical::{Zeros, append_value};

fn cql(text: &str) -> CqlType {
    CqlType::parse(text).unwrap()
}

fn both_ways(cql_type: &str, text: &str) {
    let cql_type = cql(cql_type);
    let bytes = from_text(&cql_type, text).unwrap();
    assert_eq!(to_text(&cql_type, &bytes), text, "{cql_type}");
}

#[test]
fn literals_of_every_type_read_back_as_written() {
    for (cql_type, text) in [
        ("ascii", "a 'b'"),
        ("text", " ü, [1] "),
        ("text", ""),
        ("tinyint", "-128"),
        ("smallint", "-32768"),
        ("int", "2147483647"),
        ("bigint", "-9223372036854775808"),
        ("varint", "-340282366920938463463374607431768211456"),
        ("decimal", "1.00"),
        ("decimal", "-0.05"),
        ("decimal", "0"),
        ("decimal", "12E100"),
        ("float", "0.1"),
        ("float", "NaN"),
        ("double", "-Infinity"),
        ("double", "-0.0"),
        ("double", "1e300"),
        ("boolean", "true"),
        ("blob", "0x00ff"),
        ("blob", "0x"),
        ("int", "0x"),
        ("uuid", "123e4567-e89b-42d3-a456-426614174000"),
        ("timeuuid", "50554d6e-29bb-11e5-b345-feff819cdc9f"),
        ("inet", "127.0.0.1"),
        ("inet", "2001:db8::1"),
        ("timestamp", "2024-01-31T12:00:00.123Z"),
        ("timestamp", "9223372036854775807"),
        ("date", "1969-12-31"),
        ("date", "4294967295"),
        ("time", "23:59:59.999999999"),
        ("frozen<list<text>>", "['it''s', '', null]"),
        ("frozen<set<int>>", "{}"),
        (
            "frozen<map<text, timestamp>>",
            "{'a:b': '2024-01-31T00:00:00.000Z'}",
        ),
        (
            "frozen<tuple<int, text, frozen<list<decimal>>>>",
            "(1, null, [1.0, 2])",
        ),
        ("vector<float, 2>", "[1.5, NaN]"),
        ("vector<smallint, 2>", "[1, -1]"),
        ("vector<text, 2>", "['a', 'bc']"),
        (
            "frozen<map<int, frozen<set<uuid>>>>",
            "{1: {123e4567-e89b-42d3-a456-426614174000}}",
        ),
    ] {
        both_ways(cql_type, text);
    }
    let address = CqlType::Udt(
        "address".into(),
        vec![
            ("street".into(), CqlType::Text),
            ("No".into(), CqlType::Int),
        ],
    );
    let text = "{street: 'A', \"No\": null}";
    let bytes = from_text(&address, text).unwrap();
    assert_eq!(to_text(&address, &bytes), text);
    assert_eq!(
        from_text(&address, "{ \"No\" : 7 }").unwrap()[..4],
        [0xff; 4]
    );
}

#[test]
fn other_spellings_are_understood() {
    for (cql_type, text, same) in [
        (
            "timestamp",
            "2011-02-03 04:05:06.789+0100",
            "2011-02-03T03:05:06.789Z",
        ),
        ("timestamp", "2011-02-03 04:05", "2011-02-03T04:05:00.000Z"),
        ("timestamp", "2011-02-03", "2011-02-03T00:00:00.000Z"),
        ("timestamp", "0", "1970-01-01T00:00:00.000Z"),
        ("time", "08:12", "08:12:00.000000000"),
        ("float", "inf", "Infinity"),
        ("decimal", "1.5e3", "15E2"),
        ("boolean", " True ", "true"),
        ("int", " 7", "7"),
        ("frozen<list<int>>", " [1,2 , 3] ", "[1, 2, 3]"),
    ] {
        let cql_type = cql(cql_type);
        let bytes = from_text(&cql_type, text).unwrap();
        assert_eq!(to_text(&cql_type, &bytes), same);
    }
}

#[test]
fn what_is_no_value_is_named() {
    for (cql_type, text) in [
        ("int", "2147483648"),
        ("int", ""),
        ("int", "1.0"),
        ("decimal", "1_0"),
        ("decimal", "--1"),
        ("decimal", "1e99999999999"),
        ("timeuuid", "123e4567-e89b-42d3-a456-426614174000"),
        ("uuid", "123e4567e89b42d3a456426614174000"),
        ("date", "2024-02-30"),
        ("time", "24:00"),
        ("blob", "ff"),
        ("ascii", "ü"),
        ("frozen<list<int>>", "[1, 2"),
        ("frozen<list<int>>", "[1] 2"),
        ("frozen<list<text>>", "[a]"),
        ("frozen<list<text>>", "['a]"),
        ("frozen<map<int, int>>", "{1}"),
        ("frozen<tuple<int>>", "(1, 2)"),
        ("vector<float, 2>", "[1]"),
        ("vector<float, 2>", "[1, null]"),
    ] {
        let refused = from_text(&cql(cql_type), text);
        assert!(refused.is_err(), "{cql_type} {text}: {refused:?}");
    }
    assert_eq!(
        from_text(&CqlType::Int, "x").unwrap_err(),
        "`x` is not a valid int"
    );
}

#[test]
fn bytes_that_are_no_value_are_shown_as_they_are() {
    assert_eq!(to_text(&CqlType::Int, &[1, 2]), "0x0102");
    assert_eq!(to_text(&CqlType::Text, &[0xff]), "0xff");
}

#[test]
fn a_key_reads_as_a_condition() {
    let id = 7_i32.to_be_bytes();
    let key = [
        ("id", &CqlType::Int, Some(&id[..])),
        ("Site", &CqlType::Text, Some(&b"o'k"[..])),
    ];
    assert_eq!(condition(key.into_iter()), "id = 7 AND \"Site\" = 'o''k'");
}

proptest! {
    #[test]
    fn lists_of_any_text_read_back(texts in prop::collection::vec(".*", 0..5)) {
        let cql_type = cql("frozen<list<text>>");
        let mut bytes = (texts.len() as i32).to_be_bytes().to_vec();
        for text in &texts {
            bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        prop_assert_eq!(from_text(&cql_type, &to_text(&cql_type, &bytes)).unwrap(), bytes);
    }

    #[test]
    fn any_bytes_have_a_text_and_values_read_back(kind in 0..22_usize, bytes: Vec<u8>) {
        let cql_type = cql([
            "ascii", "text", "tinyint", "smallint", "int", "bigint", "varint", "decimal",
            "float", "double", "boolean", "blob", "uuid", "inet", "timestamp", "date", "time",
            "frozen<list<int>>", "vector<smallint, 2>", "tuple<int, text>",
            "frozen<map<text, blob>>", "frozen<set<decimal>>",
        ][kind]);
        let text = to_text(&cql_type, &bytes);
        // Bytes that are no value are told as bytes.
        if cql_type != CqlType::Blob && text.starts_with("0x") {
            return Ok(());
        }
        if let Ok(back) = from_text(&cql_type, &text) {
            let canonical = |bytes: &[u8]| {
                let mut out = Vec::new();
                append_value(&cql_type, bytes, Zeros::Distinct, &mut out);
                out
            };
            prop_assert_eq!(canonical(&back), canonical(&bytes), "{}", text);
        }
    }

    #[test]
    fn numbers_and_times_read_back(a: i64, b: i32, c: f32, d: f64, e: u32) {
        for (cql_type, bytes) in [
            (CqlType::Bigint, a.to_be_bytes().to_vec()),
            (CqlType::Timestamp, a.to_be_bytes().to_vec()),
            (CqlType::Varint, num_bigint::BigInt::from(a).to_signed_bytes_be()),
            (CqlType::Float, c.to_be_bytes().to_vec()),
            (CqlType::Double, d.to_be_bytes().to_vec()),
            (CqlType::Date, e.to_be_bytes().to_vec()),
            (CqlType::Decimal, [&b.to_be_bytes()[..], &[1, 2, 3]].concat()),
        ] {
            let text = to_text(&cql_type, &bytes);
            let back = from_text(&cql_type, &text).unwrap();
            let nan = (cql_type == CqlType::Float && c.is_nan())
                || (cql_type == CqlType::Double && d.is_nan());
            prop_assert!(nan || back == bytes, "{} {}", cql_type, text);
        }
    }

    #[test]
    fn no_text_makes_reading_panic(kind in 0..8_usize, text: String) {
        let cql_type = cql([
            "decimal", "timestamp", "frozen<list<text>>", "frozen<map<text, int>>",
            "tuple<int, text>", "vector<text, 2>", "time", "date",
        ][kind]);
        let _ = from_text(&cql_type, &text);
    }
}
