//! `helenus score --dry-run`: counts pending rows.

use serde_json::json;

use crate::{
    control,
    domain::{problem::Problem, run::Scope},
    engine::{
        jobs,
        run::{current, pending},
    },
    failure::Failure,
    output::Answer,
    store::{Store, runs::run_requests::RunRequest},
};

/// Counts the rows that the request would score; writes nothing.
pub async fn run(store: &Store, request: &RunRequest) -> Result<Answer, Failure> {
    let job = request.job.clone().unwrap_or_default();
    let mut prepared = control::jobs::prepare(store, &job, request.versions.as_ref()).await?;
    let scope = Scope::from_columns(
        request.scope.as_deref(),
        request.token_from,
        request.token_to,
        request.keys.clone(),
    )
    .map_err(|error| Failure::input(Problem::new("score.scope", error)))?;
    if scope.refresh {
        let allocation = store.allocation_now(&job).await?.allocation;
        current::only_served(&mut prepared, allocation.as_ref())?;
    }
    jobs::check_order(store, &prepared).await?;
    let counts = pending::count(store, &prepared.job, &scope).await?;
    let mut text = format!("job {job}: {} source rows", counts.source_rows);
    for version in &prepared.job.versions {
        let version = version.ready.version;
        let count =
            |map: &std::collections::BTreeMap<i32, u64>| map.get(&version).copied().unwrap_or(0);
        text.push_str(&format!(
            "\n  version {version}: {} would be scored, {} are unchanged, {} would be or are already rejected",
            count(&counts.scored),
            count(&counts.unchanged),
            count(&counts.rejected)
        ));
    }
    if counts.orphaned > 0 {
        text.push_str(&format!(
            "\n  {} predictions have no source row",
            counts.orphaned
        ));
    }
    Ok(Answer::new(
        json!({
            "job": job,
            "dry_run": true,
            "source_rows": counts.source_rows,
            "orphaned": counts.orphaned,
            "pending": counts.scored,
            "unchanged": counts.unchanged,
            "rejected": counts.rejected,
        }),
        text,
    ))
}
