//! Predictions as an Arrow IPC stream with one batch.
//!
//! One row for each row of the request and each version, row by row: the versions of the first row
//! in the order in which they were asked for, then those of the second. The columns are `version`,
//! `rejected`, `input_hash`, `source_hash`, `model_sha256`, while an experiment runs `arm`, then the
//! job's output columns.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMillisecondArray,
    builder::{FixedSizeListBuilder, Float32Builder},
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Field, Schema};

use chrono::{DateTime, Utc};

use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, literal, schema::Column},
    domain::job::OutputColumn,
    serve::{
        arrow::{ARM, REJECTED, VERSION},
        batcher::{RowOutcome, ScoredRows},
        routes::view::hash,
    },
};

/// The predictions of a request's rows.
pub struct ArrowAnswer<'a> {
    pub job: &'a str,
    pub revision: i32,
    /// The job's output columns.
    pub outputs: &'a [OutputColumn],
    /// In the order in which they were asked for; all have the same number of rows.
    pub versions: &'a [VersionAnswer],
    /// The rows of the answer: indices into `versions`, and into the rows of the request.
    pub order: Vec<(usize, usize)>,
    /// While an experiment runs: the arm of each row of the request.
    pub arms: Option<Vec<Option<&'a str>>>,
    /// The columns that tell which row each prediction is of; a request's caller knows.
    pub keys: Option<ArrowKeys<'a>>,
}

/// Keys and time of the predictions of a stream.
pub struct ArrowKeys<'a> {
    /// The key's columns.
    pub columns: &'a [Column],
    /// The rows; their first cells are the key.
    pub cells: &'a CellBuffer,
    pub scored_at: DateTime<Utc>,
}

/// The predictions of one version.
pub struct VersionAnswer {
    pub version: i32,
    pub model_sha256: [u8; 32],
    pub scored: ScoredRows,
}

impl ArrowAnswer<'_> {
    /// Returns the predictions as one batch; its schema's metadata names job and revision.
    ///
    /// # Errors
    /// An output cell is not a value of its column's type.
    pub fn batch(&self) -> Result<RecordBatch, String> {
        let rows = || self.rows().map(|(_, row)| row);
        let text = |values: StringArray| Arc::new(values) as ArrayRef;
        let versions: Int32Array = self.rows().map(|(at, _)| Some(at.version)).collect();
        let rejected: StringArray = rows().map(|row| row.outcome.as_ref().err()).collect();
        let inputs = StringArray::from_iter_values(rows().map(|row| hash(row.input_hash)));
        let sources = StringArray::from_iter_values(rows().map(|row| hash(row.source_hash)));
        let models = self.rows().map(|(at, _)| hex::encode(at.model_sha256));
        let models = StringArray::from_iter_values(models);
        let mut columns = self.key_columns()?;
        columns.extend([
            field(VERSION, Arc::new(versions), false),
            field(REJECTED, text(rejected), true),
            field("input_hash", text(inputs), false),
            field("source_hash", text(sources), false),
            field("model_sha256", text(models), false),
        ]);
        if let Some(keys) = &self.keys {
            let times = vec![keys.scored_at.timestamp_millis(); self.order.len()];
            let times = TimestampMillisecondArray::from(times).with_timezone("UTC");
            columns.push(field("scored_at", Arc::new(times), false));
        }
        if let Some(arms) = &self.arms {
            let arms = self.order.iter().map(|(_, row)| arms[*row]);
            columns.push(field(ARM, text(arms.collect()), true));
        }
        for (at, output) in self.outputs.iter().enumerate() {
            let values = column(&output.cql_type, self.cells(at)).ok_or_else(|| {
                format!(
                    "output `{}` has a cell that is not a valid {}",
                    output.name, output.cql_type
                )
            })?;
            columns.push(field(&output.name, values, true));
        }
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let metadata = HashMap::from([
            ("helenus.job".to_owned(), self.job.to_owned()),
            ("helenus.job_revision".to_owned(), self.revision.to_string()),
        ]);
        let schema = Schema::new(fields).with_metadata(metadata);
        RecordBatch::try_new(Arc::new(schema), arrays).map_err(|error| error.to_string())
    }

    fn key_columns(&self) -> Result<Vec<(Field, ArrayRef)>, String> {
        let Some(keys) = &self.keys else {
            return Ok(Vec::new());
        };
        let columns = keys.columns.iter().enumerate();
        let column = |(at, key): (usize, &Column)| {
            let rows = self.order.iter();
            let cells = rows.map(|(_, row)| keys.cells.cell(*row, at));
            let values = column(&key.cql_type, cells)
                .ok_or_else(|| format!("`{}` has a cell that is not a value", key.name))?;
            Ok(field(&key.name, values, true))
        };
        columns.map(column).collect()
    }

    /// Returns the rows of the answer in their order.
    fn rows(&self) -> impl Iterator<Item = (&VersionAnswer, &RowOutcome)> {
        let order = self.order.iter();
        order.map(|(version, row)| {
            let version = &self.versions[*version];
            (version, &version.scored.rows[*row])
        })
    }

    /// Returns the cells of an output column; those of rejected rows are null.
    fn cells(&self, column: usize) -> impl Iterator<Item = Option<&[u8]>> {
        self.rows().map(move |(version, row)| {
            let row = *row.outcome.as_ref().ok()?;
            version.scored.cells.cell(row, column)
        })
    }
}

