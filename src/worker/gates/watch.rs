//! When gates are judged by whoever leads: not in each round, but when something may have changed.
//!
//! A round without gates is one read, one where nothing changed two: the gates themselves, and a
//! signal that is raised when an evaluation was written or an alias moved. What only time changes
//! (evidence grows old, a cool-down ends) is seen every [`LOOK`], and a move that is under way in
//! each round.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{Round, act, standing};
use crate::{
    domain::gate::GateRow,
    store::{Store, error::StoreError, leases::Watches, signals::EVIDENCE},
};

/// Gates are judged at least so often.
pub const LOOK: Duration = Duration::from_secs(300);

/// What is known since the last look; keep it between rounds.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<Seen>,
    watches: Watches,
}

#[derive(Debug)]
struct Seen {
    gates: Vec<GateRow>,
    signal: Option<Uuid>,
    /// When to look although nothing changed.
    again: Instant,
}

impl Watch {
    /// Judges gates and makes the moves of those that act, if there may be something new.
    ///
    /// # Errors
    /// Cassandra's; the next round looks.
    pub async fn round(&mut self, store: &Store, now: Instant) -> Result<Round, StoreError> {
        let gates = standing(store, None).await?;
        if gates.is_empty() {
            self.seen = None;
            return Ok(Round::default());
        }
        // Read before gates are judged: what happens meanwhile is the next round's.
        let signal = store.signal(EVIDENCE).await?;
        let same = |seen: &Seen| seen.gates == gates && seen.signal == signal && now < seen.again;
        if self.seen.as_ref().is_some_and(same) {
            return Ok(Round::default());
        }
        self.seen = None;
        let round = act(store, &mut self.watches).await?;
        if round.under_way == 0 && round.troubles.is_empty() {
            self.seen = Some(Seen {
                gates,
                signal,
                again: now + LOOK,
            });
        }
        Ok(round)
    }
}
