//! Opens and closes `alarms`, which follow from rows that are stored.

use std::time::Duration;

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{Controller, Round, alarms::AlarmWatch},
    failure::Failure,
    store::Store,
};

/// Looks for conditions that are alarming.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    watch: AlarmWatch,
}

impl Controller for Alarms {
    fn name(&self) -> &'static str {
        "alarms"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let round = Box::pin(self.watch.round(store, Utc::now())).await?;
            Ok(Round {
                answered: round.opened + round.closed,
                errors: round.errors,
                ..Round::default()
            })
        }
        .boxed()
    }
}
