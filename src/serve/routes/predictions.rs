//! Predictions by key, always current: the row and its stored prediction are read together, and the
//! stored one is answered only if it is what scoring the row now would give.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Shared,
    extract::{Params, Payload, Segments},
    keys::{self, KeyWords},
    score::{self, VersionWord, Wanted},
    view::{self, PredictionView},
};
use crate::{
    codec::{cell_json, cells::CellBuffer},
    domain::{
        job::{hash::append_row, prepare::TypedRows},
        model::proof::Prediction,
        problem::Problem,
    },
    engine::run::source::AskedKey,
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        requests::keys_request,
        residents::{ServedJob, ServedVersion},
        rows::Row,
        state::Serving,
    },
    store::driver::raw::cells_of,
};

/// Keys of one request that are read at a time.
const KEYS_AT_A_TIME: usize = 32;

/// Names the request for a run that stores the predictions (`?store=true`).
const REQUEST_HEADER: HeaderName = HeaderName::from_static("helenus-request");

/// The keys to predict.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"keys": [{"id": "172"}], "versions": ["champion"]}))]
pub struct KeysRequest<'a> {
    /// All primary key columns by name. Values are strings (CQL literals without quotes), numbers
    /// or booleans.
    #[serde(borrow)]
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<Row<'a>>,
    /// Versions by number or alias. If there are none: the champion, or while an experiment runs the
    /// version of the row's arm.
    #[serde(default)]
    pub versions: Vec<VersionWord>,
}

/// Options of a request for several keys.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeysOptions {
    /// Whether to ask for a run that stores the predictions that are not stored yet.
    #[serde(default)]
    pub store: bool,
}

/// Options of a request for one key.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyOptions {
    /// A version by number or alias. If there is none: the champion, or while an experiment runs the
    /// version of the row's arm.
    pub version: Option<String>,
    /// Whether to ask for a run that stores the prediction if it is not stored yet.
    #[serde(default)]
    pub store: bool,
}

/// The predictions of the keys, in their order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeysResponse {
    pub job: String,
    pub rows: Vec<KeyView>,
}

/// The predictions of one key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeyView {
    /// Key columns by name.
    #[schema(value_type = Object)]
    pub key: serde_json::Map<String, Value>,
    /// In the order of the versions that were asked for; empty if the source has no such row.
    pub predictions: Vec<PredictionView>,
    /// Whether the source has the row.
    pub found: bool,
}

impl KeyView {
    fn is_stored(&self) -> bool {
        self.predictions
            .iter()
            .all(|it| it.from == view::From::Stored)
    }
}

/// Returns the predictions of several keys. Rows that do not exist are answered with `found: false`.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job}/predictions",
    tag = "predictions",
    params(("job" = String, Path, description = "The job"), KeysOptions),
    request_body(content = KeysRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The predictions, in the order of the keys", body = KeysResponse, headers(("helenus-request" = String, description = "With `store=true`: the request for a run, unless all are stored already"))),
        ErrorResponses,
    ),
)]
pub async fn by_keys(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(job): Segments<String>,
    Params(options): Params<KeysOptions>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    check_rights(&caller, &job, options.store)?;
    let job = serving.residents.job(&job)?;
    let request: KeysRequest<'_> = score::parse(&body)?;
    score::check_rows(request.keys.len(), serving.settings().max_rows)?;
    let wanted = score::wanted(&job, &request.versions)?;
    let words = request.keys.iter().enumerate();
    let words = words.map(|(at, key)| keys::of_object(key, at));
    let words = words.collect::<Result<Vec<_>, ApiError>>()?;
    let typed = words.iter().map(|key| keys::typed(&job.job, key));
    let typed = typed.collect::<Result<Vec<_>, ApiError>>()?;
    let (shared, served, asked) = (&serving, &job, &wanted);
    let reads = typed
        .into_iter()
        .map(|key| async move { current(shared, served, asked, &key).await });
    let rows: Vec<KeyView> = futures::stream::iter(reads)
        .buffered(KEYS_AT_A_TIME)
        .try_collect()
        .await?;
    let missing = words.into_iter().zip(&rows);
    let missing = missing.filter(|(_, view)| !view.is_stored());
    let missing = missing.map(|(key, _)| key).collect();
    let request = match options.store {
        true => store_keys(&serving, &caller, &job, &wanted.versions, missing).await?,
        false => None,
    };
    let response = KeysResponse {
        job: job.job.job.clone(),
        rows,
    };
    Ok(answered(response, request))
}

