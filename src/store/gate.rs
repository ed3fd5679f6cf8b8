//! Places in flight for page reads and for prediction writes, shared by everything that a process
//! does: as many as [`Limiter`] finds that Cassandra bears.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use ::metrics::{Gauge, Histogram};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::{Cause, Failed};
use crate::{
    domain::limiter::{Answer, Limiter, Sample},
    metrics::{self, Held, Metric},
};

/// Places in flight for one kind of request.
pub struct Gate {
    operation: &'static str,
    seconds: &'static Metric,
    shown: OnceLock<Shown>,
    places: Semaphore,
    state: Mutex<State>,
    began: Instant,
}

/// Looked up once: requests are many.
struct Shown {
    waiting: Gauge,
    in_flight: Gauge,
    limit: Gauge,
    seconds: Histogram,
}

struct State {
    limiter: Limiter,
    /// Places that exist, free or taken.
    granted: usize,
    taken: usize,
}

/// A place in flight. To be taken by the future that sends, right before it does: a place held by
/// a future that waits for its turn behind another place never comes back.
pub struct Place<'g> {
    gate: &'g Gate,
    permit: Option<SemaphorePermit<'g>>,
    _in_flight: Option<Held>,
}

impl Gate {
    /// At most `most` page reads at a time.
    pub fn of_reads(most: usize) -> Self {
        Self::new("read", &metrics::READ_SECONDS, most)
    }

    /// At most `most` prediction writes at a time.
    pub fn of_writes(most: usize) -> Self {
        Self::new("write", &metrics::WRITE_SECONDS, most)
    }

    fn new(operation: &'static str, seconds: &'static Metric, most: usize) -> Self {
        let limiter = Limiter::new(most);
        let granted = limiter.limit();
        Self {
            operation,
            seconds,
            shown: OnceLock::new(),
            places: Semaphore::new(granted),
            state: Mutex::new(State {
                limiter,
                granted,
                taken: 0,
            }),
            began: Instant::now(),
        }
    }

    /// Waits for a place, in the order of asking.
    pub async fn enter(&self) -> Place<'_> {
        let held = |of: fn(&Shown) -> &Gauge| {
            let shown = self.shown()?;
            Some(Held::new(of(shown).clone()))
        };
        let waiting = held(|shown| &shown.waiting);
        // The semaphore is never closed.
        let permit = self.places.acquire().await.ok();
        drop(waiting);
        self.state().taken += 1;
        Place {
            gate: self,
            permit,
            _in_flight: held(|shown| &shown.in_flight),
        }
    }

    /// Places that exist now.
    pub fn limit(&self) -> usize {
        self.state().granted
    }

    fn learn(&self, latency: std::time::Duration, answer: Answer) {
        let mut state = self.state();
        let sample = Sample {
            at: self.began.elapsed(),
            latency,
            in_flight: state.taken,
            answer,
        };
        state.limiter.learn(sample);
        let limit = state.limiter.limit();
        if limit > state.granted {
            self.places.add_permits(limit - state.granted);
            state.granted = limit;
        } else if limit < state.granted {
            // Those that are taken go as they come back.
            state.granted -= self.places.forget_permits(state.granted - limit);
        }
        drop(state);
        if let Some(shown) = self.shown() {
            shown.limit.set(limit as f64);
        }
    }

    fn shown(&self) -> Option<&Shown> {
        metrics::are_kept().then(|| {
            self.shown.get_or_init(|| Shown {
                waiting: metrics::WAITING.gauge([self.operation]),
                in_flight: metrics::IN_FLIGHT.gauge([self.operation]),
                limit: metrics::LIMIT.gauge([self.operation]),
                seconds: self.seconds.histogram(),
            })
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers only: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Sends: `request` is the request to Cassandra and nothing else.
    pub async fn send<T>(
        self,
        request: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let sent_at = Instant::now();
        let outcome = request.await;
        let latency = sent_at.elapsed();
        let answer = match &outcome {
            Ok(_) => {
                if let Some(shown) = self.gate.shown() {
                    shown.seconds.record(latency);
                }
                Answer::Served
            }
            Err(failed) => match failed.cause {
                Cause::Connection | Cause::Other => Answer::Other,
                _ => Answer::Overloaded,
            },
        };
        self.gate.learn(latency, answer);
        outcome
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.taken -= 1;
        if state.granted > state.limiter.limit()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
            state.granted -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;
    use crate::store::error::{StoreError, StoreErrorKind};

    async fn refused(gate: &Gate) {
        let place = gate.enter().await;
        // So that each was sent after the last was answered.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let failed = Failed {
            cause: Cause::Overloaded,
            error: StoreError {
                kind: StoreErrorKind::Unknown,
                detail: "too much".to_owned(),
                cql: String::new(),
            },
        };
        let outcome: Result<(), Failed> = place.send(async { Err(failed) }).await;
        assert!(outcome.is_err());
    }

    #[tokio::test]
    async fn places_that_are_taken_go_when_they_come_back() {
        let gate = Gate::of_writes(8);
        let held = vec![gate.enter().await, gate.enter().await, gate.enter().await];
        refused(&gate).await;
        assert_eq!(gate.limit(), 4);
        refused(&gate).await;
        // Two places are allowed, three are taken.
        assert_eq!(gate.limit(), 3);
        assert!(gate.enter().now_or_never().is_none());
        drop(held);
        assert_eq!(gate.limit(), 2);
        let both = (gate.enter().now_or_never(), gate.enter().now_or_never());
        assert!(both.0.is_some() && both.1.is_some());
        assert!(gate.enter().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_future_that_is_dropped_gives_its_place_back() {
        let gate = Gate::of_writes(1);
        let never = async {
            let place = gate.enter().await;
            let _: Result<(), Failed> = place.send(std::future::pending()).await;
        };
        assert!(never.now_or_never().is_none());
        assert!(gate.enter().now_or_never().is_some());
    }
}
