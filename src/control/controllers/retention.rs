//! Removes old runs and their splits.

use std::time::Duration;

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{Controller, Round, retention},
    failure::Failure,
    store::Store,
};

/// Removes runs that are older than `keep_runs`.
pub(super) struct Retention;

impl Controller for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            Ok(Round {
                answered: retention::run_once(store, Utc::now()).await?.runs,
                ..Round::default()
            })
        }
        .boxed()
    }
}
