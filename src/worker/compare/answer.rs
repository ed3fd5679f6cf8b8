//! Comparisons that are asked for by rows: `run_requests` with action 'compare'.

use super::{Wish, compare};
use crate::{
    failure::Failure,
    store::{Store, answers::Answer, run_requests::RunRequest},
    worker::pass::{self, Options, Running},
};

/// Compares the versions that the request names.
///
/// # Errors
/// As [`compare`] and [`pass::versions`]; options that are unknown.
pub async fn answer(store: &Store, request: &RunRequest, job: &str) -> Result<Answer, Failure> {
    let mut options = Options::of(request);
    let words = options.take("versions");
    let (segment, score) = (options.take("segment"), options.take("score"));
    options.end("action `compare` knows versions, segment and score")?;
    let wish = Wish {
        pass: pass::Wish {
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
