mod round_trip;

use super::*;
use crate::codec::{literal, wire::write_unsigned_vint};

fn cql(text: &str) -> CqlType {
    CqlType::parse(text).unwrap()
}

fn read(cql_type: &CqlType, json: &str) -> Result<Option<Vec<u8>>, String> {
    let mut cells = CellBuffer::new(1);
    append(cql_type, json, &mut cells)?;
    Ok(cells.cell(0, 0).map(<[u8]>::to_vec))
}

/// Asserts that the JSON value is the value of the CQL literal.
#[track_caller]
fn same(cql_type: &str, json: &str, text: &str) {
    let cql_type = cql(cql_type);
    let expected = literal::from_text(&cql_type, text).unwrap();
    let found = read(&cql_type, json);
    assert_eq!(found, Ok(Some(expected)), "{cql_type} {json}");
}

#[track_caller]
fn refused(cql_type: &str, json: &str, words: &str) {
    let error = read(&cql(cql_type), json).expect_err(json);
    assert!(error.contains(words), "{cql_type} {json}: {error}");
}

fn address() -> CqlType {
    let fields = vec![
        ("street".to_owned(), CqlType::Text),
        ("No".to_owned(), CqlType::Int),
    ];
    CqlType::Udt("address".to_owned(), fields)
}

