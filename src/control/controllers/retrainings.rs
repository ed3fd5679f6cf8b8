//! Answers `retrainings`: asks trainers, and leads each trained version to its verdict.

use std::time::Duration;

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{Controller, Round, retraining},
    failure::Failure,
    store::{Store, admin::leases::Watches},
};

/// Works on requests for trainings. An evaluation is made within a round: it holds up retrainings
/// only.
#[derive(Debug, Default)]
pub(super) struct Retrainings {
    watches: Watches,
}

impl Controller for Retrainings {
    fn name(&self) -> &'static str {
        "retrainings"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let watches = &mut self.watches;
            let round = Box::pin(retraining::run_once(store, watches, Utc::now())).await?;
            Ok(Round {
                answered: round.answered,
                runs: round.runs,
                waiting: round.waiting,
                errors: round.errors,
                ..Round::default()
            })
        }
        .boxed()
    }
}
