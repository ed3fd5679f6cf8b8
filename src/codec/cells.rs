//! Rows of serialised CQL cells in one arena, passed from scan to write without a value enum or an
//! allocation per cell.

/// Rows of raw cells. A cell is `None` (null) or the bytes of its CQL binary form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CellBuffer {
    bytes: Vec<u8>,
    /// End of each cell in `bytes`, with the top bit set for a null.
    ends: Vec<u32>,
    width: usize,
}

const NULL: u32 = 1 << 31;

impl CellBuffer {
    /// Returns an empty buffer of rows with `width` cells each.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Returns the number of cells per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of whole rows.
    pub fn rows(&self) -> usize {
        self.ends.len().checked_div(self.width).unwrap_or(0)
    }

    /// Returns the number of cells, including those of an incomplete row.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the number of bytes of all cells.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub fn push(&mut self, cell: Option<&[u8]>) {
        match cell {
            Some(bytes) => self.push_with(|arena| arena.extend_from_slice(bytes)),
            None => self.ends.push(self.bytes.len() as u32 | NULL),
        }
    }

    /// Appends a cell whose bytes `write` appends to the arena.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        debug_assert!(
            self.bytes.len() < NULL as usize,
            "an arena must stay under 2 GiB"
        );
        self.ends.push(self.bytes.len() as u32);
    }

    /// Appends a cell whose bytes `write` appends to the arena.
    ///
    /// # Errors
    /// Those of `write`; the buffer is unchanged then.
    pub fn try_push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        match written {
            Ok(()) => self.push_with(|_| {}),
            Err(_) => self.bytes.truncate(start),
        }
        written
    }

    /// Keeps the first `cells` cells (removes a row that was rejected half-way).
    pub fn truncate(&mut self, cells: usize) {
        self.ends.truncate(cells);
        let end = self.ends.last().map_or(0, |end| end & !NULL);
        self.bytes.truncate(end as usize);
    }

    /// Returns a copy of the rows in `rows`.
    pub fn slice(&self, rows: std::ops::Range<usize>) -> Self {
        let mut part = Self::new(self.width);
        for row in rows {
            self.row(row).for_each(|cell| part.push(cell));
        }
        part
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Returns the last cell; `None` if it is null, or there is none.
    pub fn last(&self) -> Option<&[u8]> {
        let last = self.ends.len().checked_sub(1)?;
        self.at(last)
    }

    pub fn cell(&self, row: usize, column: usize) -> Option<&[u8]> {
        self.at(row * self.width + column)
    }

    fn at(&self, at: usize) -> Option<&[u8]> {
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] & !NULL);
        let end = self.ends[at];
        (end & NULL == 0).then(|| &self.bytes[start as usize..end as usize])
    }

    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Option<&[u8]>> + Clone {
        (0..self.width).map(move |column| self.cell(row, column))
    }
}

#[cfg(test)]
mod tests {
    use super::CellBuffer;

    #[test]
    fn nulls_empties_and_truncation_keep_their_places() {
        let mut cells = CellBuffer::new(2);
        for cell in [Some(&b"ab"[..]), None, Some(b""), Some(b"c"), Some(b"half")] {
            cells.push(cell);
        }
        assert_eq!(cells.rows(), 2);
        cells.truncate(4);
        cells.push(None);
        cells.push(Some(b"d"));
        assert_eq!(cells.row(0).collect::<Vec<_>>(), [Some(&b"ab"[..]), None]);
        assert_eq!(
            cells.row(1).collect::<Vec<_>>(),
            [Some(&b""[..]), Some(b"c")]
        );
        assert_eq!(cells.row(2).collect::<Vec<_>>(), [None, Some(&b"d"[..])]);
    }

    #[test]
    fn a_cell_that_fails_half_way_leaves_no_bytes() {
        let mut cells = CellBuffer::new(1);
        cells.push(Some(b"a"));
        let before = cells.clone();
        let failed = cells.try_push_with(|arena| {
            arena.push(b'x');
            Err("invalid")
        });
        assert_eq!(failed, Err("invalid"));
        assert_eq!(cells, before);
        let written = cells.try_push_with(|arena| {
            arena.push(b'b');
            Ok::<_, ()>(())
        });
        assert_eq!(written, Ok(()));
        assert_eq!(cells.cell(1, 0), Some(&b"b"[..]));
    }
}
