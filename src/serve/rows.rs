//! Source rows from JSON: the cells of the columns that a job reads.

use std::{borrow::Cow, fmt};

use axum::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::{
    codec::{
        cells::CellBuffer,
        json_value,
        schema::{Column, TableSchema},
    },
    config::Serve,
    domain::{job::CompiledJob, names::nearest, problem::Problem},
};

/// The cells of a request may take this many times the bytes of the largest body: JSON stays below,
/// and an Arrow dictionary that repeats a long text could exceed every memory.
const CELLS_PER_BODY: usize = 8;
/// An arena of cells must stay under 2 GiB.
const MAX_CELL_BYTES: usize = 1 << 30;

/// Limits on the rows of one request.
#[derive(Debug, Clone, Copy)]
pub struct RowLimits {
    /// Maximum number of rows.
    pub rows: usize,
    /// Maximum size of their cells.
    pub bytes: usize,
}

impl RowLimits {
    /// Returns the limits that the settings give.
    pub fn from_settings(settings: &Serve) -> Self {
        Self {
            rows: settings.max_rows,
            bytes: MAX_CELL_BYTES.min((settings.max_body_mib << 20) * CELLS_PER_BODY),
        }
    }

    /// Checks the size of the cells read so far.
    ///
    /// # Errors
    /// 413.
    pub fn check_bytes(&self, cells: &CellBuffer) -> Result<(), ApiError> {
        if cells.byte_len() <= self.bytes {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Problem::new(
                "request.too_large",
                format!("the rows' values take more than {} bytes", self.bytes),
            )
            .at("rows")
            .help("send several requests"),
        ))
    }
}

/// The columns that rows of a job may have.
#[derive(Debug, Clone, Copy)]
pub struct RowColumns<'a> {
    pub job: &'a str,
    /// Key columns, which are ignored if the job does not read them.
    pub key: &'a [Column],
    /// The source table, whose other columns are ignored: callers may send whole rows.
    pub source: Option<&'a TableSchema>,
    /// The columns that the job reads, in its order.
    pub columns: &'a [Column],
}

impl<'a> From<&'a CompiledJob> for RowColumns<'a> {
    fn from(job: &'a CompiledJob) -> Self {
        Self {
            job: &job.job,
            key: &job.key,
            source: Some(&job.source),
            columns: &job.columns,
        }
    }
}

impl<'a> RowColumns<'a> {
    /// Returns the job's rows with these columns instead of the ones that it reads.
    pub fn with_columns(job: &'a CompiledJob, columns: &'a [Column]) -> Self {
        Self {
            columns,
            ..job.into()
        }
    }
}

impl RowColumns<'_> {
    /// Returns the index of a column; `None` for a column of the table that the job does not read.
    /// `at` is its place in the request, as callers usually keep to the job's order.
    ///
    /// # Errors
    /// An unknown column.
    pub fn find(&self, name: &str, at: usize) -> Result<Option<usize>, Problem> {
        let is_named = |column: &Column| column.name == name;
        if self.columns.get(at).is_some_and(is_named) {
            return Ok(Some(at));
        }
        match self.columns.iter().position(is_named) {
            Some(column) => Ok(Some(column)),
            None if self.key.iter().any(is_named) => Ok(None),
            None if self
                .source
                .is_some_and(|table| table.column(name).is_some()) =>
            {
                Ok(None)
            }
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> Problem {
        let near = nearest(name, self.columns.iter().map(|column| column.name.as_str()));
        Problem::new(
            "row.unknown_column",
            format!("job `{}` does not read a column `{name}`", self.job),
        )
        .help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("`GET /v1/jobs/{}` lists its columns", self.job),
        })
    }
}

/// Returns the problem of a column that is given more than once.
pub fn repeated(name: &str) -> Problem {
    Problem::new("row.repeated_column", format!("`{name}` is given twice"))
}

/// One row: columns and the JSON text of their values, in the caller's order.
#[derive(Debug)]
pub struct Row<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the row's columns")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Row<'de>, M::Error> {
                let mut columns = Vec::with_capacity(map.size_hint().unwrap_or(32));
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    columns.push((name.0, map.next_value()?));
                }
                Ok(Row(columns))
            }
        }
        /// A name that is borrowed unless it has escapes.
        struct Name<'a>(Cow<'a, str>);
        impl<'de> Deserialize<'de> for Name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl<'de> Visitor<'de> for Text {
                    type Value = Name<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a column's name")
                    }

                    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                        Ok(Name(Cow::Borrowed(text)))
                    }

                    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                        Ok(Name(Cow::Owned(text.to_owned())))
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

