//! Finding a setting: command line, environment, file, default.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::Flags;
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
    ("admission_timeout", Some("60s")),
    ("admission_memory_mib", Some("4096")),
    ("batch_timeout", Some("5m")),
    ("listen", None),
    ("isolate", Some("false")),
    ("isolate_memory_mib", Some("4096")),
    ("keep_runs", Some("90d")),
    ("log", Some("warn")),
    ("log_format", Some("text")),
];

/// Where a value comes from, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file, at this line.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// The command line.
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
    /// Its name in the file.
    pub name: &'static str,
    /// Its value, secrets masked; `None` when not set.
    pub value: Option<String>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// What was found in all layers, and what is wrong with it.
pub(super) struct Layers {
    found: BTreeMap<&'static str, (String, Origin)>,
    pub(super) problems: Vec<Problem>,
    pub(super) shown: Vec<Shown>,
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    pub(super) fn read(
        flags: &Flags,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        // An empty variable is an unset one: compose files pass those on.
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (file, mut from_file) = match find_file(flags, variable("HELENUS_CONFIG")) {
            Some(path) => {
                let values = read_file(&path)?;
                (Some(path), values)
            }
            None => (None, BTreeMap::new()),
        };
        let mut found = BTreeMap::new();
        for (name, default) in SETTINGS {
            let variable_name = format!("HELENUS_{}", name.to_uppercase().replace('.', "_"));
            let value = if let Some(value) = flags.value(name) {
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
        let shown = SETTINGS
            .iter()
            .map(|(name, _)| {
                let (value, origin) = match found.get(name) {
                    Some((value, origin)) => (Some(value.clone()), origin.clone()),
                    None => (None, Origin::Default),
                };
                let value = match *name {
                    "password" => value.map(|_| "********".to_owned()),
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

    /// How strong the layer is that a setting comes from.
    pub(super) fn strength(&self, name: &str) -> Option<u8> {
        self.found.get(name).map(|(_, origin)| origin.strength())
    }

    /// A setting that has a default. `None` only after a problem was noted.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
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

    /// A setting that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.required(name, parse)
    }
}

fn find_file(flags: &Flags, from_environment: Option<String>) -> Option<PathBuf> {
    // A file that was asked for must exist; the usual places may be empty.
    flags
        .config
        .clone()
        .or_else(|| from_environment.map(PathBuf::from))
        .or_else(|| {
            ["./helenus.toml", "/etc/helenus/helenus.toml"]
                .into_iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
        })
}

type FileValues = BTreeMap<&'static str, (String, Origin)>;

fn read_file(path: &Path) -> Result<FileValues, Failure> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::input(
            Problem::new("config.unreadable", format!("configuration file: {error}")).at(&*place),
        )
    })?;
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let table = DeTable::parse(&text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        Failure::input(Problem::new("config.syntax", error.message()).at(format!("{place}:{line}")))
    })?;
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    let mut entries: Vec<(String, _, _)> = Vec::new();
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(inner) if key.get_ref() == "tls" => {
                entries.extend(
                    inner
                        .iter()
                        .map(|(key, value)| (format!("tls.{}", key.get_ref()), key, value)),
                );
            }
            _ => entries.push((key.get_ref().to_string(), key, value)),
        }
    }
    for (name, key, value) in entries {
        let line = line_of(key.span().start);
        let known = SETTINGS.iter().find(|(known, _)| *known == name);
        let problem = match (known, spelled(value.get_ref())) {
            (Some((known, _)), Some(text)) => {
                values.insert(*known, (text, Origin::File(path.to_owned(), line)));
                continue;
            }
            (Some(_), None) => {
                let kind = value.get_ref().type_str();
                Problem::new("config.value", format!("`{name}` can't be of type {kind}"))
            }
            (None, _) => unknown(&name),
        };
        problems.push(problem.at(format!("{place}:{line}")));
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(Failure::inputs(problems))
    }
}

fn unknown(name: &str) -> Problem {
    let names: Vec<_> = SETTINGS.iter().map(|(name, _)| *name).collect();
    Problem::new("config.unknown_key", format!("`{name}` is no setting"))
        .help(format!("known are {}", names.join(", ")))
}

/// A TOML value as it would be spelled in the environment.
fn spelled(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
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
    fn all_mistakes_are_said_at_once_with_their_lines() {
        let failure = resolve(
            "keyspce = 'x'\n\n[tls]\nenabld = true\n",
            &[],
            Flags::default(),
        )
        .unwrap_err();
        let lines = lines(&failure);
        assert!(
            lines[0].contains(":1: `keyspce` is no setting"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains(":4: `tls.enabld` is no setting"),
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
