//! Looks at an experiment: one pass over predictions, source and labels, and what it says of the
//! arms.

mod fold;
mod outcome;
mod result;
pub mod state;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::json;

use self::{
    fold::{ExperimentFold, ExperimentPart, Measured},
    outcome::OutcomeReader,
    result::LookNumbers,
};
use super::{
    evaluate::{self, EvaluateFold, EvaluateSpec},
    pass::{self, Begun, Found, Options, PassSpec, Running, Scope},
};
use crate::{
    codec::cql_type::CqlType,
    domain::{
        evidence::{
            evaluation::{room, target::Target},
            experiment::allocation::Allocation,
        },
        experiment::{Experiment, Look, MEAN, judge},
        job::served::Arms,
        problem::Problem,
    },
    failure::Failure,
    store::Store,
};

/// A look that is to be taken.
#[derive(Debug, Clone, Copy)]
pub struct LookSpec<'a> {
    pub experiment: &'a Experiment,
    /// Its arms, as frozen at the start.
    pub allocation: &'a Allocation,
    pub started_at: DateTime<Utc>,
    /// Whether the planned end has come.
    pub is_final: bool,
}

/// What a look reads, resolved.
struct Plan {
    scope: Arc<Scope>,
    wish: EvaluateSpec,
    arms: Arms,
    /// Arm → index of its version in the scope.
    versions: Vec<usize>,
    measured: Reading,
}

/// How outcomes are read.
enum Reading {
    Metric(Target),
    Mean(Box<OutcomeReader>),
}

/// Checks that looks at an experiment can be taken: its unit, versions, labels and metric.
///
/// # Errors
/// What does not fit (exit 2); Cassandra's errors.
pub async fn check(
    store: &Store,
    experiment: &Experiment,
    allocation: &Allocation,
) -> Result<(), Failure> {
    Box::pin(plan(store, experiment, allocation))
        .await
        .map(drop)
}

async fn plan(
    store: &Store,
    experiment: &Experiment,
    allocation: &Allocation,
) -> Result<Plan, Failure> {
    let mut options = Options::from_map(experiment.options.clone());
    let mut wish = evaluate::spec(&experiment.job, &experiment.labels, &mut options)
        .map_err(Failure::input)?;
    // The control's version is the first: the others are compared with it.
    let mut numbers = vec![allocation.arms[experiment.control].version];
    for arm in &allocation.arms {
        if !numbers.contains(&arm.version) {
            numbers.push(arm.version);
        }
    }
    let at = |version: i32| numbers.iter().position(|number| *number == version);
    let versions: Vec<usize> = allocation
        .arms
        .iter()
        .filter_map(|arm| at(arm.version))
        .collect();
    wish.versions = numbers.iter().map(i32::to_string).collect();
    let scope = PassSpec {
        job: experiment.job.clone(),
        versions: wish.versions.clone(),
        segment: experiment.unit.clone(),
        labels: Some(wish.labels.clone()),
    };
    let scope = Arc::new(Box::pin(Scope::resolve(store, &scope)).await?);
    evaluate::no_feature(&scope).map_err(Failure::input)?;
    evaluate::check_time(&scope).map_err(Failure::input)?;
    let arms = Arms::new(&scope.job, allocation.clone()).map_err(Failure::input)?;
    let measured = match experiment.metric.as_str() {
        MEAN => Reading::Mean(Box::new(mean(&scope, experiment).map_err(Failure::input)?)),
        _ => {
            let target = Target::resolve(&scope.job, &scope.versions, &wish.question)
                .map_err(Failure::input)?;
            evaluate::labels(&scope, &wish, &target).map_err(Failure::input)?;
            Reading::Metric(target)
        }
    };
    Ok(Plan {
        scope,
        wish,
        arms,
        versions,
        measured,
    })
}

fn mean(scope: &Scope, experiment: &Experiment) -> Result<OutcomeReader, Problem> {
    let Some(labels) = &scope.labels else {
        return Err(Problem::new("labels.missing", "no labels are named").at("labels"));
    };
    let covariate = experiment.covariate.as_deref().map(|column| (column, 0));
    OutcomeReader::new(&labels.column, &scope.job, covariate)
}

/// Takes a look. Nothing is stored.
///
/// # Errors
/// As [`check`], and those of [`pass::run`].
pub async fn take_look(
    store: &Store,
    spec: &LookSpec<'_>,
    running: &Running,
) -> Result<Look, Failure> {
    let (experiment, allocation) = (spec.experiment, spec.allocation);
    let plan = Box::pin(plan(store, experiment, allocation)).await?;
    let asked = json!({
        "experiment": experiment.name,
        "allocation": allocation,
        "metric": experiment.metric,
        "options": experiment.options,
        "covariate": experiment.covariate,
        "started_at": spec.started_at,
        "final": spec.is_final,
    });
    let now = Utc::now().timestamp_millis();
    let settings = async { Ok(now.to_be_bytes().to_vec()) };
    let begun = pass::begin(store, &plan.scope, "experiment", &asked, settings).await?;
    let fold = Arc::new(fold(spec, &plan, &begun)?);
    let mut found = pass::run(store, &plan.scope, &begun, &fold, running).await?;
    let partials = found.part.metrics.iter_mut();
    partials
        .chain(&mut found.part.paired)
        .for_each(|partial| partial.settle());
    let before = store.looks(&experiment.job, &experiment.name, 1).await?;
    let before = before
        .into_iter()
        .find(|look| look.revision == experiment.revision);
    let before = before.map(|look| look.sample_ratio).unwrap_or_default();
    let numbers = LookNumbers::compute(spec, &fold, &found.part, &before);
    let decisive = numbers.decisive(experiment);
    let judged = judge(experiment, &numbers.evidence(&decisive, spec.is_final));
    let look = Look {
        job: experiment.job.clone(),
        experiment: experiment.name.clone(),
        revision: experiment.revision,
        look: begun.id(),
        at: begun.at(),
        is_final: spec.is_final,
        without_unit: found.part.without_unit,
        outside: found.part.outside,
        early: found.part.early,
        leaked: found.part.leaked,
        metric: experiment.metric.clone(),
        warnings: warnings(&plan, spec, &begun, &found),
        counts: numbers.counts,
        sample_ratio: numbers.sample_ratio,
        values: numbers.values,
        standard_errors: numbers.standard_errors,
        differences: numbers
            .differences
            .into_iter()
            .filter_map(|(arm, compared)| Some((arm, compared.ok()?)))
            .collect(),
        adjusted: numbers.adjusted,
        paired: numbers.paired,
        verdict: judged.verdict,
        verdicts: judged.arms,
        reason: judged.reason,
    };
    pass::end(store, &begun, &found.large).await?;
    Ok(look)
}

