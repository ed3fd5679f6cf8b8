//! Rows and predictions as Arrow IPC streams, for callers with many rows.
//!
//! `decode` reads rows by the names of their columns, `encode` writes predictions. Values are
//! converted exactly or refused, so that both forms of a request have the same hashes.

mod column;
mod decode;
mod encode;
mod number;
pub mod pipe;

use std::sync::Arc;

use arrow_array::RecordBatch;
use axum::{
    body::Bytes,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use self::encode::{ArrowAnswer, VersionAnswer};
use super::{
    error::ApiError,
    residents::ServedJob,
    routes::score::Wanted,
    rows::{RowColumns, RowLimits},
};
use crate::{
    codec::{cells::CellBuffer, schema::Column},
    domain::{job::CompiledJob, problem::Problem},
};

/// The type of an Arrow IPC stream.
pub const MEDIA_TYPE: &str = "application/vnd.apache.arrow.stream";

/// The column with the version of each prediction.
pub const VERSION: &str = "version";
/// The column that says why a row is rejected; null if it is not.
pub const REJECTED: &str = "rejected";
/// The column with each row's arm in the running experiment.
pub const ARM: &str = "arm";

/// Returns whether the body is an Arrow stream.
pub fn is_sent(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE);
    sent.and_then(|value| value.to_str().ok())
        .is_some_and(|value| is_arrow(essence(value)))
}

/// Returns whether the answer is to be an Arrow stream: if `Accept` prefers it to JSON, or accepts
/// both alike and the body is one.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let is_sent = is_sent(headers);
    let accepted = headers.get_all(header::ACCEPT).iter();
    let ranges = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut best: Option<(f32, bool)> = None;
    for range in ranges {
        let name = essence(range);
        let choice = match () {
            () if is_arrow(name) => true,
            () if name.eq_ignore_ascii_case("application/json") => false,
            () if matches!(name, "*/*" | "application/*") => is_sent,
            () => continue,
        };
        let quality = quality(range);
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, choice));
        }
    }
    best.map_or(is_sent, |(_, choice)| choice)
}

fn is_arrow(name: &str) -> bool {
    name.eq_ignore_ascii_case(MEDIA_TYPE)
}

/// Returns a media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Returns the `q` of a media range; 1 without one.
fn quality(range: &str) -> f32 {
    let mut parameters = range.split(';').skip(1);
    parameters
        .find_map(|parameter| parameter.trim().strip_prefix("q="))
        .map_or(1.0, |quality| quality.parse().unwrap_or(0.0))
}

/// Reads these columns of the rows of a body.
///
/// # Errors
/// 400: not an Arrow stream, unknown or repeated columns, values that do not fit their column; 413:
/// too many rows or bytes.
pub async fn rows(
    job: &Arc<CompiledJob>,
    columns: Vec<Column>,
    body: Bytes,
    limits: RowLimits,
) -> Result<CellBuffer, ApiError> {
    let job = Arc::clone(job);
    // Decoding may take milliseconds.
    let decoding =
        move || decode::contained(RowColumns::with_columns(&job, &columns), &body, limits);
    let decoded = tokio::task::spawn_blocking(decoding).await;
    decoded.map_err(|_| ApiError::timed_out())?
}

/// Scores rows and answers with an Arrow stream. `arms`: each row's arm in the running experiment.
///
/// # Errors
/// 429 or 503 from a model's queue.
pub async fn answer(
    job: &ServedJob,
    wanted: &Wanted,
    rows: CellBuffer,
    arms: &[Option<usize>],
) -> Result<Response, ApiError> {
    let batch = predictions(job, wanted, rows, arms).await?;
    let stream = encode::stream(&batch).map_err(malformed)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], stream).into_response())
}

/// Scores rows and returns their predictions, with the columns that `encode` lists. `arms`: each
/// row's arm in the running experiment.
///
/// # Errors
/// 429 or 503 from a model's queue.
pub async fn predictions(
    job: &ServedJob,
    wanted: &Wanted,
    rows: CellBuffer,
    arms: &[Option<usize>],
) -> Result<RecordBatch, ApiError> {
    let mut scored = Vec::with_capacity(wanted.versions.len());
    for served in &wanted.versions {
        let version = served.version();
        scored.push(VersionAnswer {
            version: version.ready.version,
            model_sha256: version.ready.admitted.sha256,
            scored: served.score(rows.clone()).await?,
        });
    }
    let mut order = Vec::with_capacity(rows.rows() * wanted.versions.len());
    for (row, arm) in arms.iter().enumerate() {
        let own = match wanted.by_arm {
            true => Some(job.version_of_arm(*arm)?),
            false => None,
        };
        let versions = wanted.versions.iter().enumerate();
        let answered =
            versions.filter(|(_, served)| own.is_none_or(|own| Arc::ptr_eq(own, served)));
        order.extend(answered.map(|(version, _)| (version, row)));
    }
    let labels = job.job.served.arms.as_ref();
    let labels = labels.map(|labels| {
        let labels = arms.iter().map(|arm| arm.map(|arm| labels.label(arm)));
        labels.collect()
    });
    let answer = ArrowAnswer {
        job: &job.job.job,
        revision: job.revision,
        outputs: &job.job.target.outputs,
        versions: &scored,
        order,
        arms: labels,
        keys: None,
    };
    answer.batch().map_err(malformed)
}

/// Returns the error of an output that is not a value of its type. Admission and compilation decide
/// these types: no request can cause this.
pub fn malformed(error: String) -> ApiError {
    ApiError::new(
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        Problem::new("answer.malformed", error),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn wanted(content_type: &str, accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, content_type),
            (header::ACCEPT, accept),
        ] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        is_wanted(&headers)
    }

    #[test]
    fn the_answer_has_the_type_that_is_accepted_or_that_of_the_request() {
        let arrow = "Application/vnd.apache.arrow.stream; x=1";
        for accept in ["", "*/*", "text/html, application/*;q=0.8"] {
            assert!(wanted(arrow, accept), "{accept}");
            assert!(!wanted("application/json", accept), "{accept}");
            assert!(!wanted("", accept), "{accept}");
        }
        assert!(!wanted(arrow, "application/json"));
        assert!(!wanted(arrow, "application/json, */*;q=0.5"));
        assert!(wanted("", MEDIA_TYPE));
        assert!(wanted("", &format!("application/json;q=0.5, {MEDIA_TYPE}")));
        assert!(!wanted("", &format!("{MEDIA_TYPE};q=0, application/json")));
    }
}
