//! Judges `gates` by their evidence; gates configured to act move their alias.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::{
    control::{Controller, Round, gates::Watch},
    failure::Failure,
    store::Store,
};

/// Judges gates when something may have changed.
#[derive(Debug, Default)]
pub(super) struct Gates {
    watch: Watch,
}

impl Controller for Gates {
    fn name(&self) -> &'static str {
        "gates"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let round = self.watch.round(store, Instant::now()).await?;
            Ok(Round {
                answered: round.settled,
                waiting: round.under_way,
                errors: round.troubles,
                ..Round::default()
            })
        }
        .boxed()
    }
}
