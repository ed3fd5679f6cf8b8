//! Answers a request: who asks, what for, in which form.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;
use tokio::time::timeout;

use super::{
    Console, actions, assets, guard, layout,
    layout::Viewer,
    login, owns, pages,
    place::{ConsolePlace, Form},
    query::Query,
    read::PageReader,
    session::Login,
};
use crate::{
    domain::problem::Problem,
    serve::{
        caller::{Caller, Right},
        error::ApiError,
    },
};

/// Largest form that is read.
const MAX_FORM: usize = 16 * 1024;
/// Time in which a page is made; after that it says that Cassandra does not answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Who asks.
pub struct Asker {
    pub caller: Arc<Caller>,
    /// `None`: a program that sends its token with each request.
    pub login: Option<Login>,
    /// The cookie of a session that has just begun.
    pub cookie: Option<String>,
}

impl Asker {
    /// Returns what the frame of a page shows of them.
    pub fn viewer(&self, console: &Console) -> Viewer<'_> {
        let login = self.login.as_ref();
        Viewer {
            caller: &self.caller,
            logout: login
                .filter(|_| !console.tokens.accepts_anyone())
                .map(|login| login.logout.clone()),
        }
    }
}

/// Answers a request for anything but assets and events.
pub async fn answer(State(console): State<Arc<Console>>, request: Request) -> Response {
    if !owns(request.uri().path()) {
        return crate::serve::edge::not_found(request.uri().clone()).await;
    }
    // Boxed: the futures of statements are large.
    let mut response = Box::pin(respond(&console, request)).await;
    guard::harden(&mut response);
    response
}

async fn respond(console: &Console, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(error) = guard::check_host(console, &parts.headers) {
        return layout::failed(&error, None);
    }
    match parts.method {
        Method::GET | Method::HEAD => show(console, &parts).await,
        Method::POST => match to_bytes(body, MAX_FORM).await {
            Ok(body) => send(console, &parts, &body).await,
            Err(_) => layout::failed(&invalid("the form is too large"), None),
        },
        _ => {
            let error = ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Problem::new("request.method", "a page is read, and a form is posted"),
            );
            let mut response = layout::failed(&error, None);
            let allow = HeaderValue::from_static("GET, HEAD, POST");
            response.headers_mut().insert(header::ALLOW, allow);
            response
        }
    }
}

async fn show(console: &Console, parts: &Parts) -> Response {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    match parts.uri.path() {
        "/login" => return login::form(&query, None),
        "/favicon.ico" => return Redirect::permanent(&assets::icon()).into_response(),
        _ => {}
    }
    let found = ConsolePlace::parse(parts.uri.path());
    let form = found.as_ref().map_or(Form::Html, |(_, form)| *form);
    let asker = match asker(console, &parts.headers) {
        Ok(asker) => asker,
        Err(error) => return stranger(&error, form, parts),
    };
    let Some((place, form)) = found else {
        let viewer = asker.viewer(console);
        return layout::failed(&not_found("there is no such page"), Some(&viewer));
    };
    let began = Instant::now();
    let reader = PageReader::new(console, &asker.caller);
    let made = timeout(PATIENCE, make(&reader, &asker, &place, form, &query)).await;
    let made = made.unwrap_or_else(|_| Err(silent()));
    let mut response = made.unwrap_or_else(|error| match form {
        Form::Html => layout::failed(&error, Some(&asker.viewer(console))),
        Form::Json | Form::Csv => error.into_response(),
    });
    let headers = response.headers_mut();
    let timing = format!(
        "page;dur={:.1}, reads;desc=\"{}\"",
        began.elapsed().as_secs_f64() * 1_000.0,
        reader.reads()
    );
    let cookie = asker
        .cookie
        .as_deref()
        .map(|cookie| (header::SET_COOKIE, cookie));
    let timing = Some((
        header::HeaderName::from_static("server-timing"),
        timing.as_str(),
    ));
    for (name, value) in cookie.into_iter().chain(timing) {
        // Both are visible ASCII.
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}

async fn make(
    reader: &PageReader<'_>,
    asker: &Asker,
    place: &ConsolePlace,
    form: Form,
    query: &Query,
) -> Result<Response, ApiError> {
    reader.caller.check(Right::Read)?;
    if let ConsolePlace::Act(act) = place {
        return match &asker.login {
            Some(login) => actions::show(reader, login, act, query).await,
            None => Err(invalid(
                "forms are for browsers; programs use the API under /v1",
            )),
        };
    }
    if let (ConsolePlace::Entities(job), Some(key)) = (place, query.get("key")) {
        let entity = ConsolePlace::Entity(job.clone(), key.to_owned());
        return Ok(Redirect::to(&entity.path()).into_response());
    }
    let view = pages::view(reader, place, query).await?;
    Ok(match form {
        Form::Html => layout::page(&view, query, &asker.viewer(reader.console)),
        Form::Json => axum::Json(view.json(query)).into_response(),
        Form::Csv => {
            let name = place.path().trim_matches('/').replace('/', "-");
            let name: String = name
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
                .collect();
            let name = format!("attachment; filename=\"helenus-{name}.csv\"");
            let kind = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
                (header::CONTENT_DISPOSITION, name.as_str()),
            ];
            (kind, view.csv(query)?).into_response()
        }
    })
}

