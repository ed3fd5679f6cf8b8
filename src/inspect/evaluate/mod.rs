//! Evaluates predictions against labels: one pass over predictions, source and labels, and one row
//! per version in `evaluations`.
//!
//! The evaluation's id is the id of the pass, or of the request that asks for it. A process that
//! resumes after a crash therefore writes the same rows again.

mod answer;
mod check;
mod fold;
mod rows;
mod warnings;
pub mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::pass::{self, Begun, Found, LabelSpec, Running, Scope};
use crate::{
    domain::{
        evidence::evaluation::{
            labels::{Labels, Wording},
            partial::Partial,
            report::{self, OneResult},
            room,
            target::{Question, Target},
        },
        problem::Problem,
        retraining::held_out::HeldOut,
    },
    failure::Failure,
    store::{
        Store,
        admin::signals::EVIDENCE,
        driver::{codec, error::StoreErrorKind},
    },
};
pub use answer::{answer, spec};
use check::check_found;
pub use check::{check_time, labels, no_feature};
pub use fold::EvaluateFold;
pub use rows::task;
use warnings::warnings;

/// A request for an evaluation.
#[derive(Debug, Clone)]
pub struct EvaluateSpec {
    pub job: String,
    /// Numbers or aliases; the first is the baseline of the others.
    pub versions: Vec<String>,
    /// Where the labels are.
    pub labels: LabelSpec,
    /// A source column whose values are the segments.
    pub segment: Option<String>,
    /// Positive class, column, thresholds.
    pub question: Question,
    /// How labels are interpreted.
    pub wording: Wording,
    /// Predictions must have been made this long before the label's time.
    pub gap: Duration,
    /// Younger predictions do not count: their labels may still come.
    pub mature_after: Option<Duration>,
    /// Count only rows that the trainers of these versions did not see, as the versions' tags say
    /// ([`HeldOut`]); such rows need no time of labels.
    pub held_out: bool,
    /// Who asked for it.
    pub requested_by: Option<String>,
    /// The id of the request that asks; it becomes the evaluation's id.
    pub request_id: Option<Uuid>,
}

/// The result of an evaluation.
#[derive(Debug)]
pub struct Evaluated {
    pub id: Uuid,
    /// When the pass began: the result may be that old.
    pub at: DateTime<Utc>,
    /// The scope that was evaluated.
    pub scope: Arc<Scope>,
    /// What was evaluated of each version.
    pub target: Target,
    /// What the pass found, with the counts that belong to no version.
    pub found: Found<Partial>,
    /// Results in the order of the scope's versions.
    pub results: Vec<OneResult>,
    /// The name of the headline metric.
    pub headline: &'static str,
    /// Whether every prediction that counts was made before its label's time.
    pub leakage: Leakage,
    /// Warnings for readers of the result.
    pub warnings: Vec<String>,
    /// Whether the rows were stored in `evaluations`.
    pub stored: bool,
}

/// Whether predictions may have known the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leakage {
    /// Each was made before its label's time.
    Checked,
    /// The time at which labels were known was not given.
    Unchecked,
    /// The trainers did not see the rows.
    HeldOut,
}

impl Leakage {
    /// Returns the value of `evaluations.leakage`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checked => "checked",
            Self::Unchecked => "leakage_unchecked",
            Self::HeldOut => "held_out",
        }
    }
}

/// What is fixed for all splits when the pass begins.
#[derive(Serialize, Deserialize)]
struct Settings {
    /// Milliseconds since 1970.
    now: i64,
}

/// Evaluates the versions and stores the result.
///
/// # Errors
/// Those of [`Scope::resolve`] and [`pass::run`]; a question that these versions or labels can't
/// answer (exit 2); nothing in common (exit 2).
pub async fn evaluate(
    store: &Store,
    wish: &EvaluateSpec,
    running: &Running,
) -> Result<Evaluated, Failure> {
    let scope = pass::PassSpec {
        job: wish.job.clone(),
        versions: wish.versions.clone(),
        segment: wish.segment.clone(),
        labels: Some(wish.labels.clone()),
    };
    let scope = Arc::new(Box::pin(Scope::resolve(store, &scope)).await?);
    no_feature(&scope).map_err(Failure::input)?;
    let target =
        Target::resolve(&scope.job, &scope.versions, &wish.question).map_err(Failure::input)?;
    let labels = labels(&scope, wish, &target).map_err(Failure::input)?;
    let held_out = held_out(store, wish, &scope).await?;
    let mut options = options(wish);
    if !held_out.is_empty() {
        let tags: Vec<_> = held_out.iter().map(|held_out| held_out.to_tag()).collect();
        options.insert("held_out".to_owned(), tags.join(","));
    }
    // Where the job has a history, it supplies predictions that were made in time but replaced
    // since. The history table is an option, so that it identifies the pass and is stored with the
    // result.
    options.extend(
        scope
            .past
            .as_ref()
            .map(|past| ("history".to_owned(), past.to_string())),
    );
    let settings = async {
        let now = Utc::now().timestamp_millis();
        Ok(codec::encode(&Settings { now }))
    };
    let asked = json!(options);
    let begun = pass::begin(store, &scope, "evaluate", &asked, settings).await?;
    let fold = Arc::new(fold(&scope, wish, &target, (labels, held_out), &begun)?);
    let mut found = pass::run(store, &scope, &begun, &fold, running).await?;
    found.part.settle();
    if let Err(problem) = check_found(&scope, &found) {
        // Labels may be fixed before the same evaluation is requested again; that must be another
        // pass.
        pass::end(store, &begun, &found.large).await?;
        return Err(Failure::input(problem));
    }
    let independent = scope.job.key.len() == scope.job.partition_key_len;
    let mut evaluated = Evaluated {
        id: wish.request_id.unwrap_or(begun.id()),
        at: begun.at(),
        results: report::results(&found.part, &target, independent),
        headline: report::headline(&found.part),
        leakage: match wish.labels.time {
            _ if wish.held_out => Leakage::HeldOut,
            Some(_) => Leakage::Checked,
            None => Leakage::Unchecked,
        },
        warnings: warnings(&scope, &begun, &found, wish),
        scope,
        target,
        found,
        stored: false,
    };
    evaluated
        .warnings
        .extend(warnings::of_bins(&evaluated.results));
    evaluated.stored = write(store, &evaluated, wish, &options).await?;
    pass::end(store, &begun, &evaluated.found.large).await?;
    Ok(evaluated)
}

