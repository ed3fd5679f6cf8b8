//! Asking by a row: a command writes it, answers it in this process if its login may, and otherwise
//! waits for the answer of a worker.

use std::time::{Duration, Instant};

use super::Context;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    output::{self, Format},
    store::Store,
};

/// The code of what a login is not permitted to do.
const DENIED: &str = "cassandra.denied";

/// How long to wait for a worker.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// How long to wait for a worker, where this process cannot answer by itself
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

impl Wait {
    fn deadline(self) -> Instant {
        Instant::now() + Duration::from_secs(self.wait)
    }
}

/// A row that was written, and how its answer comes about.
pub trait Intent {
    /// The answer.
    type Answer;

    /// What this login would have to be permitted to do, such as "answer alias requests".
    fn what(&self) -> &'static str;

    /// Answers the row in this process.
    ///
    /// # Errors
    /// `cassandra.denied`: this login must leave it to a worker. Any other error ends the command.
    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<Self::Answer>, Failure>;

    /// The answer that a worker has written.
    ///
    /// # Errors
    /// Cassandra's.
    async fn answer(&mut self, store: &Store) -> Result<Option<Self::Answer>, Failure>;

    /// Whether workers are at it, so that waiting longer is worthwhile.
    ///
    /// # Errors
    /// Cassandra's.
    async fn is_under_way(&mut self, _store: &Store) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Nobody answered in time.
    fn silence(&self, wait: Wait) -> Problem {
        Problem::new("worker.silent", format!("no answer after {} s", wait.wait))
            .help("the request remains: a worker (`helenus worker`) answers it as soon as one runs")
    }
}

/// What this process could do about a row.
pub enum Reconciled<A> {
    /// It is answered.
    Answered(A),
    /// Some of the work is done: the time to wait begins again.
    Advanced,
    /// It waits for something, which a person may want to know.
    Waits(Option<String>),
    /// This process cannot, for this reason; a worker may.
    Unable(String),
}

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This process, which is then permitted to do the work, too.
    ThisProcess,
    /// A worker.
    Worker,
}

/// Answers the row here if this login may, or waits for a worker's answer.
///
/// # Errors
/// As [`Intent::reconcile`]; exit 3: no answer in time. The row remains.
pub async fn ask<I: Intent>(
    store: &Store,
    context: &Context,
    intent: &mut I,
    wait: Wait,
) -> Result<(I::Answer, By), Failure> {
    let mut deadline = wait.deadline();
    let mut here = true;
    let mut said = None;
    loop {
        if here {
            // Some reconcile a whole run: a large future, deep in the calls of the command.
            match Box::pin(intent.reconcile(store)).await {
                Ok(Reconciled::Answered(answer)) => return Ok((answer, By::ThisProcess)),
                Ok(Reconciled::Advanced) => {
                    deadline = wait.deadline();
                    continue;
                }
                Ok(Reconciled::Waits(why)) => {
                    if let Some(why) = why.filter(|why| said.as_ref() != Some(why)) {
                        say(context, &why);
                        said = Some(why);
                    }
                }
                Ok(Reconciled::Unable(why)) => {
                    here = false;
                    say(
                        context,
                        &format!("{why}; waiting up to {} s for a worker", wait.wait),
                    );
                }
                Err(failure) if failure.is(DENIED) => {
                    here = false;
                    let (login, what) = (login(context), intent.what());
                    say(
                        context,
                        &format!(
                            "{login} is not permitted to {what}; waiting up to {} s for a worker",
                            wait.wait
                        ),
                    );
                }
                Err(failure) => return Err(failure),
            }
        }
        if let Some(answer) = intent.answer(store).await? {
            return Ok((answer, By::Worker));
        }
        if Instant::now() >= deadline {
            if !intent.is_under_way(store).await? {
                return Err(Failure::system(intent.silence(wait)));
            }
            deadline = wait.deadline();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Tells a person what is waited for.
pub fn say(context: &Context, what: &str) {
    if context.format == Format::Text {
        output::tell(what);
    }
}

fn login(context: &Context) -> String {
    match &context.config.username {
        Some(name) => format!("role `{name}`"),
        None => "this login".to_owned(),
    }
}
