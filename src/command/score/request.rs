//! The row of `run_requests` that the options ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::{Args, ScopeArg};
use crate::{
    control::requests,
    domain::{csv, problem::Problem},
    failure::Failure,
    process,
    store::runs::run_requests::RunRequest,
};

pub(super) fn request(args: &Args) -> Result<RunRequest, Failure> {
    let id = process::timeuuid();
    let range = args.token_range.as_deref().map(token_range).transpose()?;
    let keys = args.keys.as_deref().map(read_keys).transpose()?;
    let scope = match (args.scope, &range, &keys) {
        (ScopeArg::All, ..) => "all",
        (ScopeArg::Current, ..) => "current",
        (ScopeArg::Pending, Some(_), _) => "range",
        (ScopeArg::Pending, _, Some(_)) => "keys",
        (ScopeArg::Pending, None, None) => "pending",
    };
    Ok(RunRequest {
        day: requests::day_of(id),
        id,
        action: Some("run".to_owned()),
        job: Some(args.job.clone()),
        scope: Some(scope.to_owned()),
        keys,
        token_from: range.map(|range| range.0),
        token_to: range.map(|range| range.1),
        versions: (!args.versions.is_empty())
            .then(|| args.versions.iter().copied().collect::<BTreeSet<_>>()),
        max_rows_per_s: args.max_rate,
        requested_by: Some(process::user()),
        note: args.note.clone(),
        ..RunRequest::default()
    })
}

fn token_range(text: &str) -> Result<(i64, i64), Failure> {
    text.split_once(':')
        .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)))
        .ok_or_else(|| {
            Failure::input(
                Problem::new("score.token_range", format!("invalid token range `{text}`"))
                    .at("--token-range")
                    .help("write FROM:TO, two tokens, such as -9223372036854775808:0"),
            )
        })
}

fn read_keys(path: &std::path::Path) -> Result<Vec<BTreeMap<String, String>>, Failure> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::input(Problem::new("keys.unreadable", error.to_string()).at(file.clone()))
    })?;
    let located = |problem: Problem| {
        let place = problem.place.clone().unwrap_or_default();
        Failure::input(problem.at(format!("{file}, {place}")))
    };
    let mut reader = csv::Reader::new(&text).map_err(located)?;
    let header = reader.header.clone();
    let mut keys = Vec::new();
    for record in &mut reader {
        let record = record.map_err(located)?;
        let mut key = BTreeMap::new();
        for (name, field) in header.iter().zip(record.fields) {
            let Some(value) = field.value else {
                let problem = Problem::new(
                    "keys.null",
                    format!("`{name}` is null; key columns must not be null"),
                );
                return Err(located(problem.at(format!("line {}", record.line))));
            };
            key.insert(name.clone(), value);
        }
        keys.push(key);
    }
    Ok(keys)
}
