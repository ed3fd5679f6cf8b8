//! Detects new hints in `changed_keys`.
//!
//! A hint's `at` is the time of a node's clock, or of a client's that generates timeuuids. Clocks
//! differ, and a client may be slow, so the order of `at` differs from the order of arrival, and a
//! plain cursor would miss late hints. A [`HintCursor`] therefore reaches back by [`LATE`] and
//! remembers which later hints it has seen, including those in the future.
//!
//! This memory is bounded. If hints come faster, the cursor moves up, and a run over all pending
//! rows is due [`LATE`] afterwards: it finds the rows of hints that arrived behind the cursor
//! meanwhile.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{Key, decide::Hints};
use crate::domain::run::run_id;

/// Maximum delay of a hint's arrival after its `at`.
pub const LATE: TimeDelta = TimeDelta::hours(1);
/// Maximum number of remembered hints.
pub const MAX_SEEN: usize = 2_000;
/// Maximum number of new hints per read; if there are more, a run over all pending rows follows.
pub const MAX_NEW: usize = 4_000;
/// Maximum size of the keys of a run over keys, names included. They are stored with the run.
pub const MAX_KEY_BYTES: usize = 256 << 10;
/// Maximum time by which a hint's `at` may be ahead before it is not trusted.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// A row of `changed_keys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Its clustering key within the day.
    pub at: Uuid,
    /// The key as an application wrote it, if it did.
    pub key: Option<Key>,
}

impl Hint {
    /// Returns the time in `at`, in microseconds since 1970.
    fn micros(&self) -> i64 {
        let ticks = run_id::time_100ns(self.at).unwrap_or_default();
        i64::try_from(ticks / 10).unwrap_or(i64::MAX)
    }

    fn hash(&self) -> u64 {
        xxh3_64(self.at.as_bytes())
    }
}

/// The hints of a job that a trigger has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HintCursor {
    /// All hints up to here are seen, in microseconds since 1970.
    since: i64,
    /// Hashes of later hints that are seen.
    seen: BTreeSet<u64>,
    /// When a run over all pending rows is due for hints that may have arrived behind `since`.
    again: Option<DateTime<Utc>>,
    /// When a hint from the future was first seen for which there was no run.
    ahead: Option<DateTime<Utc>>,
}

/// The form of `trigger_status.cursor`.
#[derive(Serialize, Deserialize)]
struct Written {
    since: i64,
    /// 16 hexadecimal digits each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    seen: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    again: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ahead: Option<i64>,
}