#[test]
fn scalars_are_read_as_cassandra_reads_them() {
    for (cql_type, json, text) in [
        ("ascii", r#""a b""#, "a b"),
        ("text", r#""""#, ""),
        ("text", r#""\u00fc \ud83d\ude00 \" \n""#, "ü 😀 \" \n"),
        ("bigint", "9007199254740993", "9007199254740993"),
        (
            "bigint",
            r#""-9223372036854775808""#,
            "-9223372036854775808",
        ),
        ("counter", "7", "7"),
        ("int", "-2147483648", "-2147483648"),
        ("smallint", r#""32767""#, "32767"),
        ("tinyint", " -128 ", "-128"),
        ("boolean", "true", "true"),
        ("boolean", r#""False""#, "false"),
        ("blob", r#""0x00ff""#, "0x00ff"),
        ("blob", r#""00FF""#, "0x00ff"),
        ("blob", r#""0x""#, "0x"),
        ("blob", r#""""#, "0x"),
        ("blob", r#"{"b64": "AP8="}"#, "0x00ff"),
        ("blob", r#"{"b64":"AP\/\/"}"#, "0x00ffff"),
        ("date", r#""2024-02-29""#, "2024-02-29"),
        ("decimal", "1.10", "1.10"),
        ("decimal", "1E+2", "1E2"),
        (
            "decimal",
            r#""-0.12345678901234567890123""#,
            "-0.12345678901234567890123",
        ),
        (
            "varint",
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456",
        ),
        ("varint", r#""-1""#, "-1"),
        ("double", "0.1", "0.1"),
        ("double", "7", "7"),
        ("double", "-0.0", "-0.0"),
        ("double", r#""NaN""#, "NaN"),
        ("float", r#""Infinity""#, "Infinity"),
        ("float", r#""-inf""#, "-Infinity"),
        ("float", r#""1.5""#, "1.5"),
        ("inet", r#""2001:db8::1""#, "2001:db8::1"),
        ("time", r#""13:30:54.234""#, "13:30:54.234"),
        ("timestamp", "1706702400123", "2024-01-31T12:00:00.123Z"),
        (
            "timestamp",
            r#""2011-02-03 04:05+0000""#,
            "2011-02-03T04:05:00Z",
        ),
        (
            "timeuuid",
            r#""50554d6e-29bb-11e5-b345-feff819cdc9f""#,
            "50554d6e-29bb-11e5-b345-feff819cdc9f",
        ),
        (
            "uuid",
            r#""123e4567-e89b-42d3-a456-426614174000""#,
            "123e4567-e89b-42d3-a456-426614174000",
        ),
        ("int", r#""0x""#, "0x"),
    ] {
        same(cql_type, json, text);
    }
    for cql_type in ["int", "text", "frozen<list<int>>", "vector<float, 2>"] {
        assert_eq!(read(&cql(cql_type), "null"), Ok(None));
    }
    // An empty value of every type that has bytes, as `cell_json` writes it.
    for cql_type in [
        "timestamp",
        "inet",
        "duration",
        "boolean",
        "frozen<list<int>>",
    ] {
        assert_eq!(read(&cql(cql_type), r#""0x""#), Ok(Some(Vec::new())));
    }
}

#[test]
fn a_float_is_rounded_once() {
    // Just above halfway between 1 and the next float; the nearest double is halfway.
    let text = "1.00000005960464477550";
    let twice = text.parse::<f64>().unwrap() as f32;
    let once = 1.000_000_1_f32;
    assert_ne!(twice, once);
    let bytes = once.to_be_bytes().to_vec();
    assert_eq!(read(&CqlType::Float, text), Ok(Some(bytes)));
}

#[test]
fn what_is_not_a_value_is_refused_with_the_reason() {
    for (cql_type, json, words) in [
        ("int", "1.0", "from -2147483648 to 2147483647"),
        ("int", "1e3", "not a valid int"),
        ("int", "2147483648", "not a valid int"),
        ("int", r#""""#, "not a valid int"),
        ("int", "true", "a boolean is not a valid int"),
        ("int", "[1]", "an array is not a valid int"),
        ("tinyint", "128", "from -128 to 127"),
        ("bigint", "9223372036854775808", "not a valid bigint"),
        ("timestamp", "1.5", "not a valid timestamp"),
        ("timestamp", r#""yesterday""#, "not a valid timestamp"),
        ("date", "19782", "write a string"),
        ("text", "7", "write a string"),
        ("text", "{}", "an object is not a valid text"),
        ("ascii", r#""ü""#, "not ASCII"),
        ("boolean", "1", "write a string"),
        ("boolean", r#""""#, "not a valid boolean"),
        ("blob", r#""0x0""#, "hexadecimal"),
        ("blob", r#"{"b64": "AP8"}"#, "base64"),
        ("blob", r#"{"hex": "00"}"#, "b64"),
        (
            "text",
            r#"{"b64": "AP8="}"#,
            "an object is not a valid text",
        ),
        ("varint", "1.5", "not a valid varint"),
        ("varint", r#""1_000""#, "not a valid varint"),
        ("decimal", r#""1_0""#, "not a valid decimal"),
        ("double", "1e400", "out of range of double"),
        ("float", "-1e39", "out of range of float"),
        ("float", r#""""#, "not a valid float"),
        ("float", "NaN", "not valid JSON"),
        ("double", "-inf", "not valid JSON"),
        (
            "uuid",
            r#""123e4567e89b42d3a456426614174000""#,
            "not a valid uuid",
        ),
        ("duration", r#""1d1mo""#, "not a valid duration"),
        ("text", r#""\ud800""#, "the string is not valid JSON"),
        ("int", "", "not valid JSON"),
        ("int", "\"", "not valid JSON"),
        (
            "frozen<list<int>>",
            "[1, null]",
            "element 1: an element must not be null",
        ),
        ("frozen<list<int>>", "[1, 2.5]", "element 1: `2.5`"),
        (
            "frozen<list<int>>",
            "7",
            "a number is not a valid list<int>: write an array",
        ),
        ("frozen<list<int>>", r#""[1] 2""#, "not valid JSON"),
        (
            "frozen<list<int>>",
            r#""\"[1]\"""#,
            "a string is not a valid list<int>",
        ),
        ("frozen<set<int>>", r#"["a"]"#, "element 0: `a`"),
        (
            "frozen<map<text, int>>",
            r#"{"a": null}"#,
            r#"key "a": a value must not be null"#,
        ),
        (
            "frozen<map<text, int>>",
            r#"{"a": 1, "\u0061": 2}"#,
            "the key is repeated",
        ),
        (
            "frozen<map<text, int>>",
            r#"[["a"]]"#,
            "entry 0 has 1 values instead of 2",
        ),
        (
            "frozen<map<text, int>>",
            r#"[["a", 1, 2]]"#,
            "entry 0 has 3 values",
        ),
        (
            "frozen<map<text, int>>",
            r#"[[null, 1]]"#,
            "a key must not be null",
        ),
        (
            "frozen<map<text, int>>",
            r#"[7]"#,
            "entry 0 is not an array",
        ),
        ("frozen<map<int, int>>", r#"{"x": 1}"#, "not a valid int"),
        ("tuple<int, int>", "[1]", "1 values"),
        ("tuple<int, int>", "[1, 2, 3]", "3 values"),
        ("vector<float, 2>", "[1]", "1 elements"),
        ("vector<float, 2>", "[1, 2, 3]", "3 elements"),
        (
            "vector<float, 2>",
            "[1, null]",
            "element 1: an element must not be null",
        ),
        (
            "vector<float, 2>",
            r#"[1, "0x"]"#,
            "element 1 must not be empty",
        ),
        ("custom", "7", "write a string"),
    ] {
        refused(cql_type, json, words);
    }
}

#[test]
fn an_error_does_not_repeat_a_long_text_and_leaves_nothing_behind() {
    let long = format!("\"{}\"", "9".repeat(100_000));
    for cql_type in [
        "int",
        "double",
        "uuid",
        "varint",
        "decimal",
        "blob",
        "duration",
        "frozen<list<int>>",
    ] {
        let mut cells = CellBuffer::new(1);
        match append(&cql(cql_type), &long, &mut cells) {
            Err(error) => assert!(error.len() < 300, "{cql_type}: {}", error.len()),
            Ok(()) => assert_eq!(cql_type, "blob"),
        }
        assert!(cql_type == "blob" || cells.byte_len() + cells.len() == 0);
    }
}

#[test]
fn composed_values_nest() {
    same("frozen<list<double>>", r#"[1, "NaN"]"#, "[1, NaN]");
    same("frozen<list<int>>", r#""[1, 2]""#, "[1, 2]");
    same("frozen<set<text>>", r#"["a", "b", "a"]"#, "{'a', 'b'}");
    same("frozen<map<int, boolean>>", r#"{"1": true}"#, "{1: true}");
    same("frozen<map<int, boolean>>", "[[1, true]]", "{1: true}");
    same("frozen<map<text, int>>", "{}", "{}");
    same(
        "frozen<map<frozen<list<int>>, frozen<set<text>>>>",
        r#"{"[1, 2]": ["x"], "[]": []}"#,
        "{[1, 2]: {'x'}, []: {}}",
    );
    same(
        "tuple<int, text, frozen<list<decimal>>>",
        r#"[1, null, [1.0, "2"]]"#,
        "(1, null, [1.0, 2])",
    );
    same("vector<text, 2>", r#"["a", "bc"]"#, "['a', 'bc']");
    same(
        "vector<vector<smallint, 1>, 2>",
        "[[1], [-1]]",
        "[[1], [-1]]",
    );
}

#[test]
fn fields_of_a_user_type_have_any_order_and_are_null_if_missing() {
    let expected = |text: &str| Ok(Some(literal::from_text(&address(), text).unwrap()));
    let both = expected("{street: 'A', \"No\": 7}");
    for json in [
        r#"{"No": 7, "street": "A"}"#,
        r#"{"STREET": "A", "\"No\"": "7"}"#,
        r#"{"str\u0065et": "A", "No": 7}"#,
    ] {
        assert_eq!(read(&address(), json), both, "{json}");
    }
    let half = expected("{street: 'A', \"No\": null}");
    assert_eq!(read(&address(), r#"{"street": "A"}"#), half);
    for (json, words) in [
        (r#"{"zip": 1}"#, "address has no field `zip`"),
        (r#"{"No": 1, "No": 2}"#, "field `No` is repeated"),
        (r#"{"street": "A", "Street": "B"}"#, "is repeated"),
        (r#"{"No": "x"}"#, "field `No`: `x` is not a valid int"),
        (
            r#"["A", 7]"#,
            "an array is not a valid address: write an object",
        ),
    ] {
        let error = read(&address(), json).unwrap_err();
        assert!(error.contains(words), "{json}: {error}");
    }
}

#[test]
fn durations_have_cassandras_forms() {
    let bytes = |months: i64, days: i64, nanos: i64| {
        let mut out = Vec::new();
        for number in [months, days, nanos] {
            write_unsigned_vint(((number << 1) ^ (number >> 63)) as u64, &mut out);
        }
        Ok(Some(out))
    };
    let hour = 3_600_000_000_000;
    for (text, months, days, nanos) in [
        ("1y2mo3w4d5h", 14, 25, 5 * hour),
        ("6M7S8MS9US10NS", 0, 0, 367_008_009_010),
        ("3µs", 0, 0, 3_000),
        ("-12h30m", 0, 0, -(12 * hour + hour / 2)),
        ("P1Y2M3DT4H", 14, 3, 4 * hour),
        ("PT1M1S", 0, 0, 61_000_000_000),
        ("P5W", 0, 35, 0),
        ("-P0001-02-03T04:00:00", -14, -3, -4 * hour),
    ] {
        let json = format!("\"{text}\"");
        assert_eq!(
            read(&CqlType::Duration, &json),
            bytes(months, days, nanos),
            "{text}"
        );
    }
    for text in [
        "",
        "-",
        "1",
        "h",
        "1h1h",
        "1m1h",
        "1x",
        "P1H",
        "P1",
        "P0001-02-03",
        "200000000y",
        "9999999999h",
        "99999999999999999999d",
        "P1é-1-1",
        "µ",
    ] {
        let found = read(&CqlType::Duration, &format!("\"{text}\""));
        assert!(found.is_err(), "{text}: {found:?}");
    }
}

#[test]
fn deep_nesting_is_no_deeper_than_the_type() {
    let deep = "[".repeat(200_000);
    for cql_type in [
        "int",
        "frozen<list<int>>",
        "frozen<list<frozen<list<int>>>>",
        "frozen<map<text, int>>",
    ] {
        assert!(read(&cql(cql_type), &deep).is_err());
        let closed = format!("{deep}{}", "]".repeat(200_000));
        assert!(read(&cql(cql_type), &closed).is_err());
    }
}
