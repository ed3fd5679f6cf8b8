//! Rows of serialised CQL cells in one arena: what scan hands on and write binds, without a value
//! enum or an allocation a cell.

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
    /// An empty buffer of rows that have `width` cells each.
    pub fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    /// Cells a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Whole rows held.
    pub fn rows(&self) -> usize {
        self.ends.len().checked_div(self.width).unwrap_or(0)
    }

    /// Cells held, those of a half-written row included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// No cells.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes held by all cells.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a cell.
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
            "an arena stays under 2 GiB"
        );
        self.ends.push(self.bytes.len() as u32);
    }

    /// Keeps the first `cells` cells (a row that was rejected half-way is taken back).
    pub fn truncate(&mut self, cells: usize) {
        self.ends.truncate(cells);
        let end = self.ends.last().map_or(0, |end| end & !NULL);
        self.bytes.truncate(end as usize);
    }

    /// Drops all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// One cell.
    pub fn cell(&self, row: usize, column: usize) -> Option<&[u8]> {
        let at = row * self.width + column;
        let start = at
            .checked_sub(1)
            .map_or(0, |before| self.ends[before] & !NULL);
        let end = self.ends[at];
        (end & NULL == 0).then(|| &self.bytes[start as usize..end as usize])
    }

    /// The cells of one row.
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
}
