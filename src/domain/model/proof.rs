//! A stored prediction: its lineage and its output cells.
//!
//! Nothing about such a row is certain: every role that may write the table may have altered it,
//! which `verify` and `explain` detect.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::codec::cells::CellBuffer;

/// Fields of `helenus_lineage` in the order in which they are read. The first two decide whether a
/// row is pending.
pub const FIELDS: [&str; 8] = [
    "input_hash",
    "rejected",
    "model_sha256",
    "source_hash",
    "run_id",
    "scored_at",
    "job_revision",
    "arm",
];

/// A stored prediction: the fields of [`FIELDS`], then the table's output columns.
#[derive(Debug, Clone, Copy)]
pub struct Prediction<'a> {
    cells: &'a CellBuffer,
    row: usize,
}

impl<'a> Prediction<'a> {
    /// Returns row `row` of `cells`, whose rows have one cell per field and one per output column.
    pub fn new(cells: &'a CellBuffer, row: usize) -> Self {
        Self { cells, row }
    }

    /// Returns the output columns in the table's order.
    pub fn outputs(self) -> impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone {
        self.cells.row(self.row).skip(FIELDS.len())
    }

    /// Returns the hash of the scored values; `None` without a lineage.
    pub fn input_hash(self) -> Option<u128> {
        let bytes = self.cells.cell(self.row, 0)?;
        bytes.try_into().ok().map(u128::from_be_bytes)
    }

    /// Returns the sha256 of the model, if stored.
    pub fn model_sha256(self) -> Option<&'a [u8]> {
        self.cells.cell(self.row, 2)
    }

    /// Returns the hash of the source row; `None` without a lineage.
    pub fn source_hash(self) -> Option<u128> {
        let bytes = self.cells.cell(self.row, 3)?;
        bytes.try_into().ok().map(u128::from_be_bytes)
    }

    /// Returns when it was scored, in milliseconds since 1970; `None` without a lineage.
    pub fn scored_at(self) -> Option<i64> {
        let bytes = self.cells.cell(self.row, 5)?;
        bytes.try_into().ok().map(i64::from_be_bytes)
    }

    /// Returns whether it is stored as rejected.
    pub fn is_rejected(self) -> bool {
        self.cells.cell(self.row, 1).is_some()
    }

    /// Returns the reason of the rejection, if it is rejected.
    pub fn rejected(self) -> Option<String> {
        let text = self.cells.cell(self.row, 1)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Returns the lineage by field; null and invalid values are `None`.
    pub fn lineage(self) -> Lineage {
        let cell = |field| self.cells.cell(self.row, field);
        let text = |field| cell(field).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let hash = |field| cell(field)?.try_into().ok().map(u128::from_be_bytes);
        let millis = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        Lineage {
            input_hash: hash(0),
            rejected: text(1),
            model_sha256: cell(2).map(<[u8]>::to_vec),
            source_hash: hash(3),
            run_id: cell(4).and_then(|bytes| Uuid::from_slice(bytes).ok()),
            scored_at: cell(5)
                .and_then(millis)
                .and_then(DateTime::from_timestamp_millis),
            job_revision: cell(6)
                .and_then(|bytes| bytes.try_into().ok())
                .map(i32::from_be_bytes),
            arm: text(7),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    pub input_hash: Option<u128>,
    pub rejected: Option<String>,
    pub model_sha256: Option<Vec<u8>>,
    pub source_hash: Option<u128>,
    pub run_id: Option<Uuid>,
    pub scored_at: Option<DateTime<Utc>>,
    pub job_revision: Option<i32>,
    pub arm: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_what_is_no_value_is_nothing() {
        let mut cells = CellBuffer::new(FIELDS.len() + 1);
        let id = Uuid::from_u128(5);
        let bytes: [Option<&[u8]>; 9] = [
            Some(&7_u128.to_be_bytes()),
            None,
            Some(&[9; 32]),
            Some(b"short"),
            Some(id.as_bytes()),
            Some(&1_700_000_000_123_i64.to_be_bytes()),
            Some(&3_i32.to_be_bytes()),
            None,
            Some(b"malignant"),
        ];
        bytes.iter().for_each(|cell| cells.push(*cell));
        let prediction = Prediction::new(&cells, 0);
        let lineage = prediction.lineage();
        assert_eq!(lineage.input_hash, Some(7));
        assert_eq!(lineage.source_hash, None);
        assert_eq!(lineage.run_id, Some(id));
        assert_eq!(
            lineage.scored_at.unwrap().timestamp_millis(),
            1_700_000_000_123
        );
        assert_eq!(lineage.job_revision, Some(3));
        assert_eq!(prediction.model_sha256(), Some(&[9; 32][..]));
        assert_eq!(
            prediction.outputs().collect::<Vec<_>>(),
            [Some(&b"malignant"[..])]
        );
    }
}
