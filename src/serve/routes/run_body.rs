//! What a caller sends to start a run.

use std::{collections::BTreeSet, fmt};

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, de::Visitor};

use super::{keys, score};
use crate::{
    domain::problem::Problem,
    serve::{caller::Caller, error::ApiError, requests, rows::Row, state::Serving},
    store::runs::run_requests::RunRequest,
};

/// Longest `Idempotency-Key`.
const KEY_BYTES: usize = 255;

/// A run to start. All fields are optional: without any, the job's pending rows are scored.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"scope": "keys", "keys": [{"id": "172"}], "note": "new biopsy"}))]
pub struct RunBody<'a> {
    /// Default: `keys` or `range` if those are given, otherwise `pending`.
    pub scope: Option<ScopeWord>,
    /// Only these rows: all primary key columns by name. Values are strings (CQL literals without
    /// quotes), numbers or booleans.
    #[serde(borrow)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub keys: Option<Vec<Row<'a>>>,
    /// Only rows whose token t has `token_from` < t <= `token_to`.
    pub token_from: Option<RingToken>,
    pub token_to: Option<RingToken>,
    /// Only these versions of those that the job names.
    pub versions: Option<BTreeSet<i32>>,
    /// Runs of higher priority come first; the default is 0.
    pub priority: Option<i32>,
    /// Maximum number of predictions per second.
    #[schema(minimum = 1)]
    pub max_rows_per_s: Option<i32>,
    /// When the run should have ended (RFC 3339); the run is marked as late afterwards.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<DateTime<Utc>>,
    /// Reason, stored with the run.
    pub note: Option<String>,
}

/// The rows that a run covers.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeWord {
    /// Rows without a current prediction.
    Pending,
    /// All rows, also those whose prediction is current.
    All,
    /// Rows of a token range.
    Range,
    /// The rows given.
    Keys,
    /// As pending, and what the champion has predicted is copied to the table of current
    /// predictions.
    Current,
}

/// A token of the ring: a 64-bit number, or a string with one for clients whose numbers are
/// floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(value_type = String, example = "-9223372036854775808")]
pub struct RingToken(pub i64);

impl ScopeWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::All => "all",
            Self::Range => "range",
            Self::Keys => "keys",
            Self::Current => "current",
        }
    }
}

impl<'de> Deserialize<'de> for RingToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Exact;
        impl Visitor<'_> for Exact {
            type Value = RingToken;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a 64-bit integer, as a number or a string")
            }

            fn visit_i64<E: serde::de::Error>(self, token: i64) -> Result<RingToken, E> {
                Ok(RingToken(token))
            }

            fn visit_u64<E: serde::de::Error>(self, token: u64) -> Result<RingToken, E> {
                let token = token.try_into().map_err(E::custom)?;
                Ok(RingToken(token))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RingToken, E> {
                text.parse().map(RingToken).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Exact)
    }
}

/// Returns the request that a caller's body asks for.
///
/// # Errors
/// 400: columns that contradict each other, keys that do not fit; 413: too many keys.
pub fn request(
    serving: &Serving,
    caller: &Caller,
    job: &str,
    body: RunBody<'_>,
) -> Result<RunRequest, ApiError> {
    let keys = body.keys.map(|keys| {
        score::check_rows(keys.len(), serving.settings().max_rows)?;
        let words = keys.iter().enumerate();
        let words = words.map(|(at, key)| keys::of_object(key, at));
        words.collect::<Result<Vec<_>, ApiError>>()
    });
    let keys = keys.transpose()?;
    if let (Some(keys), Ok(served)) = (&keys, serving.residents.job(job)) {
        // The worker checks them again, for the job as it is then.
        keys::all_typed(&served.job, keys)?;
    }
    if let Some(rate) = body.max_rows_per_s.filter(|rate| *rate < 1) {
        let message = format!("{rate} rows per second; the least is 1");
        let problem = Problem::new("request.max_rows_per_s", message);
        return Err(ApiError::bad(problem.at("max_rows_per_s")));
    }
    let mut request = RunRequest {
        scope: body.scope.map(|scope| scope.as_str().to_owned()),
        keys,
        token_from: body.token_from.map(|token| token.0),
        token_to: body.token_to.map(|token| token.0),
        versions: body.versions.filter(|versions| !versions.is_empty()),
        priority: body.priority,
        max_rows_per_s: body.max_rows_per_s,
        deadline: body.deadline,
        note: body.note,
        ..requests::run_request(caller, job, "run")
    };
    let scope = request
        .scope()
        .map_err(|why| ApiError::bad(Problem::new("request.scope", why).at("body")))?;
    request.scope = Some(scope.as_str().to_owned());
    Ok(request)
}

/// Returns the request's `Idempotency-Key`.
///
/// # Errors
/// 400: it is empty, too long, or not visible ASCII.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().ok().map(str::trim);
    let key = text.filter(|text| !text.is_empty() && text.len() <= KEY_BYTES);
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::bad(
            Problem::new("request.idempotency_key", "the key is not usable")
                .at("Idempotency-Key")
                .help("send 1 to 255 visible ASCII characters, such as a UUID"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_exact_as_numbers_and_as_strings() {
        let token = |json: &str| serde_json::from_str::<RingToken>(json).ok();
        for json in ["-9223372036854775808", "\"-9223372036854775808\""] {
            assert_eq!(token(json), Some(RingToken(i64::MIN)), "{json}");
        }
        assert_eq!(token("9223372036854775807"), Some(RingToken(i64::MAX)));
        for json in ["9223372036854775808", "1.5", "\"x\"", "null", "true"] {
            assert_eq!(token(json), None, "{json}");
        }
    }

    #[test]
    fn a_key_has_1_to_255_visible_characters() {
        let key = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            let value = axum::http::HeaderValue::from_bytes(value).unwrap();
            headers.insert("idempotency-key", value);
            idempotency_key(&headers).map_err(|error| error.status.as_u16())
        };
        assert_eq!(key(b"a-1"), Ok(Some("a-1".to_owned())));
        assert_eq!(key(b" "), Err(400));
        assert_eq!(key("ü".as_bytes()), Err(400));
        assert_eq!(key(&[b'x'; 255]).map(|key| key.is_some()), Ok(true));
        assert_eq!(key(&[b'x'; 256]), Err(400));
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
    }
}
