//! Serves requests that the worker makes itself, for a gate that acts, like those of users.

use super::{LEASE, Settled, Turn, serve, settle};
use crate::{
    domain::answer::RequestAnswer,
    store::{
        Store,
        admin::leases::{Asked, Watches},
        driver::error::StoreError,
        registry::alias_requests::AliasRequest,
    },
};

/// Outcome of serving such a request.
#[derive(Debug)]
pub enum Acted {
    /// The request is settled.
    Answered(RequestAnswer),
    /// The request waits for runs that score what the version lacks, or for expected rows.
    Waits,
    /// Another process moves aliases at the moment: ask again.
    Elsewhere,
}

/// Serves a request that is not stored in any user-written table. It is safe to repeat, and safe
/// for several processes at the same time: the alias's history names the request.
///
/// # Errors
/// Errors of Cassandra; repeating the request finds out what was done.
pub async fn serve_directly(
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
            // Without the lease: planning and scoring may take a while, and are safe to do twice.
            for due in &dues {
                if let Settled::Refused(problem) = settle(store, request, due).await? {
                    return Ok(Acted::Answered(RequestAnswer::refused_for(&problem)));
                }
            }
            return Ok(Acted::Waits);
        }
    };
    Ok(Acted::Answered(outcome))
}
