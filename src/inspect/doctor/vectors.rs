//! What Cassandra's guardrails say about vectors and indexes.

use super::{Report, State};
use crate::{
    failure::Failure,
    store::{Store, driver::error::StoreErrorKind},
};

const HELP: &str =
    "jobs with such outputs are refused (`job.ddl_refused`); the setting is in cassandra.yaml";

/// Adds a finding. Only the connected node is asked.
///
/// # Errors
/// Errors of Cassandra.
pub async fn examine(report: &mut Report, store: &Store) -> Result<(), Failure> {
    let settings = match store.guardrails().await {
        Ok(settings) => settings,
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::Missing) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let is_off = |name: &str| settings.get(name).is_some_and(|value| value == "false");
    let limit = |name: &str| {
        let limit = settings.get(name)?.parse::<i64>().ok()?;
        (limit >= 0).then_some(limit)
    };
    let mut found = Vec::new();
    if is_off("vector_type_enabled") {
        found.push("no vectors".to_owned());
    }
    if let Some(limit) = limit("vector_dimensions_fail_threshold") {
        found.push(format!("vectors of at most {limit} values"));
    }
    if is_off("secondary_indexes_enabled") {
        found.push("no indexes".to_owned());
    }
    if let Some(limit) = limit("secondary_indexes_per_table_fail_threshold") {
        found.push(format!("at most {limit} indexes on a table"));
    }
    match found.is_empty() {
        true => report.good("vectors", "no guardrail limits vectors or indexes"),
        false => {
            let text = format!("guardrails permit {}", found.join(", "));
            report.add("vectors", State::Warning, text, HELP);
        }
    }
    Ok(())
}
