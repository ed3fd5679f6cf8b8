//! Conditions about drift: read once for each run that has ended.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        alarm::{
            Condition, RunOutcome,
            drift::{DriftFinding, drifted},
        },
        evidence::drift::DriftVerdict,
    },
    store::{Store, driver::error::StoreError, evidence::drift::DriftRow},
};

/// What the newest run of each job showed.
#[derive(Debug, Default)]
pub(super) struct DriftLook(BTreeMap<String, (Uuid, Vec<Condition>)>);

impl DriftLook {
    /// Returns the conditions of a job. What a run finds is written before the run ends, so that a
    /// run under way does not count yet.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn conditions(
        &mut self,
        store: &Store,
        job: &str,
        outcomes: &[RunOutcome],
    ) -> Result<Vec<Condition>, StoreError> {
        let known = self.0.get(job);
        let before = || {
            known
                .map(|(_, conditions)| conditions.clone())
                .unwrap_or_default()
        };
        let Some(run_id) = store.newest_drift(job).await? else {
            return Ok(Vec::new());
        };
        let is_open = |run: &RunOutcome| run.run_id == run_id && !run.state.is_terminal();
        let is_known = known.is_some_and(|(known, _)| *known == run_id);
        if is_known || outcomes.iter().any(is_open) {
            return Ok(before());
        }
        let rows = store.drift(job, run_id).await?;
        let findings: Vec<_> = rows.into_iter().filter_map(finding).collect();
        let conditions = drifted(job, run_id, &findings);
        self.0.insert(job.to_owned(), (run_id, conditions.clone()));
        Ok(conditions)
    }
}

/// Returns what a row says about all rows. Segments do not alarm.
fn finding(row: DriftRow) -> Option<DriftFinding> {
    row.segment.is_empty().then_some(())?;
    Some(DriftFinding {
        version: row.version,
        verdict: DriftVerdict::parse(&row.verdict)?,
        feature: row.feature,
        against: row.against,
        psi: row.psi,
    })
}
