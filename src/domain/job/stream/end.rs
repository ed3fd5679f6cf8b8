//! The message that ends the predictions of a run.

use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::message::{EncodedMessage, RUN};
use crate::domain::run::{Counts, Run, RunState};

/// Header of messages that are not predictions: what they tell.
pub const EVENT: &str = "helenus-event";
/// [`EVENT`]: all predictions of a run have been sent.
pub const RUN_END: &str = "run-end";

#[derive(Serialize)]
struct Body<'a> {
    event: &'static str,
    job: &'a str,
    run_id: String,
    job_revision: i32,
    state: RunState,
    reason: Option<&'a str>,
    #[serde(flatten)]
    counts: &'a Counts,
}

/// Returns the message that tells that all predictions of a run have been sent. `counts` and the
/// rest are as the run's row will say them.
pub fn run_end(
    run: &Run,
    state: RunState,
    reason: Option<&str>,
    counts: &Counts,
) -> EncodedMessage {
    let run_id: Uuid = run.run_id;
    let body = Body {
        event: RUN_END,
        job: &run.job,
        run_id: run_id.to_string(),
        job_revision: run.job_revision,
        state,
        reason,
        counts,
    };
    EncodedMessage {
        key: json!({"run_id": run_id.to_string()})
            .to_string()
            .into_bytes(),
        value: serde_json::to_vec(&body).expect("texts and numbers have a JSON form"),
        headers: vec![(EVENT, RUN_END.to_owned()), (RUN, run_id.to_string())],
    }
}
