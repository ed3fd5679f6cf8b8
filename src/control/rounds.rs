//! Schedules the rounds of a service: a round, a pause, until asked to stop.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::engine::run::stop::{Asked, Stop};

/// The longest pause after failed rounds.
const LONGEST: Duration = Duration::from_secs(30);

/// Decides when the next round is due.
pub(super) struct Rounds {
    service: &'static str,
    stop: Stop,
    period: Duration,
    pause: Duration,
    due: Instant,
}

impl Rounds {
    /// Returns a schedule whose first round is due at once.
    pub fn new(service: &'static str, stop: Stop, period: Duration) -> Self {
        Self {
            service,
            stop,
            period,
            pause: period,
            due: Instant::now(),
        }
    }

    /// Waits for the next round; returns `false` when asked to stop.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            () = sleep_until(self.due) => {}
            () = self.stop.reaches(Asked::Drain) => {}
        }
        self.stop.asked() == Asked::Nothing
    }

    /// Makes the next round due in a second, since there may be more to do.
    pub fn soon(&mut self) {
        self.due = Instant::now() + Duration::from_secs(1);
    }

    /// Schedules the next round after one has ended. A failed round is logged, and repeated after a
    /// growing pause.
    pub fn ended<T, E: Display>(&mut self, outcome: Result<T, E>) {
        match outcome {
            Ok(_) => self.pause = self.period,
            Err(error) => {
                self.pause = (self.pause * 2).clamp(Duration::from_secs(1), LONGEST);
                tracing::warn!(service = self.service, %error, again_in = ?self.pause, "a round failed");
            }
        }
        self.due = Instant::now() + jittered(self.pause);
    }
}

/// Returns `pause` with ±20 % of jitter, so that workers started together do not send their reads
/// together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}
