//! The configuration file: where it is found, whether it is trusted, and its values.
//!
//! A file in the working directory is read without being named, and another user may control that
//! directory: a clone, a shared /tmp. So the file must belong to the user or to root, no other user
//! may have write permission, and it must not choose the library that is loaded into this process
//! nor the hosts that receive a password from another source.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use toml::de::{DeInteger, DeTable, DeValue};

use super::{
    Flags,
    layers::{Origin, SETTINGS},
};
use crate::{domain::problem::Problem, failure::Failure};

const HERE: &str = "./helenus.toml";
const SYSTEM: &str = "/etc/helenus/helenus.toml";
/// The section of the commands of `helenus trainer`.
pub(super) const TRAINERS: &str = "trainers";
/// Write permission for group and others.
const WRITABLE: u32 = 0o022;
const NAME_IT: &str = "name the file if you trust it: --config ./helenus.toml, or HELENUS_CONFIG";

/// A configuration file that exists, or that the user named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The file was found in the working directory; the user did not name it.
    pub is_from_working_directory: bool,
}

/// Values of a file by setting, each with its line.
pub(super) type FileValues = BTreeMap<&'static str, (String, Origin)>;

impl ConfigFile {
    /// Returns the file that the user named, or else the first one in the usual places.
    pub(super) fn find(flags: &Flags, from_environment: Option<String>) -> Option<Self> {
        // A file that the user names must exist; the usual places may be empty.
        let named = flags.config.clone();
        if let Some(path) = named.or_else(|| from_environment.map(PathBuf::from)) {
            return Some(Self {
                path,
                is_from_working_directory: false,
            });
        }
        let found = [HERE, SYSTEM].map(Path::new).into_iter();
        // A dangling link counts as a file, so that it is reported.
        let mut found = found.filter(|path| path.symlink_metadata().is_ok());
        found.next().map(|path| Self {
            path: path.to_owned(),
            is_from_working_directory: path == Path::new(HERE),
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Exit 2: the file can't be read, is not trusted, or has errors (all of them, with lines).
    pub(super) fn values(&self) -> Result<FileValues, Failure> {
        parse(&self.path, &self.text()?)
    }

    fn text(&self) -> Result<String, Failure> {
        let unreadable = |error: std::io::Error| {
            let message = format!("configuration file: {error}");
            Failure::input(Problem::new("config.unreadable", message).at(self.place()))
        };
        if self.is_from_working_directory && !self.path.is_file() {
            let not_regular = std::io::Error::other("not a regular file");
            return Err(unreadable(not_regular));
        }
        let mut file = File::open(&self.path).map_err(unreadable)?;
        if self.is_from_working_directory {
            let link = self.path.symlink_metadata().map_err(unreadable)?;
            // Of the opened file: the path may lead to another one a moment later.
            let opened = file.metadata().map_err(unreadable)?;
            if let Some(message) = distrust(&link, &opened) {
                let problem = Problem::new("config.untrusted", message).at(self.place());
                return Err(Failure::input(problem.help(format!(
                    "chown the file to yourself and chmod go-w it, or {NAME_IT}"
                ))));
            }
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        Ok(text)
    }

    /// Returns a problem for each setting that a file must not set unless the user named the file.
    /// `in_file` are the settings of the file, `found` gives the effective value of a setting.
    pub(super) fn forbidden_settings<'f>(
        &self,
        in_file: &[&str],
        found: impl Fn(&str) -> Option<&'f (String, Origin)>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !self.is_from_working_directory {
            return problems;
        }
        let mut refuse = |message: String| {
            let problem = Problem::new("config.untrusted", message).at(self.place());
            problems.push(problem.help(NAME_IT));
        };
        if in_file.contains(&"onnxruntime") {
            refuse(
                "the file must not choose the library (`onnxruntime`) that helenus loads"
                    .to_owned(),
            );
        }
        for (name, what) in [
            (
                "alarms.command",
                "the program (`alarms.command`) that helenus runs",
            ),
            (
                "alarms.webhook",
                "where helenus sends alarms (`alarms.webhook`)",
            ),
        ] {
            if in_file.contains(&name) {
                refuse(format!("the file must not choose {what}"));
            }
        }
        if in_file.contains(&"kafka.brokers") && found("kafka.sasl_password_file").is_some() {
            refuse(
                "the file must not choose the brokers (`kafka.brokers`) that receive the password"
                    .to_owned(),
            );
        }
        let names_hosts = matches!(found("contact_points"), Some((_, Origin::File(..))));
        for name in ["password", "password_file"] {
            let Some((value, origin)) = found(name).filter(|_| names_hosts) else {
                continue;
            };
            match origin {
                Origin::Flag(from) | Origin::Environment(from) => refuse(format!(
                    "the file must not choose the hosts (`contact_points`) that receive the password of {from}"
                )),
                Origin::File(..) if name == "password_file" && is_outside(Path::new(value)) => {
                    refuse(format!(
                        "the file must not choose the hosts (`contact_points`) that receive the content of {value}"
                    ));
                }
                Origin::File(..) | Origin::Default => {}
            }
        }
        problems
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Returns why a file found in the working directory is not trusted; `link` may be the file itself.
fn distrust(link: &Metadata, opened: &Metadata) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    let mut owners = [link, opened].into_iter().map(Metadata::uid);
    if let Some(owner) = owners.find(|uid| *uid != user && *uid != 0) {
        return Some(format!(
            "the configuration file belongs to user {owner}, not to you or root"
        ));
    }
    if opened.mode() & WRITABLE != 0 {
        return Some(format!(
            "other users have permission to write the configuration file (mode {:04o})",
            opened.mode() & 0o7777
        ));
    }
    None
}

/// Returns whether a path leads out of the working directory.
fn is_outside(path: &Path) -> bool {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match (path.canonicalize(), here) {
        (Ok(path), Ok(here)) => !path.starts_with(here),
        // A path that can't be resolved can't be read either.
        _ => path.is_absolute(),
    }
}

fn parse(path: &Path, text: &str) -> Result<FileValues, Failure> {
    let place = path.display().to_string();
    let line_of = |offset: usize| 1 + text[..offset.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        Failure::input(Problem::new("config.syntax", error.message()).at(format!("{place}:{line}")))
    })?;
    let mut values = BTreeMap::new();
    let mut problems = Vec::new();
    let mut entries: Vec<(String, _, _)> = Vec::new();
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            // Read by `helenus trainer` only.
            DeValue::Table(_) if key.get_ref() == TRAINERS => {}
            DeValue::Table(inner)
                if matches!(key.get_ref().as_ref(), "tls" | "serve" | "alarms" | "kafka") =>
            {
                let section = key.get_ref();
                let inner = inner.iter();
                entries.extend(
                    inner.map(|(key, value)| (format!("{section}.{}", key.get_ref()), key, value)),
                );
            }
            _ => entries.push((key.get_ref().to_string(), key, value)),
        }
    }
    for (name, key, value) in entries {
        let line = line_of(key.span().start);
        let known = SETTINGS.iter().find(|(known, _)| *known == name);
        let problem = match (known, as_text(value.get_ref())) {
            (Some((known, _)), Some(text)) => {
                values.insert(*known, (text, Origin::File(path.to_owned(), line)));
                continue;
            }
            (Some(_), None) => {
                let kind = value.get_ref().type_str();
                Problem::new("config.value", format!("invalid type for `{name}`: {kind}"))
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
    Problem::new("config.unknown_key", format!("unknown setting `{name}`"))
        .help(format!("use one of {}", names.join(", ")))
}

/// Returns a TOML value as it would be written in an environment variable.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(decimal(number)),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str())
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join(",")),
        _ => None,
    }
}

/// Returns an integer in base ten, whatever base the file uses.
fn decimal(number: &DeInteger<'_>) -> String {
    let digits = number.as_str().replace('_', "");
    i128::from_str_radix(&digits, number.radix())
        // Larger than any setting permits: the setting's own check reports it.
        .map_or_else(|_| number.to_string(), |number| number.to_string())
}
