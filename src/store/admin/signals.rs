//! `signals`: rows that change when there may be something to do, so that a waiting process reads
//! only one row. Nothing depends on them: a lost change costs time, never work.

use uuid::Uuid;

use crate::store::{Store, driver::error::StoreError};

/// Raised when a run was opened.
pub const OPEN_RUNS: &str = "open_runs";
/// Raised when something is to be sent about an alarm.
pub const ALARMS: &str = "alarms";
/// Raised when an evaluation was written or an alias moved: verdicts of gates may change.
pub const EVIDENCE: &str = "evidence";

const READ: &str = "SELECT value FROM signals WHERE name = ?";
const RAISE: &str = "UPDATE signals SET value = ? WHERE name = ? IF value != ?";

impl Store {
    /// Returns the signal's value; a different one than before means that something happened.
    pub async fn signal(&self, name: &str) -> Result<Option<Uuid>, StoreError> {
        let row = self.row::<(Option<Uuid>,)>(READ, (name,)).await?;
        Ok(row.and_then(|(value,)| value))
    }

    /// Changes the signal. An unknown outcome is ignored.
    pub async fn raise(&self, name: &str) -> Result<(), StoreError> {
        let value = Uuid::new_v4();
        self.apply_ignoring_unknown(RAISE, (value, name, value))
            .await
    }
}
