//! A request that the worker makes itself, for a gate that acts: served like a person's.

use super::{LEASE, Outcome, Turn, coverage, serve};
use crate::store::{
    Store,
    alias_requests::AliasRequest,
    answers::Answer,
    error::StoreError,
    leases::{Asked, Watches},
};

/// What came of it.
#[derive(Debug)]
pub enum Acted {
    /// It is settled.
    Answered(Answer),
    /// For runs that score what the version lacks.
    Waits,
    /// Another process moves aliases just now: ask again.
    Elsewhere,
}

/// Serves a request that stands in no table of people's. Safe to repeat, and for several processes
/// at once: the alias's history names the request.
///
/// # Errors
/// Cassandra's; the same again finds out what was done.
pub async fn act(
    store: &Store,
    watches: &mut Watches,
    request: &AliasRequest,
) -> Result<Acted, StoreError> {
    let lease = match store.ask_lease(LEASE, watches).await? {
        Asked::Granted(lease) => lease,
        Asked::Held(_) => return Ok(Acted::Elsewhere),
    };
    let turn = serve(store, &lease, request).await;
    lease.release().await?;
    let outcome = match turn? {
        Turn::Answered(outcome) => outcome,
        Turn::Waits(dues) => {
            // Without the lease: planning may take a while, and is safe to do twice.
            for due in &dues {
                if let Some(problem) = coverage::open_run(store, request, due).await? {
                    return Ok(Acted::Answered(Outcome::refused(problem).into()));
                }
            }
            return Ok(Acted::Waits);
        }
    };
    Ok(Acted::Answered(outcome.into()))
}
