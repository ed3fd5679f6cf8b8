//! Protocol of the two processes over the child's stdin and stdout.
//!
//! A message is the header's length (u32), the header, and the tensors that it announces: numbers
//! as in memory (both ends are one program on one machine), texts as all their lengths (u32)
//! followed by all their bytes. The sides alternate, and each sends a whole message before it
//! reads, so there is no deadlock.

use std::{
    io::{self, Read, Write},
    ops::Range,
    path::PathBuf,
};

use half::slice::HalfFloatSliceExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::prepare::PreparationPlan,
        model::{Signature, tensor::TensorData},
        problem::Problem,
    },
};

/// Maximum size of a header, including the reasons of refused rows.
const MAX_HEADER: u32 = 64 << 20;
/// Length of a null cell.
const NO_CELL: u32 = u32::MAX;
/// Maximum number of bytes of text in one tensor.
const MAX_TEXT: u64 = 1 << 30;

/// The first message, in JSON; the models' bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Load {
    /// ONNX Runtime's library.
    pub library: PathBuf,
    /// Limit on address space in bytes.
    pub memory: u64,
    /// Size in bytes and signature of each model.
    pub models: Vec<(u64, Signature)>,
    /// Number of tokenizers, if the process prepares cells: a [`PreparationPlan`] and their files
    /// follow instead of models.
    pub tokenizers: Option<usize>,
}

/// Rows to score or to prepare; their inputs or cells follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ask {
    /// Index of the loaded model; 0 for cells.
    pub version: u32,
    /// Number of rows.
    pub rows: u32,
}

/// The child's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// All models are loaded.
    Ready,
    /// A model could not be loaded; with the [`Problem`] in JSON.
    NotLoaded(String),
    /// The outputs of `rows` rows follow; the others were refused or rejected (index, reason), in
    /// order.
    Scored {
        rows: u32,
        refused: Vec<(u32, String)>,
    },
    /// The model does not behave as admitted.
    Misaligned(String),
}

impl Answer {
    pub(super) fn not_loaded(problem: &Problem) -> Self {
        Self::NotLoaded(serde_json::to_string(problem).unwrap_or_default())
    }
}

const BINARY: bincode::config::Configuration = bincode::config::standard();

pub(super) fn write_header(to: &mut impl Write, header: &impl Serialize) -> io::Result<()> {
    let bytes = bincode::serde::encode_to_vec(header, BINARY).map_err(io::Error::other)?;
    write_block(to, &bytes)
}

/// Reads a header; `None` at the end of the stream.
pub(super) fn read_header<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let Some(bytes) = read_block(from)? else {
        return Ok(None);
    };
    let (header, _) =
        bincode::serde::decode_from_slice(&bytes, BINARY).map_err(io::Error::other)?;
    Ok(Some(header))
}

pub(super) fn write_block(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&length.to_ne_bytes())?;
    to.write_all(bytes)
}

