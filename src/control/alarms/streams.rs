//! Conditions about streams, from what they report.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::{
    domain::alarm::{
        Condition,
        streams::{OpenEvent, WaitingMember, conditions},
    },
    store::{Store, driver::error::StoreError, streams::events::StreamEvent},
};

/// Returns the conditions of all streams.
///
/// # Errors
/// Errors of Cassandra.
pub(super) async fn stream_conditions(
    store: &Store,
    now: DateTime<Utc>,
) -> Result<Vec<Condition>, StoreError> {
    let members = store.streams().await?;
    let mut jobs: BTreeSet<String> = members.iter().map(|row| row.job.clone()).collect();
    jobs.extend(store.jobs_with_stream_events().await?);
    let mut found = Vec::new();
    for job in jobs {
        let events = store.open_stream_events(&job).await?;
        let events: Vec<OpenEvent<'_>> = events
            .iter()
            .map(|event| OpenEvent {
                is_pause: event.kind == StreamEvent::PAUSED,
                topic: &event.topic,
                what: &event.what,
            })
            .collect();
        let own = members
            .iter()
            .filter(|row| row.job == job && row.state == "waiting");
        let waiting: Vec<WaitingMember<'_>> = own
            .filter_map(|row| {
                Some(WaitingMember {
                    topic: &row.topic,
                    reason: row.reason.as_deref()?,
                    since: row.waiting_since?,
                })
            })
            .collect();
        found.extend(conditions(&job, &events, &waiting, now));
    }
    Ok(found)
}
