//! `alarm_acks`: people's acknowledgements of alarms.

use chrono::{DateTime, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{columns::stored, error::StoreError},
};

const ACKNOWLEDGE: &str = "INSERT INTO alarm_acks (job, id, acknowledged_by, acknowledged_at, note) VALUES (?, ?, ?, ?, ?)";

/// A row of `alarm_acks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmAck {
    pub job: String,
    pub id: Uuid,
    pub acknowledged_by: Option<String>,
    pub acknowledged_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

stored! {
    read struct AckColumns of AlarmAck {
        job: String,
        id: CqlTimeuuid,
        acknowledged_by: Option<String>,
        acknowledged_at: Option<CqlTimestamp>,
        note: Option<String>,
    }
}

impl Store {
    /// Acknowledges an alarm, in the name of `by`.
    pub async fn acknowledge_alarm(
        &self,
        job: &str,
        id: Uuid,
        by: &str,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let values = (job, CqlTimeuuid::from(id), by, Utc::now(), note);
        self.write(ACKNOWLEDGE, values).await
    }

    /// Returns the acknowledgements of a job's alarms.
    pub async fn alarm_acks(&self, job: &str) -> Result<Vec<AlarmAck>, StoreError> {
        self.stored::<AckColumns>("FROM alarm_acks WHERE job = ?", (job,))
            .await
    }
}