pub(super) fn read_block(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read(&mut length)? {
        0 => return Ok(None),
        read => from.read_exact(&mut length[read..])?,
    }
    let length = u32::from_ne_bytes(length);
    if length > MAX_HEADER {
        return Err(io::Error::other("the header exceeds the size limit"));
    }
    let mut bytes = vec![0; length as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// Sends the values in `range`.
pub(super) fn write_tensor(
    to: &mut impl Write,
    data: &TensorData,
    range: Range<usize>,
) -> io::Result<()> {
    match data {
        TensorData::Float16(values) => {
            to.write_all(bytemuck::cast_slice(values[range].reinterpret_cast()))
        }
        TensorData::Float(values) => to.write_all(bytemuck::cast_slice(&values[range])),
        TensorData::Double(values) => to.write_all(bytemuck::cast_slice(&values[range])),
        TensorData::Int32(values) => to.write_all(bytemuck::cast_slice(&values[range])),
        TensorData::Int64(values) => to.write_all(bytemuck::cast_slice(&values[range])),
        TensorData::Bool(values) => to.write_all(bytemuck::cast_slice(&values[range])),
        TensorData::String(values) => {
            for text in values.range(range.clone()) {
                let length = u32::try_from(text.len()).map_err(io::Error::other)?;
                to.write_all(&length.to_ne_bytes())?;
            }
            values
                .range(range)
                .try_for_each(|text| to.write_all(text.as_bytes()))
        }
    }
}

/// Appends `count` values.
///
/// # Errors
/// I/O errors; text that is not UTF-8 or exceeds the limit.
pub(super) fn read_tensor(
    from: &mut impl Read,
    data: &mut TensorData,
    count: usize,
) -> io::Result<()> {
    fn numbers<T: bytemuck::Pod>(
        from: &mut impl Read,
        values: &mut Vec<T>,
        count: usize,
    ) -> io::Result<()> {
        let start = values.len();
        values.resize(start + count, T::zeroed());
        from.read_exact(bytemuck::cast_slice_mut(&mut values[start..]))
    }
    match data {
        TensorData::Float16(values) => {
            let start = values.len();
            values.resize(start + count, half::f16::ZERO);
            let bits: &mut [u16] =
                half::slice::HalfFloatSliceExt::reinterpret_cast_mut(&mut values[start..]);
            from.read_exact(bytemuck::cast_slice_mut(bits))
        }
        TensorData::Float(values) => numbers(from, values, count),
        TensorData::Double(values) => numbers(from, values, count),
        TensorData::Int32(values) => numbers(from, values, count),
        TensorData::Int64(values) => numbers(from, values, count),
        TensorData::Bool(values) => {
            let mut bytes = vec![0; count];
            from.read_exact(&mut bytes)?;
            values.extend(bytes.iter().map(|byte| *byte != 0));
            Ok(())
        }
        TensorData::String(values) => {
            let mut lengths = vec![0_u32; count];
            from.read_exact(bytemuck::cast_slice_mut(&mut lengths))?;
            let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
            if total > MAX_TEXT {
                return Err(io::Error::other("texts exceed the size limit"));
            }
            let mut bytes = Vec::new();
            for length in lengths {
                bytes.resize(length as usize, 0);
                from.read_exact(&mut bytes)?;
                values.push(std::str::from_utf8(&bytes).map_err(io::Error::other)?);
            }
            Ok(())
        }
    }
}

/// Sends the cells of some rows: the length of each, [`NO_CELL`] for a null, then its bytes.
pub(super) fn write_cells(
    to: &mut impl Write,
    cells: &CellBuffer,
    rows: Range<usize>,
) -> io::Result<()> {
    for cell in rows.flat_map(|row| cells.row(row)) {
        let length = cell.map_or(Ok(NO_CELL), |bytes| u32::try_from(bytes.len()));
        to.write_all(&length.map_err(io::Error::other)?.to_ne_bytes())?;
        to.write_all(cell.unwrap_or_default())?;
    }
    Ok(())
}

/// Appends `rows` rows.
pub(super) fn read_cells(
    from: &mut impl Read,
    cells: &mut CellBuffer,
    rows: usize,
) -> io::Result<()> {
    for _ in 0..rows * cells.width() {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_ne_bytes(length);
        if length == NO_CELL {
            cells.push(None);
            continue;
        }
        cells.try_push_with(|arena| {
            let start = arena.len();
            arena.resize(start + length as usize, 0);
            from.read_exact(&mut arena[start..])
        })?;
    }
    Ok(())
}

/// Sends a plan, and the files of its tokenizers.
pub(super) fn write_plan(to: &mut impl Write, plan: &PreparationPlan) -> io::Result<()> {
    write_header(to, plan)?;
    let mut files = plan.tokenizers.iter();
    files.try_for_each(|file| write_block(to, file))
}

/// Reads a plan with this number of tokenizers.
pub(super) fn read_plan(from: &mut impl Read, tokenizers: usize) -> io::Result<PreparationPlan> {
    let end = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut plan: PreparationPlan = read_header(from)?.ok_or_else(end)?;
    for _ in 0..tokenizers {
        let file = read_block(from)?.ok_or_else(end)?;
        plan.tokenizers.push(file.into());
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_arrive_as_they_were_sent() {
        let mut cells = CellBuffer::new(2);
        for cell in [Some(&b"ab"[..]), None, Some(b""), Some(b"c"), None, None] {
            cells.push(cell);
        }
        let mut bytes = Vec::new();
        write_cells(&mut bytes, &cells, 1..3).unwrap();
        let mut read = CellBuffer::new(2);
        read_cells(&mut bytes.as_slice(), &mut read, 2).unwrap();
        assert_eq!(read, cells.slice(1..3));
        assert!(read_cells(&mut &bytes[..5], &mut read, 1).is_err());
    }

    #[test]
    fn values_of_every_type_arrive_as_they_were_sent() {
        let half = |value: f32| half::f16::from_f32(value);
        let all = [
            TensorData::Float16(vec![half(0.5), half(-2.0), half(7.0)]),
            TensorData::Float(vec![0.1, f32::NAN, -0.0]),
            TensorData::Double(vec![1e300, f64::INFINITY, 0.0]),
            TensorData::Int32(vec![i32::MIN, 0, 7]),
            TensorData::Int64(vec![i64::MAX, 0, -7]),
            TensorData::Bool(vec![true, false, true]),
            TensorData::String(["", "żółw", "a\0b"].into()),
        ];
        for data in all {
            let mut bytes = Vec::new();
            write_tensor(&mut bytes, &data, 1..3).unwrap();
            let mut read = TensorData::new(data.element());
            read_tensor(&mut bytes.as_slice(), &mut read, 2).unwrap();
            // NaN differs from itself; its text does not.
            assert_eq!(format!("{read:?}"), format!("{:?}", data.slice(1..3)));
            assert!(read_tensor(&mut &bytes[..1], &mut read, 2).is_err());
        }
    }

    #[test]
    fn a_header_without_end_is_refused_before_memory_is_taken() {
        let bytes = u32::MAX.to_ne_bytes();
        assert!(read_block(&mut bytes.as_slice()).is_err());
        assert!(read_block(&mut [].as_slice()).unwrap().is_none());
    }
}
