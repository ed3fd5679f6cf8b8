//! Settings of every command: flags override `HELENUS_*`, which overrides the configuration file.
//!
//! Only the first file that exists of `--config`, `$HELENUS_CONFIG`, `./helenus.toml` and
//! `/etc/helenus/helenus.toml` is read, `./helenus.toml` only if it is trusted; files are never
//! merged. A setting has one name: `tls.ca` in the file is `HELENUS_TLS_CA` in the environment and
//! `--tls-ca` on the command line.

mod alarms;
mod file;
mod flags;
mod kafka;
mod layers;
mod serve;
mod trainers;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use alarms::{Alarms, SigningSecret, Webhook};
pub use file::ConfigFile;
pub use flags::Flags;
pub use kafka::{Kafka, KafkaLogin, KafkaSecurity};
pub use layers::{Origin, Shown};
pub use serve::{Serve, ServeTls};
pub use trainers::{TrainerCommand, trainers};
pub use values::{Compression, Consistency, LogFormat, Secret, time_out as duration};

use crate::{domain::problem::Problem, failure::Failure};
use layers::Layers;

/// The settings of a command. `docs/configuration.md` lists them with defaults and limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` each; at least one.
    pub contact_points: Vec<String>,
    /// The keyspace of helenus's own tables.
    pub keyspace: String,
    /// The data centre from which coordinators are chosen.
    pub local_datacenter: Option<String>,
    /// The level of all reads and writes that are not conditional.
    pub consistency: Consistency,
    /// The login, if the cluster requires one.
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub tls: Option<Tls>,
    /// Compression of frames between the driver and Cassandra.
    pub compression: Compression,
    /// Time-out of one request.
    pub request_timeout: Duration,
    /// Time-out of connecting, for each contact point.
    pub connect_timeout: Duration,
    /// Maximum number of write requests in flight.
    pub concurrency: usize,
    /// Token ranges read at the same time.
    pub readers: usize,
    /// Minimum number of splits of a run.
    pub min_splits: usize,
    /// Rows in one call of ONNX Runtime.
    pub batch_rows: usize,
    /// Number of threads that score, each with its own session.
    pub scoring_threads: usize,
    /// ONNX Runtime's shared library; helenus searches for it if `None`.
    pub onnxruntime: Option<PathBuf>,
    /// Maximum size of a model.
    pub max_model_mib: usize,
    /// Time limit for admitting a small model; each 8 MiB add one second.
    pub admission_timeout: Duration,
    /// Address space for admitting a small model; four times the model's size is added.
    pub admission_memory_mib: usize,
    /// Time limit for scoring one batch; a slower batch fails its run.
    pub batch_timeout: Duration,
    /// Address where the worker serves /live, /ready and /metrics over HTTP.
    pub listen: Option<SocketAddr>,
    /// Whether to score in separate processes without credentials.
    pub isolate: bool,
    /// Address space of each such process; four times the models' size is added.
    pub isolate_memory_mib: usize,
    /// Time after the due time at which an ended run is removed.
    pub keep_runs: Duration,
    /// Where alarms are sent.
    pub alarms: Alarms,
    /// Settings of `helenus serve`.
    pub serve: Serve,
    /// Settings of Kafka.
    pub kafka: Kafka,
    /// Filter directives of `tracing-subscriber`.
    pub log: String,
    pub log_format: LogFormat,
    shown: Vec<Shown>,
    file: Option<ConfigFile>,
}

