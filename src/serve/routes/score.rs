//! `POST /v1/jobs/{job}/score`: predictions for rows that the caller gives.

use std::{fmt, sync::Arc};

use axum::{
    Extension, Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    extract::{Params, Payload, Segments},
    unit,
    view::{self, PredictionView},
};
use crate::{
    codec::{cells::CellBuffer, utc},
    domain::problem::Problem,
    serve::{
        arrow,
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        form,
        residents::{ServedJob, ServedVersion},
        rows::{self, Row, RowColumns, RowLimits},
    },
};

/// The rows to score.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rows": [{"mean_radius": 17.99, "mean_texture": 10.38}], "versions": ["champion"]}))]
pub struct ScoreRequest<'a> {
    /// Column values by name, as CQL JSON writes them. Missing columns are null.
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Row<'a>>,
    /// Versions by number or alias. If there are none: the champion, or while an experiment runs the
    /// version of the row's arm.
    #[serde(default)]
    pub versions: Vec<VersionWord>,
}

/// Options of a request for given rows.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ScoreOptions {
    /// Versions by number or alias, separated by commas, for bodies that name none.
    pub versions: Option<String>,
}

impl ScoreOptions {
    fn words(&self) -> Vec<VersionWord> {
        let words = self.versions.as_deref().unwrap_or_default().split(',');
        words
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| VersionWord::Name(word.to_owned()))
            .collect()
    }
}

/// A version as callers write it: a number or an alias.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum VersionWord {
    Number(i32),
    Name(String),
}

impl fmt::Display for VersionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The predictions of the rows, in their order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ScoreResponse {
    pub job: String,
    pub rows: Vec<RowView>,
}

/// The predictions of one row, in the order of the versions that were asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RowView {
    pub predictions: Vec<PredictionView>,
}

/// Scores the rows that the caller gives, with the mapping, casts and hashes of the batch. Nothing
/// is stored. Rows and predictions are JSON or Arrow IPC streams, by `Content-Type` and `Accept`. A
/// form is one row with a part for each column: the bytes of a blob, the text of another type.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/score",
    tag = "predictions",
    params(("job" = String, Path, description = "The job"), ScoreOptions),
    request_body(content(
        (ScoreRequest = "application/json"),
        (Vec<u8> = "application/vnd.apache.arrow.stream"),
        (Object = "multipart/form-data"),
    )),
    responses(
        (status = 200, description = "The predictions, in the order of the rows", content(
            (ScoreResponse = "application/json"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        ErrorResponses,
    ),
)]
pub async fn score(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Params(options): Params<ScoreOptions>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    caller.check_job(Right::Score, &job)?;
    let job = serving.residents.job(&job)?;
    let limits = RowLimits::from_settings(serving.settings());
    // The job's columns, and those of the experiment's unit.
    let columns = unit::columns(&job.job);
    let (rows, mut words) = if arrow::is_sent(&headers) {
        let rows = arrow::rows(&job.job, columns, body, limits).await?;
        (rows, Vec::new())
    } else if form::is_sent(&headers) {
        let columns = RowColumns::with_columns(&job.job, &columns);
        (
            form::row(columns, &headers, body, limits).await?,
            Vec::new(),
        )
    } else {
        let request: ScoreRequest<'_> = parse(&body)?;
        check_rows(request.rows.len(), limits.rows)?;
        let columns = RowColumns::with_columns(&job.job, &columns);
        let rows = rows::cells(columns, &request.rows, limits)?;
        (rows, request.versions)
    };
    if words.is_empty() {
        words = options.words();
    }
    let wanted = wanted(&job, &words)?;
    let arms = unit::arms(&job.job, &rows);
    if arrow::is_wanted(&headers) {
        return arrow::answer(&job, &wanted, rows, &arms).await;
    }
    let predictions = match wanted.by_arm {
        true => unit::predictions(&job, rows, &arms).await?,
        false => {
            let labels: Vec<_> = arms.iter().map(|arm| job.job.served.label(*arm)).collect();
            predictions(&job, &wanted.versions, rows, &labels).await?
        }
    };
    let rows = predictions.into_iter();
    Ok(Json(ScoreResponse {
        job: job.job.job.clone(),
        rows: rows.map(|predictions| RowView { predictions }).collect(),
    })
    .into_response())
}

/// Parses a JSON body, which must be an object.
///
/// # Errors
/// 400 with line and column.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body).map_err(|error| {
        ApiError::bad(Problem::new(
            "request.not_utf8",
            format!("the body is not UTF-8 at byte {}", error.valid_up_to()),
        ))
    })?;
    // Structs could also be read from arrays, by position.
    if text.trim_start().starts_with('[') {
        let message = "the body is an array instead of an object";
        return Err(ApiError::bad(
            Problem::new("request.json", message).at("body"),
        ));
    }
    serde_json::from_str(text)
        .map_err(|error| ApiError::bad(Problem::new("request.json", error.to_string()).at("body")))
}

