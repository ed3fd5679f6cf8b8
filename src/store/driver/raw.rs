//! Reads and writes raw cells: pages of a SELECT without a value enum per cell, and rows bound as
//! bytes.

use bytes::Bytes;
use scylla::{
    deserialize::row::ColumnIterator,
    errors::SerializationError,
    response::query_result::QueryRowsResult,
    serialize::{
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
};

use super::{budget::Share, error::StoreError};
use crate::codec::cells::CellBuffer;

/// One page of rows; cells are slices of the frame they arrived in.
#[derive(Debug, Default)]
pub struct Page {
    frame: Bytes,
    /// Offset and length of each cell in `frame`; length -1 is null.
    cells: Vec<(u32, i32)>,
    width: usize,
    skipped: usize,
    largest_row: usize,
    held: Option<Share>,
}

impl Page {
    /// Takes over a page and records where its cells are.
    pub(in crate::store) fn new(result: &QueryRowsResult, cql: &str) -> Result<Self, StoreError> {
        let corrupt = |error: &dyn std::fmt::Display| StoreError::corrupt(error.to_string(), cql);
        let width = result.column_specs().len();
        let mut page = Self {
            cells: Vec::with_capacity(width * result.rows_num()),
            width,
            ..Self::default()
        };
        let rows = result
            .rows::<ColumnIterator<'_, '_>>()
            .map_err(|error| corrupt(&error))?;
        let mut base = 0;
        for row in rows {
            let mut row_bytes = 0;
            for column in row.map_err(|error| corrupt(&error))? {
                let column = column.map_err(|error| corrupt(&error))?;
                let Some(slice) = column.slice else {
                    page.cells.push((0, -1));
                    continue;
                };
                if page.frame.is_empty() {
                    page.frame = slice.as_original_frame_bytes().clone();
                    base = page.frame.as_ptr() as usize;
                }
                let bytes = slice.as_slice();
                let offset = (bytes.as_ptr() as usize).wrapping_sub(base);
                page.cells.push((offset as u32, bytes.len() as i32));
                row_bytes += bytes.len();
            }
            page.largest_row = page.largest_row.max(row_bytes);
        }
        Ok(page)
    }

    /// Returns the number of rows held, without the skipped ones.
    pub fn rows(&self) -> usize {
        self.cells
            .len()
            .checked_div(self.width)
            .unwrap_or(0)
            .saturating_sub(self.skipped)
    }

    /// Leaves out the first `rows` rows.
    pub(in crate::store) fn skip(&mut self, rows: usize) {
        self.skipped += rows;
    }

    /// Returns a cell; `None` is null.
    pub fn cell(&self, row: usize, column: usize) -> Option<&[u8]> {
        let (offset, length) = self.cells[(row + self.skipped) * self.width + column];
        let length = usize::try_from(length).ok()?;
        let offset = offset as usize;
        Some(&self.frame[offset..offset + length])
    }

    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Option<&[u8]>> + '_ {
        (0..self.width).map(move |column| self.cell(row, column))
    }

    /// Returns a copy of a row's cells, without the first `skip`.
    pub fn copy_row(&self, row: usize, skip: usize) -> CellBuffer {
        let cells = self.row(row).skip(skip);
        let mut buffer = CellBuffer::new(cells.len());
        cells.for_each(|cell| buffer.push(cell));
        buffer
    }

    /// Returns the bytes of the largest row's cells.
    pub fn largest_row(&self) -> usize {
        self.largest_row
    }

    /// Counts the page's bytes as held by this share until the page is dropped.
    pub(in crate::store) fn hold(&mut self, mut share: Share) {
        share.resize(self.frame.len());
        self.held = Some(share);
    }

    /// Returns a page of rows that have one cell of these sizes each.
    #[cfg(test)]
    pub(in crate::store) fn of_sizes(sizes: &[usize]) -> Self {
        let mut page = Self {
            width: 1,
            largest_row: sizes.iter().copied().max().unwrap_or(0),
            ..Self::default()
        };
        let mut end = 0;
        for size in sizes {
            page.cells.push((end as u32, *size as i32));
            end += size;
        }
        page.frame = vec![0_u8; end].into();
        page
    }

    pub fn byte_len(&self) -> usize {
        self.frame.len()
    }
}

/// Values to bind, already in CQL's binary form, each preceded by its length (i32, -1 for null).
#[derive(Debug, Clone, Copy)]
pub struct RawValues<'a>(pub &'a [u8]);

/// Appends a cell in the form that [`RawValues`] reads.
pub fn push_cell(values: &mut Vec<u8>, cell: Option<&[u8]>) {
    match cell {
        None => values.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(bytes) => {
            values.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            values.extend_from_slice(bytes);
        }
    }
}

/// Appends a cell whose bytes `write` appends; returns their number.
pub fn push_cell_with(values: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let head = values.len();
    values.extend_from_slice(&[0; 4]);
    write(values);
    let length = values.len() - head - 4;
    values[head..head + 4].copy_from_slice(&(length as i32).to_be_bytes());
    length
}

impl SerializeRow for RawValues<'_> {
    fn serialize(
        &self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        for cell in cells_of(self.0) {
            let writer = writer.make_cell_writer();
            match cell {
                None => writer.set_null(),
                Some(bytes) => writer.set_value(bytes).map_err(SerializationError::new)?,
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Iterates over the cells in bytes of [`RawValues`]' form.
pub fn cells_of(values: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => {
                rest = after;
                Some(None)
            }
            Ok(length) => {
                let (bytes, after) = after.split_at_checked(length)?;
                rest = after;
                Some(Some(bytes))
            }
        }
    })
}
