//! `alarm_deliveries`: what is sent to sinks, and whether it arrived.

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::alarm::delivery::{AlarmEvent, Delivery},
    store::{
        Store,
        driver::{columns::Cell, conditional::known, error::StoreError},
    },
};

const COLUMNS: &str = "job, alarm, event, sink, attempts, next_at, error, delivered_at";
const ASK: &str = "INSERT INTO alarm_deliveries (bucket, alarm, event, sink, job, attempts) VALUES ('all', ?, ?, ?, ?, 0) IF NOT EXISTS";
const BEGIN: &str = "UPDATE alarm_deliveries SET attempts = ?, next_at = ? WHERE bucket = 'all' AND alarm = ? AND event = ? AND sink = ? IF attempts = ? AND delivered_at = null";
const FAIL: &str = "UPDATE alarm_deliveries SET next_at = ?, error = ? WHERE bucket = 'all' AND alarm = ? AND event = ? AND sink = ? IF attempts = ? AND delivered_at = null";
const DELIVER: &str = "UPDATE alarm_deliveries SET delivered_at = ?, error = null WHERE bucket = 'all' AND alarm = ? AND event = ? AND sink = ? IF delivered_at = null";

#[derive(DeserializeRow)]
struct DeliveryColumns {
    job: Option<String>,
    alarm: CqlTimeuuid,
    event: String,
    sink: String,
    attempts: Option<i32>,
    next_at: Option<CqlTimestamp>,
    error: Option<String>,
    delivered_at: Option<CqlTimestamp>,
}

impl DeliveryColumns {
    /// Returns `None` for what is left of a row after its time to live, or of a newer helenus.
    fn delivery(self) -> Option<Delivery> {
        Some(Delivery {
            job: self.job?,
            alarm: self.alarm.into(),
            event: AlarmEvent::parse(&self.event)?,
            sink: self.sink,
            attempts: self.attempts?,
            next_at: self.next_at.cell(),
            error: self.error,
            delivered_at: self.delivered_at.cell(),
        })
    }
}

impl Store {
    /// Returns all deliveries of the last two weeks.
    pub async fn alarm_deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM alarm_deliveries WHERE bucket = 'all'");
        let rows: Vec<DeliveryColumns> = self.serial_rows(&cql, ()).await?;
        let rows = rows.into_iter();
        Ok(rows.filter_map(DeliveryColumns::delivery).collect())
    }

    /// Returns the deliveries of one alarm.
    pub async fn deliveries_of(&self, alarm: Uuid) -> Result<Vec<Delivery>, StoreError> {
        let cql =
            format!("SELECT {COLUMNS} FROM alarm_deliveries WHERE bucket = 'all' AND alarm = ?");
        let key = (CqlTimeuuid::from(alarm),);
        let rows: Vec<DeliveryColumns> = self.serial_rows(&cql, key).await?;
        let rows = rows.into_iter();
        Ok(rows.filter_map(DeliveryColumns::delivery).collect())
    }

    /// Asks for a delivery, unless it exists.
    pub async fn ask_alarm_delivery(
        &self,
        job: &str,
        alarm: Uuid,
        event: AlarmEvent,
        sink: &str,
    ) -> Result<(), StoreError> {
        let values = (CqlTimeuuid::from(alarm), event.as_str(), sink, job);
        self.apply_ignoring_unknown(ASK, values).await
    }

    /// Begins the next attempt; if this process crashes, another attempt is due at `next_at`.
    /// Returns `false` if another process began one, or the outcome is unknown.
    pub async fn begin_alarm_delivery(
        &self,
        delivery: &Delivery,
        next_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let values = (
            delivery.attempts + 1,
            next_at,
            CqlTimeuuid::from(delivery.alarm),
            delivery.event.as_str(),
            &delivery.sink,
            delivery.attempts,
        );
        Ok(known(self.apply(BEGIN, values).await)?.unwrap_or(false))
    }

    /// Records the failure of an attempt, and when the next one is due.
    pub async fn fail_alarm_delivery(
        &self,
        delivery: &Delivery,
        error: &str,
        next_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let values = (
            next_at,
            error,
            CqlTimeuuid::from(delivery.alarm),
            delivery.event.as_str(),
            &delivery.sink,
            delivery.attempts + 1,
        );
        self.apply_ignoring_unknown(FAIL, values).await
    }

    /// Records that a sink has accepted the message.
    pub async fn finish_alarm_delivery(
        &self,
        delivery: &Delivery,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let values = (
            now,
            CqlTimeuuid::from(delivery.alarm),
            delivery.event.as_str(),
            &delivery.sink,
        );
        self.apply_ignoring_unknown(DELIVER, values).await
    }
}
