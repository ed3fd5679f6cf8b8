//! `names`: which models, aliases and jobs there are, for listing without a scan of partitions.

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
};

/// `names.kind` of models.
pub const MODEL: &str = "model";
/// `names.kind` of jobs.
pub const JOB: &str = "job";

/// `names.kind` of a model's aliases.
pub fn aliases_of(model: &str) -> String {
    format!("alias/{model}")
}

impl Store {
    /// Notes a name. Twice is as good as once.
    pub async fn note_name(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO names (kind, name) VALUES (?, ?) IF NOT EXISTS";
        match self.apply(INSERT, (kind, name)).await {
            // Whether it arrived shows in the next listing; noting it again changes nothing.
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                self.apply(INSERT, (kind, name)).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// All names of a kind, in order.
    pub async fn names(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self
            .rows("SELECT name FROM names WHERE kind = ?", (kind,))
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}
