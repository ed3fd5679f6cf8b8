use half::f16;

use super::*;
use crate::domain::{fixture, model::tensor::Element};

fn version(outputs: Vec<OutputCell>) -> CompiledVersion {
    let mut version = fixture::version();
    version.ready.admitted.signature.outputs = vec![
        fixture::output("label", Element::Int64, &[]),
        fixture::output("probabilities", Element::Float, &[2]),
    ];
    version.outputs = outputs.into_iter().map(Some).collect();
    version
}

fn cell(output: usize, offset: usize, width: usize) -> OutputCell {
    OutputCell {
        output,
        offset,
        width,
        rename: None,
        similarity: None,
        postprocess: Default::default(),
    }
}

fn encode(
    version: &CompiledVersion,
    outputs: &OutputBatch,
    row: usize,
    cells: &mut CellBuffer,
) -> Result<(), Rejection> {
    let inputs = InputBatch::new(&[]);
    let row = ScoredRow {
        inputs: &inputs,
        input_row: row,
        outputs,
        row,
    };
    super::encode(version, row, cells)
}

fn two_rows() -> OutputBatch {
    OutputBatch {
        rows: 2,
        outputs: vec![
            TensorData::Int64(vec![0, 1]),
            TensorData::Float(vec![0.75, 0.25, 0.5, f32::NAN]),
        ],
    }
}

#[test]
fn cells_are_big_endian_in_the_order_of_the_target() {
    let version = version(vec![cell(1, 1, 1), cell(0, 0, 1), cell(1, 0, 2)]);
    let mut cells = CellBuffer::new(3);
    encode(&version, &two_rows(), 0, &mut cells).unwrap();
    let vector = [0.75_f32.to_be_bytes(), 0.25_f32.to_be_bytes()].concat();
    assert_eq!(
        cells.row(0).collect::<Vec<_>>(),
        [
            Some(&0.25_f32.to_be_bytes()[..]),
            Some(&0_i64.to_be_bytes()),
            Some(&vector)
        ]
    );
}

#[test]
fn a_nan_rejects_only_where_it_would_be_written() {
    let mut cells = CellBuffer::new(1);
    let all = version(vec![cell(0, 0, 1), cell(1, 0, 2)]);
    let rejection = encode(&all, &two_rows(), 1, &mut cells).unwrap_err();
    assert_eq!(
        rejection.to_string(),
        "nan_output: output `probabilities` is NaN"
    );
    assert!(cells.is_empty());
    let first = version(vec![cell(1, 0, 1)]);
    encode(&first, &two_rows(), 1, &mut cells).unwrap();
    let mut allowed = all;
    allowed.nan_output = NanOutput::Allow;
    encode(&allowed, &two_rows(), 1, &mut cells).unwrap();
    assert_eq!(cells.len(), 3);
}

#[test]
fn labels_take_their_names_and_strangers_are_rejected() {
    let mut named = cell(0, 0, 1);
    named.rename = Some(vec![(0, "benign".into())]);
    let version = version(vec![named]);
    let mut cells = CellBuffer::new(1);
    encode(&version, &two_rows(), 0, &mut cells).unwrap();
    assert_eq!(cells.cell(0, 0), Some(&b"benign"[..]));
    let rejection = encode(&version, &two_rows(), 1, &mut cells).unwrap_err();
    assert_eq!(rejection.code, "unknown_label");
}

#[test]
fn halves_are_stored_as_floats_and_short_outputs_are_noticed() {
    let version = version(vec![cell(0, 0, 1)]);
    let batch = |values: Vec<f16>| OutputBatch {
        rows: 1,
        outputs: vec![TensorData::Float16(values)],
    };
    let mut cells = CellBuffer::new(1);
    encode(&version, &batch(vec![f16::from_f32(0.5)]), 0, &mut cells).unwrap();
    assert_eq!(cells.cell(0, 0), Some(&0.5_f32.to_be_bytes()[..]));
    let rejection = encode(&version, &batch(vec![]), 0, &mut cells).unwrap_err();
    assert_eq!(rejection.code, "output_shape");
}

#[test]
fn columns_of_earlier_revisions_are_emptied() {
    let mut version = version(vec![cell(0, 0, 1)]);
    version.outputs.push(None);
    let mut cells = CellBuffer::new(2);
    encode(&version, &two_rows(), 0, &mut cells).unwrap();
    assert_eq!(cells.cell(0, 1), None);
    assert_eq!(cells.rows(), 1);
}
