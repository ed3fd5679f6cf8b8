//! How a process is asked to end its work.

use tokio::sync::watch;

/// How much is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Nothing was asked: work on.
    Nothing,
    /// Claim nothing more; finish what is claimed.
    Drain,
    /// Give back what is claimed, between two batches.
    Leave,
}

/// Seen by everything that works in this process. What was asked is never taken back.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<Asked>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(Asked::Nothing))
    }
}

impl Stop {
    /// Asks; gives what had been asked before.
    pub fn ask(&self, asked: Asked) -> Asked {
        let mut before = Asked::Nothing;
        self.0.send_modify(|standing| {
            before = *standing;
            *standing = before.max(asked);
        });
        before
    }

    /// What stands.
    pub fn asked(&self) -> Asked {
        *self.0.borrow()
    }

    /// Waits until at least `asked` stands.
    pub async fn reaches(&self, asked: Asked) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = seen.wait_for(|standing| *standing >= asked).await;
    }
}
