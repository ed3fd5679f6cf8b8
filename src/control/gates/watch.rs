//! Decides when the leader judges gates: not in each round, but when something may have changed.
//!
//! A round costs one read without gates, and two if nothing changed: the gates themselves, and a
//! signal that is raised when an evaluation was written or an alias moved. Changes that come with
//! time alone (evidence grows old, a cool-down ends) are found every [`LOOK`], and a move that is
//! under way is checked in each round.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{GateRound, judge_and_move, standing};
use crate::{
    domain::gate::GateRow,
    store::{
        Store,
        admin::{leases::Watches, signals::EVIDENCE},
        driver::error::StoreError,
    },
};

/// Longest interval between two judgements.
pub const LOOK: Duration = Duration::from_secs(300);

/// State since the last look; keep it between rounds.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<LastLook>,
    watches: Watches,
}

#[derive(Debug)]
struct LastLook {
    gates: Vec<GateRow>,
    signal: Option<Uuid>,
    /// When to look again even if nothing changed.
    again: Instant,
}

impl Watch {
    /// Judges gates and makes the moves of those that act, if something may have changed.
    ///
    /// # Errors
    /// Errors of Cassandra; the next round looks again.
    pub async fn round(&mut self, store: &Store, now: Instant) -> Result<GateRound, StoreError> {
        let gates = standing(store, None).await?;
        if gates.is_empty() {
            self.seen = None;
            return Ok(GateRound::default());
        }
        // Read before gates are judged: a change made in between is found by the next round.
        let signal = store.signal(EVIDENCE).await?;
        let same =
            |seen: &LastLook| seen.gates == gates && seen.signal == signal && now < seen.again;
        if self.seen.as_ref().is_some_and(same) {
            return Ok(GateRound::default());
        }
        self.seen = None;
        let round = Box::pin(judge_and_move(store, &mut self.watches)).await?;
        if round.under_way == 0 && round.troubles.is_empty() {
            self.seen = Some(LastLook {
                gates,
                signal,
                again: now + LOOK,
            });
        }
        Ok(round)
    }
}
