//! Health that the long-running worker reports to a supervisor or an orchestrator.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Silence after which a loop counts as stuck. One turn may wait for Cassandra for as long as reads
/// are retried and a last request may take (30 s each by default).
pub const SILENCE: Duration = Duration::from_secs(120);

/// Whether the worker's loop turns, and whether it takes work.
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
    /// Records one turn of the loop.
    pub fn beat(&self) {
        self.state().beat = Instant::now();
    }

    /// Records that the worker is connected and agrees with the keyspace's settings, or why not.
    /// Call it whenever that changes.
    pub fn ready(&self, ready: Result<(), String>) {
        self.state().ready = ready;
    }

    /// Records that no new work is taken; this is final.
    pub fn draining(&self) {
        self.state().draining = true;
    }

    /// Returns the state for `/live`.
    ///
    /// # Errors
    /// For how long the loop has been silent.
    pub fn is_live(&self) -> Result<(), String> {
        liveness(self.state().beat.elapsed())
    }

    /// Returns the state for `/ready`.
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
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
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