fn fold(spec: &LookSpec<'_>, plan: &Plan, begun: &Begun) -> Result<ExperimentFold, Failure> {
    let corrupt = || {
        let message = "the pass's settings can't be read";
        Failure::system(Problem::new("pass.corrupt", message))
    };
    let settings = begun.row.plan.settings.as_slice().try_into();
    let now = i64::from_be_bytes(settings.map_err(|_| corrupt())?);
    let labels = plan.scope.labels.as_ref();
    let time = labels.and_then(|labels| labels.time.as_ref());
    let time = time.map(|column| column.cql_type.clone());
    let measured = match &plan.measured {
        Reading::Mean(outcome) => Measured::Mean(outcome.clone()),
        Reading::Metric(target) => metric(plan, target, begun, time.as_ref(), now)?,
    };
    Ok(ExperimentFold {
        arms: plan.arms.clone(),
        versions: plan.versions.clone(),
        is_clustered: spec.allocation.unit.is_some(),
        measured,
        time,
        started_ms: spec.started_at.timestamp_millis(),
    })
}

/// Returns the folds of a metric: one for each arm's version, and one for all on the same rows.
fn metric(
    plan: &Plan,
    target: &Target,
    begun: &Begun,
    time: Option<&CqlType>,
    now: i64,
) -> Result<Measured, Failure> {
    let labels = evaluate::labels(&plan.scope, &plan.wish, target).map_err(Failure::input)?;
    let millis = |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    // The scores of all arms and of the pairs share the memory of one evaluation.
    let shares = plan.versions.len() + 1;
    let splits = begun.row.plan.splits.len();
    let fold = |target: Target| EvaluateFold {
        held_out: Vec::new(),
        target,
        labels: labels.clone(),
        time: time.cloned(),
        gap_ms: millis(plan.wish.gap),
        made_before_ms: plan
            .wish
            .mature_after
            .map(|age| now.saturating_sub(millis(age))),
        segment: None,
        split_bytes: room::of_a_split(splits) / shares,
    };
    let of_version = |version: &usize| {
        fold(Target {
            meaning: target.meaning.clone(),
            versions: vec![target.versions[*version].clone()],
        })
    };
    Ok(Measured::Metric {
        arms: plan.versions.iter().map(of_version).collect(),
        paired: (target.versions.len() > 1).then(|| Box::new(fold(target.clone()))),
    })
}

fn warnings(
    plan: &Plan,
    spec: &LookSpec<'_>,
    begun: &Begun,
    found: &Found<ExperimentPart>,
) -> Vec<String> {
    let part = &found.part;
    let mut warnings = Vec::new();
    warnings.extend(pass::resumed(begun, found));
    if plan.wish.labels.time.is_none() {
        warnings.push(
            "leakage_unchecked: without the option label_time, labels from before the start count, and predictions that may have known the outcome"
                .to_owned(),
        );
    }
    let mut count = |rows: u64, text: &str| {
        if rows > 0 {
            warnings.push(text.replace("{}", &rows.to_string()));
        }
    };
    count(
        part.leaked,
        "leaked: {} predictions were made after their label was known; they do not count",
    );
    count(
        part.early,
        "early_labels: {} labels were known before the experiment started; they do not count",
    );
    count(
        part.without_unit,
        "without_unit: {} rows have no value of the unit; the champion serves them",
    );
    count(
        part.unreadable,
        "labels_unreadable: {} outcomes are not finite numbers",
    );
    let unexpected: u64 = part
        .metrics
        .iter()
        .map(|partial| partial.unexpected_rows)
        .sum();
    count(
        unexpected,
        "labels_unexpected: {} labels are nothing that the versions predict; option label_map says what they mean",
    );
    let untimed: u64 = part.metrics.iter().map(|partial| partial.untimed).sum();
    count(
        untimed,
        "untimed: {} labels have no time; they do not count",
    );
    let share = part.units.share();
    if share < 1.0 {
        warnings.push(format!(
            "units_sampled: counts are of a sample of {share} of all units"
        ));
    }
    if spec.experiment.covariate.is_some() {
        let with: u64 = part.with_covariate.iter().map(|arm| arm.n).sum();
        let all: u64 = part.rows.iter().map(|rows| rows[2]).sum();
        if with < all {
            warnings.push(format!(
                "covariate_missing: {with} of {all} outcomes have a prediction from before the start; adjusted differences are of these"
            ));
        }
    }
    let versions: BTreeMap<i32, &str> = spec
        .allocation
        .arms
        .iter()
        .map(|arm| (arm.version, arm.name.as_str()))
        .collect();
    if versions.len() == 1 {
        warnings.push("same_version: all arms are served by one version (an A/A test)".to_owned());
    }
    warnings
}
