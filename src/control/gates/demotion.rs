//! Decides whether a promoted version turned out worse than the one before; two evaluations in a
//! row must show it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{LOOKED_AT, evidence_of};
use crate::{
    domain::{
        gate::{Comparison, Evidence, Gate},
        run::run_id,
    },
    store::{Store, driver::error::StoreError},
};

/// Two evaluations that justify going back.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub newer: Uuid,
    /// The evaluation before `newer`.
    pub older: Uuid,
    /// Description of both evaluations, for the history.
    pub told: String,
}

/// Looks at the two newest evaluations that count. These compare the version that the alias points
/// to with the one `before` it, whichever is the baseline, and were started and written after the
/// alias was moved. Without a reason to go back, returns what is known of the newest one if that
/// shows the version worse.
///
/// # Errors
/// Errors of Cassandra.
pub async fn examine(
    store: &Store,
    gate: &Gate,
    current: i32,
    before: i32,
    now: DateTime<Utc>,
) -> Result<Result<Due, Option<String>>, StoreError> {
    let (model, alias) = (&gate.model, &gate.alias);
    let last = store.alias_history(model, alias, 1).await?;
    let moved = last
        .first()
        .and_then(|change| run_id::time_100ns(change.changed_at))
        .and_then(|time| DateTime::from_timestamp_micros((time / 10) as i64));
    let written = store.last_alias_change(model, alias).await?;
    let (Some(moved), Some((_, written))) = (moved, written) else {
        return Ok(Err(None));
    };
    let mut counting: Vec<(Evidence, Comparison)> = Vec::new();
    for evidence in between(store, gate, current, before, moved).await? {
        let looked = gate.compare_with(&evidence, before, now);
        if !looked.counts() {
            continue;
        }
        let stands = store
            .evaluation_written(model, current, evidence.evaluation)
            .await?;
        if stands.is_some_and(|at| at > written) {
            counting.push((evidence, looked));
        }
        if counting.len() == 2 {
            break;
        }
    }
    let told = |(evidence, looked): &(Evidence, Comparison)| {
        format!(
            "evaluation {}: {} worse by {:.6} (at least {:.6} at {} confidence) on {} rows",
            evidence.evaluation,
            gate.metric,
            -looked.improvement.unwrap_or_default(),
            -looked.high.unwrap_or_default(),
            gate.confidence,
            evidence.evaluated,
        )
    };
    Ok(match counting.as_slice() {
        [newer, older] if newer.1.is_worse() && older.1.is_worse() => Ok(Due {
            newer: newer.0.evaluation,
            older: older.0.evaluation,
            told: format!(
                "version {current} against {before}: {}; {}",
                told(newer),
                told(older)
            ),
        }),
        [newer, ..] if newer.1.is_worse() => Err(Some(format!(
            "version {current} shows worse than version {before} in one evaluation; two in a row roll it back"
        ))),
        _ => Err(None),
    })
}

/// Returns the evidence of evaluations started after `since` about `current` against `before`,
/// newest first.
async fn between(
    store: &Store,
    gate: &Gate,
    current: i32,
    before: i32,
    since: DateTime<Utc>,
) -> Result<Vec<Evidence>, StoreError> {
    let mut found = Vec::new();
    for (version, against) in [(current, before), (before, current)] {
        let heads = store
            .evaluation_heads(&gate.model, version, LOOKED_AT)
            .await?;
        let fit = heads.iter().filter(|head| {
            head.baseline == Some(against)
                && head.labels.as_deref() == Some(&gate.labels)
                && head.at.is_some_and(|at| at > since)
        });
        for head in fit {
            let evidence = evidence_of(store, gate, version, head.id).await?;
            let whole = evidence.filter(|evidence| evidence.baseline.is_some());
            found.extend(whole.map(|evidence| match version == current {
                true => evidence,
                false => evidence.mirrored(),
            }));
        }
    }
    found.sort_by_key(|evidence| std::cmp::Reverse((evidence.at, evidence.evaluation)));
    Ok(found)
}
