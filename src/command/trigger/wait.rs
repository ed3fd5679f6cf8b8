//! A row that was written, and its answer.

use std::time::{Duration, Instant};

use super::{Context, Told, told};
use crate::{
    domain::problem::Problem, failure::Failure, output::Format, store::Store,
    worker::scheduler::Scheduler,
};

/// How long to wait for somebody else.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// How long to wait for a worker, where this login may not answer the row itself
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

/// Answers the row here if this login may, or waits for a worker's answer.
///
/// # Errors
/// Exit 3: nobody answered, or Cassandra. The row stands.
pub async fn answered(
    store: &Store,
    context: &Context,
    (job, name): (&str, &str),
    wait: Wait,
) -> Result<Told, Failure> {
    let until = Instant::now() + Duration::from_secs(wait.wait);
    let mut may_answer = true;
    loop {
        if may_answer {
            match Scheduler::default().answer(store).await {
                Ok(_) => {}
                Err(failure) if failure.is("cassandra.denied") => {
                    may_answer = false;
                    if context.format == Format::Text {
                        eprintln!(
                            "this login may not answer triggers; waiting up to {} s for a worker",
                            wait.wait
                        );
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        let found = told(store, Some(job), Some(name), true).await?;
        if let Some(told) = found.into_iter().find(|told| told.state() != "unanswered") {
            return Ok(told);
        }
        if Instant::now() >= until {
            return Err(Failure::system(
                Problem::new("worker.silent", format!("no answer after {} s", wait.wait)).help(
                    "the row stands: a worker (`helenus worker`) answers it as soon as one runs",
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
