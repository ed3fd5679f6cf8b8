//! Compares a run's outputs with those of earlier runs.

use std::{cmp::Reverse, collections::BTreeMap};

use serde_json::Value;

use super::context::RunContext;
use crate::{domain::evidence::statistics::OutputStatistics, store::driver::error::StoreError};

/// Maximum number of earlier runs searched for statistics of each version.
const EARLIER_RUNS: usize = 20;

/// Returns warnings about the outputs of each version, compared with its newest earlier run over
/// the whole table. Runs over a few keys say nothing about a distribution.
///
/// # Errors
/// Cassandra's errors.
pub async fn output_warnings(
    context: &RunContext,
    statistics: &BTreeMap<i32, OutputStatistics>,
) -> Result<Vec<String>, StoreError> {
    let store = &context.store;
    let job = &context.run.job;
    let mut whole = store.whole_runs(job).await?;
    whole.sort_by_key(|run| Reverse((run.finished_at, run.run_id)));
    whole.dedup();
    let mut before: BTreeMap<i32, Value> = BTreeMap::new();
    for ended in whole.iter().take(EARLIER_RUNS) {
        if statistics
            .keys()
            .all(|version| before.contains_key(version))
        {
            break;
        }
        let Some(run) = store.run(job, ended.run_id).await? else {
            continue;
        };
        for (version, json) in run.output_statistics {
            // A run in which nothing had changed has no statistics.
            match serde_json::from_str::<Value>(&json) {
                Ok(json) if json.as_object().is_some_and(|columns| !columns.is_empty()) => {
                    before.entry(version).or_insert(json);
                }
                _ => {}
            }
        }
    }
    Ok(statistics
        .iter()
        .flat_map(|(version, statistics)| statistics.warnings(*version, before.get(version)))
        .collect())
}
