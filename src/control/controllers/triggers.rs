//! Answers the rows of `triggers` in `trigger_status`, and fires them when they are due.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{
        Controller, Opened, Round,
        scheduler::{self, Scheduler},
    },
    failure::Failure,
    store::Store,
};

/// Serves due triggers in the background; the next leader finds whatever was interrupted.
#[derive(Default)]
pub(super) struct Triggers {
    scheduler: Scheduler,
}

impl Controller for Triggers {
    fn name(&self) -> &'static str {
        "triggers"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move { Ok(self.scheduler.run_once(store).await?.into()) }.boxed()
    }

    fn is_busy(&self) -> bool {
        self.scheduler.is_busy()
    }

    fn background<'a>(&'a mut self, _store: &'a Store) -> BoxFuture<'a, Round> {
        async move { self.scheduler.next_served().await.into() }.boxed()
    }
}

impl From<scheduler::TriggerRound> for Round {
    fn from(round: scheduler::TriggerRound) -> Self {
        let runs = round.fired.into_iter().map(|fired| Opened {
            job: fired.job,
            run_id: fired.run_id,
            cause: format!("trigger `{}`", fired.trigger),
        });
        Self {
            answered: round.answered,
            runs: runs.collect(),
            errors: round.troubles,
            ..Self::default()
        }
    }
}
