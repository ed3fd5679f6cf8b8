//! Answers `alias_requests` (promote, rollback, retire) in `answers`.

use std::time::Duration;

use chrono::{Days, Utc};
use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{Controller, Round, aliases, inbox::Inbox},
    failure::Failure,
    store::{Store, admin::leases::Watches, runs::request_ids::Requests},
};

/// Pause before a request that waits for a run is checked again.
const WAITING: Duration = Duration::from_secs(2);

/// Answers alias requests in the order of their ids, one process at a time.
pub(super) struct AliasRequests {
    inbox: Inbox,
    watches: Watches,
}

impl Default for AliasRequests {
    fn default() -> Self {
        Self {
            inbox: Inbox::new(Requests::Alias),
            watches: Watches::default(),
        }
    }
}

impl Controller for AliasRequests {
    fn name(&self) -> &'static str {
        "aliases"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let open = self.inbox.open(store).await?;
            if open.is_empty() {
                return Ok(Round::default());
            }
            let yesterday = Utc::now().date_naive() - Days::new(1);
            let round = if open.iter().all(|(day, _)| *day >= yesterday) {
                aliases::run_once(store, &mut self.watches).await?
            } else {
                aliases::run_all(store, &mut self.watches).await?
            };
            // Most requests are answered by now; a promotion may still wait for a run.
            for (_, id) in open {
                self.inbox.waits(id, WAITING);
            }
            Ok(Round {
                answered: round.answered,
                waiting: round.waiting,
                ..Round::default()
            })
        }
        .boxed()
    }

    fn wake(&mut self) {
        self.inbox.wake();
    }
}
