//! Where Cassandra and ONNX Runtime are: flags > `HELENUS_*` > the first configuration file.
//!
//! The first of `--config`, `$HELENUS_CONFIG`, `./helenus.toml`, `/etc/helenus/helenus.toml` that
//! exists is read; files are never merged. A setting has one name: `tls.ca` in the file is
//! `HELENUS_TLS_CA` in the environment and `--tls-ca` on the command line.

mod flags;
mod layers;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use flags::Flags;
pub use layers::{Origin, Shown};
pub use values::{Compression, Consistency, LogFormat, Secret, time_out as duration};

use crate::{domain::problem::Problem, failure::Failure};
use layers::Layers;

/// Everything that a command needs to know about its surroundings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `host:port` each; at least one.
    pub contact_points: Vec<String>,
    /// The keyspace of helenus's own tables.
    pub keyspace: String,
    /// Coordinators are chosen from this data centre.
    pub local_datacenter: Option<String>,
    /// Of all reads and writes that are not conditional.
    pub consistency: Consistency,
    /// Login, if the cluster wants one.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// TLS, if the cluster wants it.
    pub tls: Option<Tls>,
    /// Of frames between driver and Cassandra.
    pub compression: Compression,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long connecting may take, for each contact point.
    pub connect_timeout: Duration,
    /// Write requests in flight, at most.
    pub concurrency: usize,
    /// Token ranges read at the same time.
    pub readers: usize,
    /// Splits of a run, at least.
    pub min_splits: usize,
    /// Rows in one batch for ONNX Runtime.
    pub batch_rows: usize,
    /// Threads that score, each with a session of its own.
    pub scoring_threads: usize,
    /// ONNX Runtime's shared library; searched for when not given.
    pub onnxruntime: Option<PathBuf>,
    /// Larger models are refused.
    pub max_model_mib: usize,
    /// Time for admitting a small model; one second more for each 8 MiB.
    pub admission_timeout: Duration,
    /// Address space for admitting a small model; four times the model's size more.
    pub admission_memory_mib: usize,
    /// A batch that takes longer to score fails its run.
    pub batch_timeout: Duration,
    /// Where the worker answers /live, /ready and /metrics over HTTP.
    pub listen: Option<SocketAddr>,
    /// Score in processes of their own, without credentials.
    pub isolate: bool,
    /// Address space of each such process for small models; four times the models' size more.
    pub isolate_memory_mib: usize,
    /// Ended runs are removed so long after they were due.
    pub keep_runs: Duration,
    /// What is logged: `tracing-subscriber`'s filter directives.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    shown: Vec<Shown>,
    file: Option<PathBuf>,
}

