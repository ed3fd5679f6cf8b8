//! A request for a run as a JSON message: the columns of `run_requests`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::{Scope, run_id};
use crate::domain::problem::Problem;

/// Age at which the worker answers a request as expired.
const EXPIRED_AFTER: TimeDelta = TimeDelta::hours(24);
/// How far a message's time may be ahead of this machine's clock.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// A request, read from a message.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestMessage {
    pub action: Option<String>,
    pub job: Option<String>,
    pub target_run: Option<uuid::Uuid>,
    pub scope: Option<String>,
    #[serde(default)]
    keys: Option<Vec<BTreeMap<String, Value>>>,
    #[serde(default)]
    token_from: Option<Token>,
    #[serde(default)]
    token_to: Option<Token>,
    pub versions: Option<BTreeSet<i32>>,
    pub priority: Option<i32>,
    pub max_rows_per_s: Option<i32>,
    pub deadline: Option<DateTime<Utc>>,
    pub dedupe_key: Option<String>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
    pub options: Option<BTreeMap<String, String>>,
}

/// A 64-bit number; as text for those whose numbers are floats.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Token {
    Number(i64),
    Text(String),
}

impl Token {
    fn get(&self, name: &str) -> Result<i64, Problem> {
        match self {
            Self::Number(token) => Ok(*token),
            Self::Text(text) => text
                .parse()
                .map_err(|_| problem(format!("`{text}` is not a 64-bit integer")).at(name)),
        }
    }
}

impl RequestMessage {
    /// Reads the value of a message.
    ///
    /// # Errors
    /// Why it is not a request.
    pub fn parse(value: Option<&[u8]>) -> Result<Self, Problem> {
        let value = value.ok_or_else(|| problem("the message has no value".to_owned()))?;
        let message: Self =
            serde_json::from_slice(value).map_err(|error| problem(error.to_string()))?;
        if message.job.as_deref().unwrap_or_default().is_empty() {
            return Err(problem("the request names no job".to_owned()).at("job"));
        }
        if message.action.as_deref() == Some("forget") {
            let refused = problem("predictions are not forgotten on a message".to_owned());
            return Err(refused
                .at("action")
                .help("run `helenus forget`, or insert the row into run_requests"));
        }
        if let Some(rate) = message.max_rows_per_s.filter(|rate| *rate < 1) {
            let refused = problem(format!("{rate} rows per second; the least is 1"));
            return Err(refused.at("max_rows_per_s"));
        }
        let (from, to, keys) = (message.token_from()?, message.token_to()?, message.keys()?);
        Scope::from_columns(message.scope.as_deref(), from, to, keys)
            .map_err(|why| problem(why).at("scope"))?;
        Ok(message)
    }

    /// # Errors
    /// It is not a 64-bit integer.
    pub fn token_from(&self) -> Result<Option<i64>, Problem> {
        let token = self.token_from.as_ref();
        token.map(|token| token.get("token_from")).transpose()
    }

    /// # Errors
    /// It is not a 64-bit integer.
    pub fn token_to(&self) -> Result<Option<i64>, Problem> {
        let token = self.token_to.as_ref();
        token.map(|token| token.get("token_to")).transpose()
    }

    /// Returns the keys as the column has them: CQL literals without quotes.
    ///
    /// # Errors
    /// A value is neither a text, a number nor a Boolean.
    pub fn keys(&self) -> Result<Option<Vec<BTreeMap<String, String>>>, Problem> {
        let literal = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
            _ => Err(problem(format!("`{name}` of a key is {value}")).at("keys")),
        };
        let keys = self.keys.as_ref();
        let keys = keys.map(|keys| {
            let keys = keys.iter();
            keys.map(|key| key.iter().map(literal).collect()).collect()
        });
        keys.transpose()
    }
}

/// Returns the id of the request in a message: its time is the message's, and the rest a hash of
/// where the message is, so that a message that is read again is the same request.
///
/// # Errors
/// The message has no time, or one at which no worker looks.
pub fn request_id(
    (topic, partition, offset): (&str, i32, i64),
    timestamp_ms: Option<i64>,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, uuid::Uuid), Problem> {
    let at = timestamp_ms.and_then(DateTime::from_timestamp_millis);
    let at = at.ok_or_else(|| problem("the message has no timestamp".to_owned()))?;
    if at > now + AHEAD {
        let ahead = problem(format!("the message is from {at}, ahead of now ({now})"));
        return Err(ahead.help("set the producer's clock"));
    }
    if at < now - EXPIRED_AFTER {
        return Err(
            problem(format!("the message is from {at}, more than 24 h ago"))
                .help("send it again if it is still wanted"),
        );
    }
    let ticks = at.timestamp_millis().unsigned_abs() * 10_000;
    let place = format!("{partition}-{offset}");
    Ok((at, run_id::derive(topic, &place, ticks)))
}

fn problem(message: String) -> Problem {
    Problem::new("request.message", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(message: &Value) -> Result<RequestMessage, String> {
        let parsed = RequestMessage::parse(Some(message.to_string().as_bytes()));
        parsed.map_err(|problem| problem.line())
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_the_reason() {
        for (message, why) in [
            (json!({}), "no job"),
            (json!({"job": ""}), "no job"),
            (json!({"job": "tumour", "color": 1}), "unknown field"),
            (json!({"job": "tumour", "versions": ["a"]}), "invalid type"),
            (json!({"job": "tumour", "scope": "some"}), "some"),
            (json!({"job": "tumour", "scope": "keys"}), "keys"),
            (json!({"job": "tumour", "keys": [{"id": null}]}), "null"),
            (
                json!({"job": "tumour", "token_from": "x", "token_to": 1}),
                "64-bit",
            ),
            (
                json!({"job": "tumour", "max_rows_per_s": 0}),
                "the least is 1",
            ),
            (
                json!({"job": "tumour", "action": "forget"}),
                "not forgotten",
            ),
            (json!([1]), "invalid"),
        ] {
            let error = parse(&message).unwrap_err();
            assert!(error.contains(why), "{message}: {error}");
        }
        assert!(RequestMessage::parse(None).is_err());
        assert!(RequestMessage::parse(Some(b"not JSON")).is_err());
    }

    #[test]
    fn keys_are_literals_and_tokens_exact() {
        let message = json!({"job": "tumour", "scope": "keys", "keys": [{"id": 7, "at": "2026-01-01", "on": true}]});
        let keys = parse(&message).unwrap().keys().unwrap().unwrap();
        let key: Vec<_> = keys[0].iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(key, ["at=2026-01-01", "id=7", "on=true"]);
        let range = json!({"job": "t", "scope": "range", "token_from": "-9223372036854775808", "token_to": 5});
        let range = parse(&range).unwrap();
        assert_eq!(range.token_from().unwrap(), Some(i64::MIN));
        assert_eq!(range.token_to().unwrap(), Some(5));
    }

    #[test]
    fn a_message_read_again_is_the_same_request() {
        let now = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        let id = |offset, ms| request_id(("runs", 0, offset), Some(ms), now).map(|(_, id)| id);
        let at = now.timestamp_millis() - 5_000;
        assert_eq!(id(7, at).unwrap(), id(7, at).unwrap());
        assert_ne!(id(7, at).unwrap(), id(8, at).unwrap());
        let ticks = run_id::time_100ns(id(7, at).unwrap()).unwrap();
        assert_eq!(ticks as i64, at * 10_000);
        assert!(id(7, at + 3_600_000).is_err());
        assert!(id(7, at - 86_400_000).is_err());
        assert!(request_id(("runs", 0, 1), None, now).is_err());
    }
}
