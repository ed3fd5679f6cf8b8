//! The rhythm of a service: a round, a pause, until asked to stop.

use std::{fmt::Display, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::worker::run::stop::{Asked, Stop};

/// The longest pause after failed rounds.
const LONGEST: Duration = Duration::from_secs(30);

/// When the next round is due.
pub(super) struct Rounds {
    service: &'static str,
    stop: Stop,
    period: Duration,
    pause: Duration,
    due: Instant,
}

impl Rounds {
    /// The first one is due at once.
    pub fn new(service: &'static str, stop: Stop, period: Duration) -> Self {
        Self {
            service,
            stop,
            period,
            pause: period,
            due: Instant::now(),
        }
    }

    /// Waits for the next round; `false` when asked to stop.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            () = sleep_until(self.due) => {}
            () = self.stop.reaches(Asked::Drain) => {}
        }
        self.stop.asked() == Asked::Nothing
    }

    /// How it went. A failed round is told, and repeated after a growing pause.
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

/// Workers that were started together must not ask together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}
