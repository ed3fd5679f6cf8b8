//! Cells of outputs that are not stored as they are.

use std::ops::Range;

use super::{Rejection, ScoredRow};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::postprocess::{Embedding, Top, TopValue, best_class, embed_row},
        model::tensor::TensorData,
    },
};

/// Appends the cell of an embedding. `values` is the row's range in the output's `data`.
pub(super) fn push_embedding(
    rule: &Embedding,
    row: ScoredRow<'_>,
    (data, values): (&TensorData, Range<usize>),
    cells: &mut CellBuffer,
) -> Result<(), Rejection> {
    let mask = match rule.mask {
        None => Vec::new(),
        Some(at) => mask(row, at, rule.tokens)?,
    };
    let vector = embed_row(rule, &floats(data, values), &mask);
    let is_double = matches!(data, TensorData::Double(_));
    cells.push_with(|arena| {
        for value in &vector {
            push_float(*value, is_double, arena);
        }
    });
    Ok(())
}

/// Appends the cell of one of the best classes.
pub(super) fn push_top(
    rule: &Top,
    (data, values): (&TensorData, Range<usize>),
    cells: &mut CellBuffer,
) -> Result<(), Rejection> {
    let missing = || Rejection::new("output_shape", "an output has fewer scores than labels");
    let (class, score) = best_class(&floats(data, values), rule.rank).ok_or_else(missing)?;
    match &rule.value {
        TopValue::Label(names) => {
            let name = names.get(class).ok_or_else(missing)?;
            cells.push(Some(name.as_bytes()));
        }
        TopValue::Score => cells.push_with(|arena| {
            push_float(score, matches!(data, TensorData::Double(_)), arena);
        }),
    }
    Ok(())
}

fn mask(row: ScoredRow<'_>, input: usize, tokens: usize) -> Result<Vec<bool>, Rejection> {
    let range = row.input_row * tokens..(row.input_row + 1) * tokens;
    let mask = row.inputs.inputs.get(input).and_then(|data| {
        (range.end <= data.len()).then(|| match data {
            TensorData::Int32(data) => data[range].iter().map(|it| *it != 0).collect(),
            TensorData::Int64(data) => data[range].iter().map(|it| *it != 0).collect(),
            TensorData::Bool(data) => data[range].to_vec(),
            _ => floats(data, range).iter().map(|it| *it != 0.0).collect(),
        })
    });
    mask.ok_or_else(|| Rejection::new("output_shape", "the mask has fewer values than tokens"))
}

/// Returns floats of any size; admitted outputs of other elements are never postprocessed.
fn floats(data: &TensorData, range: Range<usize>) -> Vec<f64> {
    match data {
        TensorData::Float(values) => values[range].iter().map(|value| (*value).into()).collect(),
        TensorData::Double(values) => values[range].to_vec(),
        TensorData::Float16(values) => values[range].iter().map(|value| value.to_f64()).collect(),
        _ => Vec::new(),
    }
}

fn push_float(value: f64, is_double: bool, arena: &mut Vec<u8>) {
    match is_double {
        true => arena.extend_from_slice(&value.to_be_bytes()),
        false => arena.extend_from_slice(&(value as f32).to_be_bytes()),
    }
}
