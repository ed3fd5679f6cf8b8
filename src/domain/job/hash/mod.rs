//! The hash of everything that a row's prediction depends on; a row is pending if it has changed.
//!
//! `input_hash` is xxh3-128, stored big-endian, over
//!
//! - the version's prefix, 16 bytes (model sha256, mapping and output fingerprint);
//! - 0 and the typed values as passed to the model, in signature order: numbers little-endian at
//!   their element's size, Booleans as one byte, texts as length (u32, little-endian) and bytes; an
//!   input that is prepared as the xxh3-128 of its cell, big-endian;
//! - or, for a row that cannot be typed, 1, then place after place its values as above or the cell
//!   framed by [`canonical::append_cell`], then the indices of the latter places and their number
//!   (u32, little-endian). So "unchanged, and still rejected" is recognised as well.

use xxhash_rust::xxh3::xxh3_128;

use super::{prepare::TypedRows, rejection::Rejection};
use crate::{
    codec::{
        canonical::{self, Zeros},
        schema::Column,
    },
    domain::{
        job::{CompiledVersion, Conversion, Place, cast::Fault},
        model::tensor::{InputBatch, TensorData},
    },
};

const TYPED: u8 = 0;
const REJECTED: u8 = 1;

/// Appends one row to `rows` and returns its `input_hash`. A rejected row leaves `rows` unchanged;
/// an unchanged one is removed by [`TypedRows::truncate`]. Cells that are prepared are only hashed
/// and kept: their content may reject the row later, under the same hash.
///
/// `cells` are the job's columns in the order of `CompiledJob::columns`. `scratch` is overwritten.
pub fn append_row(
    version: &CompiledVersion,
    cells: &[Option<&[u8]>],
    rows: &mut TypedRows,
    scratch: &mut Vec<u8>,
) -> (u128, Result<(), Rejection>) {
    scratch.clear();
    scratch.extend_from_slice(&version.hash_prefix);
    scratch.push(TYPED);
    let batch = &mut rows.tensors;
    let row = batch.rows;
    for at in 0..version.inputs.len() {
        let data = &mut batch.inputs[at];
        let start = data.len();
        let mut places = version.inputs[at].places.iter();
        let appended = places.try_for_each(|place| {
            hash_place(place, cells, data, scratch).map_err(|fault| fault.reject(place))
        });
        if let Err(rejection) = appended {
            undo(version, batch, row, at, start);
            hash_rejected(version, cells, batch, scratch);
            return (xxh3_128(scratch), Err(rejection));
        }
    }
    rows.end_row(cells);
    (xxh3_128(scratch), Ok(()))
}

/// Appends a place's values to `data`, unless they are prepared later, and what is hashed of them to
/// `scratch`. After a fault, only `data` may have changed.
fn hash_place(
    place: &Place,
    cells: &[Option<&[u8]>],
    data: &mut TensorData,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let cell = cells.get(place.column).copied().flatten();
    match &place.conversion {
        Conversion::Cell(rule) => {
            let start = data.len();
            rule.append(cell, place.width, data)?;
            push_values(data, start, scratch);
        }
        Conversion::Prepared(preparation) => {
            let content = preparation.check(cell)?;
            scratch.extend_from_slice(&xxh3_128(content).to_be_bytes());
        }
    }
    Ok(())
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
            if hash_place(place, cells, data, scratch).is_err() {
                untyped.push(index);
                let cell = cells.get(place.column).copied().flatten();
                let cql_type = place.conversion.cql_type();
                canonical::append_cell(cql_type, cell, Zeros::Equal, scratch);
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
