//! `names`: the models, aliases and jobs that exist, so that listing them needs no scan of
//! partitions.

use super::error::StoreError;
use crate::store::Store;

/// `names.kind` of models.
pub const MODEL: &str = "model";
/// `names.kind` of jobs.
pub const JOB: &str = "job";

/// Returns the `names.kind` of a model's aliases.
pub fn aliases_of(model: &str) -> String {
    format!("alias/{model}")
}

impl Store {
    /// Records a name. Safe to repeat.
    pub async fn note_name(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO names (kind, name) VALUES (?, ?) IF NOT EXISTS";
        // Writing it again tells as much as reading it back would.
        let again = async { self.apply(INSERT, (kind, name)).await.map(Some) };
        let noted = self.apply_or_read_back(INSERT, (kind, name), again);
        noted.await.map(drop)
    }

    /// Returns all names of a kind, in order.
    pub async fn names(&self, kind: &str) -> Result<Vec<String>, StoreError> {
        let rows: Vec<(String,)> = self
            .rows("SELECT name FROM names WHERE kind = ?", (kind,))
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}
