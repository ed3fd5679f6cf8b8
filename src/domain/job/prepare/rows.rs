//! Rows of one version between the scan and the scorer.

use std::ops::Range;

use super::super::{CompiledVersion, rejection::Rejection};
use super::{PreparedPart, Preparer};
use crate::{
    codec::cells::CellBuffer,
    domain::model::tensor::{InputBatch, TensorData},
};

/// Rows of one version whose cells are converted, except those that are prepared only if their row
/// is scored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TypedRows {
    /// The tensors. Those of prepared inputs are empty until [`TypedRows::finish`].
    pub tensors: InputBatch,
    preparer: Preparer,
    /// One cell per row and column of `preparer`.
    cells: CellBuffer,
}

impl TypedRows {
    /// Returns no rows, with a buffer per input of the version.
    pub fn new(version: &CompiledVersion) -> Self {
        let preparer = Preparer::new(version);
        Self {
            tensors: InputBatch::new(&version.ready.admitted.signature.inputs),
            cells: CellBuffer::new(preparer.columns()),
            preparer,
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.tensors.rows
    }

    /// Returns the bytes of the tensors that preparing one row will take.
    pub fn prepared_row_bytes(&self) -> usize {
        self.preparer.row_bytes()
    }

    /// Ends a row whose other cells were converted.
    pub(in crate::domain::job) fn end_row(&mut self, cells: &[Option<&[u8]>]) {
        for column in self.preparer.source_columns() {
            self.cells.push(cells.get(column).copied().flatten());
        }
        self.tensors.rows += 1;
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        self.tensors.truncate(rows);
        self.cells.truncate(rows * self.preparer.columns());
    }

    /// Keeps the first `rows` rows, none of which is prepared yet, and returns the others.
    pub fn split_off(&mut self, rows: usize) -> Self {
        let all = self.tensors.rows;
        let rows = rows.min(all);
        let rest = Self {
            tensors: InputBatch {
                rows: all - rows,
                inputs: self
                    .tensors
                    .inputs
                    .iter()
                    .map(|data| data.slice(data.len() / all.max(1) * rows..data.len()))
                    .collect(),
                ..InputBatch::default()
            },
            preparer: self.preparer.clone(),
            cells: self.cells.slice(rows..self.cells.rows().max(rows)),
        };
        self.truncate(rows);
        rest
    }

    /// Removes all rows and keeps the memory, except that of prepared inputs.
    pub fn clear(&mut self) {
        self.tensors.clear();
        self.cells.clear();
        for input in self.preparer.inputs() {
            let data = &mut self.tensors.inputs[input];
            *data = TensorData::new(data.element());
        }
    }

    /// Takes the cells that must be prepared; `None` if there are none.
    pub fn take_unprepared(&mut self) -> Option<Unprepared> {
        let width = self.preparer.columns();
        (width > 0 && !self.cells.is_empty()).then(|| Unprepared {
            preparer: self.preparer.clone(),
            cells: std::mem::replace(&mut self.cells, CellBuffer::new(width)),
        })
    }

    /// Puts in what was prepared, part after part, and removes the rows that could not be. Returns
    /// those by their index before the removal, ascending.
    pub fn finish(&mut self, parts: Vec<PreparedPart>) -> Vec<(usize, Rejection)> {
        let mut rejected = Vec::new();
        for part in parts {
            for (input, values) in part.inputs {
                self.tensors.inputs[input].append(values);
            }
            rejected.extend(part.rejected);
        }
        if !rejected.is_empty() {
            let prepared = |at: &usize| self.preparer.inputs().any(|input| input == *at);
            let rows = self.tensors.rows;
            let gone: Vec<usize> = rejected.iter().map(|(row, _)| *row).collect();
            let others: Vec<usize> = (0..self.tensors.inputs.len())
                .filter(|at| !prepared(at))
                .collect();
            for at in others {
                self.tensors.inputs[at].remove_rows(rows, &gone);
            }
            self.tensors.rows -= gone.len();
        }
        rejected
    }
}

/// Cells of rows that must be scored.
#[derive(Debug)]
pub struct Unprepared {
    preparer: Preparer,
    cells: CellBuffer,
}

impl Unprepared {
    /// Returns one row of a preparer with one column.
    pub fn of_cell(preparer: Preparer, cell: Option<&[u8]>) -> Self {
        let mut cells = CellBuffer::new(1);
        cells.push(cell);
        Self { preparer, cells }
    }

