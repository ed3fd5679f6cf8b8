use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch, StringArray,
    StringViewArray, StructArray, Time32SecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array, types::Float32Type, types::Int8Type,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{Field, Schema};
use axum::http::StatusCode;
use half::f16;
use proptest::prelude::*;

use super::*;
use crate::codec::{cql_type::CqlType, literal, schema::Column};

const LIMITS: RowLimits = RowLimits {
    rows: 100,
    bytes: 1_000,
};

fn column(name: &str, cql_type: &str) -> Column {
    Column {
        name: name.to_owned(),
        cql_type: CqlType::parse(cql_type).unwrap(),
    }
}

fn stream(columns: &[(&str, ArrayRef)], batches: usize) -> Vec<u8> {
    let fields = columns
        .iter()
        .map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.iter().map(|(_, values)| Arc::clone(values));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for _ in 0..batches {
        writer.write(&batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// Reads rows of a job with the key `id` that reads one column `x`.
fn read(cql_type: &str, stream: &[u8]) -> Result<CellBuffer, Box<ApiError>> {
    let job = RowColumns {
        job: "tumour",
        key: &[column("id", "int")],
        source: None,
        columns: &[column("x", cql_type)],
    };
    contained(job, stream, LIMITS).map_err(Box::new)
}

#[track_caller]
fn cell_of(cql_type: &str, values: ArrayRef) -> Vec<Option<Vec<u8>>> {
    let cells = read(cql_type, &stream(&[("x", values)], 1)).unwrap();
    (0..cells.rows())
        .map(|row| cells.cell(row, 0).map(<[u8]>::to_vec))
        .collect()
}

/// Asserts that the first value is that of the CQL literal and the second is null.
#[track_caller]
fn same(cql_type: &str, values: impl arrow_array::Array + 'static, text: &str) {
    let expected = literal::from_text(&CqlType::parse(cql_type).unwrap(), text).unwrap();
    let values: ArrayRef = Arc::new(values);
    let name = values.data_type().to_string();
    assert_eq!(
        cell_of(cql_type, values),
        [Some(expected), None],
        "{cql_type} {name}"
    );
}

#[track_caller]
fn refused(cql_type: &str, values: impl arrow_array::Array + 'static, code: &str, words: &str) {
    let error = read(cql_type, &stream(&[("x", Arc::new(values))], 1)).unwrap_err();
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
    assert_eq!(error.problems[0].code, code);
    let message = &error.problems[0].message;
    assert!(message.contains(words), "{message}");
}

#[test]
fn values_become_the_cells_that_cassandra_would_hold() {
    same("tinyint", Int64Array::from(vec![Some(-128), None]), "-128");
    same("int", Int8Array::from(vec![Some(7), None]), "7");
    same(
        "bigint",
        UInt64Array::from(vec![Some(1 << 63 >> 1), None]),
        "4611686018427387904",
    );
    same(
        "varint",
        UInt64Array::from(vec![Some(u64::MAX), None]),
        "18446744073709551615",
    );
    same("decimal", Int32Array::from(vec![Some(-5), None]), "-5");
    same(
        "float",
        Int32Array::from(vec![Some(1 << 24), None]),
        "16777216",
    );
    same(
        "float",
        Float16Array::from(vec![Some(f16::from_f32(0.5)), None]),
        "0.5",
    );
    same("float", Float32Array::from(vec![Some(0.1), None]), "0.1");
    same("float", Float64Array::from(vec![Some(0.5), None]), "0.5");
    same(
        "float",
        Float64Array::from(vec![Some(f64::NEG_INFINITY), None]),
        "-Infinity",
    );
    same("double", Float64Array::from(vec![Some(0.1), None]), "0.1");
    same("double", Float32Array::from(vec![Some(1.5), None]), "1.5");
    same(
        "boolean",
        BooleanArray::from(vec![Some(true), None]),
        "true",
    );
    same("text", StringArray::from(vec![Some(" ü"), None]), " ü");
    same("ascii", LargeStringArray::from(vec![Some("a"), None]), "a");
    same(
        "text",
        StringViewArray::from(vec![Some("a view of many bytes"), None]),
        "a view of many bytes",
    );
    same(
        "text",
        DictionaryArray::<Int8Type>::from_iter([Some("a"), None]),
        "a",
    );
    same(
        "uuid",
        StringArray::from(vec![Some("123e4567-e89b-42d3-a456-426614174000"), None]),
        "123e4567-e89b-42d3-a456-426614174000",
    );
    same(
        "blob",
        BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]),
        "0x00ff",
    );
    let uuid = [Some([7_u8; 16]), None];
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuid.into_iter(), 16);
    same(
        "uuid",
        uuids.unwrap(),
        "07070707-0707-0707-0707-070707070707",
    );
    same(
        "date",
        Date32Array::from(vec![Some(-1), None]),
        "1969-12-31",
    );
    same(
        "time",
        Time32SecondArray::from(vec![Some(61), None]),
        "00:01:01",
    );
    same(
        "time",
        Time64MicrosecondArray::from(vec![Some(1), None]),
        "00:00:00.000001",
    );
    same(
        "timestamp",
        TimestampSecondArray::from(vec![Some(-1), None]),
        "-1000",
    );
    same(
        "timestamp",
        TimestampMillisecondArray::from(vec![Some(5), None]).with_timezone("UTC"),
        "5",
    );
    same(
        "timestamp",
        TimestampMicrosecondArray::from(vec![Some(-2_000), None]),
        "-2",
    );
    same(
        "timestamp",
        TimestampNanosecondArray::from(vec![Some(3_000_000), None]),
        "3",
    );
    same("timestamp", Int64Array::from(vec![Some(3), None]), "3");
    let decimals = Decimal128Array::from(vec![Some(-110), None]);
    same(
        "decimal",
        decimals.clone().with_precision_and_scale(5, 2).unwrap(),
        "-1.10",
    );
    same(
        "varint",
        decimals.with_precision_and_scale(5, 0).unwrap(),
        "-110",
    );
    let lists = || vec![Some(vec![Some(1.5), Some(-0.0)]), None];
    let list = ListArray::from_iter_primitive::<Float32Type, _, _>(lists());
    same("list<float>", list.clone(), "[1.5, -0.0]");
    same("vector<float, 2>", list, "[1.5, -0.0]");
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(lists(), 2);
    same("vector<float, 2>", fixed.clone(), "[1.5, -0.0]");
    same("frozen<list<double>>", fixed, "[1.5, -0.0]");
    let shorts =
        ListArray::from_iter_primitive::<Int8Type, _, _>([Some(vec![Some(1), Some(2)]), None]);
    same("vector<smallint, 2>", shorts, "[1, 2]");
    assert_eq!(cell_of("float", Arc::new(NullArray::new(2))), [None, None]);
    let empty = DictionaryArray::<Int8Type>::from_iter([None::<&str>, None]);
    assert_eq!(cell_of("text", Arc::new(empty)), [None, None]);
}

