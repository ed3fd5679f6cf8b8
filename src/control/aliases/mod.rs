//! Answers `alias_requests`: promote, rollback, retire.
//!
//! One process at a time does so, under the lease `aliases`: a promotion and the retirement of the
//! same version write to two partitions, and could not exclude each other otherwise. Requests are
//! served in the order of their ids. A change carries its request's id: if a process crashes
//! between change and answer, the next one recognises the request as done.
//!
//! A request that waits for runs (coverage `when_covered`) stays unanswered and is checked again in
//! each round, so it does not delay other requests.

mod act;
mod coverage;
mod due_run;
mod followers;
mod moving;
mod order;
mod retire;
mod understand;

use chrono::{Days, NaiveDate, Utc};

pub use act::{Acted, serve_directly};
pub use coverage::not_covered;
pub use followers::{Follower, followers, runs_of};
pub use understand::Mode;

use crate::{
    domain::{
        answer::{AnswerKind, RequestAnswer},
        problem::Problem,
    },
    store::{
        Store,
        admin::leases::{Asked, Lease, Watches},
        driver::error::{StoreError, StoreErrorKind},
        registry::alias_requests::AliasRequest,
    },
};
use due_run::DueRun;
use order::{DueProof, Proof};
use understand::{AliasChange, understand, untimely};

const LEASE: &str = "aliases";

/// Days for which requests are kept: `default_time_to_live` of their table.
const KEPT: Days = Days::new(30);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AliasRound {
    /// Requests that were answered.
    pub answered: usize,
    /// Requests that wait for a run to end.
    pub waiting: usize,
    /// Another process is answering requests; its answers will arrive without this process.
    pub elsewhere: bool,
}

/// Answers all open requests of yesterday, today and tomorrow (UTC; clients' clocks differ).
/// `watches` must live as long as the process: it records how long another process has been silent.
///
/// # Errors
/// Errors of the store; open requests stay open. [`StoreErrorKind::Denied`]: this login is not
/// permitted to answer; a worker must.
pub async fn run_once(store: &Store, watches: &mut Watches) -> Result<AliasRound, StoreError> {
    run_since(store, watches, today() - Days::new(1)).await
}

/// As [`run_once`], over all days whose requests still exist: also answers requests made while no
/// worker ran, and requests under a wrong day.
///
/// # Errors
/// As [`run_once`].
pub async fn run_all(store: &Store, watches: &mut Watches) -> Result<AliasRound, StoreError> {
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
) -> Result<AliasRound, StoreError> {
    let mut answered = 0;
    loop {
        if open(store, oldest).await?.is_empty() {
            return Ok(AliasRound {
                answered,
                ..AliasRound::default()
            });
        }
        let lease = match store.ask_lease(LEASE, watches).await? {
            Asked::Granted(lease) => lease,
            Asked::Held(_) => {
                return Ok(AliasRound {
                    answered,
                    elsewhere: true,
                    ..AliasRound::default()
                });
            }
        };
        let outcome = answer_all(store, &lease, oldest).await;
        lease.release().await?;
        let (round, dues) = outcome?;
        answered += round.answered;
        let mut has_proven = false;
        // Without the lease: planning and scoring may take a while, and are safe to do twice.
        for (request, due) in &dues {
            match settle(store, request, due).await? {
                Settled::Refused(problem) => {
                    write(store, request, RequestAnswer::refused_for(&problem)).await?;
                    answered += 1;
                }
                Settled::Proven => has_proven = true,
                Settled::Waits => {}
            }
        }
        // What was proven is not due again, so this loop ends.
        if !has_proven {
            return Ok(AliasRound { answered, ..round });
        }
    }
}

/// What a request waits for.
#[derive(Debug)]
enum Due {
    /// A run that scores what the version lacks.
    Run(DueRun),
    /// Expected rows to compare with the version's predictions.
    Proof(DueProof),
}

/// Outcome of working on a [`Due`].
enum Settled {
    /// It is under way.
    Waits,
    /// The request can continue at once.
    Proven,
    Refused(Problem),
}

async fn settle(store: &Store, request: &AliasRequest, due: &Due) -> Result<Settled, StoreError> {
    Ok(match due {
        Due::Run(due) => match due_run::open_run(store, request, due).await? {
            Some(problem) => Settled::Refused(problem),
            None => Settled::Waits,
        },
        // Boxed: it compiles a job and scores rows.
        Due::Proof(due) => match Box::pin(order::prove(store, request, due)).await? {
            Proof::Noted => Settled::Proven,
            Proof::Later => Settled::Waits,
            Proof::Refused(problem) => Settled::Refused(problem),
        },
    })
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
) -> Result<(AliasRound, Vec<(AliasRequest, Due)>), StoreError> {
    let mut round = AliasRound::default();
    let mut dues = Vec::new();
    // Read again: requests that were open before this process got the lease may have been answered
    // meanwhile.
    for request in open(store, oldest).await? {
        lease.check()?;
        let outcome = match serve(store, lease, &request).await {
            Ok(Turn::Answered(outcome)) => outcome,
            Ok(Turn::Waits(runs)) => {
                round.waiting += 1;
                dues.extend(runs.into_iter().map(|due| (request.clone(), due)));
                continue;
            }
            // One request that cannot be served must not block the others.
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                RequestAnswer::refused_for(&Problem::new("store.corrupt", error.to_string()))
            }
            Err(error) => return Err(error),
        };
        write(store, &request, outcome).await?;
        round.answered += 1;
    }
    Ok((round, dues))
}

async fn write(
    store: &Store,
    request: &AliasRequest,
    outcome: RequestAnswer,
) -> Result<(), StoreError> {
    tracing::info!(id = %request.id, action = request.action, model = request.model, answer = outcome.kind.as_str(), reason = outcome.reason, "alias request");
    store
        .insert_answer(request.day, request.id, &outcome)
        .await
        .map(drop)
}

/// Outcome of one look at a request.
enum Turn {
    Answered(RequestAnswer),
    /// The request waits for these.
    Waits(Vec<Due>),
}

async fn serve(store: &Store, lease: &Lease, request: &AliasRequest) -> Result<Turn, StoreError> {
    let done = |outcome| Ok(Turn::Answered(outcome));
    if let Some(outcome) = untimely(request) {
        // The request has expired, but runs for it are under way.
        let runs = match outcome.kind {
            AnswerKind::Expired => runs_of(store, request).await?,
            _ => Vec::new(),
        };
        if runs.is_empty() {
            return done(outcome);
        }
    }
    let (model, wish) = match understand(request) {
        Ok(understood) => understood,
        Err(problem) => return done(RequestAnswer::refused_for(&problem)),
    };
    match wish {
        AliasChange::Promote(alias, version, mode) => {
            moving::promote(store, lease, request, model, alias, Some(version), mode).await
        }
        AliasChange::Rollback(alias, mode) => {
            moving::promote(store, lease, request, model, alias, None, mode).await
        }
        AliasChange::Retire(version) => done(retire::retire(store, request, model, version).await?),
    }
}
