//! Reads alarms with their acknowledgements.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::alarm::Alarm,
    store::{Store, alarms::acks::AlarmAck, driver::error::StoreError},
};

/// An alarm, and who acknowledged it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownAlarm {
    pub alarm: Alarm,
    pub ack: Option<AlarmAck>,
}

/// Returns the open alarms of all jobs, or of one; the oldest first.
///
/// # Errors
/// Errors of Cassandra.
pub async fn open(store: &Store, job: Option<&str>) -> Result<Vec<KnownAlarm>, StoreError> {
    let mut found = Vec::new();
    for (name, open) in store.open_alarms().await? {
        if open.is_empty() || job.is_some_and(|job| job != name) {
            continue;
        }
        let acks = store.alarm_acks(&name).await?;
        for id in open.into_values() {
            if let Some(alarm) = store.alarm(&name, id).await? {
                found.push(known(alarm, &acks));
            }
        }
    }
    found.sort_by_key(|known| (known.alarm.since, known.alarm.id));
    Ok(found)
}

/// Returns the newest alarms of all jobs, or of one, open and closed; at most `limit` of each job.
///
/// # Errors
/// Errors of Cassandra.
pub async fn newest(
    store: &Store,
    job: Option<&str>,
    limit: i32,
) -> Result<Vec<KnownAlarm>, StoreError> {
    let jobs: BTreeMap<String, _> = store.open_alarms().await?;
    let mut found = Vec::new();
    for name in jobs
        .into_keys()
        .filter(|name| job.is_none_or(|job| job == name))
    {
        let acks = store.alarm_acks(&name).await?;
        let alarms = store.alarms(&name, limit).await?.into_iter();
        found.extend(alarms.map(|alarm| known(alarm, &acks)));
    }
    found.sort_by_key(|known| std::cmp::Reverse((known.alarm.since, known.alarm.id)));
    Ok(found)
}

/// Returns the alarm with this id, of whatever job.
///
/// # Errors
/// Errors of Cassandra.
pub async fn find(store: &Store, id: Uuid) -> Result<Option<KnownAlarm>, StoreError> {
    for job in store.open_alarms().await?.into_keys() {
        if let Some(alarm) = store.alarm(&job, id).await? {
            let acks = store.alarm_acks(&job).await?;
            return Ok(Some(known(alarm, &acks)));
        }
    }
    Ok(None)
}

fn known(alarm: Alarm, acks: &[AlarmAck]) -> KnownAlarm {
    let ack = acks.iter().find(|ack| ack.id == alarm.id).cloned();
    KnownAlarm { alarm, ack }
}
