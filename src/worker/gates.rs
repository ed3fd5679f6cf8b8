//! Gates judged: each against the newest evaluation of its challenger.
//!
//! A verdict moves nothing. An alias request that names a gate and an evaluation does, and only
//! after it was judged again ([`approve`]), since gate, alias and age may have changed meanwhile. Of
//! a gate that acts the worker makes the request itself ([`act()`]).

mod act;
mod demotion;
mod watch;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    domain::{
        gate::{Evidence, Gate, GateRow, SegmentEvidence, Unusable, Verdict},
        problem::Problem,
    },
    store::{
        Store,
        alias_requests::AliasRequest,
        error::{StoreError, StoreErrorKind},
        evaluations::{Evaluation, EvaluationHead},
    },
};

pub use act::{Round, Step, act, step};
pub use watch::Watch;

/// Evaluations of a version that are looked through for one that fits.
const LOOKED_AT: i32 = 100;

/// A gate and what it says now.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The gate.
    pub gate: Gate,
    /// Where its alias points.
    pub points_at: Option<i32>,
    /// Where its challenger points.
    pub challenger: Option<i32>,
    /// The newest evidence and the verdict; `None`: the challenger was never evaluated.
    pub verdict: Option<(Evidence, Verdict)>,
}

/// Judges a gate.
///
/// # Errors
/// Cassandra's.
pub async fn judge(store: &Store, gate: Gate, now: DateTime<Utc>) -> Result<Judged, StoreError> {
    let points_at = store.alias(&gate.model, &gate.alias).await?;
    let challenger = store.alias(&gate.model, &gate.challenger).await?;
    let mut verdict = None;
    if let Some(version) = challenger
        && let Some(evidence) = newest(store, &gate, version, points_at).await?
    {
        let judged = gate.judge(&evidence, points_at, now);
        verdict = Some((evidence, judged));
    }
    Ok(Judged {
        gate,
        points_at,
        challenger,
        verdict,
    })
}

/// Judges all gates of all models, or of one, and says what changed; gives all of them.
///
/// # Errors
/// Cassandra's. [`StoreErrorKind::Denied`]: this login may not say it, a worker must.
pub async fn run_once(store: &Store, model: Option<&str>) -> Result<Vec<Judged>, StoreError> {
    let mut all = Vec::new();
    for row in standing(store, model).await? {
        let Ok(gate) = Gate::read(&row) else {
            continue;
        };
        let now = Utc::now();
        let judged = judge(store, gate, now).await?;
        if let Some((evidence, verdict)) = &judged.verdict {
            let said = (verdict.as_str().to_owned(), verdict.reasons.clone());
            let stands = store
                .gate_verdict(&judged.gate, evidence.evaluation)
                .await?;
            if stands != Some(said) {
                store
                    .say_gate_verdict(&judged.gate, evidence, verdict, now)
                    .await?;
            }
        }
        all.push(judged);
    }
    Ok(all)
}

/// As [`run_once`], or without saying it where this login may not.
///
/// # Errors
/// Cassandra's.
pub async fn look(store: &Store, model: Option<&str>) -> Result<Vec<Judged>, StoreError> {
    match run_once(store, model).await {
        Err(error) if error.kind == StoreErrorKind::Denied => {}
        outcome => return outcome,
    }
    let mut all = Vec::new();
    for row in standing(store, model).await? {
        if let Ok(gate) = Gate::read(&row) {
            all.push(judge(store, gate, Utc::now()).await?);
        }
    }
    Ok(all)
}

async fn standing(store: &Store, model: Option<&str>) -> Result<Vec<GateRow>, StoreError> {
    let mut rows = store.gates().await?;
    rows.retain(|row| row.removed != Some(true) && model.is_none_or(|model| model == row.model));
    rows.sort_by(|a, b| (&a.model, &a.name).cmp(&(&b.model, &b.name)));
    Ok(rows)
}

/// What an alias request that names a gate is based on, for the history.
///
/// # Errors
/// Why it may not move the alias; Cassandra's.
pub async fn approve(
    store: &Store,
    request: &AliasRequest,
    (model, alias, version): (&str, &str, i32),
) -> Result<Result<Option<String>, Problem>, StoreError> {
    let (name, evaluation) = match (&request.gate, request.evaluation) {
        (None, None) => return Ok(Ok(None)),
        (Some(name), Some(evaluation)) => (name, evaluation),
        _ => {
            let message = "an approval names a gate and an evaluation";
            return Ok(Err(Problem::new("gate.approval", message)));
        }
    };
    let refused = |message: String| Ok(Err(Problem::new("gate.refused", message)));
    let row = store.gate(model, name).await?;
    let Some(row) = row.filter(|row| row.removed != Some(true)) else {
        return refused(format!("model `{model}` has no gate `{name}`"));
    };
    let gate = match Gate::read(&row) {
        Ok(gate) => gate,
        Err(problems) => {
            let lines: Vec<_> = problems.iter().map(Problem::line).collect();
            return refused(format!("gate `{name}`: {}", lines.join("; ")));
        }
    };
    if gate.alias != alias {
        return refused(format!(
            "gate `{name}` is about `{}`, not `{alias}`",
            gate.alias
        ));
    }
    let points_at = store.alias(model, alias).await?;
    if request.action.as_deref() == Some("rollback") {
        return approve_rollback(store, &gate, points_at, version, evaluation).await;
    }
    let evidence = match of(store, &gate, version, evaluation).await? {
        Some(evidence) => evidence,
        None => {
            return refused(format!(
                "there is no evaluation {evaluation} of version {version}"
            ));
        }
    };
    let verdict = gate.judge(&evidence, points_at, Utc::now());
    if !verdict.passes() {
        return refused(format!("gate `{name}`: {}", verdict.reasons.join("; ")));
    }
    Ok(Ok(Some(format!(
        "gate {name}, evaluation {evaluation}: {} better by {:.6} (at least {:.6} at {} confidence) on {} rows",
        gate.metric,
        verdict.improvement.unwrap_or_default(),
        verdict.low.unwrap_or_default(),
        gate.confidence,
        evidence.evaluated,
    ))))
}

