//! Judges each gate against the newest evaluation of its challenger.
//!
//! A verdict moves nothing. An alias is moved by an alias request that names a gate and an
//! evaluation, and only after the gate was judged again ([`approve`]): gate, alias and age may have
//! changed meanwhile.  For a gate that acts, the worker writes the request itself ([`act::judge_and_move`]).

mod act;
mod approval;
mod demotion;
mod detail;
mod watch;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    domain::{
        gate::{Evidence, Gate, GateRow, SegmentEvidence, Unusable, Verdict},
        problem::Problem,
    },
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        evidence::evaluations::{Evaluation, EvaluationHead},
        registry::alias_requests::AliasRequest,
    },
};

pub use act::{GateRound, Step, judge_and_move, step};
pub use approval::{approval, find, unknown};
pub use detail::GateDetail;
pub use watch::Watch;

/// Evaluations of a version that are searched for one that fits.
const LOOKED_AT: i32 = 100;

/// A gate and its current verdict.
#[derive(Debug, Clone)]
pub struct Judged {
    pub gate: Gate,
    /// Version that the gate's alias points to.
    pub points_at: Option<i32>,
    /// Version that the gate's challenger points to.
    pub challenger: Option<i32>,
    /// The newest evidence and the verdict; `None` if the challenger was never evaluated.
    pub verdict: Option<(Evidence, Verdict)>,
}

/// Judges a gate.
///
/// # Errors
/// Errors of Cassandra.
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

/// Judges all gates of all models, or of one, and records changed verdicts; returns all of them.
///
/// # Errors
/// Errors of Cassandra. [`StoreErrorKind::Denied`]: this login is not permitted to write the
/// verdict; a worker must.
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

/// As [`run_once`], but judges without recording if this login is not permitted to write.
///
/// # Errors
/// Errors of Cassandra.
pub async fn judge_all(store: &Store, model: Option<&str>) -> Result<Vec<Judged>, StoreError> {
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

/// Approves an alias request that names a gate; returns its justification for the history.
///
/// # Errors
/// Why it must not move the alias (inner); errors of Cassandra (outer).
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
    let evidence = match evidence_of(store, &gate, version, evaluation).await? {
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

/// As [`approve`], for a request to roll back to `before`.
async fn approve_rollback(
    store: &Store,
    gate: &Gate,
    points_at: Option<i32>,
    before: i32,
    evaluation: Uuid,
) -> Result<Result<Option<String>, Problem>, StoreError> {
    let name = &gate.name;
    let due = match points_at {
        Some(current) => demotion::examine(store, gate, current, before, Utc::now()).await?,
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

/// Returns the newest evaluation that could count, else the newest of all, so that its reasons are
/// reported.
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
        Some(head) => evidence_of(store, gate, version, head.id).await,
        None => Ok(None),
    }
}

async fn evidence_of(
    store: &Store,
    gate: &Gate,
    version: i32,
    evaluation: Uuid,
) -> Result<Option<Evidence>, StoreError> {
    let Some(row) = store.evaluation(&gate.model, version, evaluation).await? else {
        return Ok(None);
    };
    let baseline = baseline(store, &row).await?;
    let mut evidence = evidence(gate, &row, baseline.as_ref());
    evidence.experiment = experiment(store, gate, version).await?;
    Ok(Some(evidence))
}

/// Returns the newest verdicts on the arms with this version, of the experiment that the gate
/// requires. A later revision that has not been looked at has none.
async fn experiment(store: &Store, gate: &Gate, version: i32) -> Result<Vec<String>, StoreError> {
    let Some((job, name)) = &gate.experiment else {
        return Ok(Vec::new());
    };
    let statuses = store.experiment_statuses(job).await?;
    let own = statuses.iter().filter(|status| status.name == *name);
    let Some(status) = own.max_by_key(|status| status.revision) else {
        return Ok(Vec::new());
    };
    let looks = store.looks(job, name, 1).await?;
    let look = looks
        .into_iter()
        .find(|look| look.revision == status.revision);
    let look = look.filter(|_| status.model.as_deref() == Some(&gate.model));
    let verdicts = look.map(|look| look.verdicts).unwrap_or_default();
    let arms = status.arms.iter().filter(|(_, own)| **own == version);
    Ok(arms
        .filter_map(|(arm, _)| verdicts.get(arm).cloned())
        .collect())
}

/// Returns the baseline's row of the same evaluation. A row that another pass wrote under the same
/// request does not count.
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
    let own = segment_metrics(row);
    let baselines = baseline.map(segment_metrics).unwrap_or_default();
    let segment = |(name, segment): (&String, &Told)| {
        let bound = |of: Option<&Told>| {
            let bound = of.and_then(|of| of.bounds.get(&gate.metric));
            bound.copied().unwrap_or(0.0)
        };
        let evidence = SegmentEvidence {
            rows: segment.rows,
            difference: segment.differences.get(&gate.metric).copied(),
            standard_error: segment.standard_errors.get(&gate.metric).copied(),
            bound: bound(Some(segment)) + bound(baselines.get(name)),
        };
        (name.clone(), evidence)
    };
    let segments: BTreeMap<_, _> = own.iter().map(segment).collect();
    let details: Details = read(row.details.as_deref().unwrap_or_default());
    Evidence {
        evaluation: row.id(),
        at: row.at(),
        version: row.version,
        // Without the baseline's own row, its missing rows are unknown.
        baseline: row.baseline.filter(|_| baseline.is_some()),
        labels: row.labels.clone().unwrap_or_default(),
        // Of rows that no trainer saw, it does not matter when they were predicted.
        leakage_checked: matches!(row.leakage.as_deref(), Some("checked" | "held_out")),
        labelled: count(row.labelled),
        evaluated: count(row.evaluated),
        unusable: [unusable(row), baseline.map(unusable).unwrap_or_default()],
        differences: row.differences.clone().unwrap_or_default(),
        standard_errors: row.difference_errors.clone().unwrap_or_default(),
        bounds,
        is_fine: details.scores.is_some(),
        segments: (!segments.is_empty()).then_some(segments),
        experiment: Vec::new(),
    }
}

fn segment_metrics(row: &Evaluation) -> BTreeMap<String, Told> {
    let segments = row.segments.iter().flatten();
    segments
        .map(|(name, text)| (name.clone(), read(text)))
        .collect()
}

/// Parses JSON that an evaluation holds; unreadable text gives the default.
fn read<T: Default + DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

/// Details of an evaluation beyond its metrics, as far as gates use them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    scores: Option<String>,
}

/// A stored segment, as far as gates use it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    rows: u64,
    bounds: BTreeMap<String, f64>,
    differences: BTreeMap<String, f64>,
    standard_errors: BTreeMap<String, f64>,
}
