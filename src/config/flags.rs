//! Flags that every command takes.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use serde::Serialize;

const HEADING: &str =
    "Connection and settings (also HELENUS_… and helenus.toml; see `helenus config`)";

/// Flags of every command. Values are parsed once all layers are known, so that an error reads the
/// same whatever layer it comes from.
#[derive(Debug, Clone, Default, Args, Serialize)]
#[command(next_help_heading = HEADING)]
pub struct Flags {
    /// Configuration file, instead of ./helenus.toml or /etc/helenus/helenus.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Cassandra's addresses, `host[:port]`, comma-separated [default: 127.0.0.1:9042]
    #[arg(long, global = true, value_name = "HOSTS")]
    pub contact_points: Option<String>,
    /// Keyspace of helenus's own tables [default: helenus]
    #[arg(long, global = true, value_name = "NAME")]
    pub keyspace: Option<String>,
    /// Choose coordinators from this data centre
    #[arg(long, global = true, hide_short_help = true, value_name = "DC")]
    pub local_datacenter: Option<String>,
    /// Consistency level: LOCAL_QUORUM, QUORUM or ALL [default: LOCAL_QUORUM]
    #[arg(long, global = true, hide_short_help = true, value_name = "LEVEL")]
    pub consistency: Option<String>,
    /// Login; the password comes from HELENUS_PASSWORD or a file, never from a flag
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub username: Option<String>,
    /// File that holds the password
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub password_file: Option<String>,
    /// Connect over TLS [default: false]
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub tls_enabled: Option<String>,
    /// PEM file of the authority that signed the nodes' certificates, which must have the nodes' IP
    /// addresses as subject alternative names
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_ca: Option<String>,
    /// PEM file of the client's certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// PEM file of the client's private key
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Compression between driver and Cassandra: none, lz4 or snappy [default: none]
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub compression: Option<String>,
    /// Time-out of one request [default: 30s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub request_timeout: Option<String>,
    /// Time-out of connecting, for each contact point [default: 10s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub connect_timeout: Option<String>,
    /// Maximum number of write requests in flight; fewer while Cassandra is slow [default: 32]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub concurrency: Option<String>,
    /// Number of token ranges read at the same time [default: 8]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub readers: Option<String>,
    /// Minimum number of splits of a run that this process plans [default: 8]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub min_splits: Option<String>,
    /// Number of rows in one call of ONNX Runtime [default: 512]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub batch_rows: Option<String>,
    /// Number of threads that score [default: one per core]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub scoring_threads: Option<String>,
    /// ONNX Runtime's shared library
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub onnxruntime: Option<String>,
    /// Serve the worker's /live, /ready and /metrics at this `ADDRESS:PORT`, such as
    /// `127.0.0.1:9187` [default: off]
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Decode and score in separate processes that have no credentials and can crash safely [default: false]
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub isolate: Option<String>,
    /// Address of `helenus serve`'s HTTP server [default: 127.0.0.1:8080]
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub serve_listen: Option<String>,
    /// Address of `helenus serve`'s gRPC server [default: off]
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub serve_grpc_listen: Option<String>,
    /// File of the tokens that `helenus serve` accepts; without one it serves this machine only
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub serve_tokens: Option<String>,
    /// Log filter for stderr: error, warn, info, debug, or `target=level,…` [default: warn]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// Log format: text or json [default: text]
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Flags {
    /// Returns the values given on the command line, by the setting's name with `_` for `.`.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        let fields = serde_json::to_value(self).unwrap_or_default();
        let fields = fields.as_object().into_iter().flatten();
        fields
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::{super::layers::SETTINGS, Flags};

    #[test]
    fn the_help_names_the_defaults() {
        let command = Flags::augment_args(clap::Command::new("helenus"));
        for (setting, default) in SETTINGS {
            let id = setting.replace('.', "_");
            let flag = command.get_arguments().find(|flag| *flag.get_id() == id);
            if let (Some(flag), Some(default)) = (flag, default) {
                let help = flag.get_help().unwrap().to_string();
                assert!(
                    help.ends_with(&format!("[default: {default}]")),
                    "{setting}: {help}"
                );
            }
        }
    }
}
