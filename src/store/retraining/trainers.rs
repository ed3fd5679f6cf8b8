//! `trainers`: the trainers that run, and the names that they serve.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use scylla::value::CqlTimestamp;
use uuid::Uuid;

use crate::{
    process,
    store::{
        Store,
        driver::{columns::stored, error::StoreError},
    },
};

const BEAT: &str = "INSERT INTO trainers (bucket, trainer, process, names, doing, beat_at) VALUES ('all', ?, ?, ?, ?, ?)";
const LEAVE: &str = "DELETE FROM trainers WHERE bucket = 'all' AND trainer = ?";

/// A trainer that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainerRow {
    pub trainer: Uuid,
    /// Its [`process::identity`].
    pub process: String,
    /// The names that its settings map to commands.
    pub names: BTreeSet<String>,
    pub doing: Option<String>,
    pub beat_at: Option<DateTime<Utc>>,
}

stored! {
    read struct TrainerColumns of TrainerRow {
        trainer: Uuid,
        process: Option<String>,
        names: Option<BTreeSet<String>>,
        doing: Option<String>,
        beat_at: Option<CqlTimestamp>,
    }
}

impl Store {
    /// Returns the trainers with a recent heartbeat that are not provably gone.
    pub async fn trainers(&self) -> Result<Vec<TrainerRow>, StoreError> {
        let cql = format!(
            "SELECT {} FROM trainers WHERE bucket = 'all'",
            TrainerColumns::COLUMNS
        );
        let rows: Vec<TrainerColumns> = self.rows(&cql, ()).await?;
        let rows = rows.into_iter().map(TrainerRow::from);
        Ok(rows.filter(|row| !process::is_gone(&row.process)).collect())
    }

    /// Writes this trainer's row; it expires after a minute.
    pub async fn write_trainer(
        &self,
        trainer: Uuid,
        names: &BTreeSet<String>,
        doing: Option<&str>,
    ) -> Result<(), StoreError> {
        let values = (trainer, process::identity(), names, doing, Utc::now());
        self.write(BEAT, values).await
    }

    /// Removes this trainer's row.
    pub async fn leave_trainers(&self, trainer: Uuid) -> Result<(), StoreError> {
        self.write(LEAVE, (trainer,)).await
    }
}
