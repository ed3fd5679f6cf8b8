//! Answers rows of `run_requests` with action 'evaluate'.

use super::{EvaluateSpec, evaluate, words};
use crate::{
    domain::{
        answer::RequestAnswer,
        evidence::evaluation::{labels::Wording, target::Question},
        problem::Problem,
        trigger::duration,
    },
    failure::Failure,
    inspect::pass::{self, LabelSpec, Options, Running},
    store::{Store, runs::run_requests::RunRequest},
};

const KNOWN: &str = "action `evaluate` knows labels (needed), versions, positive, column, threshold, segment, label_time, gap, label_map, missing_label, held_out and mature_after, as `helenus evaluate --help` tells them";

/// Evaluates what the request names; the request's id becomes the evaluation's id.
///
/// # Errors
/// Those of [`evaluate`] and [`pass::versions`]; options that are unknown, missing or invalid.
pub async fn answer(
    store: &Store,
    request: &RunRequest,
    job: &str,
) -> Result<RequestAnswer, Failure> {
    let mut options = Options::from_request(request);
    let named = options.take("versions");
    let labels = options.take("labels").ok_or_else(|| {
        let missing = Problem::new("request.missing_option", "option `labels` is missing");
        Failure::input(missing.help("KEYSPACE.TABLE.COLUMN: where labels are"))
    })?;
    let mut wish = spec(job, &labels, &mut options).map_err(Failure::input)?;
    wish.segment = options.take("segment");
    wish.requested_by.clone_from(&request.requested_by);
    wish.request_id = Some(request.id);
    options.end(KNOWN)?;
    wish.versions = pass::versions(store, request, job, named).await?;
    let running = Running::new(request.max_rows_per_s);
    Box::pin(evaluate(store, &wish, &running)).await?;
    Ok(RequestAnswer::done(format!(
        "evaluations has it under evaluation {}",
        request.id
    )))
}

/// Returns the evaluation that options describe, without its versions.
///
/// # Errors
/// An option that is invalid.
pub fn spec(job: &str, labels: &str, options: &mut Options) -> Result<EvaluateSpec, Problem> {
    let (table, column) = words::place(labels)?;
    let thresholds = options.take("threshold").unwrap_or_default();
    let thresholds = split(&thresholds).map(|text| {
        text.parse::<f64>().map_err(|_| {
            Problem::new("evaluate.threshold", format!("invalid threshold `{text}`"))
                .at("threshold")
                .help("numbers, commas between")
        })
    });
    let thresholds: Vec<f64> = thresholds.collect::<Result<_, _>>()?;
    let map = options.take("label_map").unwrap_or_default();
    let gap = span(options, "gap")?;
    let mature_after = span(options, "mature_after")?;
    Ok(EvaluateSpec {
        job: job.to_owned(),
        versions: Vec::new(),
        labels: LabelSpec {
            table,
            column,
            time: options.take("label_time"),
        },
        segment: None,
        question: Question {
            positive: options.take("positive"),
            column: options.take("column"),
            thresholds: words::thresholds(&thresholds)?,
        },
        wording: Wording {
            map: words::label_map(split(&map))?,
            missing: options.take("missing_label"),
        },
        held_out: held_out(options)?,
        gap: gap.unwrap_or_default(),
        mature_after,
        requested_by: None,
        request_id: None,
    })
}

fn held_out(options: &mut Options) -> Result<bool, Problem> {
    match options.take("held_out").as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let message = format!("invalid value `{other}`: use true or false");
            Err(Problem::new("request.option", message).at("held_out"))
        }
    }
}

fn span(options: &mut Options, name: &str) -> Result<Option<std::time::Duration>, Problem> {
    let text = options.take(name);
    let span = text.as_deref().map(duration::parse).transpose();
    span.map_err(|error| Problem::new("request.option", error).at(name))
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}
