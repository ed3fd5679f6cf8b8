//! How a process is asked to stop its work.

use tokio::sync::watch;

/// What a process is asked to do, in ascending urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// Continue working.
    Nothing,
    /// Claim nothing more; finish what is claimed.
    Drain,
    /// Release what is claimed, between two batches.
    Leave,
}

/// The stop request, shared by all tasks of this process. A request is never withdrawn.
#[derive(Debug, Clone)]
pub struct Stop(watch::Sender<Asked>);

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(Asked::Nothing))
    }
}

impl Stop {
    /// Raises the request to `asked` and returns the previous one.
    pub fn ask(&self, asked: Asked) -> Asked {
        let mut before = Asked::Nothing;
        self.0.send_modify(|standing| {
            before = *standing;
            *standing = before.max(asked);
        });
        before
    }

    /// Returns the current request.
    pub fn asked(&self) -> Asked {
        *self.0.borrow()
    }

    /// Waits until the request is at least `asked`.
    pub async fn reaches(&self, asked: Asked) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = seen.wait_for(|standing| *standing >= asked).await;
    }
}
