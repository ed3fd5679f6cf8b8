//! Validates every revision of `jobs` and writes the answer to `job_status`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};

use crate::{
    control::{Controller, Round, jobs},
    failure::Failure,
    store::Store,
};

/// Sweeps all jobs.
pub(super) struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "jobs"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            Ok(Round {
                answered: jobs::run_once(store).await?,
                ..Round::default()
            })
        }
        .boxed()
    }
}
