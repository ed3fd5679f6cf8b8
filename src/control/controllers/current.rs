//! Keeps the tables of current predictions at the champion.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::{
    control::{Controller, Opened, Round, current::Watch},
    failure::Failure,
    store::Store,
};

/// Plans a run wherever the champion or the job has changed.
#[derive(Debug, Default)]
pub(super) struct CurrentTables {
    watch: Watch,
}

impl Controller for CurrentTables {
    fn name(&self) -> &'static str {
        "current"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let round = self.watch.round(store, Instant::now()).await?;
            let runs = round.planned.into_iter().map(|run| Opened {
                job: run.job,
                run_id: run.run_id,
                cause: "current predictions".to_owned(),
            });
            Ok(Round {
                runs: runs.collect(),
                errors: round.troubles,
                ..Round::default()
            })
        }
        .boxed()
    }
}