/// As [`approve`], of a request to roll back to `before`.
async fn approve_rollback(
    store: &Store,
    gate: &Gate,
    points_at: Option<i32>,
    before: i32,
    evaluation: Uuid,
) -> Result<Result<Option<String>, Problem>, StoreError> {
    let name = &gate.name;
    let due = match points_at {
        Some(current) => demotion::look(store, gate, current, before, Utc::now()).await?,
        None => Err(None),
    };
    Ok(match due {
        Ok(due) if [due.newer, due.older].contains(&evaluation) => {
            Ok(Some(format!("gate {name}, {}", due.told)))
        }
        _ => {
            let message = format!(
                "gate `{name}`: evaluation {evaluation} and another one in a row do not show the version worse than version {before}"
            );
            Err(Problem::new("gate.refused", message))
        }
    })
}

/// The newest evaluation that could count, else the newest at all, so that its reasons are told.
async fn newest(
    store: &Store,
    gate: &Gate,
    version: i32,
    points_at: Option<i32>,
) -> Result<Option<Evidence>, StoreError> {
    let heads = store
        .evaluation_heads(&gate.model, version, LOOKED_AT)
        .await?;
    let fits = |head: &&EvaluationHead| {
        head.labels.as_deref() == Some(&gate.labels)
            && head.baseline.is_some()
            && head.baseline == points_at
    };
    match heads.iter().find(fits).or(heads.first()) {
        Some(head) => of(store, gate, version, head.id).await,
        None => Ok(None),
    }
}

async fn of(
    store: &Store,
    gate: &Gate,
    version: i32,
    evaluation: Uuid,
) -> Result<Option<Evidence>, StoreError> {
    let Some(row) = store.evaluation(&gate.model, version, evaluation).await? else {
        return Ok(None);
    };
    let baseline = baseline(store, &row).await?;
    Ok(Some(evidence(gate, &row, baseline.as_ref())))
}

/// The baseline's own row of the same look: one that another pass wrote under the same request is none.
async fn baseline(store: &Store, row: &Evaluation) -> Result<Option<Evaluation>, StoreError> {
    let Some(baseline) = row.baseline else {
        return Ok(None);
    };
    let found = store.evaluation(&row.model, baseline, row.id()).await?;
    Ok(found.filter(|found| found.at() == row.at()))
}

fn evidence(gate: &Gate, row: &Evaluation, baseline: Option<&Evaluation>) -> Evidence {
    let count = |rows: Option<i64>| u64::try_from(rows.unwrap_or(0)).unwrap_or(0);
    let unusable = |row: &Evaluation| {
        let uncovered = count(row.missing) + count(row.stale);
        let others = count(row.rejected) + count(row.not_a_number) + count(row.untimed);
        Unusable {
            uncovered,
            all: uncovered + others,
        }
    };
    let mut bounds = row.bounds.clone().unwrap_or_default();
    for (metric, bound) in baseline.iter().flat_map(|row| row.bounds.iter().flatten()) {
        *bounds.entry(metric.clone()).or_default() += bound;
    }
    let told = row.segments.clone().unwrap_or_default();
    let segment = |text: &String| {
        let told: Told = serde_json::from_str(text).unwrap_or_default();
        SegmentEvidence {
            rows: told.rows,
            difference: told.differences.get(&gate.metric).copied(),
            standard_error: told.standard_errors.get(&gate.metric).copied(),
        }
    };
    let segments = told.iter();
    let segments: BTreeMap<_, _> = segments
        .map(|(name, text)| (name.clone(), segment(text)))
        .collect();
    Evidence {
        evaluation: row.id(),
        at: row.at(),
        version: row.version,
        // Without the baseline's own row nobody knows what it lacked.
        baseline: row.baseline.filter(|_| baseline.is_some()),
        labels: row.labels.clone().unwrap_or_default(),
        leakage_checked: row.leakage.as_deref() == Some("checked"),
        labelled: count(row.labelled),
        evaluated: count(row.evaluated),
        unusable: [unusable(row), baseline.map(unusable).unwrap_or_default()],
        differences: row.differences.clone().unwrap_or_default(),
        standard_errors: row.difference_errors.clone().unwrap_or_default(),
        bounds,
        segments: (!segments.is_empty()).then_some(segments),
    }
}

/// What a segment is stored as, as far as gates look at it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    rows: u64,
    differences: BTreeMap<String, f64>,
    standard_errors: BTreeMap<String, f64>,
}
