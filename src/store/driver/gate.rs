//! Limits the page reads and prediction writes in flight, over everything that a process does, to
//! as many as [`Limiter`] finds that Cassandra can handle.

use std::{
    future::Future,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use ::metrics::{Gauge, Histogram};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::{Cause, Failed};
use crate::{
    domain::run::limiter::{Limiter, Response, Sample},
    metrics::{self, GaugeGuard, Metric},
};

/// Places in flight for one kind of request.
pub struct Gate {
    operation: &'static str,
    seconds: &'static Metric,
    shown: OnceLock<GateMetrics>,
    places: Semaphore,
    state: Mutex<State>,
    began: Instant,
}

/// Metrics of a gate, looked up once because requests are frequent.
struct GateMetrics {
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

/// A place in flight. Acquire it in the future that sends, right before sending: a place held by a
/// future that waits for its turn behind another place is never released.
pub struct Place<'g> {
    gate: &'g Gate,
    permit: Option<SemaphorePermit<'g>>,
    _in_flight: Option<GaugeGuard>,
}

impl Gate {
    /// Returns a gate for at most `most` concurrent page reads.
    pub fn of_reads(most: usize) -> Self {
        Self::new("read", &metrics::READ_SECONDS, most)
    }

    /// Returns a gate for at most `most` concurrent prediction writes.
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

    /// Waits for a place, in order of arrival.
    pub async fn enter(&self) -> Place<'_> {
        let held = |of: fn(&GateMetrics) -> &Gauge| {
            let shown = self.shown()?;
            Some(GaugeGuard::new(of(shown).clone()))
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

    /// Returns the number of places that exist now.
    pub fn limit(&self) -> usize {
        self.state().granted
    }

    fn learn(&self, latency: std::time::Duration, answer: Response) {
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
            // Places that are taken are removed when they are given back.
            state.granted -= self.places.forget_permits(state.granted - limit);
        }
        drop(state);
        if let Some(shown) = self.shown() {
            shown.limit.set(limit as f64);
        }
    }

    fn shown(&self) -> Option<&GateMetrics> {
        metrics::are_kept().then(|| {
            self.shown.get_or_init(|| GateMetrics {
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
    /// Sends the request. `request` must be the request to Cassandra and nothing else, since its
    /// latency is measured.
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
                Response::Served
            }
            Err(failed) => match failed.cause {
                Cause::Connection | Cause::Other => Response::Other,
                _ => Response::Overloaded,
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
    use crate::store::driver::error::StoreError;

    async fn refused(gate: &Gate) {
        let place = gate.enter().await;
        // So that each was sent after the last was answered.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let failed = Failed {
            cause: Cause::Overloaded,
            error: StoreError::unknown("too much", ""),
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
