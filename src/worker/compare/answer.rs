//! Comparisons that are asked for by rows: `run_requests` with action 'compare'.

use super::{Wish, compare};
use crate::{
    domain::{alias::CHAMPION, problem::Problem},
    failure::Failure,
    store::{Store, answers::Answer, run_requests::RunRequest},
    worker::{jobs, pass, pass::Running},
};

/// Compares the versions that the request names, all that the job names if it names none; the
/// champion is the baseline if it is among them, else the lowest one.
///
/// # Errors
/// As [`compare`]; options that are unknown.
pub async fn answer(store: &Store, request: &RunRequest, job: &str) -> Result<Answer, Failure> {
    let mut options = request.options.clone().unwrap_or_default();
    let (segment, score) = (options.remove("segment"), options.remove("score"));
    if let Some(unknown) = options.keys().next() {
        let message = format!("option `{unknown}` is unknown");
        return Err(Failure::input(
            Problem::new("request.unknown_option", message)
                .help("action `compare` knows segment and score"),
        ));
    }
    let wish = Wish {
        pass: pass::Wish {
            job: job.to_owned(),
            versions: versions(store, request, job).await?,
            segment,
            labels: None,
        },
        score,
        top: 0,
        requested_by: request.requested_by.clone(),
        request_id: Some(request.id),
    };
    let running = Running::new(request.max_rows_per_s);
    compare(store, &wish, &running).await?;
    Ok(Answer {
        answer: "done".to_owned(),
        reason: Some(format!(
            "comparisons has it under comparison_id {}",
            request.id
        )),
        run_id: None,
    })
}

async fn versions(store: &Store, request: &RunRequest, job: &str) -> Result<Vec<String>, Failure> {
    let prepared = jobs::prepare(store, job, None).await?;
    let asked = request
        .versions
        .clone()
        .filter(|versions| !versions.is_empty());
    let all = prepared.job.versions.iter();
    let mut versions: Vec<i32> = match asked {
        Some(asked) => asked.into_iter().collect(),
        None => all.clone().map(|version| version.ready.version).collect(),
    };
    let model = all.map(|version| version.ready.model.as_str()).next();
    let champion = store.alias(model.unwrap_or_default(), CHAMPION).await?;
    if let Some(at) = versions
        .iter()
        .position(|version| Some(*version) == champion)
    {
        versions[..=at].rotate_right(1);
    }
    Ok(versions.iter().map(i32::to_string).collect())
}
