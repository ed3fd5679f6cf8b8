//! `changed_keys`: what applications say has changed.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, Utc};
use uuid::Uuid;

use crate::{
    domain::{
        run_id,
        trigger::{Key, decide::Hints},
    },
    store::{Store, error::StoreError},
};

/// Keys of a run over keys; with more of them the whole source is walked.
pub const KEYS: usize = 500;
/// Hints read at a time.
const ROWS: usize = 2_000;
/// The TTL of hints, days.
const KEPT: u64 = 7;

/// A timeuuid that comes after all hints written up to `at`.
pub fn cursor_at(job: &str, at: DateTime<Utc>) -> Uuid {
    let ticks = at.timestamp_micros().max(0) as u64 * 10;
    run_id::derive(job, "changed_keys", ticks)
}

/// The hints after `cursor`. Those that are no key count as nothing.
pub async fn read(
    store: &Store,
    job: &str,
    cursor: Uuid,
    now: DateTime<Utc>,
) -> Result<Hints, StoreError> {
    let ticks = run_id::time_100ns(cursor).unwrap_or_default();
    let since = DateTime::from_timestamp_micros((ticks / 10) as i64).unwrap_or(now);
    let today = now.date_naive();
    let oldest = (today - Days::new(KEPT)).max(since.date_naive());
    let (mut keys, mut rows, mut last) = (BTreeSet::<Key>::new(), 0, cursor);
    let mut first = None;
    // Tomorrow, too: applications' clocks differ.
    for day in oldest
        .iter_days()
        .take_while(|day| *day <= today + Days::new(1))
    {
        let limit = (ROWS - rows) as i32;
        for hint in store.changed_keys(job, day, cursor, limit).await? {
            rows += 1;
            if first.is_none() {
                first = hint.time();
            }
            last = hint.at;
            keys.extend(hint.key);
        }
        if rows >= ROWS {
            break;
        }
    }
    let is_all = rows < ROWS && keys.len() <= KEYS;
    Ok(Hints {
        count: keys.len() as u64,
        oldest: first,
        // A run over everything sees to those that were not read, too.
        cursor: if is_all { last } else { cursor_at(job, now) }.to_string(),
        keys: is_all.then(|| keys.into_iter().collect()),
    })
}
