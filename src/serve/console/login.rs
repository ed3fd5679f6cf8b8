//! Logging in, with a token of the API, and out.

use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use maud::html;

use super::{
    Console, handle, layout,
    place::ConsolePlace,
    query::Query,
    session::{self, Login},
};
use crate::{domain::token, serve::caller::Right};

/// Draws the form. `problem`: why the last attempt failed.
pub fn form(query: &Query, problem: Option<&str>) -> Response {
    let next = query.get("next").unwrap_or_default();
    let body = html! {
        @if let Some(problem) = problem { p .problem role="alert" { (problem) } }
        form .login method="post" action="/login" {
            input type="hidden" name="next" value=(next);
            p { label for="token" { "Token" } }
            p { input id="token" type="password" name="token" autocomplete="current-password" required autofocus aria-describedby="token-help"; }
            p #token-help .note { "A token of the API: whoever runs this server makes one with " code { "helenus token new" } ". It is sent once; this browser keeps a cookie instead." }
            p { button .main type="submit" { "Log in" } }
        }
    };
    let status = match problem {
        Some(_) => StatusCode::UNAUTHORIZED,
        None => StatusCode::OK,
    };
    layout::plain(status, "Log in", None, None, &body)
}

/// Begins a session for a token, and leads to where the reader wanted to go.
pub fn log_in(console: &Console, fields: &Query) -> Response {
    let given = fields.get("token").unwrap_or_default().trim();
    let caller = console.tokens.caller(Some(&format!("Bearer {given}")));
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => {
            let message = error
                .problems
                .first()
                .map(|problem| problem.message.clone());
            return form(fields, Some(&message.unwrap_or_default()));
        }
    };
    if caller.check(Right::Read).is_err() {
        let message = "this token does not have the right `read`, which the console needs";
        return form(fields, Some(message));
    }
    let digest = (!console.tokens.accepts_anyone()).then(|| token::sha256(given));
    tracing::info!(caller = caller.name, "logged in to the console");
    let (_, cookie) = console.sessions.begin(digest, Arc::clone(&caller));
    leave(&next(fields), &cookie)
}

/// Ends a session.
pub fn log_out(console: &Console, login: &Login, fields: &Query) -> Response {
    match console
        .sessions
        .end(login, fields.get("form").unwrap_or_default())
    {
        true => leave("/login", &session::forget_cookie()),
        false => layout::failed(&handle::invalid("this form is not of your session"), None),
    }
}

/// Returns the page to go to: one of the console's, whatever the form says.
fn next(fields: &Query) -> String {
    let wanted = fields.get("next").unwrap_or_default();
    let (path, query) = wanted.split_once('?').unwrap_or((wanted, ""));
    match ConsolePlace::parse(path) {
        Some((place, _)) => Query::parse(query).url(&place.path()),
        None => "/".to_owned(),
    }
}

fn leave(to: &str, cookie: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    // Visible ASCII.
    let cookie = HeaderValue::from_str(cookie).ok();
    let cookie = cookie.map(|cookie| (header::SET_COOKIE, cookie));
    response.headers_mut().extend(cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_pages_of_the_console_only() {
        let to = |next: &str| super::next(&Query::default().with(&[("next", Some(next))]));
        assert_eq!(to("/jobs/tumour?runs.q=a b"), "/jobs/tumour?runs.q=a+b");
        for elsewhere in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/%5cevil.example",
            "javascript:alert(1)",
            "/jobs/../../x",
            "/v1/jobs",
            "",
        ] {
            assert_eq!(to(elsewhere), "/", "{elsewhere}");
        }
    }
}
