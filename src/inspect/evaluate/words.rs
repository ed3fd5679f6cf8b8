//! Parses the options of an evaluation, given on the command line or in a row.

use std::collections::BTreeMap;

use crate::domain::{job::manifest::TableName, problem::Problem};

/// Maximum number of thresholds in one evaluation.
const THRESHOLDS: usize = 10;

/// Parses `KEYSPACE.TABLE.COLUMN`, exact names without quotes.
///
/// # Errors
/// The text does not have three parts.
pub fn place(text: &str) -> Result<(TableName, String), Problem> {
    let parts: Vec<&str> = text.split('.').collect();
    let [keyspace, table, column] = parts.as_slice() else {
        let message = format!("`{text}` names no column");
        return Err(Problem::new("labels.name", message)
            .at("labels")
            .help("KEYSPACE.TABLE.COLUMN, exact names without quotes"));
    };
    let table = TableName {
        keyspace: (*keyspace).to_owned(),
        table: (*table).to_owned(),
    };
    Ok((table, (*column).to_owned()))
}

/// Parses pairs `LABEL=CLASS`.
///
/// # Errors
/// A pair without `=`.
pub fn label_map<'t>(
    pairs: impl Iterator<Item = &'t str>,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let Some((label, class)) = pair.split_once('=') else {
            return Err(Problem::new("labels.map", format!("`{pair}` maps nothing"))
                .at("label-map")
                .help("LABEL=CLASS"));
        };
        map.insert(label.to_owned(), class.to_owned());
    }
    Ok(map)
}

/// Returns each threshold once, in the order given.
///
/// # Errors
/// A threshold that is not finite; too many thresholds.
pub fn thresholds(given: &[f64]) -> Result<Vec<f64>, Problem> {
    let wrong = |message: String, help: &str| {
        let problem = Problem::new("evaluate.threshold", message);
        Err(problem.at("threshold").help(help))
    };
    let mut thresholds = Vec::new();
    for threshold in given {
        if !threshold.is_finite() {
            let message = format!("invalid threshold `{threshold}`");
            return wrong(message, "a finite number");
        }
        if !thresholds.contains(threshold) {
            thresholds.push(*threshold);
        }
    }
    if thresholds.len() > THRESHOLDS {
        let message = format!("{} thresholds", thresholds.len());
        return wrong(message, "10 at most");
    }
    Ok(thresholds)
}
