//! `retrainings`: when and how models are trained again, as written by users.

pub mod requests;
pub mod trainers;
pub mod trainings;

use chrono::{DateTime, Utc};
use scylla::{SerializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::retraining::RetrainingRow,
    store::{
        Store,
        driver::{
            columns::{insert, stored},
            error::StoreError,
        },
    },
};

const START: &str = "UPDATE retrainings SET start = ? WHERE model = ? AND name = ?";
const PAUSE: &str = "UPDATE retrainings SET paused = ? WHERE model = ? AND name = ?";
const REMOVE: &str = "UPDATE retrainings SET removed = true WHERE model = ? AND name = ?";

stored! {
    read write struct RetrainingColumns of RetrainingRow {
        model: String,
        name: String,
        job: Option<String>,
        trainer: Option<String>,
        labels: Option<String>,
        label_time: Option<String>,
        cron: Option<String>,
        time_zone: Option<String>,
        on_alarm: Option<String>,
        labelled_rows: Option<i64>,
        start: Option<CqlTimeuuid>,
        window: Option<String>,
        held_out: Option<f64>,
        seed: Option<i64>,
        min_rows: Option<i64>,
        max_rows: Option<i64>,
        challenger: Option<String>,
        gate: Option<String>,
        segment: Option<String>,
        paused: Option<bool>,
        removed: Option<bool>,
        created_by: Option<String>,
        note: Option<String>,
    }
}

#[derive(SerializeRow)]
struct PutRetraining {
    #[scylla(flatten)]
    row: RetrainingColumns,
    created_at: DateTime<Utc>,
}

impl Store {
    /// Returns all retrainings. Reads all partitions.
    pub async fn retrainings(&self) -> Result<Vec<RetrainingRow>, StoreError> {
        self.stored::<RetrainingColumns>("FROM retrainings", ())
            .await
    }

    pub async fn retraining(
        &self,
        model: &str,
        name: &str,
    ) -> Result<Option<RetrainingRow>, StoreError> {
        self.one_stored::<RetrainingColumns>(
            "FROM retrainings WHERE model = ? AND name = ?",
            (model, name),
        )
        .await
    }

    /// Writes all columns of a retraining, and replaces what was stored.
    pub async fn put_retraining(&self, row: &RetrainingRow) -> Result<(), StoreError> {
        let columns = format!("{}, created_at", RetrainingColumns::COLUMNS);
        let put = PutRetraining {
            row: row.into(),
            created_at: Utc::now(),
        };
        self.write(&insert("retrainings", &columns), put).await
    }

    /// Asks for a training by hand; `start` identifies it.
    pub async fn start_retraining(
        &self,
        model: &str,
        name: &str,
        start: Uuid,
    ) -> Result<(), StoreError> {
        let values = (CqlTimeuuid::from(start), model, name);
        self.write(START, values).await
    }

    /// Pauses or resumes a retraining; a paused one starts by hand only.
    pub async fn pause_retraining(
        &self,
        model: &str,
        name: &str,
        paused: bool,
    ) -> Result<(), StoreError> {
        self.write(PAUSE, (paused, model, name)).await
    }

    /// Marks a retraining as removed. Its row is kept for later reference.
    pub async fn remove_retraining(&self, model: &str, name: &str) -> Result<(), StoreError> {
        self.write(REMOVE, (model, name)).await
    }
}