/// Returns a batch as a stream.
///
/// # Errors
/// The batch cannot be written.
pub fn stream(batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let failed = |error: ArrowError| error.to_string();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

fn field(name: &str, values: ArrayRef, is_nullable: bool) -> (Field, ArrayRef) {
    let field = Field::new(name, values.data_type().clone(), is_nullable);
    (field, values)
}

/// Returns the cells as an array: the types that outputs have as their Arrow types, others as CQL
/// literals. `None` if a cell is not a value of the type.
fn column<'a>(
    cql_type: &CqlType,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
) -> Option<ArrayRef> {
    /// Reads the bytes of one value; the outer `Option` is that of the function above.
    fn number<const N: usize, T>(cell: Option<&[u8]>, of: fn([u8; N]) -> T) -> Option<Option<T>> {
        cell.map(|bytes| bytes.try_into().ok().map(of))
            .map_or(Some(None), |value| value.map(Some))
    }
    Some(match cql_type.thawed() {
        CqlType::Float => {
            let values = cells.map(|cell| number(cell, f32::from_be_bytes));
            Arc::new(values.collect::<Option<Float32Array>>()?)
        }
        CqlType::Double => {
            let values = cells.map(|cell| number(cell, f64::from_be_bytes));
            Arc::new(values.collect::<Option<Float64Array>>()?)
        }
        CqlType::Int => {
            let values = cells.map(|cell| number(cell, i32::from_be_bytes));
            Arc::new(values.collect::<Option<Int32Array>>()?)
        }
        CqlType::Bigint => {
            let values = cells.map(|cell| number(cell, i64::from_be_bytes));
            Arc::new(values.collect::<Option<Int64Array>>()?)
        }
        CqlType::Boolean => {
            let values = cells.map(|cell| number(cell, |[byte]: [u8; 1]| byte != 0));
            Arc::new(values.collect::<Option<BooleanArray>>()?)
        }
        CqlType::Vector(element, width) if **element == CqlType::Float => {
            vectors(usize::from(*width), cells)?
        }
        _ => {
            let values = cells.map(|cell| cell.map(|cell| literal::to_text(cql_type, cell)));
            Arc::new(values.collect::<StringArray>())
        }
    })
}

