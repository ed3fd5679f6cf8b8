//! Converts a model's output tensors to cells of the prediction table.

mod postprocessed;

use std::ops::Range;

use super::{postprocess::Postprocess, rejection::Rejection};
use crate::{
    codec::{cells::CellBuffer, wire::write_unsigned_vint},
    domain::{
        job::{CompiledVersion, NanOutput, OutputCell},
        model::tensor::{InputBatch, OutputBatch, TensorData},
    },
};

/// A row that the model scored.
#[derive(Debug, Clone, Copy)]
pub struct ScoredRow<'a> {
    pub inputs: &'a InputBatch,
    /// The row's index in `inputs`.
    pub input_row: usize,
    pub outputs: &'a OutputBatch,
    /// The row's index in `outputs`, which have no refused rows.
    pub row: usize,
}

/// Appends the output cells of one row to `cells`, in the target's column order. A rejected row
/// leaves `cells` unchanged.
pub fn encode(
    version: &CompiledVersion,
    row: ScoredRow<'_>,
    cells: &mut CellBuffer,
) -> Result<(), Rejection> {
    let before = cells.len();
    let encoded = version.outputs.iter().try_for_each(|cell| match cell {
        Some(cell) => {
            encode_cell(version, cell, row, cells)?;
            check_index(version, cell, cells)
        }
        None => {
            cells.push(None);
            Ok(())
        }
    });
    if encoded.is_err() {
        cells.truncate(before);
    }
    encoded
}

/// Checks that the index of the cell's column can hold the cell, which is the last one.
fn check_index(
    version: &CompiledVersion,
    cell: &OutputCell,
    cells: &CellBuffer,
) -> Result<(), Rejection> {
    let (Some(similarity), Some(vector)) = (cell.similarity, cells.last()) else {
        return Ok(());
    };
    similarity.check(public_name(version, cell), vector)
}

/// Returns the name of the cell's output.
fn public_name<'a>(version: &'a CompiledVersion, cell: &OutputCell) -> &'a str {
    let outputs = &version.ready.admitted.signature.outputs;
    outputs
        .get(cell.output)
        .map_or("?", |output| output.public_name.as_str())
}

fn encode_cell(
    version: &CompiledVersion,
    cell: &OutputCell,
    scored: ScoredRow<'_>,
    cells: &mut CellBuffer,
) -> Result<(), Rejection> {
    let ScoredRow { outputs, row, .. } = scored;
    let named = || public_name(version, cell);
    let misshapen = || {
        Rejection::new(
            "output_shape",
            format!("output `{}` has fewer values than rows", named()),
        )
    };
    let data = outputs.outputs.get(cell.output).ok_or_else(misshapen)?;
    let width = data.len().checked_div(outputs.rows).unwrap_or(0);
    let start = row * width + cell.offset;
    let range = start..start + cell.width;
    if cell.offset + cell.width > width || row >= outputs.rows {
        return Err(misshapen());
    }
    let check = |is_nan: bool| match (is_nan, version.nan_output) {
        (true, NanOutput::Reject) => Err(Rejection::new(
            "nan_output",
            format!("output `{}` is NaN", named()),
        )),
        _ => Ok(()),
    };
    if cell.postprocess != Postprocess::Nothing {
        check(has_nan(data, range.clone()))?;
    }
    match &cell.postprocess {
        Postprocess::Nothing => {}
        Postprocess::Embedding(rule) => {
            return postprocessed::push_embedding(rule, scored, (data, range), cells);
        }
        Postprocess::Top(rule) => return postprocessed::push_top(rule, (data, range), cells),
    }
    if let Some(names) = &cell.rename {
        let label = match data {
            TensorData::Int64(values) => values[start],
            TensorData::Int32(values) => values[start].into(),
            TensorData::Bool(values) => values[start].into(),
            _ => return Err(misshapen()),
        };
        let name = names.iter().find(|(known, _)| *known == label);
        let (_, name) = name.ok_or_else(|| {
            Rejection::new(
                "unknown_label",
                format!("output `{}` is {label}, which has no name", named()),
            )
        })?;
        cells.push(Some(name.as_bytes()));
        return Ok(());
    }
    check(has_nan(data, range.clone()))?;
    match data {
        TensorData::Float(values) => {
            push_fixed(&values[range], cells, f32::to_be_bytes);
        }
        TensorData::Double(values) => {
            push_fixed(&values[range], cells, f64::to_be_bytes);
        }
        TensorData::Float16(values) => {
            push_fixed(&values[range], cells, |value| value.to_f32().to_be_bytes());
        }
        TensorData::Int64(values) => push_fixed(&values[range], cells, i64::to_be_bytes),
        TensorData::Int32(values) => push_fixed(&values[range], cells, i32::to_be_bytes),
        TensorData::Bool(values) => push_fixed(&values[range], cells, |value| [u8::from(value)]),
        TensorData::String(values) if cell.width == 1 => {
            cells.push(Some(values[start].as_bytes()));
        }
        // Texts have no fixed size, so each element of a vector of them is preceded by its length.
        TensorData::String(values) => cells.push_with(|arena| {
            for value in values.range(range) {
                write_unsigned_vint(value.len() as u64, arena);
                arena.extend_from_slice(value.as_bytes());
            }
        }),
    }
    Ok(())
}

fn has_nan(data: &TensorData, range: Range<usize>) -> bool {
    match data {
        TensorData::Float(values) => values[range].iter().any(|value| value.is_nan()),
        TensorData::Double(values) => values[range].iter().any(|value| value.is_nan()),
        TensorData::Float16(values) => values[range].iter().any(|value| value.is_nan()),
        _ => false,
    }
}

/// Appends elements, big-endian without framing: scalar and vector columns have the same bytes.
fn push_fixed<T: Copy, const N: usize>(
    values: &[T],
    cells: &mut CellBuffer,
    bytes: impl Fn(T) -> [u8; N],
) {
    cells.push_with(|arena| {
        for value in values {
            arena.extend_from_slice(&bytes(*value));
        }
    });
}

#[cfg(test)]
mod tests;
