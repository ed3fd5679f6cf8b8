//! Promote, roll back, approve. The server writes what a person could write, a row of
//! `alias_requests`, and waits for the worker's answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    extract::{Params, Payload, Segments},
    models::resolve,
    requests::{RequestView, accepted},
    score::{self, VersionWord},
};
use crate::{
    control::{aliases::Mode, gates},
    domain::{
        answer::AnswerKind,
        duration,
        model::{
            alias::{CHAMPION, PREVIOUS},
            check_name,
        },
        problem::Problem,
    },
    inspect::catalog::no_version,
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorBody, ErrorResponses},
        requests,
        state::Serving,
    },
    store::registry::alias_requests::AliasRequest,
};

/// Time for which a request waits for its answer, unless the caller says otherwise.
const WAIT: Duration = Duration::from_secs(5);
/// Longest time that a caller can ask for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A version to promote.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": 3, "why": "AUC 0.991 against 0.987"}))]
pub struct PromoteBody {
    /// The version, by number or alias.
    pub version: VersionWord,
    /// Reason, stored in the history.
    pub why: Option<String>,
    /// The request is refused unless the alias points to this version.
    pub expected_version: Option<i32>,
    /// What must be scored before the alias moves; `full` by default.
    pub coverage: Option<CoverageWord>,
}

/// An alias to move back.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The alias; `champion` by default.
    pub alias: Option<String>,
    /// Reason, stored in the history.
    pub why: Option<String>,
    /// The request is refused unless the alias points to this version.
    pub expected_version: Option<i32>,
    /// What must be scored before the alias moves; `full` by default.
    pub coverage: Option<CoverageWord>,
}

/// The approval of a gate that passes.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveBody {
    /// Reason, stored in the history.
    pub why: Option<String>,
}

/// What must be scored before an alias moves.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoverageWord {
    /// Everything, or the request is refused.
    Full,
    /// Nothing: the alias moves at once.
    Now,
    /// Everything: what is missing is scored first, then the alias moves.
    WhenCovered,
}

impl From<CoverageWord> for Mode {
    fn from(word: CoverageWord) -> Self {
        match word {
            CoverageWord::Full => Self::Full,
            CoverageWord::Now => Self::Now,
            CoverageWord::WhenCovered => Self::WhenCovered,
        }
    }
}

/// What was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ActView {
    pub request: RequestView,
    pub model: String,
    pub alias: String,
    /// The version to which the alias points now.
    pub version: Option<i32>,
}

/// Options of a request that waits for its answer.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitOptions {
    /// How long to wait for a worker's answer, at most `30s`; `5s` by default.
    #[param(example = "5s", pattern = "^([0-9]|[12][0-9]|30)s$")]
    pub wait: Option<String>,
}

impl WaitOptions {
    fn time(&self) -> Result<Duration, ApiError> {
        let Some(text) = &self.wait else {
            return Ok(WAIT);
        };
        let invalid = |why: String| ApiError::bad(Problem::new("request.wait", why).at("wait"));
        let time = duration::parse(text).map_err(invalid)?;
        match time <= MAX_WAIT {
            true => Ok(time),
            false => Err(invalid(format!("`{text}` is longer than 30s"))),
        }
    }
}

