//! `POST /v1/jobs/{job}/similar`: the rows whose stored vectors are most similar to a row's.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::Deserialize;

use super::{
    Shared,
    extract::{Payload, Segments},
    keys,
    score::{VersionWord, parse},
};
use crate::{
    codec::cells::CellBuffer,
    domain::problem::Problem,
    inspect::similar::{
        MAX_TOP, Search, SearchColumn, SearchVector, SimilarResult, row_of_text, search_column,
        vector_of_key,
    },
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        residents::ServedVersion,
        rows::{self, Row, RowColumns, RowLimits},
        state::Serving,
    },
};

/// What to search with, and for how many rows. One of `key`, `row` and `text`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the printer does not switch on", "top": 5}))]
pub struct SimilarRequest<'a> {
    /// All primary key columns by name: search with the vector that is stored for this key. The key
    /// itself is not among the answers.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    pub key: Option<Row<'a>>,
    /// Column values by name: search with the vector that the model gives for this row.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    pub row: Option<Row<'a>>,
    /// As `row`: the value of the only text column that the job reads.
    pub text: Option<String>,
    /// The number of rows to find.
    #[serde(default = "usual_top")]
    #[schema(minimum = 1, maximum = 999)]
    pub top: u32,
    /// A version by number or alias. If there is none: the champion, or the job's only version.
    pub version: Option<VersionWord>,
    /// The output column to search, if the job has several with such an index.
    pub column: Option<String>,
}

fn usual_top() -> u32 {
    10
}

/// Returns the rows whose stored vectors are most similar to that of a key, or of a given row, which is
/// scored with the mapping, casts and hashes of the batch. Nothing is stored. Only predictions of one
/// version are compared. The index is approximate: a few of the nearest rows may be missed.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/similar",
    tag = "predictions",
    params(("job" = String, Path, description = "The job")),
    request_body(content = SimilarRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The rows, most similar first", body = SimilarResult),
        (status = 409, description = "The row is rejected, so that it has no vector", body = crate::serve::error::ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn similar(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Payload(body): Payload,
) -> Result<Json<SimilarResult>, ApiError> {
    caller.check_job(Right::Score, &job)?;
    let job = serving.residents.job(&job)?;
    let request: SimilarRequest<'_> = parse(&body)?;
    if !(1..=MAX_TOP).contains(&request.top) {
        let message = format!("`top` is {}; it must be 1 to {MAX_TOP}", request.top);
        return Err(ApiError::bad(
            Problem::new("similar.top", message).at("top"),
        ));
    }
    let word = request.version.as_ref().map(ToString::to_string);
    let served = job.version(word.as_deref())?;
    let column = search_column(&served.job, request.column.as_deref())?;
    let vector = query(&serving, served, column, &request).await?;
    let search = Search {
        store: &serving.store,
        job: &served.job,
        column,
        version: served.version().ready.version,
        top: request.top as usize,
        // A caller who may score a job has not been given the columns of its source.
        show: &[],
    };
    Ok(Json(search.run(&vector).await?))
}

async fn query(
    serving: &Serving,
    served: &ServedVersion,
    column: SearchColumn<'_>,
    request: &SimilarRequest<'_>,
) -> Result<SearchVector, ApiError> {
    let job = &served.job;
    match (&request.key, &request.row, &request.text) {
        (Some(key), None, None) => {
            let key = keys::of_object(key, 0).map_err(|error| error.moved("keys[0]", "key"))?;
            let key = keys::typed(job, &key)?;
            let version = served.version().ready.version;
            Ok(vector_of_key(&serving.store, job, column, version, key).await?)
        }
        (None, Some(row), None) => {
            let limits = RowLimits::from_settings(serving.settings());
            let row = rows::cells(RowColumns::from(&**job), std::slice::from_ref(row), limits);
            of_row(
                served,
                column,
                row.map_err(|error| error.moved("rows[0]", "row"))?,
            )
            .await
        }
        (None, None, Some(text)) => of_row(served, column, row_of_text(job, text)?).await,
        _ => {
            let message = "the body must have one of `key`, `row` and `text`";
            Err(ApiError::bad(
                Problem::new("similar.query", message).at("body"),
            ))
        }
    }
}

async fn of_row(
    served: &ServedVersion,
    column: SearchColumn<'_>,
    row: CellBuffer,
) -> Result<SearchVector, ApiError> {
    let scored = served.score(row).await?;
    let outcome = scored.rows.first().ok_or_else(ApiError::timed_out)?;
    let outputs = match &outcome.outcome {
        Ok(at) => Ok(scored.cells.row(*at)),
        Err(reason) => Err(reason.as_str()),
    };
    Ok(SearchVector::of_outputs(column, outputs)?)
}