#[test]
fn what_is_not_exact_is_refused_by_row_and_what_does_not_fit_by_type() {
    let value = "row.not_a_value";
    refused(
        "tinyint",
        Int64Array::from(vec![128]),
        value,
        "128 is out of range of tinyint",
    );
    refused(
        "bigint",
        UInt64Array::from(vec![u64::MAX]),
        value,
        "out of range of bigint",
    );
    refused(
        "float",
        Int32Array::from(vec![(1 << 24) + 1]),
        value,
        "not exact as a float",
    );
    refused(
        "double",
        Int64Array::from(vec![i64::MAX]),
        value,
        "not exact as a double",
    );
    refused(
        "float",
        Float64Array::from(vec![0.1]),
        value,
        "cast the column to float32",
    );
    refused("float", Float64Array::from(vec![1e300]), value, "not exact");
    refused("ascii", StringArray::from(vec!["ü"]), value, "not ASCII");
    refused(
        "int",
        StringArray::from(vec!["1.0"]),
        value,
        "not a valid int",
    );
    refused(
        "time",
        Time32SecondArray::from(vec![86_400]),
        value,
        "within a day",
    );
    refused(
        "timestamp",
        TimestampNanosecondArray::from(vec![1]),
        value,
        "whole number of milliseconds",
    );
    refused(
        "timestamp",
        TimestampSecondArray::from(vec![i64::MAX]),
        value,
        "whole number",
    );
    refused(
        "uuid",
        BinaryArray::from(vec![&b"short"[..]]),
        value,
        "16 bytes",
    );
    let list = |values| ListArray::from_iter_primitive::<Float32Type, _, _>([Some(values)]);
    refused(
        "vector<float, 2>",
        list(vec![Some(1.0)]),
        value,
        "1 elements are not a valid vector<float, 2>",
    );
    refused(
        "list<float>",
        list(vec![None]),
        value,
        "element 0 must not be null",
    );
    let mismatch = "arrow.type_mismatch";
    refused(
        "int",
        Float64Array::from(vec![1.0]),
        mismatch,
        "Float64 does not fit a column of type int",
    );
    refused("text", Int32Array::from(vec![1]), mismatch, "does not fit");
    refused("float", list(vec![Some(1.0)]), mismatch, "does not fit");
    refused("list<int>", list(vec![Some(1.0)]), mismatch, "does not fit");
    let zoned = TimestampSecondArray::from(vec![1]).with_timezone("Europe/Berlin");
    refused("timestamp", zoned, mismatch, "Europe/Berlin");
    let field = Arc::new(Field::new("a", DataType::Int8, true));
    let nested = StructArray::from(vec![(
        field,
        Arc::new(Int8Array::from(vec![1])) as ArrayRef,
    )]);
    refused("int", nested, "arrow.unsupported_type", "is not supported");
}

