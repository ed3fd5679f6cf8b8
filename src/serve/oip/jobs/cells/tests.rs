use super::*;

const LIMITS: RowLimits = RowLimits { rows: 3, bytes: 64 };

fn columns() -> Vec<Column> {
    [
        ("content", "blob"),
        ("title", "text"),
        ("pages", "smallint"),
        ("size", "bigint"),
        ("weight", "float"),
        ("price", "decimal"),
        ("seen", "timestamp"),
        ("is_read", "boolean"),
    ]
    .map(|(name, cql_type)| Column {
        name: name.to_owned(),
        cql_type: CqlType::parse(cql_type).unwrap(),
    })
    .to_vec()
}

fn read(tensors: &[GivenTensor<'_>]) -> Result<CellBuffer, Box<ApiError>> {
    let columns = columns();
    let key = [Column {
        name: "id".to_owned(),
        cql_type: CqlType::Int,
    }];
    let job = RowColumns {
        job: "letters",
        key: &key,
        source: None,
        columns: &columns,
    };
    cells(job, tensors, LIMITS).map_err(Box::new)
}

/// The cells of one column of these tensors.
fn column(name: &str, tensors: &[GivenTensor<'_>]) -> Vec<Option<Vec<u8>>> {
    let cells = read(tensors).unwrap();
    let at = columns().iter().position(|column| column.name == name);
    let rows = 0..cells.rows();
    rows.map(|row| cells.cell(row, at.unwrap()).map(<[u8]>::to_vec))
        .collect()
}

fn given<'a>(
    name: &'a str,
    datatype: &'a str,
    shape: &'a [i64],
    data: GivenData<'a>,
) -> GivenTensor<'a> {
    GivenTensor {
        name,
        datatype,
        shape,
        data,
    }
}

fn json(text: &str) -> GivenData<'_> {
    GivenData::Json(serde_json::from_str(text).unwrap())
}

fn prefixed(values: &[&[u8]]) -> Vec<u8> {
    let values = values.iter().map(|value| {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&length[..], value].concat()
    });
    values.collect::<Vec<_>>().concat()
}

