//! Gives every row of `model_versions` a verdict in `admissions`.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::{
    control::{Controller, Round},
    engine::admission::Service,
    failure::Failure,
    store::Store,
};

/// Longest time that a version registered by CQL waits for its first look.
const PERIOD: Duration = Duration::from_secs(10);

/// Takes short looks in rounds; versions that need longer are examined in the background.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// Kept between rounds, so that leases of crashed workers are noticed.
    service: Option<Service>,
}

impl Controller for Versions {
    fn name(&self) -> &'static str {
        "admission"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn round<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Result<Round, Failure>> {
        async move {
            let began = Instant::now();
            let service = match &mut self.service {
                Some(service) => service,
                none => none.insert(Service::new(store)?),
            };
            let answered = service.sweep(store).await?;
            Ok(Round {
                answered,
                // More versions may have been registered during the sweep.
                again_soon: began.elapsed() > PERIOD / 10,
                ..Round::default()
            })
        }
        .boxed()
    }

    fn is_busy(&self) -> bool {
        self.service.as_ref().is_some_and(Service::has_slow)
    }

    fn background<'a>(&'a mut self, store: &'a Store) -> BoxFuture<'a, Round> {
        async move {
            let verdict = match &mut self.service {
                Some(service) => service.slow_verdict(store).await,
                None => None,
            };
            Round {
                answered: usize::from(verdict == Some(true)),
                ..Round::default()
            }
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(service) = &mut self.service {
                service.finish().await;
            }
        }
        .boxed()
    }
}