/// Returns the prediction of one key: the value of the only key column, or `column=value` pairs
/// separated by commas. A value with a comma is written in single quotes: `site='a,b',id=7`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/predictions/{key}",
    tag = "predictions",
    params(
        ("job" = String, Path, description = "The job"),
        ("key" = String, Path, description = "The key, percent-encoded", example = "172"),
        KeyOptions,
    ),
    responses(
        (status = 200, description = "The prediction", body = KeyView, headers(("helenus-request" = String, description = "With `store=true`: the request for a run, unless it is stored already"))),
        ErrorResponses,
    ),
)]
pub async fn by_key(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((job, key)): Segments<(String, String)>,
    Params(options): Params<KeyOptions>,
) -> Result<Response, ApiError> {
    check_rights(&caller, &job, options.store)?;
    let job = serving.residents.job(&job)?;
    let words = options.version.into_iter().map(VersionWord::Name);
    let wanted = score::wanted(&job, &words.collect::<Vec<_>>())?;
    let columns: Vec<_> = job.job.key.iter().map(|column| &column.name[..]).collect();
    let words = keys::of_path(&columns, &key)?;
    let key = keys::typed(&job.job, &words)?;
    let view = current(&serving, &job, &wanted, &key).await?;
    if !view.found {
        let table = format!("{}.{}", job.job.source.keyspace, job.job.source.table);
        let message = format!("{table} has no row with this key");
        return Err(ApiError::not_found(Problem::new("row.unknown", message)));
    }
    let request = match options.store && !view.is_stored() {
        true => store_keys(&serving, &caller, &job, &wanted.versions, vec![words]).await?,
        false => None,
    };
    Ok(answered(view, request))
}

fn check_rights(caller: &Caller, job: &str, store: bool) -> Result<(), ApiError> {
    caller.check_job(Right::Score, job)?;
    match store {
        true => caller.check_job(Right::Run, job),
        false => Ok(()),
    }
}

/// Asks for a run that stores the predictions of these keys; `None`: there are none.
async fn store_keys(
    serving: &Serving,
    caller: &Caller,
    job: &ServedJob,
    versions: &[Arc<ServedVersion>],
    keys: Vec<KeyWords>,
) -> Result<Option<Uuid>, ApiError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let numbers = versions.iter().map(|served| served.version().ready.version);
    let request = keys_request(caller, &job.job.job, keys, numbers);
    serving.store.insert_run_request(&request).await?;
    Ok(Some(request.id))
}

fn answered(body: impl Serialize, request: Option<Uuid>) -> Response {
    let mut response = Json(body).into_response();
    if let Some(id) = request {
        // A UUID is visible ASCII.
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert(REQUEST_HEADER, value);
        }
    }
    response
}

/// Returns the current predictions of a key.
async fn current(
    serving: &Serving,
    job: &ServedJob,
    wanted: &Wanted,
    key: &AskedKey,
) -> Result<KeyView, ApiError> {
    let compiled = &job.job;
    let cells = compiled.key.iter().zip(cells_of(&key.cells));
    let named = cells.map(|(column, cell)| {
        let value = cell_json::cell(&column.cql_type, cell);
        (column.name.clone(), value)
    });
    let mut view = KeyView {
        key: named.collect(),
        predictions: Vec::with_capacity(wanted.versions.len()),
        found: false,
    };
    // Cassandra has no rows under an empty partition key, and refuses to look for them.
    let first = cells_of(&key.cells).next().flatten();
    if compiled.partition_key_len == 1 && first.is_some_and(<[u8]>::is_empty) {
        return Ok(view);
    }
    let source = serving.store.by_key(&job.source_key, &key.cells);
    let stored = futures::future::try_join_all(
        wanted
            .versions
            .iter()
            .map(|served| serving.store.by_key(&served.stored_key, &key.cells)),
    );
    let (source, stored) = futures::try_join!(source, stored)?;
    view.found = source.rows() > 0;
    if !view.found {
        return Ok(view);
    }
    let cells: Vec<_> = source.row(0).collect();
    let arm = compiled.served.arm_of(&cells, &mut Vec::new());
    let label = compiled.served.label(arm);
    let source = source.copy_row(0, compiled.key.len());
    // Without a version named, the row's arm decides among those that serve some rows.
    let own = match wanted.by_arm {
        true => Some(job.version_of_arm(arm)?),
        false => None,
    };
    for (served, stored) in wanted.versions.iter().zip(&stored) {
        if own.is_some_and(|own| !Arc::ptr_eq(own, served)) {
            continue;
        }
        let number = served.version().ready.version;
        let aliases: Vec<_> = job.aliases_of(number).map(str::to_owned).collect();
        let stored = (stored.rows() > 0).then(|| stored.copy_row(0, 0));
        let is_current = |stored: &CellBuffer| {
            let stored = Prediction::new(stored, 0);
            stored.input_hash() == Some(input_hash(served, &source))
        };
        view.predictions.push(match stored.filter(is_current) {
            Some(stored) => {
                served.counters.stored();
                view::stored(served, &aliases, &stored, label)
            }
            None => {
                let versions = std::slice::from_ref(served);
                let labels = [label];
                let scored = score::predictions(job, versions, source.clone(), &labels).await?;
                let first = scored.into_iter().flatten().next();
                first.ok_or_else(ApiError::timed_out)?
            }
        });
    }
    Ok(view)
}

/// Returns the hash of what the model would be given.
fn input_hash(served: &ServedVersion, source: &CellBuffer) -> u128 {
    let version = served.version();
    let cells: Vec<_> = source.row(0).collect();
    let mut inputs = TypedRows::new(version);
    append_row(version, &cells, &mut inputs, &mut Vec::new()).0
}
