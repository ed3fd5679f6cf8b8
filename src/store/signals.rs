//! `signals`: rows that change when there may be something to do, so that whoever waits reads one
//! row. They decide nothing: a change that is lost costs time, never work.

use uuid::Uuid;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};

/// A run was opened.
pub const OPEN_RUNS: &str = "open_runs";
/// An evaluation was written or an alias moved: gates may say something else.
pub const EVIDENCE: &str = "evidence";

const READ: &str = "SELECT value FROM signals WHERE name = ?";
const RAISE: &str = "UPDATE signals SET value = ? WHERE name = ? IF value != ?";

impl Store {
    /// The signal's value; another one than before means that something happened.
    pub async fn signal(&self, name: &str) -> Result<Option<Uuid>, StoreError> {
        let row = self.row::<(Option<Uuid>,)>(READ, (name,)).await?;
        Ok(row.and_then(|(value,)| value))
    }

    /// Changes it. An unknown outcome is left at that.
    pub async fn raise(&self, name: &str) -> Result<(), StoreError> {
        let value = Uuid::new_v4();
        match self.apply(RAISE, (value, name, value)).await {
            Err(error) if error.kind == StoreErrorKind::Unknown => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}
