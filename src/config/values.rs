//! How each setting is spelled.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

/// Text that never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// Levels at which a read sees what an earlier write of the same level was acknowledged for, and
/// which both reads and writes may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
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
                "{text} is not enough: reads must see what was written; take LOCAL_QUORUM, QUORUM or ALL"
            )),
            _ => Err(format!(
                "`{text}` is no consistency level; take LOCAL_QUORUM, QUORUM or ALL"
            )),
        }
    }
}

/// Compression of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
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
            _ => Err(format!("`{text}` is none of none, lz4, snappy")),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
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
            _ => Err(format!("`{text}` is neither text nor json")),
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
        _ => Err(format!("`{text}` is neither true nor false")),
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
            "`{text}` is no keyspace name: a lower-case letter, then lower-case letters, digits, `_`; 48 at most"
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
        return Err("at least one `host[:port]` is needed".to_owned());
    }
    Ok(points)
}

fn contact_point(text: &str) -> Result<String, String> {
    let bad = || format!("`{text}` is no `host[:port]` (IPv6: `[::1]:9042`)");
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

/// An address and a port; port 0 takes a free one.
pub(super) fn listen(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no `ADDRESS:PORT` (`127.0.0.1:9187`, `0.0.0.0:9187`, `[::1]:9187`)")
    })
}

/// A whole number from 1 to `MOST`.
pub(super) fn count<const MOST: usize>(text: &str) -> Result<usize, String> {
    text.parse::<usize>()
        .ok()
        .filter(|number| (1..=MOST).contains(number))
        .ok_or_else(|| format!("`{text}` is no whole number from 1 to {MOST}"))
}

/// A time above zero.
/// A time above zero: `500ms`, `30s`, `5m` or `1h`.
///
/// # Errors
/// What is wrong with it.
pub fn time_out(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| {
            format!("`{text}` is no time above zero; write `500ms`, `30s`, `5m` or `1h`")
        })
}

/// A time of a day or more: `36h`, `90d`.
pub(super) fn days(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').map(str::trim_end);
    let days = days.and_then(|days| days.parse::<u64>().ok()?.checked_mul(86_400));
    days.map(Duration::from_secs)
        .or_else(|| duration(text))
        .filter(|time| *time >= Duration::from_secs(86_400))
        .ok_or_else(|| format!("`{text}` is no time of a day or more; write `36h` or `90d`"))
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    if matches!(text, "json" | "text") {
        return Err(format!(
            "`{text}` is a format: `--log-format {text}`; `log` takes error, warn, info, debug, trace"
        ));
    }
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("`{text}` is no log filter: {error}"))
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
    fn times_need_a_unit() {
        assert_eq!(time_out("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time_out("2 m"), Ok(Duration::from_secs(120)));
        for bad in [
            "30",
            "0s",
            "s",
            "-1s",
            "1d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(time_out(bad).is_err(), "{bad}");
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
                .contains("no consistency level")
        );
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("hunter2"))),
            "Some(********)"
        );
    }
}
