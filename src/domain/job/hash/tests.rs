use super::*;
use crate::{
    codec::cql_type::CqlType,
    domain::{
        fixture,
        job::{InputMapping, Preparation, PreparationKind, prepare::BytesRule},
        model::tensor::Element,
    },
};

type Cells<'a> = [Option<&'a [u8]>; 3];

fn append(cells: Cells<'_>, batch: &mut TypedRows) -> (u128, Result<(), Rejection>) {
    append_row(&fixture::version(), &cells, batch, &mut Vec::new())
}

fn batch() -> TypedRows {
    TypedRows::new(&fixture::version())
}

fn hash(cells: Cells<'_>) -> u128 {
    append(cells, &mut batch()).0
}

const A: [u8; 4] = 1.5_f32.to_be_bytes();
const B: [u8; 4] = 3_i32.to_be_bytes();

#[test]
fn the_bytes_hashed_are_these() {
    let typed = [
        &[7; 16][..],
        &[0],
        &1.5_f32.to_le_bytes(),
        &3_f32.to_le_bytes(),
        &[2, 0, 0, 0],
        b"Ur",
    ]
    .concat();
    assert_eq!(hash([Some(&A), Some(&B), Some(b"Ur")]), xxh3_128(&typed));
    let rejected = [
        &[7; 16][..],
        &[1],
        &1.5_f32.to_le_bytes(),
        &[0],
        &[2, 0, 0, 0],
        b"Ur",
        &[1, 0, 0, 0],
        &[1, 0, 0, 0],
    ]
    .concat();
    assert_eq!(hash([Some(&A), None, Some(b"Ur")]), xxh3_128(&rejected));
}

#[test]
fn stored_hashes_of_earlier_releases_stay_valid() {
    assert_eq!(
        format!("{:032x}", hash([Some(&A), Some(&B), Some(b"Ur")])),
        "f5dac105ceefa20739fbd9b9faca68ba"
    );
    assert_eq!(
        format!("{:032x}", hash([Some(&A), None, Some(b"Ur")])),
        "1cf44220e351b32c194987ab07151ba1"
    );
}

#[test]
fn equal_values_hash_alike_and_different_reasons_do_not() {
    let nan = f32::from_bits(0xffff_ffff).to_be_bytes();
    let city = Some(&b"Ur"[..]);
    assert_eq!(
        hash([Some(&nan), Some(&B), city]),
        hash([Some(&f32::NAN.to_be_bytes()), Some(&B), city])
    );
    assert_eq!(
        hash([Some(&(-0.0_f32).to_be_bytes()), Some(&B), city]),
        hash([Some(&0.0_f32.to_be_bytes()), Some(&B), city])
    );
    let rejected = [
        hash([None, Some(&B), city]),
        hash([Some(&[]), Some(&B), city]),
        hash([Some(&A), None, city]),
        hash([None, None, city]),
        hash([None, Some(&B), None]),
        hash([None, Some(&B), Some(b"Uruk")]),
        hash([Some(&A), Some(&(1 << 25 | 1_i32).to_be_bytes()), city]),
        hash([Some(&A), Some(&(1 << 26 | 1_i32).to_be_bytes()), city]),
    ];
    let distinct: std::collections::HashSet<_> = rejected.iter().collect();
    assert_eq!(distinct.len(), rejected.len());
}

#[test]
fn a_rejected_row_leaves_the_batch_as_it_was() {
    let mut batch = batch();
    append([Some(&A), Some(&B), Some(b"Ur")], &mut batch)
        .1
        .unwrap();
    let before = batch.clone();
    for bad in [
        [None, Some(&B[..]), Some(&b"Ur"[..])],
        [Some(&A), None, Some(b"Ur")],
        [Some(&A), Some(&B), None],
        [Some(&A), Some(&B), Some(&[0xff])],
    ] {
        let rejection = append(bad, &mut batch).1.unwrap_err();
        assert!(rejection.message.contains("feature `"), "{rejection}");
        assert_eq!(batch, before);
    }
    append([Some(&A), Some(&B), Some(b"Ur")], &mut batch)
        .1
        .unwrap();
    assert_eq!((batch.rows(), batch.tensors.inputs[0].len()), (2, 4));
    batch.truncate(1);
    assert_eq!(batch, before);
}