/// PEM files of certificates and keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that signed the nodes' certificates, which must have the nodes' IP addresses as
    /// subject alternative names.
    pub ca: PathBuf,
    /// Client certificate (chain) and its private key, if the cluster requires them.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Config {
    /// Resolves all settings.
    ///
    /// # Errors
    /// Exit 2, with all problems at once: unreadable file, unknown key, value out of range.
    pub fn resolve(flags: &Flags) -> Result<Self, Failure> {
        Self::from_layers(Layers::read(flags, &|name| std::env::var(name).ok())?)
    }

    fn from_layers(mut layers: Layers) -> Result<Self, Failure> {
        let config = Self {
            contact_points: layers.required("contact_points", values::contact_points),
            keyspace: layers.required("keyspace", values::keyspace),
            local_datacenter: layers.optional("local_datacenter", values::text),
            consistency: layers.required("consistency", str::parse),
            username: layers.optional("username", values::text),
            password: password(&mut layers),
            tls: tls(&mut layers),
            compression: layers.required("compression", str::parse),
            request_timeout: layers.required("request_timeout", values::time_out),
            connect_timeout: layers.required("connect_timeout", values::time_out),
            // Over 1,024 requests in flight the driver runs out of stream ids on a connection.
            concurrency: layers.required("concurrency", values::count::<1024>),
            readers: layers.required("readers", values::count::<64>),
            min_splits: layers.required("min_splits", values::count::<10_000>),
            batch_rows: layers.required("batch_rows", values::count::<65_536>),
            scoring_threads: layers.required("scoring_threads", values::count::<1024>),
            onnxruntime: layers.optional("onnxruntime", values::path),
            // Protobuf messages are limited to 2 GiB.
            max_model_mib: layers.required("max_model_mib", values::count::<2047>),
            admission_timeout: layers.required("admission_timeout", values::time_out),
            admission_memory_mib: layers
                .required("admission_memory_mib", values::count::<1_048_576>),
            batch_timeout: layers.required("batch_timeout", values::time_out),
            listen: layers.optional("listen", values::listen),
            isolate: layers.required("isolate", values::boolean),
            isolate_memory_mib: layers.required("isolate_memory_mib", values::count::<1_048_576>),
            keep_runs: layers.required("keep_runs", values::days),
            alarms: alarms::resolve(&mut layers),
            serve: serve::resolve(&mut layers),
            kafka: kafka::resolve(&mut layers),
            log: layers.required("log", values::log_filter),
            log_format: layers.required("log_format", str::parse),
            shown: layers.shown,
            file: layers.file,
        };
        let mut problems = layers.problems;
        if config.username.is_some() != config.password.is_some() {
            problems.push(incomplete_login(config.username.is_some()));
        }
        match problems.is_empty() {
            true => Ok(config),
            false => Err(Failure::inputs(problems)),
        }
    }

    /// Returns the settings for a service, which logs at `info` unless `log` is set.
    #[must_use]
    pub fn for_a_service(mut self) -> Self {
        let log = self.shown.iter().find(|shown| shown.name == "log");
        if log.is_some_and(|shown| shown.origin == Origin::Default) {
            self.log = format!("helenus=info,{}", self.log);
        }
        self
    }

    /// Returns every setting with its value (secrets masked) and its origin.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Returns the file that was read, if any.
    pub fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }
}

fn incomplete_login(has_username: bool) -> Problem {
    let (given, missing, help) = if has_username {
        (
            "username",
            "password",
            "set HELENUS_PASSWORD, or password_file",
        )
    } else {
        (
            "password",
            "username",
            "set HELENUS_USERNAME, or `username` in the file",
        )
    };
    let message = format!("`{given}` is given but `{missing}` is not");
    Problem::new("config.incomplete", message).help(help)
}

/// Returns `password` or the content of `password_file`, whichever comes from the stronger layer.
fn password(layers: &mut Layers) -> Option<Secret> {
    let password = layers.optional("password", |text| Ok(Secret::new(text)));
    let file = layers.optional("password_file", values::path);
    let (strength, file_strength) = (
        layers.strength("password"),
        layers.strength("password_file"),
    );
    match (password, file) {
        (Some(_), Some(_)) if strength == file_strength => {
            layers.problems.push(
                Problem::new(
                    "config.ambiguous",
                    "`password` and `password_file` are both given, in the same place",
                )
                .help("remove one of them"),
            );
            None
        }
        (Some(password), file) if file.is_none() || strength > file_strength => Some(password),
        (_, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                layers.problems.push(
                    Problem::new(
                        "config.unreadable",
                        format!("cannot read the password file: {error}"),
                    )
                    .at(file.display().to_string()),
                );
                None
            }
        },
        _ => None,
    }
}

fn tls(layers: &mut Layers) -> Option<Tls> {
    let enabled = layers.required("tls.enabled", values::boolean);
    let ca = layers.optional("tls.ca", values::path);
    let cert = layers.optional("tls.cert", values::path);
    let key = layers.optional("tls.key", values::path);
    let mut incomplete = |message: &str, help: &str| {
        layers
            .problems
            .push(Problem::new("config.incomplete", message).help(help));
        None
    };
    match (enabled, ca, cert, key) {
        (false, None, None, None) => None,
        (false, ..) => incomplete(
            "certificates are given but TLS is not enabled",
            "set tls.enabled (HELENUS_TLS_ENABLED, --tls-enabled) to true",
        ),
        (true, None, ..) => incomplete(
            "TLS is enabled but `tls.ca` is not given",
            "name the PEM file of the authority that signed the nodes' certificates",
        ),
        (true, _, Some(_), None) | (true, _, None, Some(_)) => incomplete(
            "only one of `tls.cert` and `tls.key` is given; they go together",
            "give the client's certificate and its private key, or neither",
        ),
        (true, Some(ca), cert, key) => Some(Tls {
            ca,
            client: cert.zip(key),
        }),
    }
}
