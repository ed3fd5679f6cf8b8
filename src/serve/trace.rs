//! The trace of a request, over HTTP or gRPC: its id, its metrics and its line in the log.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::MatchedPath,
    http::{HeaderMap, HeaderName, HeaderValue, Method},
};
use tracing::Span;

use super::caller::Caller;
use crate::metrics::RouteMeters;

/// Name of the id of a request, among the metadata of gRPC.
pub const REQUEST_ID_KEY: &str = "x-request-id";
/// The header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_KEY);
/// Longest id that is accepted from a client.
const MAX_ID: usize = 128;

/// What is recorded of one request. The path itself is not: it may have keys of people.
pub struct Trace {
    began: Instant,
    id: HeaderValue,
    method: Method,
    route: Route,
    /// `None` before the caller is known.
    pub caller: Option<Arc<Caller>>,
}

/// Where a request leads.
pub enum Route {
    /// The template of an HTTP path.
    Template(MatchedPath),
    /// The path of a gRPC method.
    Call(&'static str),
    /// No route has the path.
    Unknown,
}

impl Trace {
    /// Begins to record a request. Its id is the client's, or else random.
    pub fn begin(headers: &HeaderMap, method: Method, route: Route) -> Self {
        let given = headers.get(REQUEST_ID);
        let id = given.filter(|id| is_valid(id.as_bytes())).cloned();
        Self {
            began: Instant::now(),
            id: id.unwrap_or_else(random_id),
            method,
            route,
            caller: None,
        }
    }

    /// Returns the template of the path; `none` if no route has the path.
    pub fn route(&self) -> &str {
        match &self.route {
            Route::Template(path) => path.as_str(),
            Route::Call(path) => path,
            Route::Unknown => "none",
        }
    }

    /// Returns the span of what is logged on the way.
    pub fn span(&self) -> Span {
        tracing::info_span!("request", id = self.id())
    }

    /// Records the answer, and returns the id, which the answer carries. `status`: its HTTP status,
    /// over gRPC the one that stands for its code; `bytes`: the size of its body, if it is known.
    pub fn end(
        self,
        status: u16,
        bytes: Option<u64>,
        meters: &RouteMeters,
        is_logged: bool,
    ) -> HeaderValue {
        let took = self.began.elapsed();
        meters.record(self.route(), status, took);
        if is_logged {
            tracing::info!(
                target: "helenus::access",
                method = %self.method,
                route = self.route(),
                status,
                bytes,
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                caller = self.caller.as_ref().map_or("-", |caller| &caller.name),
                request_id = self.id(),
                "answered"
            );
        }
        self.id
    }

    fn id(&self) -> &str {
        // Visible ASCII, as was checked.
        self.id.to_str().unwrap_or_default()
    }
}

fn is_valid(id: &[u8]) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

fn random_id() -> HeaderValue {
    let id = format!("{:032x}", rand::random::<u128>());
    // Hexadecimal digits are always valid.
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(given: Option<&[u8]>) -> String {
        let value = given.map(|given| HeaderValue::from_bytes(given).unwrap());
        let headers: HeaderMap = value.map(|value| (REQUEST_ID, value)).into_iter().collect();
        let trace = Trace::begin(&headers, Method::GET, Route::Unknown);
        trace.id().to_owned()
    }

    #[test]
    fn a_client_may_name_its_request_in_visible_ascii() {
        assert_eq!(id(Some(b"abc-1:2/3")), "abc-1:2/3");
        let longest = "x".repeat(MAX_ID);
        assert_eq!(id(Some(longest.as_bytes())), longest);
        let too_long = "x".repeat(MAX_ID + 1);
        for other in [
            None,
            Some(&b"a b"[..]),
            Some(b""),
            Some(b"\xe4"),
            Some(too_long.as_bytes()),
        ] {
            let made = id(other);
            assert_eq!(made.len(), 32, "{other:?}: {made}");
            assert_ne!(made, id(other));
        }
    }
}