#[test]
fn the_source_hash_tells_null_empty_and_column_borders_apart() {
    let columns: Vec<_> = ["text", "text", "double"]
        .iter()
        .map(|cql_type| Column {
            name: "c".into(),
            cql_type: CqlType::parse(cql_type).unwrap(),
        })
        .collect();
    let hash = |cells: Cells<'_>| source_hash(&columns, &cells, &mut Vec::new());
    let one = 1.0_f64.to_be_bytes();
    let seen = [
        hash([Some(b"ab"), Some(b"c"), Some(&one)]),
        hash([Some(b"a"), Some(b"bc"), Some(&one)]),
        hash([Some(b"abc"), Some(b""), Some(&one)]),
        hash([Some(b"abc"), None, Some(&one)]),
        hash([Some(b"abc"), None, Some(b"")]),
        hash([Some(b"abc"), None, None]),
    ];
    let distinct: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len());
    assert_eq!(
        hash([None, None, Some(&(-0.0_f64).to_be_bytes())]),
        hash([None, None, Some(&0.0_f64.to_be_bytes())])
    );
    assert_eq!(
        format!("{:032x}", hash([Some(b"ab"), None, Some(&one)])),
        "15632208256e5828ebae83d87edde193"
    );
}

#[test]
fn a_prepared_cell_is_hashed_as_bytes_and_waits() {
    let version = prepared_version();
    let mut rows = TypedRows::new(&version);
    let mut append = |cells: Cells<'_>| append_row(&version, &cells, &mut rows, &mut Vec::new());
    let (hash, outcome) = append([Some(&A), None, Some(b"xyz")]);
    assert_eq!(outcome, Ok(()));
    let digest = xxh3_128(b"xyz").to_be_bytes();
    let typed = [&[7; 16][..], &[0], &1.5_f32.to_le_bytes(), &digest].concat();
    assert_eq!(hash, xxh3_128(&typed));
    for (missing, code) in [(None, "null"), (Some(&b""[..]), "empty")] {
        let (other, outcome) = append([Some(&A), None, missing]);
        assert_eq!(outcome.unwrap_err().code, code);
        assert_ne!(other, hash);
    }
    assert_eq!(append([Some(&A), None, Some(b"xyz")]).0, hash);
    assert_ne!(append([Some(&A), None, Some(b"xyw")]).0, hash);
    assert_eq!((rows.rows(), rows.tensors.inputs[1].len()), (3, 0));
    let rest = rows.split_off(1);
    for (mut rows, last) in [(rows, vec![b'z']), (rest, vec![b'z', b'w'])] {
        let unprepared = rows.take_unprepared().unwrap();
        let parts = (0..last.len()).map(|row| unprepared.prepare(row..row + 1));
        assert!(rows.finish(parts.collect()).is_empty());
        let values = last.iter().flat_map(|last| [120, 121, i32::from(*last)]);
        assert_eq!(rows.tensors.inputs[1], TensorData::Int32(values.collect()));
        assert_eq!(rows.tensors.inputs[0].len(), last.len());
    }
}

/// Returns a version with a float, and the first three bytes of a blob in the third column.
fn prepared_version() -> CompiledVersion {
    let mut version = fixture::version();
    version.ready.admitted.signature.inputs = vec![
        fixture::input("a", Element::Float, &[]),
        fixture::input("bytes", Element::Int32, &[3]),
    ];
    let bytes = Place {
        width: 3,
        conversion: Conversion::Prepared(Preparation {
            element: Element::Int32,
            cql_type: CqlType::Blob,
            kind: PreparationKind::Bytes(BytesRule {
                head: 3,
                tail: 0,
                strip: false,
                pad: 0,
                block: 3,
            }),
        }),
        ..fixture::place("bytes", 2, "blob", Element::Int32)
    };
    version.inputs = vec![
        InputMapping {
            places: vec![fixture::place("a", 0, "float", Element::Float)],
        },
        InputMapping {
            places: vec![bytes],
        },
    ];
    version
}