/// Points an alias at a version. The version must be ready, and must have scored the whole table of
/// every job that follows the alias (`coverage`).
#[utoipa::path(
    post,
    path = "/v1/models/{model}/aliases/{alias}",
    tag = "models",
    params(
        ("model" = String, Path, description = "The model"),
        ("alias" = String, Path, description = "The alias, such as champion"),
        WaitOptions,
    ),
    request_body(content = PromoteBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The alias points at the version", body = ActView),
        (status = 202, description = "No worker has answered yet", body = RequestView, headers(("Location" = String, description = "The request"))),
        (status = 409, description = "Refused, for the reason in the message", body = ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn promote(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((model, alias)): Segments<(String, String)>,
    Params(options): Params<WaitOptions>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    caller.check_model(Right::Promote, &model)?;
    let wait = options.time()?;
    check_alias(&alias)?;
    let body: PromoteBody = score::parse(&body)?;
    let version = resolve(&serving.store, &model, &body.version.to_string()).await?;
    if serving.store.version(&model, version).await?.is_none() {
        return Err(no_version(&model, Some(version)).into());
    }
    let request = AliasRequest {
        action: Some("promote".to_owned()),
        model: Some(model),
        alias: Some(alias),
        version: Some(version),
        why: body.why,
        expected_version: body.expected_version,
        coverage: coverage(body.coverage),
        ..AliasRequest::default()
    };
    ask(&serving, &caller, request, wait).await
}

/// Points an alias back at the version before. A second rollback undoes the first.
#[utoipa::path(
    post,
    path = "/v1/models/{model}/rollback",
    tag = "models",
    params(("model" = String, Path, description = "The model"), WaitOptions),
    request_body(content = RollbackBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The alias points at the version before", body = ActView),
        (status = 202, description = "No worker has answered yet", body = RequestView, headers(("Location" = String, description = "The request"))),
        (status = 409, description = "Refused, for the reason in the message", body = ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn rollback(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(model): Segments<String>,
    Params(options): Params<WaitOptions>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    caller.check_model(Right::Promote, &model)?;
    let wait = options.time()?;
    let body: RollbackBody = parse_or_default(&body)?;
    let alias = body.alias.unwrap_or_else(|| CHAMPION.to_owned());
    check_alias(&alias)?;
    if serving.store.alias(&model, &alias).await?.is_none() {
        return Err(ApiError::not_found(Problem::new(
            "model.no_alias",
            format!("model `{model}` has no alias `{alias}`"),
        )));
    }
    let request = AliasRequest {
        action: Some("rollback".to_owned()),
        model: Some(model),
        alias: Some(alias),
        why: body.why,
        expected_version: body.expected_version,
        coverage: coverage(body.coverage),
        ..AliasRequest::default()
    };
    ask(&serving, &caller, request, wait).await
}

/// Approves a gate that passes: promotes its challenger. The worker judges the gate again before it
/// moves the alias.
#[utoipa::path(
    post,
    path = "/v1/models/{model}/gates/{gate}/approve",
    tag = "models",
    params(
        ("model" = String, Path, description = "The model"),
        ("gate" = String, Path, description = "The gate"),
        WaitOptions,
    ),
    request_body(content = ApproveBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The challenger is promoted", body = ActView),
        (status = 202, description = "No worker has answered yet", body = RequestView, headers(("Location" = String, description = "The request"))),
        (status = 409, description = "The gate does not pass, or the promotion is refused", body = ErrorBody),
        ErrorResponses,
    ),
)]
pub async fn approve(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((model, gate)): Segments<(String, String)>,
    Params(options): Params<WaitOptions>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    caller.check_model(Right::Approve, &model)?;
    let wait = options.time()?;
    let body: ApproveBody = parse_or_default(&body)?;
    let request = gates::approval(&serving.store, &model, &gate, body.why).await?;
    ask(&serving, &caller, request, wait).await
}

fn parse_or_default<'a, T: Default + Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => score::parse(body),
    }
}

fn check_alias(alias: &str) -> Result<(), ApiError> {
    check_name("an alias", alias).map_err(|problem| ApiError::bad(problem.at("alias")))?;
    if alias == PREVIOUS {
        return Err(ApiError::bad(
            Problem::new(
                "alias.reserved",
                "the alias `previous` can't be moved directly",
            )
            .at("alias")
            .help("move `champion`: `previous` is always the version before it"),
        ));
    }
    Ok(())
}

fn coverage(word: Option<CoverageWord>) -> Option<String> {
    word.map(|word| Mode::from(word).as_str().to_owned())
}

/// Writes the request, and answers what a worker answers in time.
async fn ask(
    serving: &Serving,
    caller: &Caller,
    request: AliasRequest,
    wait: Duration,
) -> Result<Response, ApiError> {
    let store = &serving.store;
    let request = requests::alias_request(caller, request);
    store.insert_alias_request(&request).await?;
    let answer = requests::answer_within(store, (request.day, request.id), wait).await?;
    let view = RequestView::of_alias(&request, answer.clone());
    let Some(answer) = answer else {
        return Ok(accepted(view));
    };
    if answer.kind != AnswerKind::Done {
        let reason = answer.reason.unwrap_or_default();
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            Problem::new("alias.refused", reason),
        ));
    }
    let model = request.model.unwrap_or_default();
    let alias = request.alias.unwrap_or_default();
    Ok(Json(ActView {
        version: store.alias(&model, &alias).await?,
        request: view,
        model,
        alias,
    })
    .into_response())
}
