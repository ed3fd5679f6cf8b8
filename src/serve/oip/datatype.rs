//! The data types of the protocol.

use crate::domain::model::tensor::Element;

/// The type of a tensor's values, as requests and answers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

/// What the values of a data type are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Truth,
    /// Smallest and largest value.
    Integer(i128, i128),
    Float,
    Text,
}

const ALL: [(Datatype, &str); 13] = [
    (Datatype::Bool, "BOOL"),
    (Datatype::Uint8, "UINT8"),
    (Datatype::Uint16, "UINT16"),
    (Datatype::Uint32, "UINT32"),
    (Datatype::Uint64, "UINT64"),
    (Datatype::Int8, "INT8"),
    (Datatype::Int16, "INT16"),
    (Datatype::Int32, "INT32"),
    (Datatype::Int64, "INT64"),
    (Datatype::Fp16, "FP16"),
    (Datatype::Fp32, "FP32"),
    (Datatype::Fp64, "FP64"),
    (Datatype::Bytes, "BYTES"),
];

impl Datatype {
    /// Returns the type of that name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = ALL.iter();
        all.find(|(_, known)| *known == name).map(|(this, _)| *this)
    }

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        let mut all = ALL.iter();
        all.find(|(this, _)| *this == self)
            .map_or("", |(_, name)| name)
    }

    /// Returns all names, separated by commas.
    pub fn names() -> String {
        ALL.map(|(_, name)| name).join(", ")
    }

    /// Returns the type of a model's input or output.
    pub fn from_element(element: Element) -> Self {
        match element {
            Element::Float16 => Self::Fp16,
            Element::Float => Self::Fp32,
            Element::Double => Self::Fp64,
            Element::Int32 => Self::Int32,
            Element::Int64 => Self::Int64,
            Element::Bool => Self::Bool,
            Element::String => Self::Bytes,
        }
    }

    /// Returns the bytes of one value in binary data; `None` for `BYTES`, whose values have their
    /// length before them.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Returns what the values are.
    pub fn kind(self) -> ValueKind {
        fn range<T: Into<i128>>(min: T, max: T) -> ValueKind {
            ValueKind::Integer(min.into(), max.into())
        }
        match self {
            Self::Bool => ValueKind::Truth,
            Self::Uint8 => range(u8::MIN, u8::MAX),
            Self::Uint16 => range(u16::MIN, u16::MAX),
            Self::Uint32 => range(u32::MIN, u32::MAX),
            Self::Uint64 => range(u64::MIN, u64::MAX),
            Self::Int8 => range(i8::MIN, i8::MAX),
            Self::Int16 => range(i16::MIN, i16::MAX),
            Self::Int32 => range(i32::MIN, i32::MAX),
            Self::Int64 => range(i64::MIN, i64::MAX),
            Self::Fp16 | Self::Fp32 | Self::Fp64 => ValueKind::Float,
            Self::Bytes => ValueKind::Text,
        }
    }

    /// Returns whether values of this type can be values of an input with that element type.
    pub fn suits(self, element: Element) -> bool {
        match self.kind() {
            ValueKind::Truth => element == Element::Bool,
            ValueKind::Text => element == Element::String,
            ValueKind::Integer(..) | ValueKind::Float => {
                !matches!(element, Element::Bool | Element::String)
            }
        }
    }
}

impl std::fmt::Display for Datatype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
