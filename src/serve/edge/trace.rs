//! The trace of a request: its id, its metrics and its line in the log.

use std::{sync::Arc, time::Instant};

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use tracing::Span;

use crate::{metrics::RouteMeters, serve::caller::Caller};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is accepted from a client.
const MAX_ID: usize = 128;

/// What is recorded of one request. The path itself is not: it may have keys of people.
pub struct Trace {
    began: Instant,
    id: HeaderValue,
    method: Method,
    /// Template of the path; `None` if no route has the path.
    route: Option<MatchedPath>,
    /// `None` before the caller is known.
    pub caller: Option<Arc<Caller>>,
}

impl Trace {
    /// Begins to record a request. Its id is the client's, or else random.
    pub fn begin(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID);
        let id = given.filter(|id| is_valid(id.as_bytes())).cloned();
        Self {
            began: Instant::now(),
            id: id.unwrap_or_else(random_id),
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            caller: None,
        }
    }

    /// Returns the template of the path; `none` if no route has the path.
    pub fn route(&self) -> &str {
        self.route.as_ref().map_or("none", MatchedPath::as_str)
    }

    /// Returns the span of what is logged on the way.
    pub fn span(&self) -> Span {
        tracing::info_span!("request", id = self.id())
    }

    /// Records the answer and adds the id to it.
    pub fn end(self, response: &mut Response, meters: &RouteMeters, is_logged: bool) {
        let took = self.began.elapsed();
        let status = response.status().as_u16();
        meters.record(self.route(), status, took);
        if is_logged {
            tracing::info!(
                target: "helenus::access",
                method = %self.method,
                route = self.route(),
                status,
                bytes = response.body().size_hint().exact(),
                micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                caller = self.caller.as_ref().map_or("-", |caller| &caller.name),
                request_id = self.id(),
                "answered"
            );
        }
        response.headers_mut().insert(REQUEST_ID, self.id);
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
    use axum::body::Body;

    use super::*;

    fn id(given: Option<&[u8]>) -> String {
        let mut request = Request::new(Body::empty());
        if let Some(given) = given {
            let value = HeaderValue::from_bytes(given).unwrap();
            request.headers_mut().insert(REQUEST_ID, value);
        }
        Trace::begin(&request).id().to_owned()
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
