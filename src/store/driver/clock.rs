//! Reads Cassandra's clock, and compares it with this machine's.

use chrono::{DateTime, TimeDelta, Utc};
use scylla::value::CqlTimeuuid;

use super::error::StoreError;
use crate::{domain::run::run_id, store::Store};

const ASK: &str = "SELECT now() FROM system.local";

impl Store {
    /// Returns one coordinator's time.
    pub async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let row: Option<(CqlTimeuuid,)> = self.row(ASK, ()).await?;
        row.and_then(|(now,)| run_id::time_100ns(now.into()))
            .and_then(|ticks| DateTime::from_timestamp_micros((ticks / 10) as i64))
            .ok_or_else(|| StoreError::corrupt("now() gave no time", ASK))
    }

    /// Returns how far this machine's clock is ahead of one coordinator's, at least: the part that
    /// the duration of the request may explain is left out. Negative: behind.
    pub async fn clock_ahead(&self) -> Result<TimeDelta, StoreError> {
        let asked = Utc::now();
        let theirs = self.now().await?;
        let answered = Utc::now();
        Ok(if theirs < asked {
            asked - theirs
        } else if theirs > answered {
            answered - theirs
        } else {
            TimeDelta::zero()
        })
    }
}
