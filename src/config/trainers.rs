//! The commands of `helenus trainer`: `[trainers.NAME]` in the configuration file.
//!
//! Names in rows stand for commands in this file, so that nobody who can write a row can run a
//! command.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{ConfigFile, file::TRAINERS, values};
use crate::{
    domain::{model::check_name, problem::Problem},
    failure::Failure,
};

/// A command that trains, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainerCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    pub time_limit: Duration,
    /// Address space of each process of the command.
    pub memory_mib: u64,
    /// Where its directories are made; the system's place for temporary files if `None`.
    pub directory: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    command: Vec<String>,
    #[serde(default = "hour")]
    time_limit: String,
    #[serde(default = "eight_gib")]
    memory_mib: u64,
    directory: Option<PathBuf>,
}

fn hour() -> String {
    "1h".to_owned()
}

fn eight_gib() -> u64 {
    8_192
}

/// Reads the commands of the trainers by name; at least one.
///
/// # Errors
/// Exit 2: no file, a file that the user did not name, no trainer, or what is wrong with one.
pub fn trainers(file: Option<&ConfigFile>) -> Result<BTreeMap<String, TrainerCommand>, Failure> {
    let input = |code: &str, message: String, place: String| {
        let help = "[trainers.NAME] with command = [\"PROGRAM\", \"ARGUMENT\"]; docs/retraining.md";
        Failure::input(Problem::new(code, message).at(place).help(help))
    };
    let Some(file) = file.filter(|file| !file.is_from_working_directory) else {
        let message = "no configuration file is named, and only one that you name may run commands";
        return Err(input(
            "trainer.no_file",
            message.to_owned(),
            "--config".to_owned(),
        ));
    };
    let place = file.path.display().to_string();
    let text = std::fs::read_to_string(&file.path)
        .map_err(|error| input("config.unreadable", error.to_string(), place.clone()))?;
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        input("config.syntax", error.to_string(), place.clone())
    })?;
    let sections: BTreeMap<String, Section> = match table.remove(TRAINERS) {
        None => BTreeMap::new(),
        Some(value) => value.try_into().map_err(|error: toml::de::Error| {
            input(
                "config.value",
                format!("[trainers]: {error}"),
                place.clone(),
            )
        })?,
    };
    if sections.is_empty() {
        let message = "the file has no section [trainers.NAME]".to_owned();
        return Err(input("trainer.none", message, place));
    }
    let mut trainers = BTreeMap::new();
    for (name, section) in sections {
        let wrong = |message: String| input("config.value", message, format!("{place}: {name}"));
        check_name("a trainer", &name).map_err(|problem| wrong(problem.message))?;
        if section.command.is_empty() || section.memory_mib == 0 {
            return Err(wrong(
                "command and memory_mib must not be empty or 0".to_owned(),
            ));
        }
        let command = TrainerCommand {
            command: section.command,
            time_limit: values::time_out(&section.time_limit).map_err(wrong)?,
            memory_mib: section.memory_mib,
            directory: section.directory,
        };
        trainers.insert(name, command);
    }
    Ok(trainers)
}
