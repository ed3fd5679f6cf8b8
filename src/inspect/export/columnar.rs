//! Lays out the cells of a column as Parquet does: leaves, and levels that say what is null and
//! where a list begins (Melnik and others 2010).

use crate::codec::{
    cql_type::CqlType,
    wire::{Malformed, Parts, part_type},
};

/// The type of the values in a column or in its lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    Boolean,
    /// CQL's `tinyint`.
    Int8,
    /// CQL's `smallint`.
    Int16,
    /// CQL's `int`.
    Int32,
    /// CQL's `bigint` and `counter`.
    Int64,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// Milliseconds since 1970, UTC.
    Timestamp,
    /// Days since 1970.
    Date,
    /// Nanoseconds since midnight.
    Time,
    /// 16 bytes.
    Uuid,
    /// CQL's `blob`.
    Bytes,
    /// UTF-8.
    Text,
    /// Every other type, as the CQL literal that CSV has.
    Literal,
}

impl Leaf {
    fn from_type(cql_type: &CqlType) -> Self {
        match cql_type.thawed() {
            CqlType::Boolean => Self::Boolean,
            CqlType::Tinyint => Self::Int8,
            CqlType::Smallint => Self::Int16,
            CqlType::Int => Self::Int32,
            CqlType::Bigint | CqlType::Counter => Self::Int64,
            CqlType::Float => Self::Float,
            CqlType::Double => Self::Double,
            CqlType::Timestamp => Self::Timestamp,
            CqlType::Date => Self::Date,
            CqlType::Time => Self::Time,
            CqlType::Uuid | CqlType::Timeuuid => Self::Uuid,
            CqlType::Blob => Self::Bytes,
            CqlType::Text | CqlType::Ascii => Self::Text,
            _ => Self::Literal,
        }
    }

    /// Returns whether the bytes count as null. CQL permits empty numbers, which no other format
    /// supports.
    fn is_null(self, bytes: &[u8]) -> bool {
        bytes.is_empty() && !matches!(self, Self::Bytes | Self::Text | Self::Literal)
    }
}

/// Whether a row holds one value or a list of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    One(Leaf),
    List(Leaf),
}

impl Shape {
    /// Returns the shape of a CQL type: lists, sets and vectors are lists.
    pub fn from_type(cql_type: &CqlType) -> Self {
        match cql_type.thawed() {
            CqlType::List(element) | CqlType::Set(element) | CqlType::Vector(element, _) => {
                Self::List(Leaf::from_type(element))
            }
            other => Self::One(Leaf::from_type(other)),
        }
    }
}

/// A column of some rows.
#[derive(Debug)]
pub struct Flat<'a> {
    /// The type of its leaves.
    pub leaf: Leaf,
    /// The CQL type of a leaf.
    pub cql_type: &'a CqlType,
    /// Whether the column has repetition levels.
    pub is_list: bool,
    /// The leaves that are not null.
    pub leaves: Vec<&'a [u8]>,
    /// Definition level of each leaf or null. Of a value: 0 if null, 1 if present. Of a list: 0
    /// null, 1 empty, 2 a null element, 3 a present element.
    pub definitions: Vec<i16>,
    /// Repetition level of each leaf or null: 0 where a row begins, 1 where a list continues.
    pub repetitions: Vec<i16>,
}

impl<'a> Flat<'a> {
    /// Lays out cells of this type.
    ///
    /// # Errors
    /// A list whose bytes are malformed.
    pub fn new(
        cql_type: &'a CqlType,
        cells: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<Self, Malformed> {
        let (leaf, is_list) = match Shape::from_type(cql_type) {
            Shape::One(leaf) => (leaf, false),
            Shape::List(leaf) => (leaf, true),
        };
        let element = is_list.then(|| part_type(cql_type, 0)).flatten();
        let mut flat = Self {
            leaf,
            cql_type: element.unwrap_or(cql_type),
            is_list,
            leaves: Vec::new(),
            definitions: Vec::new(),
            repetitions: Vec::new(),
        };
        for cell in cells {
            match (cell, is_list) {
                (Some(bytes), true) => flat.list(cql_type, bytes)?,
                (None, true) => flat.push(None, (0, 0), 0),
                (cell, false) => flat.push(cell, (0, 1), 0),
            }
        }
        Ok(flat)
    }

    fn list(&mut self, cql_type: &CqlType, bytes: &'a [u8]) -> Result<(), Malformed> {
        let parts = Parts::open(cql_type, bytes).ok_or(Malformed)??;
        let mut repetition = 0;
        for part in parts {
            self.push(part?, (2, 3), repetition);
            repetition = 1;
        }
        if repetition == 0 {
            self.push(None, (1, 1), 0);
        }
        Ok(())
    }

    /// Adds a leaf or null. `levels` are the definition levels of a null and of a value.
    fn push(&mut self, cell: Option<&'a [u8]>, levels: (i16, i16), repetition: i16) {
        let leaf = cell.filter(|bytes| !self.leaf.is_null(bytes));
        self.leaves.extend(leaf);
        let level = leaf.map_or(levels.0, |_| levels.1);
        self.definitions.push(level);
        self.repetitions.push(repetition);
    }
}

/// Returns the bytes of a value of exactly `N` bytes.
///
/// # Errors
/// Any other number of bytes.
pub fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_tell_null_empty_and_nulls_within_apart() {
        let list = CqlType::parse("list<int>").unwrap();
        let one = [0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255];
        let empty = [0, 0, 0, 0];
        let cells = [None, Some(&empty[..]), Some(&one[..])];
        let flat = Flat::new(&list, cells.into_iter()).unwrap();
        assert_eq!(flat.definitions, [0, 1, 3, 2]);
        assert_eq!(flat.repetitions, [0, 0, 0, 1]);
        assert_eq!(flat.leaves, [&[0, 0, 0, 7][..]]);
        assert!(Flat::new(&list, [Some(&one[..7])].into_iter()).is_err());
    }

    #[test]
    fn an_empty_number_is_null_and_an_empty_text_is_not() {
        let cells = || [Some(&b""[..]), None].into_iter();
        let [int, text] = ["int", "text"].map(|name| CqlType::parse(name).unwrap());
        assert_eq!(Flat::new(&int, cells()).unwrap().definitions, [0, 0]);
        assert_eq!(Flat::new(&text, cells()).unwrap().definitions, [1, 0]);
        assert_eq!(fixed::<4>(&[1, 2]), Err(Malformed));
    }
}
