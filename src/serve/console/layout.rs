//! The frame of every page.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    assets,
    guard::POLICY,
    place::{ConsolePlace, Form},
    query::Query,
    view::View,
};
use crate::serve::{
    caller::{Caller, Right},
    error::ApiError,
};

/// Parts of the console: path, name, first segment of its pages.
const PARTS: [(&str, &str, &str); 7] = [
    ("/", "Jobs", "jobs"),
    ("/models", "Models", "models"),
    ("/experiments", "Experiments", "experiments"),
    ("/alarms", "Alarms", "alarms"),
    ("/requests", "Requests", "requests"),
    ("/streams", "Streams", "streams"),
    ("/workers", "Workers", "workers"),
];

/// Who looks, for the frame.
pub struct Viewer<'a> {
    pub caller: &'a Caller,
    /// The token of the form that logs out; `None`: callers need no token.
    pub logout: Option<String>,
}

/// Returns a page as HTML.
pub fn page(view: &View, query: &Query, viewer: &Viewer<'_>) -> Response {
    let path = view.place.path();
    let live = query.with(&[("table", None)]).url(&path);
    let live = Query::default()
        .with(&[("page", Some(&live))])
        .url("/events");
    let body = html! {
        (crumbs(&view.trail))
        h1 { bdi { (view.title) } }
        @if !view.about.is_empty() { p .about { (view.about) } }
        (tabs(view))
        (view.draw_acts())
        (view.draw(query))
    };
    let foot =
        html! { a href=(query.url(&view.place.path_as(Form::Json))) { "This page as JSON" } };
    let frame = Frame {
        title: &view.title,
        path: &path,
        viewer: Some(viewer),
        live: view.is_live.then_some(live.as_str()),
        foot: Some(&foot),
    };
    answer(StatusCode::OK, &frame.draw(&body))
}

/// Returns a page with other content: a form, an answer.
pub fn plain(
    status: StatusCode,
    title: &str,
    place: Option<&ConsolePlace>,
    viewer: Option<&Viewer<'_>>,
    body: &Markup,
) -> Response {
    let frame = Frame {
        title,
        path: &place.map(ConsolePlace::path).unwrap_or_default(),
        viewer,
        live: None,
        foot: None,
    };
    let body = html! { h1 { bdi { (title) } } (body) };
    answer(status, &frame.draw(&body))
}

/// Returns a page that says what is wrong.
pub fn failed(error: &ApiError, viewer: Option<&Viewer<'_>>) -> Response {
    let title = match error.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN => "Not permitted",
        StatusCode::CONFLICT => "Not done",
        StatusCode::UNAUTHORIZED => "Log in",
        _ => "That did not work",
    };
    let body = html! {
        @for problem in &error.problems {
            p .problem { bdi { (problem.message) } }
            @if let Some(help) = &problem.help { p { bdi { (help) } } }
        }
        p { a href="/" { "To the jobs" } }
    };
    plain(error.status, title, None, viewer, &body)
}

/// Returns markup as an answer that no cache keeps.
pub fn answer(status: StatusCode, markup: &Markup) -> Response {
    let mut response = (status, Html(markup.0.clone())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    response
}

struct Frame<'a> {
    title: &'a str,
    path: &'a str,
    viewer: Option<&'a Viewer<'a>>,
    /// Where changes come from.
    live: Option<&'a str>,
    foot: Option<&'a Markup>,
}

impl Frame<'_> {
    fn draw(&self, body: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · helenus" }
                    link rel="icon" type="image/svg+xml" href=(assets::icon());
                    link rel="stylesheet" href=(assets::style());
                    script src=(assets::script()) defer {}
                }
                body data-events=[self.live] {
                    a .skip href="#content" { "Skip to the content" }
                    (self.head())
                    main id="content" tabindex="-1" { (body) }
                    footer {
                        p {
                            "helenus " (env!("CARGO_PKG_VERSION")) " · Times are UTC" span id="clock" {}
                            @if let Some(foot) = self.foot { " · " (foot) }
                        }
                        p id="said" role="status" {}
                    }
                }
            }
        }
    }

    fn head(&self) -> Markup {
        let first = self.path.trim_start_matches('/').split('/').next();
        let is_here = |part: &str| match first {
            Some("") => part == "jobs",
            first => first == Some(part),
        };
        html! {
            header .top {
                a .brand href="/" { "helenus" }
                @if let Some(viewer) = self.viewer {
                    nav aria-label="Parts" {
                        ul {
                            @for (path, name, part) in PARTS {
                                li { a href=(path) aria-current=[is_here(part).then_some("page")] { (name) } }
                            }
                        }
                    }
                    (who(viewer))
                }
            }
        }
    }
}

fn who(viewer: &Viewer<'_>) -> Markup {
    let acts = [Right::Run, Right::Promote, Right::Approve];
    let is_reader = !acts
        .iter()
        .any(|right| viewer.caller.rights.contains(right));
    html! {
        div .who {
            span { bdi { (viewer.caller.name) } @if is_reader { " (read only)" } }
            @if let Some(token) = &viewer.logout {
                form method="post" action="/logout" {
                    input type="hidden" name="form" value=(token);
                    button type="submit" { "Log out" }
                }
            }
        }
    }
}

fn crumbs(trail: &[(String, String)]) -> Markup {
    html! {
        @if !trail.is_empty() {
            nav .crumbs aria-label="Where you are" {
                ol { @for (path, name) in trail { li { a href=(path) { bdi { (name) } } } } }
            }
        }
    }
}

fn tabs(view: &View) -> Markup {
    html! {
        @if !view.tabs.is_empty() {
            nav .tabs aria-label="Pages about this" {
                ul {
                    @for (path, name, is_here) in &view.tabs {
                        li { a href=(path) aria-current=[is_here.then_some("page")] { (name) } }
                    }
                }
            }
        }
    }
}
