//! Typed buffers between the database's cells and ONNX Runtime's tensors.

use half::f16;
use serde::{Deserialize, Serialize};

use super::texts::Texts;
use crate::codec::cells::CellBuffer;

/// Supported element types; admission rejects others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    Float16,
    Float,
    Double,
    Int32,
    Int64,
    Bool,
    String,
}

impl Element {
    /// Returns the ONNX name: `float`, `int64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float16 => "float16",
            Self::Float => "float",
            Self::Double => "double",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
            Self::String => "string",
        }
    }

    /// Returns the bytes of one value in memory; 0 for texts, whose length varies.
    pub fn byte_len(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Float16 => 2,
            Self::Float | Self::Int32 => 4,
            Self::Double | Self::Int64 => 8,
            Self::String => 0,
        }
    }
}

/// Values of one tensor, row after row: `len = rows x width`.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    Float16(Vec<f16>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bool(Vec<bool>),
    String(Texts),
}

/// Evaluates the same expression on the vector inside, whatever its element type.
#[macro_export]
macro_rules! each_tensor {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::domain::model::tensor::TensorData::Float16($values) => $body,
            $crate::domain::model::tensor::TensorData::Float($values) => $body,
            $crate::domain::model::tensor::TensorData::Double($values) => $body,
            $crate::domain::model::tensor::TensorData::Int32($values) => $body,
            $crate::domain::model::tensor::TensorData::Int64($values) => $body,
            $crate::domain::model::tensor::TensorData::Bool($values) => $body,
            $crate::domain::model::tensor::TensorData::String($values) => $body,
        }
    };
}

impl TensorData {
    /// Returns an empty buffer for that element type.
    pub fn new(element: Element) -> Self {
        match element {
            Element::Float16 => Self::Float16(Vec::new()),
            Element::Float => Self::Float(Vec::new()),
            Element::Double => Self::Double(Vec::new()),
            Element::Int32 => Self::Int32(Vec::new()),
            Element::Int64 => Self::Int64(Vec::new()),
            Element::Bool => Self::Bool(Vec::new()),
            Element::String => Self::String(Texts::default()),
        }
    }

    pub fn element(&self) -> Element {
        match self {
            Self::Float16(_) => Element::Float16,
            Self::Float(_) => Element::Float,
            Self::Double(_) => Element::Double,
            Self::Int32(_) => Element::Int32,
            Self::Int64(_) => Element::Int64,
            Self::Bool(_) => Element::Bool,
            Self::String(_) => Element::String,
        }
    }

    /// Returns the number of values (rows x width).
    pub fn len(&self) -> usize {
        each_tensor!(self, values => values.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the first `len` values.
    pub fn truncate(&mut self, len: usize) {
        each_tensor!(self, values => values.truncate(len));
    }

    /// Removes all values and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Appends the values of `other`, of the same element type.
    ///
    /// # Panics
    /// If the element types differ.
    pub fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Float16(values), Self::Float16(mut more)) => values.append(&mut more),
            (Self::Float(values), Self::Float(mut more)) => values.append(&mut more),
            (Self::Double(values), Self::Double(mut more)) => values.append(&mut more),
            (Self::Int32(values), Self::Int32(mut more)) => values.append(&mut more),
            (Self::Int64(values), Self::Int64(mut more)) => values.append(&mut more),
            (Self::Bool(values), Self::Bool(mut more)) => values.append(&mut more),
            (Self::String(values), Self::String(more)) => {
                more.range(0..more.len()).for_each(|text| values.push(text));
            }
            (own, other) => panic!("{:?} appended to {:?}", other.element(), own.element()),
        }
    }

    /// Removes some of `rows` rows, given ascending.
    pub fn remove_rows(&mut self, rows: usize, removed: &[usize]) {
        let width = self.len().checked_div(rows).unwrap_or(0);
        let mut kept = Self::new(self.element());
        let mut next = 0;
        for row in removed.iter().copied().chain([rows]) {
            kept.append(self.slice(next * width..row * width));
            next = row + 1;
        }
        *self = kept;
    }

    /// Returns a copy of the values in `range`.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        match self {
            Self::Float16(values) => Self::Float16(values[range].to_vec()),
            Self::Float(values) => Self::Float(values[range].to_vec()),
            Self::Double(values) => Self::Double(values[range].to_vec()),
            Self::Int32(values) => Self::Int32(values[range].to_vec()),
            Self::Int64(values) => Self::Int64(values[range].to_vec()),
            Self::Bool(values) => Self::Bool(values[range].to_vec()),
            Self::String(values) => Self::String(values.range(range).collect()),
        }
    }
}

/// The inputs of one model version for `rows` rows; `inputs[i].len() == rows * signature.inputs[i].width()`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InputBatch {
    /// Number of rows.
    pub rows: usize,
    /// One buffer per input, in signature order.
    pub inputs: Vec<TensorData>,
    /// The rows' cells, where these are what is called: [`crate::domain::job::prepare::Preparer`].
    pub cells: CellBuffer,
}

/// The outputs of one model version for `rows` rows; `outputs[i].len() == rows * signature.outputs[i].width()`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OutputBatch {
    /// Number of rows.
    pub rows: usize,
    /// One buffer per output, in signature order.
    pub outputs: Vec<TensorData>,
}

impl InputBatch {
    /// Returns an empty batch with one buffer per input.
    pub fn new(inputs: &[super::Input]) -> Self {
        Self {
            rows: 0,
            inputs: inputs
                .iter()
                .map(|input| TensorData::new(input.element))
                .collect(),
            cells: CellBuffer::default(),
        }
    }

    /// Returns rows without inputs other than their cells.
    pub fn of_cells(cells: CellBuffer) -> Self {
        Self {
            rows: cells.rows(),
            inputs: Vec::new(),
            cells,
        }
    }

    /// Keeps the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.rows {
            for input in &mut self.inputs {
                input.truncate(input.len() / self.rows * rows);
            }
            self.cells.truncate(rows * self.cells.width());
            self.rows = rows;
        }
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }
}
