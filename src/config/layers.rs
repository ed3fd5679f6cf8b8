//! Resolves each setting: command line, then environment, then file, then default.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use super::{Flags, alarms, file::ConfigFile};
use crate::{domain::problem::Problem, failure::Failure};

/// All settings in the order in which `helenus config` shows them, with their defaults.
pub(super) const SETTINGS: &[(&str, Option<&str>)] = &[
    ("contact_points", Some("127.0.0.1:9042")),
    ("keyspace", Some("helenus")),
    ("local_datacenter", None),
    ("consistency", Some("LOCAL_QUORUM")),
    ("username", None),
    ("password", None),
    ("password_file", None),
    ("tls.enabled", Some("false")),
    ("tls.ca", None),
    ("tls.cert", None),
    ("tls.key", None),
    ("compression", Some("none")),
    ("request_timeout", Some("30s")),
    ("connect_timeout", Some("10s")),
    ("concurrency", Some("32")),
    ("readers", Some("8")),
    ("min_splits", Some("8")),
    ("batch_rows", Some("512")),
    ("scoring_threads", None),
    ("onnxruntime", None),
    ("max_model_mib", Some("1024")),
    ("admission_timeout", Some("50s")),
    ("admission_memory_mib", Some("2048")),
    ("batch_timeout", Some("5m")),
    ("listen", None),
    ("isolate", Some("false")),
    ("isolate_memory_mib", Some("4096")),
    ("keep_runs", Some("90d")),
    ("alarms.log", Some("true")),
    ("alarms.webhook", None),
    ("alarms.webhook_secret_file", None),
    ("alarms.webhook_ca", None),
    ("alarms.command", None),
    ("alarms.timeout", Some("10s")),
    ("alarms.max_rejected", Some("1%")),
    ("serve.listen", Some("127.0.0.1:8080")),
    ("serve.grpc_listen", None),
    ("serve.tokens", None),
    ("serve.tls_cert", None),
    ("serve.tls_key", None),
    ("serve.tls_client_ca", None),
    ("serve.model_memory_mib", Some("1024")),
    ("serve.max_body_mib", Some("8")),
    ("serve.max_rows", Some("10000")),
    ("serve.connections", Some("1024")),
    ("serve.queue", Some("64")),
    ("serve.request_timeout", Some("10s")),
    ("serve.access_log", Some("false")),
    ("kafka.brokers", None),
    ("kafka.security", Some("plaintext")),
    ("kafka.sasl_mechanism", Some("SCRAM-SHA-512")),
    ("kafka.sasl_username", None),
    ("kafka.sasl_password_file", None),
    ("kafka.tls_ca", None),
    ("kafka.tls_cert", None),
    ("kafka.tls_key", None),
    ("kafka.schema_registry", None),
    ("kafka.schema_registry_ca", None),
    ("kafka.requests_topic", None),
    ("kafka.requests_dead_letters", None),
    ("log", Some("warn")),
    ("log_format", Some("text")),
];

/// Where a value comes from, in order of increasing precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    /// The configuration file, at this line.
    File(PathBuf, usize),
    /// An environment variable, by name.
    Environment(String),
    /// An option of the command line, by name.
    Flag(String),
}

