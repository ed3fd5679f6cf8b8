//! Where this login may only ask: waiting for a worker's answer, and following its run.

use std::time::Duration;

use super::{
    Context,
    model::ask::{Wait, say, silent},
};
use crate::{
    domain::run::Run,
    failure::Failure,
    store::{Store, answers::Answer, run_requests::RunRequest},
    worker::requests::{self, Answered},
};

/// Who answered a request.
pub enum Answering {
    /// This process, which may go on with the work.
    Here(Answered),
    /// A worker; this login may only look.
    Worker(Answer),
}

/// Answers a request here if this login may, or waits for a worker's answer.
///
/// # Errors
/// As [`requests::answer`]; exit 3: nobody answered in time.
pub async fn answered(
    store: &Store,
    context: &Context,
    request: &RunRequest,
    wait: Wait,
) -> Result<Answering, Failure> {
    match requests::answer(store, request).await {
        Ok(answered) => return Ok(Answering::Here(answered)),
        Err(failure) if failure.is("cassandra.denied") => say(
            context,
            &format!(
                "this login may not answer requests; waiting up to {} s for a worker",
                wait.wait
            ),
        ),
        Err(failure) => return Err(failure),
    }
    let deadline = wait.deadline();
    loop {
        if let Some(answer) = store.answer(request.day, request.id).await? {
            return Ok(Answering::Worker(answer));
        }
        if std::time::Instant::now() >= deadline {
            return Err(silent("no answer", wait));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Looks at a run until it has ended. Whoever interrupts this interrupts nothing else.
///
/// # Errors
/// Cassandra's.
pub async fn to_its_end(store: &Store, context: &Context, mut run: Run) -> Result<Run, Failure> {
    let mut told = -1;
    while !run.state.is_terminal() {
        if run.splits_done != told {
            told = run.splits_done;
            let of = match run.splits_total {
                0 => String::new(),
                total => format!(", {told} of {total} splits"),
            };
            say(
                context,
                &format!("run {} is {}{of}; workers do it", run.run_id, run.state),
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(now) = store.run(&run.job, run.run_id).await? {
            run = now;
        }
    }
    Ok(run)
}
