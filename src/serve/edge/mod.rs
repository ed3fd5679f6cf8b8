//! What every HTTP request passes: who calls, its body, its time limit, its trace.
//!
//! One function, because a request pays for each layer.

mod body;
mod form;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::HttpBody,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use self::form::ErrorForm;
use super::{
    caller::{Caller, Right},
    console,
    error::ApiError,
    state::Serving,
    tokens::{INVALID_TOKEN, Tokens},
    trace::{REQUEST_ID, Route, Trace},
};
use crate::{domain::problem::Problem, metrics::RouteMeters};

/// Time without a word from Cassandra after which answers say how old their aliases may be.
const STALE: Duration = Duration::from_secs(5);
/// Paths that need no token: they tell supervisors and clients nothing but that the server is there.
const PUBLIC: [&str; 5] = [
    "/live",
    "/ready",
    "/v2/health/live",
    "/v2/health/ready",
    "/openapi.json",
];

/// What the edge knows about the server.
pub struct Edge {
    serving: Arc<Serving>,
    tokens: Arc<Tokens>,
    /// Only this machine reaches the server, so `/metrics` needs no token.
    is_local: bool,
    /// Whether there is a console, whose pages know their own readers.
    has_console: bool,
    meters: RouteMeters,
}

impl Edge {
    /// Returns the edge of a server that listens on `address`, and has a console or not.
    pub fn new(
        serving: Arc<Serving>,
        tokens: Arc<Tokens>,
        address: SocketAddr,
        has_console: bool,
    ) -> Self {
        Self {
            serving,
            tokens,
            is_local: address.ip().is_loopback(),
            has_console,
            meters: RouteMeters::default(),
        }
    }

    /// Puts the edge before these routes.
    pub fn before(self, routes: Router) -> Router {
        routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            // The edge has its own limit, which holds for what a compressed body becomes.
            .layer(DefaultBodyLimit::disable())
            .layer(from_fn_with_state(Arc::new(self), pass))
    }

    /// Returns who makes the request.
    ///
    /// # Errors
    /// 401; 403 for `/metrics` without the right `read`.
    fn caller(&self, path: &str, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
        let is_page = self.has_console && console::owns(path);
        if is_page || PUBLIC.contains(&path) || (path == "/metrics" && self.is_local) {
            return Ok(self.tokens.nobody());
        }
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let first = given.next().map(|value| {
            value
                .to_str()
                .ok()
                .filter(|_| given.next().is_none())
                .ok_or_else(|| {
                    ApiError::new(
                        StatusCode::UNAUTHORIZED,
                        Problem::new(INVALID_TOKEN, "invalid header `Authorization`")
                            .help("send it once: `Authorization: Bearer TOKEN`"),
                    )
                })
        });
        let caller = self.tokens.caller(first.transpose()?)?;
        if path == "/metrics" {
            caller.check(Right::Read)?;
        }
        Ok(caller)
    }

    /// Answers a request.
    async fn answer(
        &self,
        mut request: Request,
        next: Next,
        trace: &mut Trace,
    ) -> Result<Response, ApiError> {
        let settings = self.serving.settings();
        let limit = settings.max_body_mib << 20;
        let caller = match self.caller(request.uri().path(), request.headers()) {
            Ok(caller) => caller,
            Err(error) => {
                body::refuse(request, limit).await;
                return Err(error);
            }
        };
        trace.caller = Some(Arc::clone(&caller));
        request.extensions_mut().insert(caller);
        let until = Instant::now() + settings.request_timeout;
        let request = body::whole(request, limit, until).await?;
        if trace.route().ends_with("/events") {
            // A stream lasts as long as what it reports.
            return Ok(next.run(request).await);
        }
        let answer = timeout_at(until, next.run(request)).await;
        answer.map_err(|_| ApiError::timed_out())
    }

    /// Adds the age of what is served if Cassandra has not confirmed it lately.
    fn add_age(&self, headers: &mut HeaderMap) {
        let stale = self.serving.residents.stale();
        if stale > STALE {
            let age = HeaderValue::try_from(format!("{}s", stale.as_secs()));
            // Digits and a letter are always valid.
            headers.extend(age.ok().map(|age| (STALE_HEADER, age)));
        }
    }
}

const STALE_HEADER: header::HeaderName = header::HeaderName::from_static("helenus-stale");

async fn pass(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let form = ErrorForm::for_path(request.uri().path());
    let template = request.extensions().get::<MatchedPath>().cloned();
    let route = template.map_or(Route::Unknown, Route::Template);
    let mut trace = Trace::begin(request.headers(), request.method().clone(), route);
    let span = trace.span();
    let answer = edge
        .answer(request, next, &mut trace)
        .instrument(span)
        .await;
    let mut response = match answer {
        Ok(response) => form.without_plain_errors(response).await,
        Err(error) => form.response(&error),
    };
    if form != ErrorForm::Plain {
        edge.add_age(response.headers_mut());
    }
    let id = trace.end(
        response.status().as_u16(),
        response.body().size_hint().exact(),
        &edge.meters,
        edge.serving.settings().access_log,
    );
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Answers a request for a path that there is not.
pub async fn not_found(uri: Uri) -> Response {
    let message = format!("no route has the path `{}`", uri.path());
    let problem = Problem::new("request.unknown_path", message);
    let error = ApiError::not_found(problem.help("`/openapi.json` lists the routes"));
    ErrorForm::for_path(uri.path()).response(&error)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let message = format!("`{}` has no method {method}", uri.path());
    let problem = Problem::new("request.method", message);
    let error = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        problem.help("the header `Allow` of this answer lists the methods"),
    );
    ErrorForm::for_path(uri.path()).response(&error)
}