#[test]
fn columns_are_found_by_name_and_batches_follow_each_other() {
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let values: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let body = stream(&[("id", Arc::clone(&ids)), ("x", Arc::clone(&values))], 2);
    let cells = read("int", &body).unwrap();
    let found: Vec<_> = (0..4).map(|row| cells.cell(row, 0).unwrap()[3]).collect();
    assert_eq!(found, [1, 2, 1, 2]);
    let cells = read("int", &stream(&[("id", Arc::clone(&ids))], 1)).unwrap();
    assert_eq!((cells.rows(), cells.cell(1, 0)), (2, None));

    let code = |columns: &[(&str, ArrayRef)], batches| {
        let error = read("int", &stream(columns, batches)).unwrap_err();
        (error.status, error.problems[0].code.clone())
    };
    let bad = |code: &str| (StatusCode::BAD_REQUEST, code.to_owned());
    let unknown = [("y", Arc::clone(&values))];
    assert_eq!(code(&unknown, 1), bad("row.unknown_column"));
    let twice = [("x", Arc::clone(&values)), ("x", Arc::clone(&values))];
    assert_eq!(code(&twice, 1), bad("row.repeated_column"));
    let one = [("x", values)];
    assert_eq!(code(&one, 0), bad("request.no_rows"));
    let (status, code) = code(&one, 51);
    assert_eq!(
        (status, &*code),
        (StatusCode::PAYLOAD_TOO_LARGE, "request.too_many_rows")
    );
}

#[test]
fn rows_that_take_no_bytes_are_counted_before_they_are_read() {
    let error = read(
        "int",
        &stream(&[("x", Arc::new(NullArray::new(1 << 40)))], 1),
    )
    .unwrap_err();
    assert_eq!(error.problems[0].code, "request.too_many_rows");
}

#[test]
fn a_dictionary_cannot_repeat_a_text_without_limit() {
    let long = "x".repeat(300);
    let values = DictionaryArray::<Int8Type>::from_iter(vec![&*long; 4]);
    let error = read("text", &stream(&[("x", Arc::new(values))], 1)).unwrap_err();
    assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(error.problems[0].code, "request.too_large");
    let list = ListArray::from_iter_primitive::<Int8Type, _, _>([Some(vec![Some(1); 400])]);
    let error = read("list<int>", &stream(&[("x", Arc::new(list))], 1)).unwrap_err();
    assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
}

fn sample() -> Vec<u8> {
    let values: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::from_iter(["1", "2"]));
    stream(
        &[
            ("id", Arc::new(Int32Array::from(vec![1, 2]))),
            ("x", values),
        ],
        1,
    )
}

#[track_caller]
fn malformed_body(body: &[u8]) -> String {
    let error = read("int", body).unwrap_err();
    assert_eq!(error.status, StatusCode::BAD_REQUEST);
    assert_eq!(error.problems[0].code, "arrow.malformed");
    error.problems[0].message.clone()
}

#[test]
fn bodies_that_are_not_streams_are_refused() {
    malformed_body(b"");
    malformed_body(b"{\"rows\": []}");
    malformed_body(&[0xff; 64]);
    malformed_body(&i32::MAX.to_le_bytes());
    let sample = sample();
    malformed_body(&[&sample[..], b"more"].concat());
    malformed_body(&sample[..sample.len() - 40]);
    let schema = Schema::new(vec![Field::new("x", DataType::Int32, true)]);
    let mut file = FileWriter::try_new(Vec::new(), &schema).unwrap();
    file.finish().unwrap();
    let message = malformed_body(&file.into_inner().unwrap());
    assert!(message.contains("Feather"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_damaged_stream_is_read_or_refused(
        at: prop::sample::Index,
        byte: u8,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut body = sample();
        let at = at.index(body.len());
        body[at] = byte;
        if let Some(cut) = cut {
            body.truncate(cut.index(body.len()));
        }
        if let Err(error) = read("int", &body) {
            prop_assert!(error.status.is_client_error());
        }
    }
}
