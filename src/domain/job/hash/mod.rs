//! The hash of everything that a row's prediction depends on; a row is pending if it has changed.
//!
//! `input_hash` is xxh3-128, stored big-endian, over
//!
//! - the version's prefix, 16 bytes (model sha256, mapping and output fingerprint);
//! - 0 and the typed values as passed to the model, in signature order: numbers little-endian at
//!   their element's size, Booleans as one byte, texts as length (u32, little-endian) and bytes;
//! - or, for a row that cannot be typed, 1, then place after place its values as above or the cell
//!   framed by [`canonical::append_cell`], then the indices of the latter places and their number
//!   (u32, little-endian). So "unchanged, and still rejected" is recognised as well.

use xxhash_rust::xxh3::xxh3_128;

use super::rejection::Rejection;
use crate::{
    codec::{
        canonical::{self, Zeros},
        schema::Column,
    },
    domain::{
        job::{CompiledVersion, Place},
        model::tensor::{InputBatch, TensorData},
    },
};

const TYPED: u8 = 0;
const REJECTED: u8 = 1;

/// Appends one row to all inputs of `batch` and returns its `input_hash`. A rejected row leaves
/// `batch` unchanged; an unchanged one is removed by [`InputBatch::truncate`].
///
/// `cells` are the job's columns in the order of `CompiledJob::columns`. `scratch` is overwritten.
pub fn append_row(
    version: &CompiledVersion,
    cells: &[Option<&[u8]>],
    batch: &mut InputBatch,
    scratch: &mut Vec<u8>,
) -> (u128, Result<(), Rejection>) {
    scratch.clear();
    scratch.extend_from_slice(&version.hash_prefix);
    scratch.push(TYPED);
    let row = batch.rows;
    for at in 0..version.inputs.len() {
        let data = &mut batch.inputs[at];
        let start = data.len();
        let appended = version.inputs[at]
            .places
            .iter()
            .try_for_each(|place| append_place(place, cells, data));
        match appended {
            Ok(()) => push_values(data, start, scratch),
            Err(rejection) => {
                undo(version, batch, row, at, start);
                hash_rejected(version, cells, batch, scratch);
                return (xxh3_128(scratch), Err(rejection));
            }
        }
    }
    batch.rows += 1;
    (xxh3_128(scratch), Ok(()))
}

fn append_place(
    place: &Place,
    cells: &[Option<&[u8]>],
    data: &mut TensorData,
) -> Result<(), Rejection> {
    let cell = cells.get(place.column).copied().flatten();
    place
        .append(cell, data)
        .map_err(|fault| fault.reject(place))
}

/// Removes a row that failed in input `failed`, which held `start` values before it.
fn undo(
    version: &CompiledVersion,
    batch: &mut InputBatch,
    row: usize,
    failed: usize,
    start: usize,
) {
    for (input, mapping) in batch.inputs[..failed].iter_mut().zip(&version.inputs) {
        let width: usize = mapping.places.iter().map(|place| place.width).sum();
        input.truncate(row * width);
    }
    batch.inputs[failed].truncate(start);
}

/// Hashes a rejected row: every place, typed if possible (the slow path). The ends of the batch's
/// buffers serve as memory and are truncated again.
fn hash_rejected(
    version: &CompiledVersion,
    cells: &[Option<&[u8]>],
    batch: &mut InputBatch,
    scratch: &mut Vec<u8>,
) {
    scratch.truncate(version.hash_prefix.len());
    scratch.push(REJECTED);
    let mut untyped: Vec<u32> = Vec::new();
    let mut index = 0;
    for (mapping, data) in version.inputs.iter().zip(&mut batch.inputs) {
        for place in &mapping.places {
            let start = data.len();
            let cell = cells.get(place.column).copied().flatten();
            match place.append(cell, data) {
                Ok(()) => push_values(data, start, scratch),
                Err(_) => {
                    untyped.push(index);
                    canonical::append_cell(&place.rule.cql_type, cell, Zeros::Equal, scratch);
                }
            }
            data.truncate(start);
            index += 1;
        }
    }
    for index in &untyped {
        scratch.extend_from_slice(&index.to_le_bytes());
    }
    scratch.extend_from_slice(&(untyped.len() as u32).to_le_bytes());
}

/// Appends the values from `start` to the end.
fn push_values(data: &TensorData, start: usize, out: &mut Vec<u8>) {
    macro_rules! numbers {
        ($values:expr) => {
            extend_fixed(&$values[start..], out, |value| value.to_le_bytes())
        };
    }
    match data {
        TensorData::Float16(values) => numbers!(values),
        TensorData::Float(values) => numbers!(values),
        TensorData::Double(values) => numbers!(values),
        TensorData::Int32(values) => numbers!(values),
        TensorData::Int64(values) => numbers!(values),
        TensorData::Bool(values) => out.extend(values[start..].iter().map(|&truth| truth as u8)),
        TensorData::String(values) => {
            for text in values.range(start..values.len()) {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn extend_fixed<T: Copy, const N: usize>(
    values: &[T],
    out: &mut Vec<u8>,
    bytes: impl Fn(T) -> [u8; N],
) {
    let start = out.len();
    out.resize(start + values.len() * N, 0);
    let (slots, _) = out[start..].as_chunks_mut::<N>();
    for (slot, value) in slots.iter_mut().zip(values) {
        *slot = bytes(*value);
    }
}

/// Returns a hash over all columns that the job reads, whether or not a version uses them, to tell
/// whether two versions saw the same row. `columns` and `cells` are in the order of
/// `CompiledJob::columns`; each cell is framed by [`canonical::append_cell`]. `scratch` is
/// overwritten.
pub fn source_hash(columns: &[Column], cells: &[Option<&[u8]>], scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    for (at, column) in columns.iter().enumerate() {
        let cell = cells.get(at).copied().flatten();
        canonical::append_cell(&column.cql_type, cell, Zeros::Equal, scratch);
    }
    xxh3_128(scratch)
}

#[cfg(test)]
mod tests;
