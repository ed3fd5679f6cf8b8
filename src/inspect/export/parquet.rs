//! Writes predictions as Apache Parquet: typed columns, in row groups whose memory is bounded.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    column::writer::ColumnWriter,
    data_type::{ByteArray, FixedLenByteArray},
    errors::ParquetError,
    file::{
        metadata::KeyValue, properties::WriterProperties, writer::SerializedColumnWriter,
        writer::SerializedFileWriter,
    },
    schema::types::{Type, TypePtr},
};

use super::columnar::{Flat, Leaf, Shape, fixed};
use crate::{
    codec::{cells::CellBuffer, literal, schema::Column},
    domain::problem::Problem,
    failure::Failure,
};

/// A row group is written when its cells take this many bytes.
const GROUP_BYTES: usize = 16 << 20;
/// A row group is also written when it has this many rows.
const GROUP_ROWS: usize = 1 << 17;

/// A Parquet file that is being written.
pub struct ParquetFile<'a, W: Write + Send> {
    columns: &'a [Column],
    file: SerializedFileWriter<W>,
    held: CellBuffer,
}

impl<'a, W: Write + Send> ParquetFile<'a, W> {
    /// Begins a file; `about` becomes its key-value metadata.
    ///
    /// # Errors
    /// The stream's errors.
    pub fn begin(
        columns: &'a [Column],
        about: &[(String, String)],
        out: W,
    ) -> Result<Self, Failure> {
        let about = about.iter();
        let about = about.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("helenus {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(about.collect()))
            .build();
        let schema = schema(columns).map_err(unwritten)?;
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties));
        Ok(Self {
            columns,
            file: file.map_err(unwritten)?,
            held: CellBuffer::new(columns.len()),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// The stream's errors; a cell that is not a valid value of its column's type.
    pub fn row<'c>(&mut self, cell: impl Fn(usize) -> Option<&'c [u8]>) -> Result<(), Failure> {
        (0..self.columns.len()).for_each(|at| self.held.push(cell(at)));
        match self.held.byte_len() >= GROUP_BYTES || self.held.rows() >= GROUP_ROWS {
            true => self.group(),
            false => Ok(()),
        }
    }

    /// Ends the file; without this it can't be read.
    ///
    /// # Errors
    /// Those of [`ParquetFile::row`].
    pub fn finish(mut self) -> Result<(), Failure> {
        if self.held.rows() > 0 {
            self.group()?;
        }
        self.file.close().map_err(unwritten)?;
        Ok(())
    }

    fn group(&mut self) -> Result<(), Failure> {
        let mut group = self.file.next_row_group().map_err(unwritten)?;
        for (at, column) in self.columns.iter().enumerate() {
            let cells = (0..self.held.rows()).map(|row| self.held.cell(row, at));
            let flat = Flat::new(&column.cql_type, cells).map_err(|_| malformed(column))?;
            if let Some(mut writer) = group.next_column().map_err(unwritten)? {
                fill(&mut writer, column, &flat)?;
                writer.close().map_err(unwritten)?;
            }
        }
        group.close().map_err(unwritten)?;
        self.held.clear();
        Ok(())
    }
}

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let field = |column: &Column| match Shape::from_type(&column.cql_type) {
        Shape::One(leaf) => primitive(&column.name, leaf),
        Shape::List(leaf) => {
            let repeated = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![primitive("element", leaf)?])
                .build()?;
            let list = Type::group_type_builder(&column.name)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(repeated)])
                .build()?;
            Ok(Arc::new(list))
        }
    };
    let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("predictions").with_fields(fields);
    Ok(Arc::new(schema.build()?))
}

fn primitive(name: &str, leaf: Leaf) -> Result<TypePtr, ParquetError> {
    let (physical, logical, length) = match leaf {
        Leaf::Boolean => (Physical::BOOLEAN, None, 0),
        Leaf::Int8 => (Physical::INT32, Some(LogicalType::integer(8, true)), 0),
        Leaf::Int16 => (Physical::INT32, Some(LogicalType::integer(16, true)), 0),
        Leaf::Int32 => (Physical::INT32, None, 0),
        Leaf::Int64 => (Physical::INT64, None, 0),
        Leaf::Float => (Physical::FLOAT, None, 0),
        Leaf::Double => (Physical::DOUBLE, None, 0),
        Leaf::Timestamp => {
            let milliseconds = LogicalType::timestamp(true, TimeUnit::MILLIS);
            (Physical::INT64, Some(milliseconds), 0)
        }
        Leaf::Date => (Physical::INT32, Some(LogicalType::Date), 0),
        Leaf::Time => {
            let nanoseconds = LogicalType::time(false, TimeUnit::NANOS);
            (Physical::INT64, Some(nanoseconds), 0)
        }
        Leaf::Uuid => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), 16),
        Leaf::Bytes => (Physical::BYTE_ARRAY, None, 0),
        Leaf::Text | Leaf::Literal => (Physical::BYTE_ARRAY, Some(LogicalType::String), 0),
    };
    let field = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .with_length(length);
    Ok(Arc::new(field.build()?))
}

