//! Answers `experiments` in `experiment_status`, and looks at those that run.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::{
    control::{
        Controller, Round,
        experiments::{ExperimentWatch, Looks},
    },
    failure::Failure,
    store::Store,
};

/// Starts and ends experiments in rounds; looks at them in the background.
#[derive(Default)]
pub(super) struct Experiments {
    watch: ExperimentWatch,
    looks: Looks,
}

impl Controller for Experiments {
    fn name(&self) -> &'static str {
        "experiments"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let mut round = self.watch.round(store, Instant::now()).await?;
            let due = self.looks.begin(store, self.watch.jobs()).await;
            round
                .errors
                .extend(due.err().map(|error| error.to_string()));
            Ok(Round {
                answered: round.answered,
                errors: round.errors,
                ..Round::default()
            })
        }
        .boxed()
    }

    fn is_busy(&self) -> bool {
        self.looks.is_busy()
    }

    fn background<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Round> {
        async move {
            let error = self.looks.next().await;
            let begun = self.looks.begin(store, self.watch.jobs()).await;
            let unread = begun.err().map(|error| error.to_string());
            Round {
                errors: error.into_iter().chain(unread).collect(),
                ..Round::default()
            }
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, ()> {
        self.looks.stop().boxed()
    }
}
