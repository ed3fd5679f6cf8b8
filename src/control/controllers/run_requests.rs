//! Answers `run_requests` (run, cancel, check, compare, evaluate, forget) in `answers`.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use chrono::NaiveDate;
use futures::future::{BoxFuture, FutureExt};
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use crate::{
    control::{
        Controller, Opened, Round,
        inbox::Inbox,
        requests::{self, Outcome},
    },
    domain::run::Run,
    failure::Failure,
    store::{Store, runs::request_ids::Requests},
};

/// Requests answered concurrently. Planning a run may wait for a planner that vanished.
const AT_A_TIME: usize = 8;
/// Interval at which a request that waits for the end of a run is checked.
const WAITING: Duration = Duration::from_secs(1);

/// Answers several requests concurrently, in the order of their ids.
pub(super) struct RunRequests {
    inbox: Inbox,
    queue: VecDeque<(NaiveDate, Uuid)>,
    at_a_time: usize,
    tasks: JoinSet<(Uuid, Result<Reconciled, Failure>)>,
    /// Requests that are queued or being answered.
    known: HashSet<Uuid>,
    /// The run that each request waits for. A controller that saw the request wait knows that a
    /// later run began after the request was made.
    behind: HashMap<Uuid, Run>,
}

/// Outcome of one request.
enum Reconciled {
    /// The request is answered; contains the run of the answer, if any.
    Answered(Option<Opened>),
    /// The request waits for the end of this run.
    Behind(Box<Run>),
}

impl Default for RunRequests {
    fn default() -> Self {
        Self {
            inbox: Inbox::new(Requests::Run),
            queue: VecDeque::new(),
            at_a_time: AT_A_TIME,
            tasks: JoinSet::new(),
            known: HashSet::new(),
            behind: HashMap::new(),
        }
    }
}

impl RunRequests {
    fn begin(&mut self, store: &Store) {
        while self.tasks.len() < self.at_a_time
            && let Some((day, id)) = self.queue.pop_front()
        {
            let (store, waited) = (store.clone(), self.behind.get(&id).cloned());
            self.tasks
                .spawn(async move { (id, reconcile(&store, day, id, waited.as_ref()).await) });
        }
    }

    fn take(&mut self, done: Result<(Uuid, Result<Reconciled, Failure>), JoinError>) -> Round {
        let (id, reconciled) = match done {
            Ok(done) => done,
            // A panic is a bug: this process can no longer be trusted.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        self.known.remove(&id);
        let mut round = Round::default();
        match reconciled {
            Ok(Reconciled::Answered(run)) => {
                self.behind.remove(&id);
                self.inbox.settled(id);
                round.answered = 1;
                round.runs.extend(run);
            }
            Ok(Reconciled::Behind(run)) => {
                self.behind.insert(id, *run);
                self.inbox.waits(id, WAITING);
                round.waiting = 1;
            }
            Err(failure) => {
                self.inbox.rest(id);
                round.errors.push(format!("request {id}: {failure}"));
            }
        }
        round
    }
}

impl Controller for RunRequests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            for (day, id) in self.inbox.open(store).await? {
                if self.known.insert(id) {
                    self.queue.push_back((day, id));
                }
            }
            self.begin(store);
            Ok(Round::default())
        }
        .boxed()
    }

    fn is_busy(&self) -> bool {
        !self.tasks.is_empty()
    }

    fn background<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Round> {
        async move {
            let Some(done) = self.tasks.join_next().await else {
                return Round::default();
            };
            let round = self.take(done);
            self.begin(store);
            round
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, ()> {
        async move {
            self.queue.clear();
            while self.tasks.join_next().await.is_some() {}
        }
        .boxed()
    }

    fn wake(&mut self) {
        self.inbox.wake();
    }
}

async fn reconcile(
    store: &Store,
    day: NaiveDate,
    id: Uuid,
    waited: Option<&Run>,
) -> Result<Reconciled, Failure> {
    // If the row is gone, nothing waits for an answer.
    let Some(request) = store.run_request(day, id).await? else {
        return Ok(Reconciled::Answered(None));
    };
    let answered = match requests::answer(store, &request, waited).await? {
        Outcome::Answered(answered) => answered.answer,
        Outcome::Behind(run) => {
            if waited.is_none() {
                tracing::info!(%id, job = run.job, run = %run.run_id, "a request waits for the end of a run that began before it");
            }
            return Ok(Reconciled::Behind(run));
        }
    };
    let (action, job) = (request.action.as_deref(), request.job.as_deref());
    let (answer, reason) = (answered.kind.as_str(), answered.reason.as_deref());
    tracing::info!(%id, action, job, answer, reason, "run request");
    Ok(Reconciled::Answered(answered.run_id.map(|run_id| Opened {
        job: request.job.unwrap_or_default(),
        run_id,
        cause: format!("request {id}"),
    })))
}