/// Writes the values of one column of one row group.
fn fill(
    writer: &mut SerializedColumnWriter<'_>,
    column: &Column,
    flat: &Flat<'_>,
) -> Result<(), Failure> {
    macro_rules! write {
        ($writer:expr, $value:expr) => {{
            let values = flat
                .leaves
                .iter()
                .map($value)
                .collect::<Result<Vec<_>, _>>();
            let values = values.map_err(|_| malformed(column))?;
            let repeated = flat.is_list.then_some(&flat.repetitions[..]);
            $writer.write_batch(&values, Some(&flat.definitions), repeated)
        }};
    }
    let leaf = flat.leaf;
    let written = match writer.untyped() {
        ColumnWriter::BoolColumnWriter(writer) => {
            write!(writer, |bytes| fixed::<1>(bytes).map(|[byte]| byte != 0))
        }
        ColumnWriter::Int32ColumnWriter(writer) => write!(writer, |bytes| match leaf {
            Leaf::Int8 => fixed(bytes).map(i8::from_be_bytes).map(i32::from),
            Leaf::Int16 => fixed(bytes).map(i16::from_be_bytes).map(i32::from),
            // Days, with 1970-01-01 at 2^31.
            Leaf::Date => fixed(bytes).map(|days| (u32::from_be_bytes(days) ^ (1 << 31)) as i32),
            _ => fixed(bytes).map(i32::from_be_bytes),
        }),
        ColumnWriter::Int64ColumnWriter(writer) => {
            write!(writer, |bytes| fixed(bytes).map(i64::from_be_bytes))
        }
        ColumnWriter::FloatColumnWriter(writer) => {
            write!(writer, |bytes| fixed(bytes).map(f32::from_be_bytes))
        }
        ColumnWriter::DoubleColumnWriter(writer) => {
            write!(writer, |bytes| fixed(bytes).map(f64::from_be_bytes))
        }
        ColumnWriter::FixedLenByteArrayColumnWriter(writer) => write!(writer, |bytes| {
            fixed::<16>(bytes).map(|uuid| FixedLenByteArray::from(uuid.to_vec()))
        }),
        ColumnWriter::ByteArrayColumnWriter(writer) => write!(writer, |bytes| {
            let bytes = match leaf {
                Leaf::Literal => literal::to_text(flat.cql_type, bytes).into_bytes(),
                _ => bytes.to_vec(),
            };
            Ok::<_, crate::codec::wire::Malformed>(ByteArray::from(bytes))
        }),
        ColumnWriter::Int96ColumnWriter(_) => Ok(0),
    };
    written.map_err(unwritten)?;
    Ok(())
}

fn malformed(column: &Column) -> Failure {
    let message = format!(
        "a cell of column `{}` holds bytes that are not a valid {}",
        column.name, column.cql_type
    );
    Failure::system(Problem::new("export.malformed", message).help("--format csv shows them"))
}

fn unwritten(error: ParquetError) -> Failure {
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => super::unwritten(*error),
            Err(other) => super::unwritten(std::io::Error::other(other)),
        },
        other => super::unwritten(std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;
    use crate::codec::cql_type::CqlType;

    #[test]
    fn more_rows_than_a_group_holds_are_several_groups_and_all_there() {
        let columns = [Column {
            name: "id".to_owned(),
            cql_type: CqlType::Int,
        }];
        let mut out = tempfile::tempfile().unwrap();
        let mut file = ParquetFile::begin(&columns, &[], &mut out).unwrap();
        let rows = GROUP_ROWS as i32 + 5;
        for row in 0..rows {
            let cell = row.to_be_bytes();
            file.row(|_| Some(&cell)).unwrap();
        }
        file.finish().unwrap();
        let read = SerializedFileReader::new(out).unwrap();
        assert_eq!(read.num_row_groups(), 2);
        let ids = read.get_row_iter(None).unwrap();
        let ids = ids.map(|row| row.unwrap().get_int(0).unwrap());
        assert!(ids.eq(0..rows));
    }
}
