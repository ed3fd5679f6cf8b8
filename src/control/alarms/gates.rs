//! Conditions about gates: demotions, and labels that no longer arrive.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    domain::{
        alarm::{
            Condition,
            demotion::{LastMove, demoted},
            stale_labels::{LabelCount, stale},
        },
        gate::Gate,
    },
    store::{Store, admin::signals::EVIDENCE, driver::error::StoreError},
};

/// Evaluations of a version that are searched for those with the gate's labels.
const LOOKED_AT: i32 = 100;
/// Longest interval between two looks: evidence ages.
const LOOK: Duration = Duration::from_secs(300);

/// What the last look found. It is made again when an evaluation was written or an alias moved.
#[derive(Debug, Default)]
pub(super) struct GateLook {
    last: Option<(Option<Uuid>, Instant, Vec<Condition>)>,
}

impl GateLook {
    /// Returns the conditions of all gates.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn conditions(
        &mut self,
        store: &Store,
        now: DateTime<Utc>,
        instant: Instant,
    ) -> Result<Vec<Condition>, StoreError> {
        // Read before the gates: a change made in between is found by the next round.
        let signal = store.signal(EVIDENCE).await?;
        if let Some((seen, until, conditions)) = &self.last
            && *seen == signal
            && instant < *until
        {
            return Ok(conditions.clone());
        }
        let mut conditions = Vec::new();
        for row in store.gates().await? {
            if row.removed == Some(true) {
                continue;
            }
            if let Ok(gate) = Gate::read(&row) {
                conditions.extend(demotion(store, &gate).await?);
                conditions.extend(labels(store, &gate, now).await?);
            }
        }
        self.last = Some((signal, instant + LOOK, conditions.clone()));
        Ok(conditions)
    }
}

async fn demotion(store: &Store, gate: &Gate) -> Result<Option<Condition>, StoreError> {
    let newest = store.newest_gate_move(&gate.model, &gate.name).await?;
    let Some(newest) = newest.filter(|newest| newest.action == "rollback") else {
        return Ok(None);
    };
    let changes = store.alias_history(&gate.model, &gate.alias, 1).await?;
    let last = LastMove {
        action: newest.action,
        request_id: newest.request_id,
        evaluation: newest.evaluation,
        from: newest.from_version,
        to: newest.version,
        answer: newest.answer.map(|(answer, _)| answer),
        alias_moved_by: changes.first().and_then(|change| change.request_id),
    };
    // The evaluation has a row for each version that it was about.
    for version in [last.from, last.to] {
        let row = store
            .evaluation(&gate.model, version, last.evaluation)
            .await?;
        if let Some(job) = row.and_then(|row| row.job) {
            return Ok(demoted(&job, gate, &last));
        }
    }
    Ok(None)
}

async fn labels(
    store: &Store,
    gate: &Gate,
    now: DateTime<Utc>,
) -> Result<Option<Condition>, StoreError> {
    let Some(version) = store.alias(&gate.model, &gate.alias).await? else {
        return Ok(None);
    };
    let mut heads = store
        .evaluation_heads(&gate.model, version, LOOKED_AT)
        .await?;
    heads.retain(|head| head.labels.as_deref() == Some(&gate.labels) && head.at.is_some());
    let Some(newest) = heads.first() else {
        return Ok(None);
    };
    let max_age = TimeDelta::from_std(gate.max_age).unwrap_or(TimeDelta::MAX);
    let older = heads.iter().find(|head| {
        let age = newest.at.zip(head.at).map(|(newest, at)| newest - at);
        age.is_some_and(|age| age >= max_age)
    });
    let Some(counted) = count(store, gate, version, newest.id).await? else {
        return Ok(None);
    };
    let before = match older {
        Some(head) => count(store, gate, version, head.id).await?,
        None => None,
    };
    Ok(stale(gate, &counted, before.as_ref(), now))
}

async fn count(
    store: &Store,
    gate: &Gate,
    version: i32,
    evaluation: Uuid,
) -> Result<Option<LabelCount>, StoreError> {
    let row = store.evaluation(&gate.model, version, evaluation).await?;
    Ok(row.and_then(|row| {
        Some(LabelCount {
            at: row.at()?,
            labelled_rows: u64::try_from(row.labelled?).unwrap_or_default(),
            job: row.job?,
        })
    }))
}
