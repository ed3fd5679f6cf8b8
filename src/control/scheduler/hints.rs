//! Reads `changed_keys`: the rows that applications report as changed.

use chrono::{DateTime, Days, Utc};

use crate::{
    domain::trigger::{
        decide::Hints,
        hinted::{Hint, HintCursor},
    },
    store::{Store, driver::error::StoreError},
};

/// Time to live of hints, in days.
const KEPT: u64 = 7;

/// Returns the cursor of a trigger that begins now. Existing hints fire nothing; hints that arrive
/// from now on are new, whatever their `at`.
pub async fn begin(store: &Store, job: &str, now: DateTime<Utc>) -> Result<HintCursor, StoreError> {
    let cursor = HintCursor::new(now);
    let hints = rows(store, job, &cursor, now).await?;
    Ok(cursor.begin(&hints, now))
}

/// Returns the hints that are new to `cursor`. Hints that are not keys do not count.
pub async fn read(
    store: &Store,
    job: &str,
    cursor: &mut HintCursor,
    now: DateTime<Utc>,
) -> Result<Hints, StoreError> {
    let hints = rows(store, job, cursor, now).await?;
    Ok(cursor.find_new(&hints, now))
}

async fn rows(
    store: &Store,
    job: &str,
    cursor: &HintCursor,
    now: DateTime<Utc>,
) -> Result<Vec<Hint>, StoreError> {
    let today = now.date_naive();
    // Also yesterday and tomorrow, since the day depends on the client's clock and time zone.
    let (yesterday, tomorrow) = (today - Days::new(1), today + Days::new(1));
    let oldest = cursor.since().date_naive().min(yesterday);
    let oldest = oldest.max(today - Days::new(KEPT));
    let mut hints = Vec::new();
    for day in oldest.iter_days().take_while(|day| *day <= tomorrow) {
        let limit = cursor.limit() - hints.len();
        if limit == 0 {
            break;
        }
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        hints.extend(store.changed_keys(job, day, cursor.first(), limit).await?);
    }
    Ok(hints)
}