/// Certificates, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that may have signed the nodes' certificates, which must carry the nodes' IP
    /// addresses as subject alternative names.
    pub ca: PathBuf,
    /// Client certificate (chain) and its private key, if the cluster wants them.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Config {
    /// Finds all values.
    ///
    /// # Errors
    /// All mistakes at once (exit 2): unreadable file, unknown key, value out of range.
    pub fn resolve(flags: &Flags) -> Result<Self, Failure> {
        Self::from_layers(Layers::read(flags, &|name| std::env::var(name).ok())?)
    }

    fn from_layers(mut layers: Layers) -> Result<Self, Failure> {
        let contact_points = layers.required("contact_points", values::contact_points);
        let keyspace = layers.required("keyspace", values::keyspace);
        let local_datacenter = layers.optional("local_datacenter", values::text);
        let consistency = layers.required("consistency", str::parse);
        let username = layers.optional("username", values::text);
        let password = password(&mut layers);
        let tls = tls(&mut layers);
        let compression = layers.required("compression", str::parse);
        let request_timeout = layers.required("request_timeout", values::time_out);
        let connect_timeout = layers.required("connect_timeout", values::time_out);
        // Over 1,024 requests in flight the driver runs out of stream ids on a connection.
        let concurrency = layers.required("concurrency", values::count::<1024>);
        let readers = layers.required("readers", values::count::<64>);
        let min_splits = layers.required("min_splits", values::count::<10_000>);
        let batch_rows = layers.required("batch_rows", values::count::<65_536>);
        let scoring_threads = layers.required("scoring_threads", values::count::<1024>);
        let onnxruntime = layers.optional("onnxruntime", values::path);
        // Protobuf ends at 2 GiB.
        let max_model_mib = layers.required("max_model_mib", values::count::<2047>);
        let admission_timeout = layers.required("admission_timeout", values::time_out);
        let admission_memory_mib =
            layers.required("admission_memory_mib", values::count::<1_048_576>);
        let batch_timeout = layers.required("batch_timeout", values::time_out);
        let listen = layers.optional("listen", values::listen);
        let isolate = layers.required("isolate", values::boolean);
        let isolate_memory_mib = layers.required("isolate_memory_mib", values::count::<1_048_576>);
        let keep_runs = layers.required("keep_runs", values::days);
        let log = layers.required("log", values::log_filter);
        let log_format = layers.required("log_format", str::parse);
        if username.is_some() != password.is_some() {
            let (given, missing) = match &username {
                Some(_) => ("username", "password"),
                None => ("password", "username"),
            };
            layers.problems.push(
                Problem::new(
                    "config.incomplete",
                    format!("`{given}` is given but `{missing}` is not"),
                )
                .help(match missing {
                    "password" => "set HELENUS_PASSWORD, or password_file",
                    _ => "set HELENUS_USERNAME, or `username` in the file",
                }),
            );
        }
        match (
            contact_points,
            keyspace,
            consistency,
            compression,
            request_timeout,
            connect_timeout,
            concurrency,
            readers,
            batch_rows,
            scoring_threads,
            (
                min_splits,
                max_model_mib,
                admission_timeout,
                admission_memory_mib,
                batch_timeout,
                isolate,
                isolate_memory_mib,
                keep_runs,
            ),
            log,
            log_format,
        ) {
            (
                Some(contact_points),
                Some(keyspace),
                Some(consistency),
                Some(compression),
                Some(request_timeout),
                Some(connect_timeout),
                Some(concurrency),
                Some(readers),
                Some(batch_rows),
                Some(scoring_threads),
                (
                    Some(min_splits),
                    Some(max_model_mib),
                    Some(admission_timeout),
                    Some(admission_memory_mib),
                    Some(batch_timeout),
                    Some(isolate),
                    Some(isolate_memory_mib),
                    Some(keep_runs),
                ),
                Some(log),
                Some(log_format),
            ) if layers.problems.is_empty() => Ok(Self {
                contact_points,
                keyspace,
                local_datacenter,
                consistency,
                username,
                password,
                tls,
                compression,
                request_timeout,
                connect_timeout,
                concurrency,
                readers,
                min_splits,
                batch_rows,
                scoring_threads,
                onnxruntime,
                max_model_mib,
                admission_timeout,
                admission_memory_mib,
                batch_timeout,
                listen,
                isolate,
                isolate_memory_mib,
                keep_runs,
                log,
                log_format,
                shown: layers.shown,
                file: layers.file,
            }),
            _ => Err(Failure::inputs(layers.problems)),
        }
    }

    /// As configured, but what a service does is worth a line unless somebody chose otherwise.
    #[must_use]
    pub fn for_a_service(mut self) -> Self {
        let log = self.shown.iter().find(|shown| shown.name == "log");
        if log.is_some_and(|shown| shown.origin == Origin::Default) {
            self.log = format!("helenus=info,{}", self.log);
        }
        self
    }

    /// Every setting with its value (secrets masked) and where it comes from.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// The file that was read, if any.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }
}

/// `password` itself, or the content of `password_file`; of the two, the one from the stronger layer.
fn password(layers: &mut Layers) -> Option<Secret> {
    let password = layers.optional("password", |text| Ok(Secret::new(text)));
    let file = layers.optional("password_file", values::path);
    let (strength, file_strength) = (
        layers.strength("password"),
        layers.strength("password_file"),
    );
    match (password, file) {
        (Some(_), Some(_)) if strength == file_strength => {
            layers.problems.push(Problem::new(
                "config.ambiguous",
                "`password` and `password_file` are both given, in the same place",
            ));
            None
        }
        (Some(password), file) if file.is_none() || strength > file_strength => Some(password),
        (_, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                layers.problems.push(
                    Problem::new("config.unreadable", format!("password file: {error}"))
                        .at(file.display().to_string()),
                );
                None
            }
        },
        _ => None,
    }
}

fn tls(layers: &mut Layers) -> Option<Tls> {
    let enabled = layers.required("tls.enabled", values::boolean)?;
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
            "`tls.cert` and `tls.key` go together",
            "give the client's certificate and its private key, or neither",
        ),
        (true, Some(ca), cert, key) => Some(Tls {
            ca,
            client: cert.zip(key),
        }),
    }
}
