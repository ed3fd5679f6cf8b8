//! What goes to stderr beside a command's own words.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Config, LogFormat};

/// Dependencies that speak too much at the level asked of helenus: the driver warns of every
/// batch above Cassandra's thresholds, ONNX Runtime tells of each node it optimised. Naming them
/// in the filter brings them back.
/// A connection that can't be made is told by who wanted it.
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
        .with_writer(std::io::stderr);
    // The only error is that logging was started before.
    let _ = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