    /// Returns what prepares them.
    pub fn preparer(&self) -> &Preparer {
        &self.preparer
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.cells.rows()
    }

    /// Returns a copy of the cells of some rows.
    pub fn cells(&self, rows: Range<usize>) -> CellBuffer {
        self.cells.slice(rows)
    }

    /// Prepares a range of rows. This may take milliseconds a row.
    pub fn prepare(&self, rows: Range<usize>) -> PreparedPart {
        self.preparer.prepare(&self.cells, rows)
    }

    /// Rejects a range of rows whose preparation came to no end, for a reason in words.
    pub fn fail(&self, rows: Range<usize>, reason: &str) -> PreparedPart {
        let rejection = self.preparer.failed(reason);
        PreparedPart {
            inputs: Vec::new(),
            rejected: rows.map(|row| (row, rejection.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::cql_type::CqlType,
        domain::{
            fixture,
            job::{
                Conversion, InputMapping, Place, Preparation, PreparationKind, manifest::Manifest,
            },
            model::tensor::Element,
        },
    };

    /// A version with a float and an image of one pixel.
    fn version() -> CompiledVersion {
        let manifest = Manifest::parse(
            "job = 'j'\nmodel = 'm'\nversions = [1]\nsource = { table = 'k.t' }\n[features]\n\
             x = { column = 'c', as = 'image', crop = 1 }",
        );
        let kind: Option<PreparationKind> =
            manifest.unwrap().features.unwrap()["x"].prepared.clone();
        let image = Place {
            width: 3,
            conversion: Conversion::Prepared(Preparation {
                element: Element::Float,
                cql_type: CqlType::Blob,
                kind: kind.unwrap(),
            }),
            ..fixture::place("x", 1, "blob", Element::Float)
        };
        let mut version = fixture::version();
        version.ready.admitted.signature.inputs = vec![
            fixture::input("a", Element::Float, &[]),
            fixture::input("x", Element::Float, &[3, 1, 1]),
        ];
        version.inputs = vec![
            InputMapping {
                places: vec![fixture::place("a", 0, "float", Element::Float)],
            },
            InputMapping {
                places: vec![image],
            },
        ];
        version
    }

    #[test]
    fn rows_that_cannot_be_prepared_leave_all_inputs() {
        let mut png = std::io::Cursor::new(Vec::new());
        let pixel = ::image::RgbImage::from_pixel(1, 1, ::image::Rgb([1, 2, 3]));
        pixel.write_to(&mut png, ::image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let version = version();
        let mut rows = TypedRows::new(&version);
        for (number, content) in [
            (0.0_f32, &png[..]),
            (1.0, &b"no"[..]),
            (2.0, &png[..]),
            (3.0, &b""[..]),
        ] {
            let cell = number.to_be_bytes();
            let cells = [Some(&cell[..]), Some(content)];
            let appended =
                super::super::super::hash::append_row(&version, &cells, &mut rows, &mut Vec::new());
            assert_eq!(appended.1.is_err(), content.is_empty());
        }
        let unprepared = rows.take_unprepared().unwrap();
        let rejected = rows.finish(vec![unprepared.prepare(0..1), unprepared.prepare(1..3)]);
        assert_eq!(rejected.len(), 1);
        assert_eq!((rejected[0].0, &*rejected[0].1.code), (1, "image"));
        assert_eq!(Rejection::parse(&rejected[0].1.to_string()), rejected[0].1);
        assert_eq!(rows.rows(), 2);
        assert_eq!(rows.tensors.inputs[0], TensorData::Float(vec![0.0, 2.0]));
        let pixels = [1.0, 2.0, 3.0].repeat(2);
        assert_eq!(rows.tensors.inputs[1], TensorData::Float(pixels));
        let failed = unprepared.fail(0..2, "panic");
        assert_eq!(failed.rejected[1].1.subject(), "x");
        rows.clear();
        assert!(rows.take_unprepared().is_none());
    }
}
