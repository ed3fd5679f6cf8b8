//! Rows from an Arrow IPC stream.

use std::panic::AssertUnwindSafe;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_schema::{ArrowError, DataType, Schema};

use super::column::ArrowColumn;
use crate::{
    codec::cells::CellBuffer,
    domain::problem::Problem,
    serve::{
        error::ApiError,
        routes::score::check_rows,
        rows::{RowColumns, RowLimits, repeated},
    },
};

/// Longest text of the reader's errors that callers see.
const ERROR_CHARACTERS: usize = 200;

/// Returns the cells of the job's columns, in its order, for the rows of all batches. Missing
/// columns are null. Key columns that the job does not read are permitted and ignored.
///
/// # Errors
/// As [`super::rows`].
fn rows(job: RowColumns<'_>, stream: &[u8], limits: RowLimits) -> Result<CellBuffer, ApiError> {
    let mut reader = StreamReader::try_new(stream, None).map_err(|error| unread(stream, &error))?;
    let places = places(job, &reader.schema())?;
    let mut cells = CellBuffer::new(job.columns.len());
    let mut rows = 0_usize;
    for batch in &mut reader {
        let batch = batch.map_err(|error| unread(stream, &error))?;
        // Checked before anything is done for each row: a column of nulls declares any number of
        // rows in no bytes.
        if batch.num_rows() > 0 {
            check_rows(rows.saturating_add(batch.num_rows()), limits.rows)?;
        }
        append(job, &places, &batch, rows, limits, &mut cells)?;
        rows += batch.num_rows();
    }
    if !reader.get_ref().is_empty() {
        return Err(malformed("there are bytes after its end"));
    }
    check_rows(rows, limits.rows)?;
    Ok(cells)
}

/// As [`rows`], for streams from anywhere: arrow-ipc panics on some damaged ones, which must fail
/// this request only, and as the bad input that it is.
pub fn contained(
    job: RowColumns<'_>,
    stream: &[u8],
    limits: RowLimits,
) -> Result<CellBuffer, ApiError> {
    // What the reader leaves half done is dropped with it.
    let decoding = AssertUnwindSafe(|| rows(job, stream, limits));
    std::panic::catch_unwind(decoding)
        .unwrap_or_else(|_| Err(malformed("its structure is inconsistent")))
}

/// Returns the index in the stream of each of the job's columns.
fn places(job: RowColumns<'_>, schema: &Schema) -> Result<Vec<Option<usize>>, ApiError> {
    let mut places = vec![None; job.columns.len()];
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        let bad = |problem: Problem| ApiError::bad(problem.at(format!("columns.{name}")));
        if !is_supported(field.data_type()) {
            let message = format!("Arrow type {} is not supported", field.data_type());
            return Err(bad(Problem::new("arrow.unsupported_type", message)));
        }
        if let Some(column) = job.find(name, at).map_err(bad)?
            && places[column].replace(at).is_some()
        {
            return Err(bad(repeated(name)));
        }
    }
    Ok(places)
}

/// Returns whether values of a type take bytes of the stream, so that their number is bounded by
/// its size, and are not nested more than once. Other types are refused before a batch is read.
pub fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_value(item.data_type())
        }
        DataType::Null => true,
        other => is_value(other),
    }
}

fn is_value(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => matches!(
            **values,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ),
        DataType::FixedSizeBinary(size) => *size > 0,
        DataType::Boolean
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => true,
        other => other.is_integer() || other.is_floating(),
    }
}

/// Appends the rows of a batch; `before` counts the rows of earlier ones.
fn append(
    job: RowColumns<'_>,
    places: &[Option<usize>],
    batch: &RecordBatch,
    before: usize,
    limits: RowLimits,
    cells: &mut CellBuffer,
) -> Result<(), ApiError> {
    let mut columns = Vec::with_capacity(places.len());
    for (column, place) in job.columns.iter().zip(places) {
        let opened = place.map(|at| {
            ArrowColumn::open(&column.cql_type, batch.column(at), limits.bytes).map_err(|error| {
                ApiError::bad(
                    Problem::new("arrow.type_mismatch", format!("`{}`: {error}", column.name))
                        .at(format!("columns.{}", column.name))
                        .help("cast the column, or send the values as text"),
                )
            })
        });
        columns.push(opened.transpose()?);
    }
    for row in 0..batch.num_rows() {
        for (column, opened) in job.columns.iter().zip(&columns) {
            let Some(opened) = opened else {
                cells.push(None);
                continue;
            };
            let appended = opened.append(row, cells);
            limits.check_bytes(cells)?;
            appended.map_err(|error| {
                let place = format!("rows[{}].{}", before + row, column.name);
                let message = format!("`{}`: {error}", column.name);
                ApiError::bad(Problem::new("row.not_a_value", message).at(place))
            })?;
        }
    }
    Ok(())
}

/// A body that is not a valid stream (400).
fn malformed(why: &str) -> ApiError {
    ApiError::bad(
        Problem::new(
            "arrow.malformed",
            format!("the body is not a valid Arrow IPC stream: {why}"),
        )
        .at("body")
        .help("send the IPC stream format without compression: pyarrow.ipc.new_stream"),
    )
}

fn unread(stream: &[u8], error: &ArrowError) -> ApiError {
    match stream.starts_with(b"ARROW1") {
        true => malformed("it is an Arrow file (Feather)"),
        false => {
            let error = error.to_string();
            let shown: String = error.chars().take(ERROR_CHARACTERS).collect();
            malformed(&shown)
        }
    }
}

#[cfg(test)]
mod tests;
