//! From the tensors of a request to the source cells of a job, for REST and gRPC alike.
//!
//! Numbers and booleans are read as a model's are: exactly, or refused. Binary and typed `BYTES` are
//! read as the parts of a form: the bytes of a blob, the text of another type. `BYTES` in JSON are
//! read as the values of a row in JSON. Names and shapes are checked before any value is read.

use serde_json::value::RawValue;

use super::signature::input;
use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, json_value, schema::Column},
    domain::{
        model::tensor::{Element, TensorData},
        problem::Problem,
    },
    serve::{
        error::ApiError,
        form,
        oip::{
            binary,
            exact::BadValue,
            inputs::{GivenData, GivenTensor, check_rows, datatype, rows_of, tensor},
            values::Values,
        },
        rows::{RowColumns, RowLimits},
    },
};

/// The values of a column, one for each row.
enum ColumnValues<'a> {
    /// The input is missing: all cells are null.
    Missing,
    Numbers(TensorData),
    Json(Vec<&'a RawValue>),
    Bytes(Vec<&'a [u8]>),
}

/// Returns the cells of the job's columns, in its order. A column without an input is null. Other
/// columns of the source table are ignored.
///
/// # Errors
/// 400: unknown or repeated inputs, wrong shapes or data types, values that do not fit their column;
/// 413: too many rows or bytes.
pub fn cells(
    job: RowColumns<'_>,
    tensors: &[GivenTensor<'_>],
    limits: RowLimits,
) -> Result<CellBuffer, ApiError> {
    let places = places(job, tensors)?;
    let rows = row_count(job, tensors, &places)?;
    check_rows(rows, limits.rows)?;
    let columns = job.columns.iter().zip(&places);
    let columns = columns
        .map(|(column, place)| match place {
            None => Ok(ColumnValues::Missing),
            Some(at) => ColumnValues::read(column, &tensors[*at], *at, rows),
        })
        .collect::<Result<Vec<_>, Problem>>()
        .map_err(ApiError::bad)?;
    let mut cells = CellBuffer::new(job.columns.len());
    for row in 0..rows {
        for (column, (values, place)) in job.columns.iter().zip(columns.iter().zip(&places)) {
            values.append(column, row, &mut cells).map_err(|reason| {
                let place = format!("inputs[{}].data", place.unwrap_or_default());
                ApiError::bad(not_a_cell(column, BadValue::at(row, reason)).at(place))
            })?;
            limits
                .check_bytes(&cells)
                .map_err(|error| error.moved("rows", "inputs"))?;
        }
    }
    Ok(cells)
}

/// Returns for each column the index of its tensor.
fn places(
    job: RowColumns<'_>,
    tensors: &[GivenTensor<'_>],
) -> Result<Vec<Option<usize>>, ApiError> {
    let mut places = vec![None; job.columns.len()];
    for (at, tensor) in tensors.iter().enumerate() {
        let bad = |problem: Problem| ApiError::bad(problem.at(format!("inputs[{at}].name")));
        let column = job.find(tensor.name, at).map_err(bad)?;
        if let Some(column) = column
            && places[column].replace(at).is_some()
        {
            let message = format!("input `{}` is given twice", tensor.name);
            return Err(bad(Problem::new("oip.repeated_input", message)));
        }
    }
    Ok(places)
}

/// Returns the number of rows, which all tensors have.
fn row_count(
    job: RowColumns<'_>,
    tensors: &[GivenTensor<'_>],
    places: &[Option<usize>],
) -> Result<usize, ApiError> {
    let mut rows = None;
    for (column, at) in job.columns.iter().zip(places) {
        let Some(at) = *at else { continue };
        let bad = |problem: Problem| ApiError::bad(problem.at(format!("inputs[{at}].shape")));
        let found = rows_of(&input(column), tensors[at].shape).map_err(bad)?;
        if let Some(rows) = rows.replace(found)
            && rows != found
        {
            let message = format!(
                "`{}` has {found} row(s), other inputs have {rows}",
                column.name
            );
            return Err(bad(Problem::new("oip.rows", message)));
        }
    }
    Ok(rows.unwrap_or_default())
}

impl<'a> ColumnValues<'a> {
    /// Reads a tensor of `rows` values. `at`: its index in the request.
    fn read(
        column: &Column,
        given: &GivenTensor<'a>,
        at: usize,
        rows: usize,
    ) -> Result<Self, Problem> {
        let bad = |bad| not_a_cell(column, bad).at(format!("inputs[{at}].data"));
        let input = input(column);
        datatype(&input, given, at)?;
        let json = match given.data {
            GivenData::Json(json) => Some(json_values(json, rows).map_err(bad)?),
            GivenData::Raw(_) | GivenData::Typed(_) => None,
        };
        if input.element != Element::String {
            return Ok(Self::Numbers(tensor(&input, given, at, rows)?));
        }
        match (json, given.data) {
            (Some(values), _) => Ok(Self::Json(values)),
            (None, GivenData::Raw(bytes)) => {
                let values = binary::byte_strings(bytes, rows).map_err(bad)?;
                Ok(Self::Bytes(values))
            }
            (None, GivenData::Typed(Values::Texts(values))) if values.len() == rows => {
                Ok(Self::Bytes(values.iter().map(Vec::as_slice).collect()))
            }
            (None, GivenData::Typed(values)) => Err(bad(BadValue::count(values.len(), rows))),
            (None, GivenData::Json(_)) => Err(bad(BadValue::whole("it is not an array"))),
        }
    }

    /// Appends the cell of a row.
    fn append(&self, column: &Column, row: usize, cells: &mut CellBuffer) -> Result<(), String> {
        match self {
            Self::Missing => cells.push(None),
            Self::Numbers(values) => append_number(&column.cql_type, values, row, cells)?,
            Self::Bytes(values) => form::append(&column.cql_type, values[row], cells)?,
            Self::Json(values) => append_json(&column.cql_type, values[row].get(), cells)?,
        }
        Ok(())
    }
}

/// Returns the values of an array.
fn json_values(text: &RawValue, rows: usize) -> Result<Vec<&RawValue>, BadValue> {
    let values: Vec<&RawValue> =
        serde_json::from_str(text.get()).map_err(|_| BadValue::whole("it is not an array"))?;
    if let Some(row) = values.iter().position(|value| value.get() == "null") {
        return Err(BadValue::at(row, "null is not a value of a tensor"));
    }
    match values.len() == rows {
        true => Ok(values),
        false => Err(BadValue::count(values.len(), rows)),
    }
}

/// Appends a value of `BYTES` in JSON. A blob needs its `0x` here: clients write bytes as the text
/// that they are in UTF-8, and `2024` would be read as two bytes.
fn append_json(cql_type: &CqlType, json: &str, cells: &mut CellBuffer) -> Result<(), String> {
    let is_text = json.starts_with('"') && !json.starts_with("\"0x");
    if is_text && *cql_type.thawed() == CqlType::Blob {
        return Err("a string is not a blob: send binary data, \"0x…\" or {\"b64\": \"…\"}".into());
    }
    json_value::append(cql_type, json, cells)
}

/// Appends a number or boolean of a tensor that was read for this type.
fn append_number(
    cql_type: &CqlType,
    values: &TensorData,
    row: usize,
    cells: &mut CellBuffer,
) -> Result<(), String> {
    let out_of_range = |value: i32| format!("{value} is out of range of {cql_type}");
    match (values, cql_type.thawed()) {
        (TensorData::Int32(values), CqlType::Tinyint) => {
            let value = i8::try_from(values[row]).map_err(|_| out_of_range(values[row]))?;
            cells.push(Some(&value.to_be_bytes()));
        }
        (TensorData::Int32(values), CqlType::Smallint) => {
            let value = i16::try_from(values[row]).map_err(|_| out_of_range(values[row]))?;
            cells.push(Some(&value.to_be_bytes()));
        }
        (TensorData::Int32(values), _) => cells.push(Some(&values[row].to_be_bytes())),
        (TensorData::Int64(values), _) => cells.push(Some(&values[row].to_be_bytes())),
        (TensorData::Float(values), _) => cells.push(Some(&values[row].to_be_bytes())),
        (TensorData::Double(values), _) => cells.push(Some(&values[row].to_be_bytes())),
        (TensorData::Bool(values), _) => cells.push(Some(&[u8::from(values[row])])),
        (TensorData::Float16(_) | TensorData::String(_), _) => {
            return Err(format!("its tensor is not of type {cql_type}"));
        }
    }
    Ok(())
}

/// Returns the problem of a value that does not become a cell.
fn not_a_cell(column: &Column, bad: BadValue) -> Problem {
    let BadValue { at, reason } = bad;
    let message = match at {
        Some(row) => format!("`{}`, row {row}: {reason}", column.name),
        None => format!("`{}`: {reason}", column.name),
    };
    let problem = Problem::new("oip.value", message);
    match reason.starts_with("null") {
        true => problem.help("leave the input out if the column is null in all rows"),
        false => problem.help(format!("it becomes a cell of type {}", column.cql_type)),
    }
}

#[cfg(test)]
mod tests;
