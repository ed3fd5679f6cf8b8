//! Logging to stderr.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::{EnvFilter, fmt};

use crate::{
    config::{Config, LogFormat},
    domain::printable::printable,
    output::{is_printable, json_escaped},
};

/// Dependencies that log too much at helenus's level: the driver warns of every batch above
/// Cassandra's thresholds, ONNX Runtime reports each node that it optimises. Naming a target in the
/// filter enables it again. The caller reports a connection that can't be opened.
const QUIET: [(&str, &str); 3] = [
    ("scylla", "error"),
    ("scylla::cluster::metadata::cc_establisher", "off"),
    ("ort", "error"),
];

/// Starts logging. Later calls in the same process change nothing.
pub fn start(config: &Config) {
    let mut directives = config.log.clone();
    for (target, level) in QUIET {
        if !config.log.contains(target) {
            directives.push_str(&format!(",{target}={level}"));
        }
    }
    let builder = fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(Stderr::for_format(config.log_format));
    // The only error is that logging was started before.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Writes whole events to stderr without control characters of data. `tracing-subscriber` escapes
/// some of them, but none that moves the cursor within its line.
struct Stderr {
    escape: fn(&str) -> String,
}

impl Stderr {
    fn for_format(format: LogFormat) -> impl Fn() -> Self + Send + Sync + 'static {
        let escape = match format {
            LogFormat::Text => text,
            LogFormat::Json => json_escaped,
        };
        move || Self { escape }
    }
}

impl Write for Stderr {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let escaped = (self.escape)(&String::from_utf8_lossy(event));
        io::stderr()
            .write_all(escaped.as_bytes())
            .map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Escapes control characters except line breaks and the formatter's colours, which it has already
/// escaped in data.
fn text(event: &str) -> String {
    let mut shown = String::with_capacity(event.len());
    let mut rest = event;
    while let Some(first) = rest.chars().next() {
        let colour = colour_len(rest);
        let len = colour.unwrap_or(first.len_utf8());
        let (part, more) = rest.split_at(len);
        match colour.is_some() || first == '\n' || is_printable(first) {
            true => shown.push_str(part),
            false => shown.push_str(&printable(part)),
        }
        rest = more;
    }
    shown
}

/// Returns the length of the colour sequence (`ESC [ digits ; … m`) that `text` begins with.
fn colour_len(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn an_event_keeps_its_colours_and_loses_the_control_characters_of_data() {
        assert_eq!(
            text("\x1b[2mWARN\x1b[0m key=ä\n"),
            "\x1b[2mWARN\x1b[0m key=ä\n"
        );
        for hostile in [
            "a\rb",
            "a\x1b[2Jb",
            "a\u{9b}2Jb",
            "a\x1b]0;title\x07b",
            "\x1b[",
        ] {
            let shown = text(hostile);
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }
}
