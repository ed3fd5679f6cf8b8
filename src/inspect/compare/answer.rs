//! Answers rows of `run_requests` with action 'compare'.

use super::{CompareSpec, compare};
use crate::{
    domain::answer::RequestAnswer,
    failure::Failure,
    inspect::pass::{self, Options, Running},
    store::{Store, runs::run_requests::RunRequest},
};

/// Compares the versions that the request names.
///
/// # Errors
/// Those of [`compare`] and [`pass::versions`]; unknown options.
pub async fn answer(
    store: &Store,
    request: &RunRequest,
    job: &str,
) -> Result<RequestAnswer, Failure> {
    let mut options = Options::from_request(request);
    let words = options.take("versions");
    let (segment, score) = (options.take("segment"), options.take("score"));
    options.end("action `compare` knows versions, segment and score")?;
    let wish = CompareSpec {
        pass: pass::PassSpec {
            job: job.to_owned(),
            versions: pass::versions(store, request, job, words).await?,
            segment,
            labels: None,
        },
        score,
        top: 0,
        requested_by: request.requested_by.clone(),
        request_id: Some(request.id),
    };
    let running = Running::new(request.max_rows_per_s);
    Box::pin(compare(store, &wish, &running)).await?;
    Ok(RequestAnswer::done(format!(
        "comparisons has it under comparison_id {}",
        request.id
    )))
}
