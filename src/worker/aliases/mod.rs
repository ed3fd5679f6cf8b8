//! Answers `alias_requests`: promote, rollback, retire.
//!
//! One process at a time does it, under the lease `aliases`: a promotion and the retirement of the
//! same version touch two partitions and could not exclude each other otherwise. Requests are
//! served in the order of their ids. A change carries its request's id, so that a process which
//! dies between change and answer leaves a request that the next one recognises as done.
//!
//! A request that waits for runs (coverage `when_covered`) stays unanswered and is looked at again
//! each round, so that it keeps nobody else waiting.

mod act;
mod coverage;
mod moving;
mod retire;
mod understand;

use chrono::{Days, NaiveDate, Utc};
use uuid::Uuid;

pub use act::{Acted, act};
pub use coverage::{Follower, followers, not_covered, runs_of};
pub use understand::Mode;

use crate::{
    domain::problem::Problem,
    store::{
        Store,
        alias_requests::AliasRequest,
        answers::Answer,
        error::{StoreError, StoreErrorKind},
        leases::{Asked, Lease, Watches},
    },
};
use coverage::Due;
use understand::{Wish, understand, untimely};

/// The lease's name.
const LEASE: &str = "aliases";

/// For how long requests stand: `default_time_to_live` of their table.
const KEPT: Days = Days::new(30);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Requests that got their answer.
    pub answered: usize,
    /// Requests that wait for a run to end.
    pub waiting: usize,
    /// Another process is at it: its answers come without us.
    pub elsewhere: bool,
}

/// Answers all open requests of yesterday, today and tomorrow (UTC: people's clocks differ).
/// `watches` must live as long as the process: it remembers how long another one has been silent.
///
/// # Errors
/// As the store has them; open requests stay open. [`StoreErrorKind::Denied`]: this login may not
/// answer, a worker must.
pub async fn run_once(store: &Store, watches: &mut Watches) -> Result<Round, StoreError> {
    run_since(store, watches, today() - Days::new(1)).await
}

/// As [`run_once`], over all days whose requests still stand: what was asked while no worker ran,
/// and what stands under a wrong day.
///
/// # Errors
/// As [`run_once`].
pub async fn run_all(store: &Store, watches: &mut Watches) -> Result<Round, StoreError> {
    run_since(store, watches, today() - KEPT).await
}

/// As [`run_once`], from an earlier day on.
///
/// # Errors
/// As [`run_once`].
async fn run_since(
    store: &Store,
    watches: &mut Watches,
    oldest: NaiveDate,
) -> Result<Round, StoreError> {
    if open(store, oldest).await?.is_empty() {
        return Ok(Round::default());
    }
    let lease = match store.ask_lease(LEASE, watches).await? {
        Asked::Granted(lease) => lease,
        Asked::Held(_) => {
            return Ok(Round {
                elsewhere: true,
                ..Round::default()
            });
        }
    };
    let outcome = answer_all(store, &lease, oldest).await;
    lease.release().await?;
    let (mut round, dues) = outcome?;
    // Without the lease: planning may take a while, and is safe to do twice.
    for (request, due) in &dues {
        if let Some(problem) = coverage::open_run(store, request, due).await? {
            write(store, request, Outcome::refused(problem)).await?;
            round.answered += 1;
        }
    }
    Ok(round)
}

pub(super) fn today() -> NaiveDate {
    Utc::now().date_naive()
}

async fn open(store: &Store, oldest: NaiveDate) -> Result<Vec<AliasRequest>, StoreError> {
    let mut requests = Vec::new();
    for day in oldest
        .iter_days()
        .take_while(|day| *day <= today() + Days::new(1))
    {
        requests.extend(store.open_alias_requests(day).await?);
    }
    Ok(requests)
}

async fn answer_all(
    store: &Store,
    lease: &Lease,
    oldest: NaiveDate,
) -> Result<(Round, Vec<(AliasRequest, Due)>), StoreError> {
    let mut round = Round::default();
    let mut dues = Vec::new();
    // Read again: what was open before the lease was ours may have been answered meanwhile.
    for request in open(store, oldest).await? {
        lease.check()?;
        let outcome = match serve(store, lease, &request).await {
            Ok(Turn::Answered(outcome)) => outcome,
            Ok(Turn::Waits(runs)) => {
                round.waiting += 1;
                dues.extend(runs.into_iter().map(|due| (request.clone(), due)));
                continue;
            }
            // One request that can't be served must not keep the others waiting.
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                Outcome::refused(Problem::new("store.corrupt", error.to_string()))
            }
            Err(error) => return Err(error),
        };
        write(store, &request, outcome).await?;
        round.answered += 1;
    }
    Ok((round, dues))
}

async fn write(store: &Store, request: &AliasRequest, outcome: Outcome) -> Result<(), StoreError> {
    tracing::info!(id = %request.id, action = request.action, model = request.model, answer = outcome.answer, reason = outcome.reason, "alias request");
    store
        .insert_answer(request.day, request.id, &outcome.into())
        .await
        .map(drop)
}

/// What one look at a request came to.
enum Turn {
    Answered(Outcome),
    /// For runs; these must be opened first.
    Waits(Vec<Due>),
}

/// An answer to be.
struct Outcome {
    answer: &'static str,
    reason: String,
    /// The run on which an alias moved.
    run_id: Option<Uuid>,
}

impl Outcome {
    fn done(reason: String) -> Self {
        Self {
            answer: "done",
            reason,
            run_id: None,
        }
    }

    fn refused(problem: Problem) -> Self {
        Self {
            answer: "refused",
            reason: problem.line(),
            run_id: None,
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self {
            answer: outcome.answer.to_owned(),
            reason: Some(outcome.reason),
            run_id: outcome.run_id,
        }
    }
}

async fn serve(store: &Store, lease: &Lease, request: &AliasRequest) -> Result<Turn, StoreError> {
    let done = |outcome| Ok(Turn::Answered(outcome));
    if let Some(outcome) = untimely(request) {
        // Old by now, and under way all the same.
        let runs = match outcome.answer {
            "expired" => runs_of(store, request).await?,
            _ => Vec::new(),
        };
        if runs.is_empty() {
            return done(outcome);
        }
    }
    let (model, wish) = match understand(request) {
        Ok(understood) => understood,
        Err(problem) => return done(Outcome::refused(problem)),
    };
    match wish {
        Wish::Promote(alias, version, mode) => {
            moving::promote(store, lease, request, model, alias, Some(version), mode).await
        }
        Wish::Rollback(alias, mode) => {
            moving::promote(store, lease, request, model, alias, None, mode).await
        }
        Wish::Retire(version) => done(retire::retire(store, request, model, version).await?),
    }
}
