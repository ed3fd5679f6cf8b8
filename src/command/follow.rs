//! Run requests of a login that is only permitted to ask: waits for a worker's answer and follows its
//! run.

use std::time::{Duration, Instant};

use super::{
    Context,
    ask::{self, Intent, Reconciled, Wait, say},
};
use crate::{
    control::requests::{self, Answered, Outcome},
    domain::{answer::RequestAnswer, run::Run},
    failure::Failure,
    inspect::status::waits_for,
    store::{Store, runs::run_requests::RunRequest},
};

/// Who answered a request.
pub enum Answering {
    /// This process, which can also do the work.
    Here(Answered),
    /// A worker; this login is only permitted to read.
    Worker(RequestAnswer),
    /// Not answered yet: the request waits for the end of a run that began before it.
    Behind {
        /// The run.
        run: Box<Run>,
        /// Whether this process is permitted to work on it.
        here: bool,
    },
}

/// Pause between two checks whether a request waits for a run.
const LOOK: Duration = Duration::from_secs(1);

/// Answers a request here if this login is permitted to, or waits for a worker's answer. `waited`: the run that
/// it was [`Answering::Behind`] before.
///
/// # Errors
/// As [`requests::answer`]; exit 3: nobody answered in time.
pub async fn answered(
    store: &Store,
    context: &Context,
    request: &RunRequest,
    waited: Option<&Run>,
    wait: Wait,
) -> Result<Answering, Failure> {
    let mut asking = RunIntent {
        request,
        waited,
        looked: Instant::now(),
    };
    Ok(ask::ask(store, context, &mut asking, wait).await?.0)
}

struct RunIntent<'r> {
    request: &'r RunRequest,
    waited: Option<&'r Run>,
    /// For a run that the request waits for.
    looked: Instant,
}

impl Intent for RunIntent<'_> {
    type Answer = Answering;

    fn what(&self) -> &'static str {
        "answer run requests"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<Answering>, Failure> {
        let outcome = requests::answer(store, self.request, self.waited).await?;
        Ok(Reconciled::Answered(match outcome {
            Outcome::Answered(answered) => Answering::Here(answered),
            Outcome::Behind(run) => Answering::Behind { run, here: true },
        }))
    }

    async fn answer(&mut self, store: &Store) -> Result<Option<Answering>, Failure> {
        let (day, id) = (self.request.day, self.request.id);
        if let Some(answer) = store.answer(day, id).await? {
            return Ok(Some(Answering::Worker(answer)));
        }
        // A worker answers at once, unless there is something to wait for.
        if self.looked.elapsed() < LOOK {
            return Ok(None);
        }
        self.looked = Instant::now();
        let run = waits_for(store, self.request).await?;
        Ok(run.map(|run| Answering::Behind {
            run: Box::new(run),
            here: false,
        }))
    }
}

/// Follows a run until it has ended. Interrupting this does not affect the run.
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
                &format!(
                    "run {} is {}{of}; workers are scoring it",
                    run.run_id, run.state
                ),
            );
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(now) = store.run(&run.job, run.run_id).await? {
            run = now;
        }
    }
    Ok(run)
}
