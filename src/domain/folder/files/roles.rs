//! `roles.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::read;
use crate::domain::{
    access::{self, Kind, Reach},
    folder::DesiredRole,
    job::manifest::TableName,
    problem::Problem,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    kind: String,
    #[serde(default)]
    data_keyspaces: Vec<String>,
    #[serde(default)]
    source_tables: Vec<String>,
    #[serde(default)]
    prediction_tables: Vec<String>,
    #[serde(default)]
    ddl: bool,
}

/// Reads `roles.toml`: `[ROLE]` with the options of `helenus role create`.
///
/// # Errors
/// All its mistakes.
pub fn roles(text: &str) -> Result<Vec<DesiredRole>, Vec<Problem>> {
    let entries: BTreeMap<String, RoleEntry> = read(text).map_err(|problem| vec![problem])?;
    let mut roles = Vec::new();
    let mut problems = Vec::new();
    for (name, raw) in entries {
        let Some(kind) = Kind::parse(&raw.kind) else {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            let problem = Problem::new("folder.role", format!("unknown kind `{}`", raw.kind));
            let problem = problem.help(format!("the kinds are {known}"));
            problems.push(problem.at(format!("{name}.kind")));
            continue;
        };
        let mut tables = |field: &str, given: &[String]| {
            let mut tables = Vec::new();
            for table in given {
                match table.split_once('.') {
                    Some((keyspace, table)) => tables.push(TableName {
                        keyspace: keyspace.to_owned(),
                        table: table.to_owned(),
                    }),
                    None => {
                        let problem =
                            Problem::new("folder.role", format!("invalid table `{table}`"));
                        let problem = problem.at(format!("{name}.{field}"));
                        problems.push(problem.help("write KEYSPACE.TABLE with the exact names"));
                    }
                }
            }
            tables
        };
        let reach = Reach {
            data_keyspaces: raw.data_keyspaces,
            source_tables: tables("source_tables", &raw.source_tables),
            prediction_tables: tables("prediction_tables", &raw.prediction_tables),
            ddl: raw.ddl,
        };
        if let Err(problem) = access::grants(kind, "helenus", &reach) {
            problems.push(problem.at(name.clone()));
        }
        roles.push(DesiredRole { name, kind, reach });
    }
    match problems.is_empty() {
        true => Ok(roles),
        false => Err(problems),
    }
}
