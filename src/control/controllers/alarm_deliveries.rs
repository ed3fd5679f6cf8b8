//! Sends `alarm_deliveries` to their sinks.

use std::time::Duration;

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{
        Controller, Round,
        alarms::deliver::{Attempt, Deliverer},
    },
    failure::Failure,
    store::Store,
};

/// Sends in the background: no sink holds up the leader.
#[derive(Debug, Default)]
pub(super) struct AlarmDeliveries {
    deliverer: Deliverer,
}

impl Controller for AlarmDeliveries {
    fn name(&self) -> &'static str {
        "alarm_deliveries"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            self.deliverer.round(store, Utc::now()).await?;
            Ok(Round::default())
        }
        .boxed()
    }

    fn is_busy(&self) -> bool {
        self.deliverer.is_busy()
    }

    fn background<'a>(&'a mut self, _: &'a Store) -> BoxFuture<'a, Round> {
        async move {
            let ended = self.deliverer.next().await;
            let error = ended
                .as_ref()
                .and_then(|Attempt { error, .. }| error.clone());
            Round {
                answered: usize::from(ended.is_some() && error.is_none()),
                errors: error.into_iter().collect(),
                ..Round::default()
            }
        }
        .boxed()
    }
}