#[test]
fn bytes_are_the_same_cells_raw_typed_and_in_json() {
    let raw = prefixed(&[b"0x\xff\0", b""]);
    let typed = [b"0x\xff\0".to_vec(), Vec::new()];
    let expected = [Some(b"0x\xff\0".to_vec()), Some(Vec::new())];
    for data in [
        GivenData::Raw(&raw),
        GivenData::Typed(Values::Texts(&typed)),
        json(r#"["0x3078ff00", "0x"]"#),
        json(r#"[{"b64": "MHj/AA=="}, {"b64": ""}]"#),
    ] {
        let tensor = given("content", "BYTES", &[2], data);
        assert_eq!(column("content", &[tensor]), expected, "{data:?}");
    }
    let raw = prefixed(&["1.10".as_bytes()]);
    let decimal = Some(vec![0, 0, 0, 2, 110]);
    for data in [GivenData::Raw(&raw), json(r#"["1.10"]"#)] {
        let tensor = given("price", "BYTES", &[1], data);
        assert_eq!(column("price", &[tensor]), std::slice::from_ref(&decimal));
    }
    let title = given("title", "BYTES", &[2], json(r#"["0x01", "\u00f6"]"#));
    let texts = ["0x01", "ö"].map(|text| Some(text.as_bytes().to_vec()));
    assert_eq!(column("title", &[title]), texts);
}

#[test]
fn numbers_are_taken_exactly_and_missing_inputs_are_null() {
    let large = i64::MAX.to_le_bytes();
    let half = 0.5_f64.to_le_bytes();
    let tensors = [
        given("id", "FP64", &[1], GivenData::Raw(&half)),
        given("pages", "INT64", &[1], json("[300]")),
        given("size", "INT64", &[1], GivenData::Raw(&large)),
        given("weight", "FP64", &[1], GivenData::Raw(&half)),
        given("is_read", "BOOL", &[1], json("[true]")),
    ];
    let cells = read(&tensors).unwrap();
    let expected = [
        None,
        None,
        Some(&300_i16.to_be_bytes()[..]),
        Some(&i64::MAX.to_be_bytes()),
        Some(&0.5_f32.to_be_bytes()),
        None,
        None,
        Some(&[1]),
    ];
    assert_eq!(cells.row(0).collect::<Vec<_>>(), expected);
}

#[test]
fn each_problem_names_its_place_and_row() {
    let two = |name, datatype, data| vec![given(name, datatype, &[2], data)];
    let bad_text = prefixed(&[b"a", b"\xff"]);
    let bad_price = prefixed(&[b"1", b"one"]);
    let cut = &bad_text[..bad_text.len() - 1];
    let typed = [b"a".to_vec()];
    for (tensors, expected) in [
        (
            two("contents", "BYTES", json("[]")),
            "inputs[0].name: job `letters` does not read a column `contents` (did you mean `content`?)",
        ),
        (
            [
                two("size", "INT64", json("[1, 2]")),
                two("size", "INT64", json("[1, 2]")),
            ]
            .concat(),
            "inputs[1].name: input `size` is given twice",
        ),
        (
            vec![given("size", "INT64", &[2, 1], json("[1, 2]"))],
            "inputs[0].shape: `size` has shape [2, 1] (the model takes [rows])",
        ),
        (
            [
                two("size", "INT64", json("[1, 2]")),
                vec![given("title", "BYTES", &[1], json("[\"\"]"))],
            ]
            .concat(),
            "inputs[0].shape: `size` has 2 row(s), other inputs have 1",
        ),
        (
            two("content", "UINT8", json("[1, 2]")),
            "inputs[0].datatype: `content` takes BYTES, not UINT8",
        ),
        (
            two("size", "BYTES", json("[\"1\", \"2\"]")),
            "inputs[0].datatype: `size` takes INT64, not BYTES",
        ),
        (
            two("size", "LONG", json("[1, 2]")),
            "inputs[0].datatype: unknown datatype `LONG`",
        ),
        (
            two("size", "INT64", json("[1, null]")),
            "inputs[0].data: `size`, row 1: null is not a value of a tensor (leave the input out",
        ),
        (
            two("title", "BYTES", json("[\"a\", null]")),
            "inputs[0].data: `title`, row 1: null is not",
        ),
        (
            two("size", "INT64", json("[1]")),
            "inputs[0].data: `size`: 1 values; its shape has 2",
        ),
        (
            two("size", "INT64", json("1")),
            "inputs[0].data: `size`: it is not an array",
        ),
        (
            two("size", "FP64", json("[1, 0.5]")),
            "inputs[0].data: `size`, row 1: 0.5 is not exactly a value of INT64",
        ),
        (
            two("pages", "INT32", json("[1, 32768]")),
            "inputs[0].data: `pages`, row 1: 32768 is out of range of smallint",
        ),
        (
            two("weight", "FP64", json("[1, 0.1]")),
            "inputs[0].data: `weight`, row 1: 0.1 is not exactly a value of FP32",
        ),
        (
            two("title", "BYTES", GivenData::Raw(&bad_text)),
            "inputs[0].data: `title`, row 1: it is not UTF-8 at byte 0 (it becomes a cell of type text)",
        ),
        (
            two("title", "BYTES", GivenData::Raw(cut)),
            "inputs[0].data: `title`, row 1: its length exceeds",
        ),
        (
            two("title", "BYTES", json("[\"a\", 7]")),
            "inputs[0].data: `title`, row 1: the number 7 is not a valid text",
        ),
        (
            two("title", "BYTES", GivenData::Typed(Values::Texts(&typed))),
            "inputs[0].data: `title`: 1 values; its shape has 2",
        ),
        (
            two("price", "BYTES", GivenData::Raw(&bad_price)),
            "inputs[0].data: `price`, row 1: `one` is not a valid decimal",
        ),
        (
            two("content", "BYTES", json("[\"0x00\", \"2024\"]")),
            "inputs[0].data: `content`, row 1: a string is not a blob",
        ),
        (
            two("content", "BYTES", json("[\"0x00\", \"0x0\"]")),
            "inputs[0].data: `content`, row 1: `0x0` is not a valid blob",
        ),
        (
            two("content", "BYTES", json("[\"0x00\", {\"b64\": \"_\"}]")),
            "inputs[0].data: `content`, row 1: the blob is not valid base64",
        ),
        (vec![], "inputs: the inputs have no rows"),
        (
            vec![given("size", "INT64", &[0], json("[]"))],
            "inputs: the inputs have no rows",
        ),
        (
            vec![given("size", "INT64", &[4], json("[]"))],
            "inputs: 4 rows; 3 are the limit",
        ),
    ] {
        let line = read(&tensors).unwrap_err().line();
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn too_many_bytes_are_refused() {
    let raw = prefixed(&[&[0; 65]]);
    let tensor = given("content", "BYTES", &[1], GivenData::Raw(&raw));
    let error = read(&[tensor]).unwrap_err();
    assert_eq!(error.status, 413);
    assert!(error.line().starts_with("inputs: "), "{}", error.line());
}