/// Checks the number of rows of a request.
///
/// # Errors
/// 400 without rows, 413 with too many.
pub fn check_rows(rows: usize, most: usize) -> Result<(), ApiError> {
    if rows == 0 {
        return Err(ApiError::bad(
            Problem::new("request.no_rows", "`rows` is empty").at("rows"),
        ));
    }
    if rows > most {
        return Err(ApiError::new(
            axum::http::StatusCode::PAYLOAD_TOO_LARGE,
            Problem::new(
                "request.too_many_rows",
                format!("{rows} rows; {most} are the limit"),
            )
            .at("rows")
            .help("send several requests, or raise serve.max_rows"),
        ));
    }
    Ok(())
}

/// The versions that a request is about.
pub struct Wanted {
    pub versions: Vec<Arc<ServedVersion>>,
    /// Each row is answered by one of them: that of its arm in the running experiment.
    pub by_arm: bool,
}

/// Returns the versions that a caller names, without repetitions. If the caller names none: the
/// champion, or while an experiment runs the versions of which its arms choose.
///
/// # Errors
/// 400 for a version that the job does not score.
pub fn wanted(job: &ServedJob, wanted: &[VersionWord]) -> Result<Wanted, ApiError> {
    if wanted.is_empty() {
        return Ok(Wanted {
            versions: job.serving()?,
            by_arm: job.job.served.arms.is_some(),
        });
    }
    let mut versions: Vec<Arc<ServedVersion>> = Vec::with_capacity(wanted.len());
    for word in wanted {
        let version = job.version(Some(&word.to_string()))?;
        if !versions.iter().any(|known| Arc::ptr_eq(known, version)) {
            versions.push(Arc::clone(version));
        }
    }
    Ok(Wanted {
        versions,
        by_arm: false,
    })
}

/// Returns each row's predictions, in the order of `versions`. `arms`: what the lineage says of each
/// row's arm.
///
/// # Errors
/// 429 or 503 from a model's queue.
pub async fn predictions(
    job: &ServedJob,
    versions: &[Arc<ServedVersion>],
    rows: CellBuffer,
    arms: &[Option<&str>],
) -> Result<Vec<Vec<PredictionView>>, ApiError> {
    let mut views: Vec<Vec<PredictionView>> = Vec::new();
    views.resize_with(rows.rows(), || Vec::with_capacity(versions.len()));
    let mut rows = Some(rows);
    for (at, served) in versions.iter().enumerate() {
        let cells = match at + 1 == versions.len() {
            true => rows.take().unwrap_or_default(),
            false => rows.clone().unwrap_or_default(),
        };
        let scored = served.score(cells).await?;
        let now = utc::to_millisecond(Utc::now());
        let version = served.version().ready.version;
        let aliases: Vec<_> = job.aliases_of(version).map(str::to_owned).collect();
        for ((views, row), arm) in views.iter_mut().zip(&scored.rows).zip(arms) {
            views.push(view::scored(served, &aliases, &scored, row, (&now, *arm)));
        }
    }
    Ok(views)
}