impl Origin {
    fn strength(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(..) => 1,
            Self::Environment(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting as `helenus config` prints it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The name in the file.
    pub name: &'static str,
    /// The value, with secrets masked; `None` if not set.
    pub value: Option<String>,
    pub origin: Origin,
}

/// The values of all layers, and the problems found in them.
pub(super) struct Layers {
    found: BTreeMap<&'static str, (String, Origin)>,
    pub(super) problems: Vec<Problem>,
    pub(super) shown: Vec<Shown>,
    pub(super) file: Option<ConfigFile>,
}

impl Layers {
    pub(super) fn read(
        flags: &Flags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        // An empty variable counts as unset: compose files pass empty ones on.
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let file = ConfigFile::find(flags, variable("HELENUS_CONFIG"));
        let mut from_file = match &file {
            Some(file) => file.values()?,
            None => BTreeMap::new(),
        };
        let in_file: Vec<&str> = from_file.keys().copied().collect();
        let given = flags.values();
        let mut found = BTreeMap::new();
        for (name, default) in SETTINGS {
            let variable_name = format!("HELENUS_{}", name.to_uppercase().replace('.', "_"));
            let value = if let Some(value) = given.get(&name.replace('.', "_")) {
                let flag = format!("--{}", name.replace(['.', '_'], "-"));
                Some((value.clone(), Origin::Flag(flag)))
            } else if let Some(value) = variable(&variable_name) {
                Some((value, Origin::Environment(variable_name)))
            } else if let Some(value) = from_file.remove(name) {
                Some(value)
            } else if *name == "scoring_threads" {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                Some((cores.to_string(), Origin::Default))
            } else {
                default.map(|value| (value.to_owned(), Origin::Default))
            };
            if let Some(value) = value {
                found.insert(*name, value);
            }
        }
        if let Some(file) = &file {
            let forbidden = file.forbidden_settings(&in_file, |name| found.get(name));
            if !forbidden.is_empty() {
                return Err(Failure::inputs(forbidden));
            }
        }
        let shown = SETTINGS
            .iter()
            .map(|(name, _)| {
                let (value, origin) = match found.get(name) {
                    Some((value, origin)) => (Some(value.clone()), origin.clone()),
                    None => (None, Origin::Default),
                };
                let value = match *name {
                    "password" => value.map(|_| "********".to_owned()),
                    "alarms.webhook" => value.map(|url| alarms::masked(&url)),
                    _ => value,
                };
                Shown {
                    name,
                    value,
                    origin,
                }
            })
            .collect();
        Ok(Self {
            found,
            problems: Vec::new(),
            shown,
            file,
        })
    }

    /// Returns the precedence of the layer that a setting comes from.
    pub(super) fn strength(&self, name: &str) -> Option<u8> {
        self.found.get(name).map(|(_, origin)| origin.strength())
    }

    /// Parses a setting that has a default. If the value is invalid, records the problem and goes on
    /// with the default, so that all problems are found at once.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.optional(name, &parse).unwrap_or_else(|| {
            let setting = SETTINGS.iter().find(|(setting, _)| *setting == name);
            // `scoring_threads` has no fixed default.
            let default = setting.and_then(|(_, default)| *default).unwrap_or("1");
            parse(default).unwrap_or_else(|error| panic!("the default of `{name}`: {error}"))
        })
    }

    /// Parses a setting that may be unset; returns `None` also after recording a problem.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, origin) = self.found.get(name)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(message) => {
                let problem = Problem::new("config.value", format!("`{name}`: {message}"));
                self.problems.push(problem.at(origin.to_string()));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{Config, Flags};
    use super::*;

    fn resolve(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, Failure> {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        written.write_all(file.as_bytes()).unwrap();
        let flags = Flags {
            config: Some(written.path().to_owned()),
            ..flags
        };
        let layers = Layers::read(&flags, &|name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })?;
        Config::from_layers(layers)
    }

    fn lines(failure: &Failure) -> Vec<String> {
        failure.problems.iter().map(Problem::line).collect()
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
        let file = "keyspace = 'from_file'\nreaders = 8\nconcurrency = 32\n";
        let environment = [("HELENUS_KEYSPACE", "from_env"), ("HELENUS_READERS", "16")];
        let flags = Flags {
            keyspace: Some("from_flag".to_owned()),
            ..Flags::default()
        };
        let config = resolve(file, &environment, flags).unwrap();
        assert_eq!(config.keyspace, "from_flag");
        assert_eq!((config.readers, config.concurrency), (16, 32));
        let origin = |name: &str| {
            let shown = config.shown().iter().find(|shown| shown.name == name);
            shown.unwrap().origin.to_string()
        };
        assert_eq!(origin("keyspace"), "--keyspace");
        assert_eq!(origin("readers"), "HELENUS_READERS");
        assert!(origin("concurrency").ends_with(":3"));
        assert_eq!(origin("batch_rows"), "default");
    }

    #[test]
    fn all_errors_are_reported_at_once_with_their_lines() {
        let failure = resolve(
            "keyspce = 'x'\n\n[tls]\nenabld = true\n",
            &[],
            Flags::default(),
        )
        .unwrap_err();
        let lines = lines(&failure);
        assert!(
            lines[0].contains(":1: unknown setting `keyspce`"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains(":4: unknown setting `tls.enabld`"),
            "{lines:?}"
        );

        let failure = resolve(
            "readers = 0\nlog = 'json'\n",
            &[("HELENUS_CONSISTENCY", "ONE")],
            Flags::default(),
        )
        .unwrap_err();
        assert_eq!(failure.problems.len(), 3, "{:?}", failure.problems);
    }

    #[test]
    fn integers_of_every_base_and_spelling_are_read_as_toml_defines() {
        let file =
            "readers = 0x20\nconcurrency = 0b1000\nbatch_rows = 0o1_000\nmin_splits = +1_0\n";
        let config = resolve(file, &[], Flags::default()).unwrap();
        assert_eq!((config.readers, config.concurrency), (32, 8));
        assert_eq!((config.batch_rows, config.min_splits), (512, 10));
        for wrong in ["readers = -0", "readers = -1", "readers = 0xFFFF_FFFF_FFFF"] {
            let failure = resolve(wrong, &[], Flags::default()).unwrap_err();
            assert!(failure.is("config.value"), "{failure:?}");
        }
    }

    #[test]
    fn malformed_toml_names_its_line() {
        let failure =
            resolve("keyspace = 'a'\nreaders = = 3\n", &[], Flags::default()).unwrap_err();
        assert!(lines(&failure)[0].contains(":2: "), "{failure:?}");
    }

    #[test]
    fn the_password_is_masked_and_the_stronger_layer_wins() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from file\n").unwrap();
        let path = file.path().display().to_string();
        let config = resolve(
            &format!("username = 'u'\npassword_file = '{path}'\n"),
            &[("HELENUS_PASSWORD", "hunter2")],
            Flags::default(),
        )
        .unwrap();
        assert_eq!(config.password.as_ref().unwrap().reveal(), "hunter2");
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = resolve(
            "username = 'u'\npassword = 'hunter2'\n",
            &[("HELENUS_PASSWORD_FILE", &path)],
            Flags::default(),
        )
        .unwrap();
        assert_eq!(config.password.as_ref().unwrap().reveal(), "from file");
        let failure = resolve(
            &format!("username = 'u'\npassword = 'x'\npassword_file = '{path}'\n"),
            &[],
            Flags::default(),
        )
        .unwrap_err();
        assert!(lines(&failure)[0].contains("both given"), "{failure:?}");
    }

    #[test]
    fn half_a_tls_configuration_is_refused() {
        for (file, message) in [
            ("[tls]\nca = 'ca.pem'", "TLS is not enabled"),
            ("[tls]\nenabled = true", "`tls.ca` is not given"),
            ("[tls]\nenabled = true\nca = 'a'\ncert = 'c'", "go together"),
        ] {
            let failure = resolve(file, &[], Flags::default()).unwrap_err();
            assert!(lines(&failure)[0].contains(message), "{failure:?}");
        }
    }
}
