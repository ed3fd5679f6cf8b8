//! Times as text: RFC 3339, in UTC, ending in `Z`.

use chrono::{DateTime, SecondsFormat, Utc};

/// Renders a time to the millisecond, as precise as a CQL timestamp: `2026-12-01T08:15:02.120Z`.
pub fn to_millisecond(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Renders a time to the second, for people: `2026-12-01T08:15:02Z`.
pub fn to_second(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
