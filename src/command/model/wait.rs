//! Waiting for a worker's answer where this process can't give it itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;

/// For how long a command waits for somebody else's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// One wait: tells once whom it waits for.
#[derive(Debug)]
pub struct Wait {
    until: Instant,
    told: Option<String>,
}

impl Wait {
    /// Starts now.
    pub fn new() -> Self {
        Self {
            until: Instant::now() + PATIENCE,
            told: None,
        }
    }

    /// Says whom it waits for, once each.
    pub fn tell(&mut self, who: &str) {
        if self.told.as_deref() != Some(who) {
            say(&format!(
                "waiting for {who}, for up to {} s",
                PATIENCE.as_secs()
            ));
            self.told = Some(who.to_owned());
        }
    }

    /// Pauses; `false` when the time is over.
    pub async fn more(&self, pause: Duration) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// To the person, beside the answer.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Whether this login lacks the worker's rights.
pub fn is_denied(failure: &Failure) -> bool {
    let mut problems = failure.problems.iter();
    problems.any(|problem| problem.code == "cassandra.denied")
}
