//! Evaluates predictions against labels: one pass over predictions, source and labels, and one row
//! per version in `evaluations`.
//!
//! The evaluation's id is the id of the pass, or of the request that asks for it. A process that
//! resumes after a crash therefore writes the same rows again.

mod answer;
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
    codec::{cql_type::CqlType, schema::Column},
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
    if let Err(problem) = check(&scope, &found) {
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

/// Checks the type of the column that says when a label was known, if there is one.
///
/// # Errors
/// It is neither a timestamp nor a date.
pub fn check_time(scope: &Scope) -> Result<(), Problem> {
    let time = scope
        .labels
        .as_ref()
        .and_then(|labels| labels.time.as_ref());
    let fits = |time: &Column| matches!(time.cql_type.thawed(), CqlType::Timestamp | CqlType::Date);
    let Some(time) = time.filter(|time| !fits(time)) else {
        return Ok(());
    };
    let message = format!("`{}` has type {}", time.name, time.cql_type);
    Err(Problem::new("labels.time_type", message)
        .at("label-time")
        .help("a timestamp, or a date (UTC; its first moment counts)"))
}

/// Checks that the label is not a feature of the models.
///
/// # Errors
/// It is one.
pub fn no_feature(scope: &Scope) -> Result<(), Problem> {
    let Some(labels) = &scope.labels else {
        return Ok(());
    };
    let source = &scope.job.source;
    let same = (&labels.table.keyspace, &labels.table.table) == (&source.keyspace, &source.table);
    let mut read = scope.job.columns[..scope.own_columns].iter();
    if same && read.any(|column| column.name == labels.column.name) {
        let message = format!("`{}` is a feature of the job", labels.column.name);
        return Err(Problem::new("labels.is_feature", message)
            .at("labels")
            .help("a model that is fed the outcome predicts it; name the column that the outcome is in"));
    }
    Ok(())
}

/// Returns how the labels of a scope are read.
///
/// # Errors
/// No labels, or a column or options that do not fit the target.
pub fn labels(scope: &Scope, wish: &EvaluateSpec, target: &Target) -> Result<Labels, Problem> {
    let Some(found) = &scope.labels else {
        return Err(Problem::new("labels.missing", "no labels are named").at("labels"));
    };
    check_time(scope)?;
    if !wish.gap.is_zero() && found.time.is_none() {
        return Err(
            Problem::new("labels.gap", "--gap is counted from the label's time")
                .at("gap")
                .help("name the column that holds it by --label-time"),
        );
    }
    Labels::new(
        &found.column.cql_type,
        wish.wording.clone(),
        target.meaning.clone(),
    )
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

/// Rejects an evaluation without any usable row, or with labels that no version predicts.
fn check(scope: &Scope, found: &Found<Partial>) -> Result<(), Problem> {
    let part = &found.part;
    if part.unexpected_rows > 0 {
        let named: Vec<_> = part
            .unexpected
            .iter()
            .map(|(label, rows)| format!("`{label}` ({rows})"))
            .collect();
        let message = format!(
            "{} labels are nothing that the versions predict: {}",
            part.unexpected_rows,
            named.join(", ")
        );
        return Err(Problem::new("labels.unexpected", message)
            .at("labels")
            .help("say what they mean by --label-map LABEL=CLASS"));
    }
    if part.all.rows > 0 {
        return Ok(());
    }
    let never = scope
        .versions
        .iter()
        .zip(&part.usable)
        .find(|(_, usable)| part.labelled > 0 && usable.missing == part.labelled);
    if let Some((version, _)) = never {
        let message = format!("version {version} has no prediction of any labelled row");
        return Err(Problem::new("evaluate.never_scored", message)
            .at("versions")
            .help(format!("`helenus score {}` makes them", scope.job.job)));
    }
    let message = match (part.labelled, found.stray_labels) {
        (0, 0) => "there are no labels".to_owned(),
        (0, strays) => format!("none of {strays} labels belongs to a source row"),
        (labelled, _) => {
            format!("of {labelled} labelled rows none has a usable prediction of every version")
        }
    };
    let sums = scope.versions.iter().zip(&part.usable).map(|(version, u)| {
        format!(
            "version {version}: {} usable, {} missing, {} rejected, {} stale, {} leaked, {} immature, {} not a number",
            u.usable, u.missing, u.rejected, u.stale, u.leaked, u.immature, u.not_a_number
        )
    });
    let mut help = sums.collect::<Vec<_>>().join("; ");
    if part.untimed > 0 {
        help = format!("{help}; {} labels without a time", part.untimed);
    }
    Err(Problem::new("evaluate.nothing_in_common", message)
        .at("labels")
        .help(help))
}
