//! The flags that every command takes.

use std::path::PathBuf;

use clap::Args;

const HEADING: &str =
    "Surroundings (each also as HELENUS_… and in helenus.toml; see `helenus config`)";

/// Flags of every command. Values are parsed when all layers are known, so that a mistake reads
/// the same wherever it was made.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = HEADING)]
pub struct Flags {
    /// Configuration file, instead of ./helenus.toml or /etc/helenus/helenus.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where Cassandra answers, `host[:port]`, comma separated [default: 127.0.0.1:9042]
    #[arg(long, global = true, value_name = "HOSTS")]
    pub contact_points: Option<String>,
    /// Keyspace of helenus's own tables [default: helenus]
    #[arg(long, global = true, value_name = "NAME")]
    pub keyspace: Option<String>,
    /// Take coordinators from this data centre
    #[arg(long, global = true, hide_short_help = true, value_name = "DC")]
    pub local_datacenter: Option<String>,
    /// LOCAL_QUORUM, QUORUM or ALL [default: LOCAL_QUORUM]
    #[arg(long, global = true, hide_short_help = true, value_name = "LEVEL")]
    pub consistency: Option<String>,
    /// Login; the password comes from HELENUS_PASSWORD or a file, never from here
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub username: Option<String>,
    /// File that holds the password
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub password_file: Option<String>,
    /// Speak TLS [default: false]
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub tls_enabled: Option<String>,
    /// PEM file of the authority that signed the nodes' certificates (they need their IP addresses
    /// as subject alternative names)
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_ca: Option<String>,
    /// PEM file of the client's certificate
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// PEM file of the client's private key
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// none, lz4 or snappy, between driver and Cassandra [default: none]
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    pub compression: Option<String>,
    /// How long one request may take [default: 30s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub request_timeout: Option<String>,
    /// How long connecting may take, for each contact point [default: 10s]
    #[arg(long, global = true, hide_short_help = true, value_name = "TIME")]
    pub connect_timeout: Option<String>,
    /// Write requests in flight, at most; fewer while Cassandra is slow [default: 32]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub concurrency: Option<String>,
    /// Token ranges read at the same time [default: 8]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub readers: Option<String>,
    /// Splits of a run that this process plans, at least [default: 8]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub min_splits: Option<String>,
    /// Rows in one batch for ONNX Runtime [default: 512]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub batch_rows: Option<String>,
    /// Threads that score [default: one a core]
    #[arg(long, global = true, hide_short_help = true, value_name = "N")]
    pub scoring_threads: Option<String>,
    /// ONNX Runtime's shared library
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub onnxruntime: Option<String>,
    /// Where the worker answers /live, /ready and /metrics, `ADDRESS:PORT` (`127.0.0.1:9187`)
    /// [default: nowhere]
    #[arg(long, global = true, hide_short_help = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Score in processes of their own, which have no credentials and may crash [default: false]
    #[arg(long, global = true, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub isolate: Option<String>,
    /// What is logged on stderr: error, warn, info, debug, or `target=level,…` [default: warn]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged: text or json [default: text]
    #[arg(long, global = true, hide_short_help = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Flags {
    /// The value given on the command line for a setting.
    pub(super) fn value(&self, setting: &str) -> Option<&String> {
        match setting {
            "contact_points" => self.contact_points.as_ref(),
            "keyspace" => self.keyspace.as_ref(),
            "local_datacenter" => self.local_datacenter.as_ref(),
            "consistency" => self.consistency.as_ref(),
            "username" => self.username.as_ref(),
            "password_file" => self.password_file.as_ref(),
            "tls.enabled" => self.tls_enabled.as_ref(),
            "tls.ca" => self.tls_ca.as_ref(),
            "tls.cert" => self.tls_cert.as_ref(),
            "tls.key" => self.tls_key.as_ref(),
            "compression" => self.compression.as_ref(),
            "request_timeout" => self.request_timeout.as_ref(),
            "connect_timeout" => self.connect_timeout.as_ref(),
            "concurrency" => self.concurrency.as_ref(),
            "readers" => self.readers.as_ref(),
            "min_splits" => self.min_splits.as_ref(),
            "batch_rows" => self.batch_rows.as_ref(),
            "scoring_threads" => self.scoring_threads.as_ref(),
            "onnxruntime" => self.onnxruntime.as_ref(),
            "listen" => self.listen.as_ref(),
            "isolate" => self.isolate.as_ref(),
            "log" => self.log.as_ref(),
            "log_format" => self.log_format.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::{super::layers::SETTINGS, Flags};

    #[test]
    fn the_help_says_the_defaults_that_are() {
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