impl HintCursor {
    /// Returns a cursor that has seen all hints older than [`LATE`].
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            since: (now - LATE).timestamp_micros(),
            seen: BTreeSet::new(),
            again: None,
            ahead: None,
        }
    }

    /// Returns the cursor of a new trigger that ignores `hints`, which are [all existing
    /// ones](HintCursor::find_new) or [`HintCursor::limit`] of them.
    pub fn begin(&self, hints: &[Hint], now: DateTime<Utc>) -> Self {
        let is_all = hints.len() < self.limit();
        Self {
            again: None,
            ..self.after(hints, is_all, true, now)
        }
    }

    /// Parses what [`HintCursor::to_text`] wrote. Earlier versions of helenus wrote the `at` of the
    /// newest hint, which may be years ahead.
    pub fn parse(text: &str, now: DateTime<Utc>) -> Option<Self> {
        if let Ok(newest) = text.parse::<Uuid>() {
            let newest = Hint {
                at: newest,
                key: None,
            };
            return Some(Self {
                since: newest.micros().min(now.timestamp_micros()),
                ..Self::new(now)
            });
        }
        let written: Written = serde_json::from_str(text).ok()?;
        let (hashes, _) = written.seen.as_bytes().as_chunks::<16>();
        let hash = |digits: &[u8; 16]| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
        Some(Self {
            since: written.since,
            seen: hashes.iter().filter_map(hash).collect(),
            again: written.again.and_then(DateTime::from_timestamp_millis),
            ahead: written.ahead.and_then(DateTime::from_timestamp_millis),
        })
    }

    /// Returns the form of `trigger_status.cursor`.
    pub fn to_text(&self) -> String {
        let written = Written {
            since: self.since,
            seen: self
                .seen
                .iter()
                .map(|hash| format!("{hash:016x}"))
                .collect(),
            again: self.again.map(|at| at.timestamp_millis()),
            ahead: self.ahead.map(|at| at.timestamp_millis()),
        };
        // Numbers and texts always serialise.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Returns the first `at` that may be new.
    pub fn first(&self) -> Uuid {
        run_id::first_at(
            u64::try_from(self.since)
                .unwrap_or_default()
                .saturating_mul(10),
        )
    }

    /// Returns the time of [`HintCursor::first`].
    pub fn since(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.since).unwrap_or_default()
    }

    /// Returns how many hints to read, so that [`MAX_NEW`] new ones are among them.
    pub fn limit(&self) -> usize {
        self.seen.len() + MAX_NEW
    }

    /// Returns the new ones of the hints from [`HintCursor::first`] on (all of them or
    /// [`HintCursor::limit`]), with the cursor after a run for them.
    pub fn find_new(&mut self, hints: &[Hint], now: DateTime<Utc>) -> Hints {
        let is_all = hints.len() < self.limit();
        let is_new = |hint: &&Hint| hint.micros() > self.since && !self.seen.contains(&hint.hash());
        let new: Vec<&Hint> = hints.iter().filter(is_new).collect();
        let is_ahead = |hint: &&&Hint| hint.micros() > (now + SKEW).timestamp_micros();
        let has_ahead = new.iter().any(|hint| is_ahead(&hint));
        self.ahead = has_ahead.then(|| self.ahead.unwrap_or(now));
        let oldest = new.iter().filter(|hint| !is_ahead(hint));
        let oldest = oldest.map(|hint| hint.micros()).min();
        let keys: BTreeSet<&Key> = new.iter().filter_map(|hint| hint.key.as_ref()).collect();
        let overdue = self.again.is_some_and(|again| again <= now);
        let few = is_all && byte_len(&keys) <= MAX_KEY_BYTES && !overdue;
        Hints {
            count: match is_all {
                true => keys.len() as u64,
                // Further hints were not read, and must not wait behind these.
                false => MAX_NEW as u64,
            },
            oldest: oldest
                .and_then(DateTime::from_timestamp_micros)
                .into_iter()
                .chain(self.ahead)
                .min(),
            cursor: self.after(hints, is_all, few, now).to_text(),
            keys: few.then(|| keys.into_iter().cloned().collect()),
            overdue,
        }
    }

    /// Returns the cursor after a run for these hints, over their keys or over all pending rows.
    fn after(&self, hints: &[Hint], is_all: bool, keys_only: bool, now: DateTime<Utc>) -> Self {
        let late = (now - LATE).timestamp_micros();
        let mut since = self.since.max(late);
        if !is_all {
            since = since.max(now.timestamp_micros());
        }
        let mut seen: Vec<&Hint> = hints.iter().filter(|hint| hint.micros() > since).collect();
        seen.sort_by_key(|hint| hint.micros());
        let too_many = seen.len().saturating_sub(MAX_SEEN);
        if let Some(last) = seen.drain(..too_many).next_back() {
            since = last.micros();
        }
        let moved_up = !is_all || too_many > 0;
        let before = match keys_only {
            true => self.again,
            // A run over all pending rows covers hints that have arrived, but not later ones.
            false => None,
        };
        let is_behind = since > late && (moved_up || self.again.is_some());
        Self {
            since,
            seen: seen.into_iter().map(Hint::hash).collect(),
            again: before.or(is_behind.then_some(now + LATE)),
            ahead: None,
        }
    }
}

fn byte_len(keys: &BTreeSet<&Key>) -> usize {
    let columns = keys.iter().flat_map(|key| key.iter());
    columns.map(|(name, value)| name.len() + value.len()).sum()
}

#[cfg(test)]
mod tests;
