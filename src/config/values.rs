//! Parsers for the value of each setting.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use crate::domain::duration;

/// Text that `Debug` does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// Levels for reads and writes at which a read sees every earlier acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    LocalQuorum,
    Quorum,
    All,
}

impl FromStr for Consistency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "LOCAL_QUORUM" => Ok(Self::LocalQuorum),
            "QUORUM" => Ok(Self::Quorum),
            "ALL" => Ok(Self::All),
            "ANY" | "ONE" | "LOCAL_ONE" | "TWO" | "THREE" | "EACH_QUORUM" => Err(format!(
                "{text} is not enough to see acknowledged writes: use LOCAL_QUORUM, QUORUM or ALL"
            )),
            _ => Err(format!(
                "unknown consistency level `{text}`: use LOCAL_QUORUM, QUORUM or ALL"
            )),
        }
    }
}

/// Compression of frames between the driver and Cassandra.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Snappy,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "lz4" => Ok(Self::Lz4),
            "snappy" => Ok(Self::Snappy),
            _ => Err(format!(
                "unknown compression `{text}`: use none, lz4 or snappy"
            )),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("unknown log format `{text}`: use text or json")),
        }
    }
}

pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("invalid value `{text}`: use true or false")),
    }
}

pub(super) fn keyspace(text: &str) -> Result<String, String> {
    let mut characters = text.chars();
    let valid = characters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && text.len() <= 48;
    if valid {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "invalid keyspace name `{text}`: use a lower-case letter, then up to 47 of a-z, 0-9 and _"
        ))
    }
}

pub(super) fn contact_points(text: &str) -> Result<Vec<String>, String> {
    let points: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|point| !point.is_empty())
        .map(contact_point)
        .collect::<Result<_, _>>()?;
    if points.is_empty() {
        return Err("no contact points: give at least one `host[:port]`".to_owned());
    }
    Ok(points)
}

fn contact_point(text: &str) -> Result<String, String> {
    let bad = || format!("invalid contact point `{text}`: use `host[:port]` (IPv6: `[::1]:9042`)");
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(std::net::SocketAddr::new(address, 9042).to_string());
    }
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Ok(address.to_string());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (
            host,
            port.parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(bad)?,
        ),
        None => (text, 9042),
    };
    let valid = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if valid {
        Ok(format!("{host}:{port}"))
    } else {
        Err(bad())
    }
}

/// Parses an address and a port; with port 0 the system chooses a free port.
pub(super) fn listen(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("invalid address `{text}`: use `127.0.0.1:9187`, `0.0.0.0:9187` or `[::1]:9187`")
    })
}

/// Parses a whole number from 1 to `MAX`.
pub(super) fn count<const MAX: usize>(text: &str) -> Result<usize, String> {
    text.parse::<usize>()
        .ok()
        .filter(|number| (1..=MAX).contains(number))
        .ok_or_else(|| format!("invalid number `{text}`: use a whole number from 1 to {MAX}"))
}

/// Parses a duration above zero, such as `500ms`, `30s` or `5m`.
///
/// # Errors
/// A message with the text and the valid form.
pub fn time_out(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err(format!("invalid duration `{text}`: it must be above zero")),
        time => Ok(time),
    }
}

/// Parses a duration of a day or more, such as `36h` or `90d`.
pub(super) fn days(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        time if time < Duration::from_secs(86_400) => Err(format!(
            "invalid duration `{text}`: it must be a day or more, such as `36h` or `90d`"
        )),
        time => Ok(time),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    if matches!(text, "json" | "text") {
        return Err(format!(
            "`{text}` is a log format, not a filter: use `--log-format {text}`"
        ));
    }
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("invalid log filter `{text}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_points_get_their_port_and_keep_ipv6_apart() {
        assert_eq!(
            contact_points("db1, db2:9043,10.0.0.1,[::1]:9044,fe80::1").unwrap(),
            [
                "db1:9042",
                "db2:9043",
                "10.0.0.1:9042",
                "[::1]:9044",
                "[fe80::1]:9042"
            ]
        );
        for bad in [
            "",
            " , ",
            "db1:port",
            "db1:0",
            "db1:99999",
            "http://db1",
            "db 1",
        ] {
            assert!(contact_points(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_to_listen_at_has_a_port() {
        assert_eq!(listen("[::1]:9187").unwrap().port(), 9187);
        for bad in ["9187", "localhost:9187", "127.0.0.1", ":9187"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_out_is_above_zero_and_runs_are_kept_for_a_day_or_more() {
        assert_eq!(time_out("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time_out("2 m"), Ok(Duration::from_secs(120)));
        for bad in ["30", "0s", "0ms", "s", "-1s"] {
            assert!(time_out(bad).is_err(), "{bad}");
        }
        assert_eq!(days("36h"), Ok(Duration::from_secs(36 * 3600)));
        assert_eq!(days("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for bad in ["23h", "0d", "1", "86399s"] {
            assert!(days(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_level_at_which_reads_may_miss_writes_is_refused() {
        assert_eq!("local_quorum".parse(), Ok(Consistency::LocalQuorum));
        assert!(
            "ONE"
                .parse::<Consistency>()
                .unwrap_err()
                .contains("not enough")
        );
        assert!(
            "TEN"
                .parse::<Consistency>()
                .unwrap_err()
                .contains("unknown consistency level")
        );
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("hunter2"))),
            "Some(********)"
        );
    }
}