/// Returns the cells of the job's columns, in its order. Missing columns are null. Key columns that
/// the job does not read are permitted and ignored.
///
/// # Errors
/// The first problem. 400: unknown or repeated columns, values that do not fit their column; 413:
/// too many bytes.
pub fn cells(
    job: RowColumns<'_>,
    rows: &[Row<'_>],
    limits: RowLimits,
) -> Result<CellBuffer, ApiError> {
    let mut cells = CellBuffer::new(job.columns.len());
    let mut found: Vec<Option<&RawValue>> = vec![None; job.columns.len()];
    for (number, row) in rows.iter().enumerate() {
        let bad = |problem: Problem, column: &str| {
            ApiError::bad(problem.at(format!("rows[{number}].{column}")))
        };
        found.fill(None);
        for (at, (name, value)) in row.0.iter().enumerate() {
            let column = job.find(name, at).map_err(|problem| bad(problem, name))?;
            if let Some(column) = column
                && found[column].replace(value).is_some()
            {
                return Err(bad(repeated(name), name));
            }
        }
        for (column, value) in job.columns.iter().zip(&found) {
            let Some(value) = value else {
                cells.push(None);
                continue;
            };
            json_value::append(&column.cql_type, value.get(), &mut cells)
                .map_err(|error| bad(not_a_value(column, &error), &column.name))?;
            limits.check_bytes(&cells)?;
        }
    }
    Ok(cells)
}

/// Returns the problem of a value that does not fit its column.
pub fn not_a_value(column: &Column, error: &str) -> Problem {
    Problem::new("row.not_a_value", format!("`{}`: {error}", column.name)).help(format!(
        "a value of type {}, as CQL JSON writes it",
        column.cql_type
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RowLimits = RowLimits {
        rows: 10,
        bytes: 64,
    };

    fn column(name: &str, cql_type: &str) -> Column {
        Column {
            name: name.to_owned(),
            cql_type: crate::codec::cql_type::CqlType::parse(cql_type).unwrap(),
        }
    }

    /// Cells of rows of a job with the key `id` that reads `mean_radius float` and `"Stadt" text`.
    fn read(json: &str) -> Result<CellBuffer, Box<ApiError>> {
        let columns = [column("mean_radius", "float"), column("Stadt", "text")];
        let job = RowColumns {
            job: "tumour",
            key: &[column("id", "int")],
            source: None,
            columns: &columns,
        };
        let rows: Vec<Row<'_>> = serde_json::from_str(json).unwrap();
        cells(job, &rows, LIMITS).map_err(Box::new)
    }

    #[track_caller]
    fn refused(json: &str) -> (StatusCode, String, String, String) {
        let error = read(json).unwrap_err();
        let problem = error.problems.into_iter().next().unwrap();
        let help = problem.help.unwrap();
        (error.status, problem.code, problem.place.unwrap(), help)
    }

    #[test]
    fn the_order_of_columns_does_not_matter_and_missing_ones_are_null() {
        let radius = 1.5_f32.to_be_bytes();
        let expected = [Some(&radius[..]), Some(&b"Ulm"[..])];
        for json in [
            r#"[{"mean_radius": 1.5, "Stadt": "Ulm"}]"#,
            r#"[{"Stadt": "Ulm", "mean_radius": 1.5}]"#,
            r#"[{"Stadt": "Ulm", "id": 7, "mean_radius": "1.5"}]"#,
            r#"[{"\u0053tadt": "\u0055lm", "mean\u005fradius": 1.5}]"#,
        ] {
            let cells = read(json).unwrap();
            assert_eq!(cells.row(0).collect::<Vec<_>>(), expected, "{json}");
        }
        let cells = read(r#"[{}, {"Stadt": null}, {"mean_radius": 1.5}]"#).unwrap();
        assert_eq!(cells.rows(), 3);
        assert_eq!(cells.row(0).collect::<Vec<_>>(), [None, None]);
        assert_eq!(cells.row(1).collect::<Vec<_>>(), [None, None]);
        assert_eq!(cells.row(2).collect::<Vec<_>>(), [Some(&radius[..]), None]);
    }

    #[test]
    fn an_unknown_column_is_refused_with_the_nearest_name() {
        let (status, code, place, help) = refused(r#"[{}, {"mean radius": 1}]"#);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(code, "row.unknown_column");
        assert_eq!(place, "rows[1].mean radius");
        assert_eq!(help, "did you mean `mean_radius`?");
        let (.., help) = refused(r#"[{"stadt": "Ulm"}]"#);
        assert_eq!(help, "did you mean `Stadt`?");
        let (.., help) = refused(r#"[{"xyz": 1}]"#);
        assert_eq!(help, "`GET /v1/jobs/tumour` lists its columns");
    }

    #[test]
    fn a_repeated_column_is_refused_even_if_it_is_null() {
        let columns = r#"[{"Stadt": null, "\u0053tadt": "Ulm"}]"#;
        let error = read(columns).unwrap_err();
        assert_eq!(error.problems[0].code, "row.repeated_column");
        assert_eq!(error.problems[0].place.as_deref(), Some("rows[0].Stadt"));
    }

    #[test]
    fn key_columns_are_ignored_whatever_they_hold() {
        let cells = read(r#"[{"id": {"not": "an int"}, "Stadt": ""}]"#).unwrap();
        assert_eq!(cells.row(0).collect::<Vec<_>>(), [None, Some(&b""[..])]);
    }

    #[test]
    fn a_value_that_does_not_fit_names_row_column_and_type() {
        let (status, code, place, help) = refused(r#"[{"mean_radius": 1}, {"mean_radius": []}]"#);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(code, "row.not_a_value");
        assert_eq!(place, "rows[1].mean_radius");
        assert_eq!(help, "a value of type float, as CQL JSON writes it");
    }

    #[test]
    fn too_many_bytes_of_values_are_refused() {
        let fits = format!(r#"[{{"Stadt": "{}"}}]"#, "x".repeat(64));
        assert_eq!(read(&fits).unwrap().byte_len(), 64);
        let exceeds = format!(
            r#"[{{"Stadt": "{}"}}, {{"mean_radius": 1}}]"#,
            "x".repeat(63)
        );
        let (status, code, ..) = refused(&exceeds);
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(code, "request.too_large");
    }
}