fn vectors<'a>(width: usize, cells: impl Iterator<Item = Option<&'a [u8]>>) -> Option<ArrayRef> {
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), i32::try_from(width).ok()?);
    for cell in cells {
        let values = builder.values();
        match cell {
            None => values.append_nulls(width),
            Some(bytes) => {
                let (elements, rest) = bytes.as_chunks::<4>();
                if elements.len() != width || !rest.is_empty() {
                    return None;
                }
                let elements = elements.iter().map(|bytes| f32::from_be_bytes(*bytes));
                elements.for_each(|value| values.append_value(value));
            }
        }
        builder.append(cell.is_some());
    }
    Some(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_ipc::reader::StreamReader;
    use arrow_schema::DataType;

    use super::*;

    fn output(name: &str, cql_type: &str) -> OutputColumn {
        OutputColumn {
            name: name.to_owned(),
            cql_type: CqlType::parse(cql_type).unwrap(),
            index: None,
            classes: Vec::new(),
        }
    }

    /// Two rows; the first is rejected if `version` is 1. Outputs are those of [`outputs`].
    fn version(version: i32) -> VersionAnswer {
        let outcomes = [Err("null in `a`".to_owned()), Ok(0), Ok(1)];
        let outcomes = match version {
            1 => vec![outcomes[0].clone(), outcomes[1].clone()],
            _ => vec![outcomes[1].clone(), outcomes[2].clone()],
        };
        let mut cells = CellBuffer::new(7);
        for row in 0..outcomes.iter().flatten().count() {
            let number = version * 10 + row as i32;
            let float = (number as f32).to_be_bytes();
            cells.push(Some(&float));
            cells.push(Some(&f64::from(number).to_be_bytes()));
            cells.push(Some(&number.to_be_bytes()));
            cells.push(Some(&i64::from(number).to_be_bytes()));
            cells.push(Some(&[1]));
            cells.push(Some(number.to_string().as_bytes()));
            cells.push((row == 0).then_some(&[float, float].concat()));
        }
        let row = |(at, outcome)| RowOutcome {
            input_hash: at as u128,
            source_hash: 255,
            outcome,
        };
        VersionAnswer {
            version,
            model_sha256: [version as u8; 32],
            scored: ScoredRows {
                cells,
                rows: outcomes.into_iter().enumerate().map(row).collect(),
            },
        }
    }

    fn outputs() -> Vec<OutputColumn> {
        [
            "float",
            "double",
            "int",
            "bigint",
            "boolean",
            "text",
            "vector<float, 2>",
        ]
        .map(|cql_type| output(cql_type, cql_type))
        .to_vec()
    }

    #[test]
    fn rows_keep_their_order_with_the_versions_of_each_together() {
        let versions = [version(1), version(2)];
        let answer = ArrowAnswer {
            job: "tumour",
            revision: 3,
            outputs: &outputs(),
            versions: &versions,
            order: vec![(0, 0), (1, 0), (0, 1), (1, 1)],
            arms: None,
            keys: None,
        };
        let stream = stream(&answer.batch().unwrap()).unwrap();
        let mut reader = StreamReader::try_new(&stream[..], None).unwrap();
        let schema = reader.schema();
        assert_eq!(schema.metadata()["helenus.job"], "tumour");
        assert_eq!(schema.metadata()["helenus.job_revision"], "3");
        let batch = reader.next().unwrap().unwrap();
        assert!(reader.next().is_none());
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let texts = |name: &str| column(name).as_string::<i32>().iter().collect::<Vec<_>>();
        let ints = |name: &str| {
            let values = column(name).as_primitive::<arrow_array::types::Int32Type>();
            values.iter().collect::<Vec<_>>()
        };
        assert_eq!(ints("version"), [Some(1), Some(2), Some(1), Some(2)]);
        assert_eq!(texts("rejected"), [Some("null in `a`"), None, None, None]);
        assert_eq!(ints("int"), [None, Some(20), Some(10), Some(21)]);
        assert_eq!(texts("text"), [None, Some("20"), Some("10"), Some("21")]);
        assert_eq!(texts("input_hash")[2], Some(&*hash(1)));
        assert_eq!(texts("source_hash")[0], Some(&*hash(255)));
        assert_eq!(texts("model_sha256")[1], Some(&*"02".repeat(32)));
        let vectors = column("vector<float, 2>").as_fixed_size_list();
        let are_null: Vec<_> = (0..4).map(|row| vectors.is_null(row)).collect();
        assert_eq!(are_null, [true, false, false, true]);
        let second = vectors.value(1);
        let second = second.as_primitive::<arrow_array::types::Float32Type>();
        assert_eq!(second.values()[..], [20.0, 20.0]);
        for (name, data_type) in [
            ("float", DataType::Float32),
            ("double", DataType::Float64),
            ("bigint", DataType::Int64),
            ("boolean", DataType::Boolean),
        ] {
            assert_eq!(*column(name).data_type(), data_type);
        }
    }

    #[test]
    fn while_an_experiment_runs_each_row_has_its_arms_version() {
        let versions = [version(1), version(2)];
        let answer = ArrowAnswer {
            job: "tumour",
            revision: 3,
            outputs: &outputs(),
            versions: &versions,
            order: vec![(1, 0), (0, 1)],
            arms: Some(vec![Some("e/b"), None]),
            keys: None,
        };
        let stream = stream(&answer.batch().unwrap()).unwrap();
        let mut reader = StreamReader::try_new(&stream[..], None).unwrap();
        let batch = reader.next().unwrap().unwrap();
        let arms = batch.column_by_name("arm").unwrap().as_string::<i32>();
        assert_eq!(arms.iter().collect::<Vec<_>>(), [Some("e/b"), None]);
        let versions = batch.column_by_name("version").unwrap();
        let versions = versions.as_primitive::<arrow_array::types::Int32Type>();
        assert_eq!(versions.values()[..], [2, 1]);
    }

    #[test]
    fn a_cell_that_is_not_a_value_is_an_error() {
        for cql_type in ["float", "int", "boolean", "vector<float, 2>"] {
            let cql_type = CqlType::parse(cql_type).unwrap();
            assert!(column(&cql_type, [Some(&[1, 2, 3][..])].into_iter()).is_none());
        }
    }
}