async fn send(console: &Console, parts: &Parts, body: &[u8]) -> Response {
    if let Err(error) = guard::check_origin(&parts.headers) {
        return layout::failed(&error, None);
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind.as_bytes() != b"application/x-www-form-urlencoded") {
        return layout::failed(
            &invalid("a form is application/x-www-form-urlencoded"),
            None,
        );
    }
    let fields = Query::parse(&String::from_utf8_lossy(body));
    if parts.uri.path() == "/login" {
        return login::log_in(console, &fields);
    }
    // Only a session can send forms: it was given them.
    let login = console.sessions.find(&parts.headers, &console.tokens);
    let Some(login) = login else {
        return stranger(&not_logged_in(), Form::Html, parts);
    };
    if parts.uri.path() == "/logout" {
        return login::log_out(console, &login, &fields);
    }
    let asker = Asker {
        caller: Arc::clone(&login.caller),
        login: Some(login.clone()),
        cookie: None,
    };
    let reader = PageReader::new(console, &asker.caller);
    let made = match ConsolePlace::parse(parts.uri.path()) {
        Some((ConsolePlace::Act(act), Form::Html)) => {
            let sent = actions::send(&reader, &login, &act, &fields);
            timeout(PATIENCE, sent)
                .await
                .unwrap_or_else(|_| Err(silent()))
        }
        _ => Err(not_found("there is no such form")),
    };
    made.unwrap_or_else(|error| layout::failed(&error, Some(&asker.viewer(console))))
}

/// Returns who asks: by a cookie, or by a token as for the API. Where callers need no token, a
/// session begins.
///
/// # Errors
/// 401.
pub fn asker(console: &Console, headers: &HeaderMap) -> Result<Asker, ApiError> {
    if let Some(login) = console.sessions.find(headers, &console.tokens) {
        return Ok(Asker {
            caller: Arc::clone(&login.caller),
            login: Some(login),
            cookie: None,
        });
    }
    if console.tokens.accepts_anyone() {
        let caller = console.tokens.caller(None)?;
        let (login, cookie) = console.sessions.begin(None, Arc::clone(&caller));
        return Ok(Asker {
            caller,
            login: Some(login),
            cookie: Some(cookie),
        });
    }
    let given = headers.get(header::AUTHORIZATION);
    let given = given
        .and_then(|given| given.to_str().ok())
        .ok_or_else(not_logged_in)?;
    Ok(Asker {
        caller: console.tokens.caller(Some(given))?,
        login: None,
        cookie: None,
    })
}

/// Answers who is not logged in. A browser that followed a link of another site has sent no cookie:
/// it asks again from here.
fn stranger(error: &ApiError, form: Form, parts: &Parts) -> Response {
    if form != Form::Html {
        return error.clone().into_response();
    }
    let is_get = parts.method == Method::GET;
    if is_get && guard::is_from_elsewhere(&parts.headers) {
        let to = local(&parts.uri);
        let body = html! {
            meta http-equiv="refresh" content="0";
            p { a href=(to) { "Continue" } }
        };
        return layout::plain(StatusCode::OK, "One moment", None, None, &body);
    }
    if !is_get {
        return layout::failed(&not_logged_in(), None);
    }
    let next = local(&parts.uri);
    let to = Query::default().with(&[("next", (next != "/").then_some(next.as_str()))]);
    Redirect::to(&to.url("/login")).into_response()
}

/// Returns path and query of a URL of this server.
fn local(uri: &Uri) -> String {
    Query::parse(uri.query().unwrap_or_default()).url(uri.path())
}

fn not_logged_in() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        Problem::new(
            "console.no_session",
            "you are not logged in, or not any more",
        )
        .help("log in at /login; what you sent has changed nothing"),
    )
}

fn silent() -> ApiError {
    ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Problem::new("cassandra.silent", "Cassandra did not answer in time")
            .help("try again; `helenus doctor` says what is wrong"),
    )
}

/// Returns the error for what does not exist.
pub fn not_found(message: &str) -> ApiError {
    ApiError::not_found(Problem::new("console.not_found", message))
}

/// Returns the error for what cannot be understood.
pub fn invalid(message: &str) -> ApiError {
    ApiError::bad(Problem::new("console.invalid", message))
}
