//! What the long-running worker says of itself to whoever runs it (a supervisor, an orchestrator).

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// A loop that was silent for longer is stuck. One turn may wait for Cassandra for as long as
/// reads are tried again and a last request may take (30 s each by default).
pub const SILENCE: Duration = Duration::from_secs(120);

/// Whether the worker turns its loop, and whether it may be given work.
#[derive(Debug)]
pub struct Health(Mutex<State>);

#[derive(Debug)]
struct State {
    beat: Instant,
    ready: Result<(), String>,
    draining: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self(Mutex::new(State {
            beat: Instant::now(),
            ready: Err("starting".to_owned()),
            draining: false,
        }))
    }
}

impl Health {
    /// The loop has turned once more.
    pub fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// Connected and in agreement with the keyspace's settings, or why not. To be said again
    /// whenever it changes.
    pub fn ready(&self, ready: Result<(), String>) {
        self.state().ready = ready;
    }

    /// From here on no new work is taken; there is no way back.
    pub fn draining(&self) {
        self.state().draining = true;
    }

    /// For `/live`.
    ///
    /// # Errors
    /// For how long the loop has been silent.
    pub fn is_live(&self) -> Result<(), String> {
        liveness(self.state().beat.elapsed())
    }

    /// For `/ready`.
    ///
    /// # Errors
    /// Why the worker takes no work.
    pub fn is_ready(&self) -> Result<(), String> {
        let state = self.state();
        match state.draining {
            true => Err("draining".to_owned()),
            false => state.ready.clone(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change is one assignment: a panic elsewhere leaves nothing half done.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn liveness(silent: Duration) -> Result<(), String> {
    if silent <= SILENCE {
        return Ok(());
    }
    Err(format!(
        "the loop has not turned for {} s",
        silent.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_ready_from_when_it_says_so_until_it_drains() {
        let health = Health::default();
        assert_eq!(health.is_ready(), Err("starting".to_owned()));
        health.ready(Ok(()));
        assert_eq!(health.is_ready(), Ok(()));
        health.ready(Err("no node answers".to_owned()));
        assert_eq!(health.is_ready(), Err("no node answers".to_owned()));
        health.ready(Ok(()));
        health.draining();
        health.ready(Ok(()));
        assert_eq!(health.is_ready(), Err("draining".to_owned()));
    }

    #[test]
    fn a_loop_that_stands_still_is_not_live() {
        assert_eq!(Health::default().is_live(), Ok(()));
        assert_eq!(liveness(SILENCE), Ok(()));
        assert_eq!(
            liveness(SILENCE + Duration::from_secs(1)),
            Err("the loop has not turned for 121 s".to_owned())
        );
    }
}
