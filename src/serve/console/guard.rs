//! Refuses requests that do not come from the console's own pages, and tells browsers what pages
//! may do.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
};

use super::Console;
use crate::{domain::problem::Problem, serve::error::ApiError};

/// What a page may load and run: its own files. No exceptions.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Adds the headers that every answer has.
pub fn harden(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        );
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Checks that the request names this machine, if that is all that protects the server: a page
/// elsewhere could have its own name resolved to this address.
///
/// # Errors
/// 403.
pub fn check_host(console: &Console, headers: &HeaderMap) -> Result<(), ApiError> {
    let listen = console.serving.settings().listen;
    if !console.tokens.accepts_anyone() || !listen.ip().is_loopback() {
        return Ok(());
    }
    let host = host(headers).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    match matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        true => Ok(()),
        false => Err(refused(
            "the console is for this machine only: open it as http://127.0.0.1 or http://localhost",
        )),
    }
}

/// Checks that a form was sent by a page of this server: browsers say so in `Origin`, and newer
/// ones in `Sec-Fetch-Site`, too.
///
/// # Errors
/// 403.
pub fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let is_same_site = site.is_none_or(|site| site == b"same-origin");
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let origin = origins.next().and_then(|origin| origin.to_str().ok());
    let origin = origin.filter(|_| origins.next().is_none());
    let origin = origin.and_then(|origin| origin.parse::<Uri>().ok());
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = origin
        .as_ref()
        .filter(|uri| is_http(uri))
        .and_then(Uri::authority);
    let is_own = match (authority, host(headers)) {
        (Some(authority), Some(host)) => authority.as_str().eq_ignore_ascii_case(host),
        _ => false,
    };
    match is_same_site && is_own {
        true => Ok(()),
        false => Err(refused("the form was not sent by a page of this console")),
    }
}

/// Returns whether a link on another site led here. The browser then sends no cookie.
pub fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    matches!(site, Some(b"cross-site" | b"same-site"))
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn refused(message: &str) -> ApiError {
    ApiError::new(
        StatusCode::FORBIDDEN,
        Problem::new("console.origin", message),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn only_forms_of_this_server_pass() {
        let check = |origin: &'static str, site: Option<&'static str>| {
            let mut pairs = vec![(header::HOST, "console:8080"), (header::ORIGIN, origin)];
            pairs.extend(site.map(|site| (SEC_FETCH_SITE, site)));
            check_origin(&headers(&pairs)).is_ok()
        };
        assert!(check("https://console:8080", Some("same-origin")));
        assert!(check("http://CONSOLE:8080", None));
        for (origin, site) in [
            ("https://console:8080", Some("cross-site")),
            ("https://console:8080", Some("none")),
            ("https://console:8080.evil", None),
            ("https://evil", Some("same-origin")),
            ("https://console", None),
            ("null", None),
            ("file://console:8080", None),
            ("https://console:8080@evil", None),
        ] {
            assert!(!check(origin, site), "{origin} {site:?}");
        }
        let without = headers(&[(header::HOST, "console:8080")]);
        assert!(check_origin(&without).is_err());
    }
}