async fn write(
    store: &Store,
    evaluated: &Evaluated,
    wish: &EvaluateSpec,
    options: &BTreeMap<String, String>,
) -> Result<bool, Failure> {
    for row in rows::rows(evaluated, wish, options) {
        match store.insert_evaluation(&row).await {
            Err(error) if error.kind == StoreErrorKind::Denied => return Ok(false),
            outcome => outcome?,
        }
    }
    // Without the signal, gates are judged a few minutes later.
    if let Err(error) = store.raise(EVIDENCE).await {
        tracing::debug!(%error, "workers were not notified of the evaluation");
    }
    Ok(true)
}

/// Returns the options that identify the pass: identical requests share it. They are stored with
/// the result.
fn options(wish: &EvaluateSpec) -> BTreeMap<String, String> {
    let EvaluateSpec {
        question, wording, ..
    } = wish;
    let thresholds: Vec<_> = question.thresholds.iter().map(f64::to_string).collect();
    let map: Vec<_> = wording
        .map
        .iter()
        .map(|(a, b)| format!("{a}={b}"))
        .collect();
    let seconds = |duration: Duration| duration.as_secs().to_string();
    [
        ("positive", question.positive.clone()),
        ("column", question.column.clone()),
        ("threshold", Some(thresholds.join(","))),
        ("label_map", Some(map.join(","))),
        ("missing_label", wording.missing.clone()),
        ("label_time", wish.labels.time.clone()),
        (
            "gap_seconds",
            Some(seconds(wish.gap)).filter(|gap| gap != "0"),
        ),
        ("mature_after_seconds", wish.mature_after.map(seconds)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| !v.is_empty())?)))
    .collect()
}

/// Returns which rows count: those that every version's trainer held out.
async fn held_out(
    store: &Store,
    wish: &EvaluateSpec,
    scope: &Scope,
) -> Result<Vec<HeldOut>, Failure> {
    let input = |message: String, help: &str| {
        let problem = Problem::new("evaluate.held_out", message).at("held-out");
        Failure::input(problem.help(help))
    };
    if !wish.held_out {
        return Ok(Vec::new());
    }
    if wish.labels.time.is_some() {
        return Err(input(
            "rows that were held out need no time of labels".to_owned(),
            "leave out --label-time or --held-out",
        ));
    }
    let mut found: Vec<HeldOut> = Vec::new();
    let model = scope.job.versions.first();
    let model = model.map_or("", |version| version.ready.model.as_str());
    for version in &scope.versions {
        let row = store.version(model, *version).await?;
        let tags = row.and_then(|row| row.tags).unwrap_or_default();
        let of_version = HeldOut::of_tags(&tags)
            .map_err(|error| input(format!("version {version}: {error}"), "push it again"))?;
        found.extend(of_version.filter(|held_out| !found.contains(held_out)));
    }
    if found.is_empty() {
        return Err(input(
            "no version was trained with rows held out".to_owned(),
            "`helenus retraining` makes such versions; others need --label-time",
        ));
    }
    Ok(found)
}

fn fold(
    scope: &Arc<Scope>,
    wish: &EvaluateSpec,
    target: &Target,
    (labels, held_out): (Labels, Vec<HeldOut>),
    begun: &Begun,
) -> Result<EvaluateFold, Failure> {
    let settings: Settings = codec::decode(&begun.row.plan.settings).map_err(|error| {
        let message = format!("the pass's settings can't be read: {error}");
        Failure::system(Problem::new("pass.corrupt", message))
    })?;
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let time = scope
        .labels
        .as_ref()
        .and_then(|labels| labels.time.as_ref());
    Ok(EvaluateFold {
        target: target.clone(),
        labels,
        held_out,
        time: time.map(|column| column.cql_type.clone()),
        gap_ms: millis(wish.gap),
        made_before_ms: wish
            .mature_after
            .map(|age| settings.now.saturating_sub(millis(age))),
        segment: scope.segment.as_ref().map(|s| s.column.cql_type.clone()),
        split_bytes: room::of_a_split(begun.row.plan.splits.len()),
    })
}
