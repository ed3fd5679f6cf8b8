//! Finds the requests that wait for an answer, with few reads.
//!
//! The frequent look covers requests of the last ten minutes. Every minute, yesterday, today and
//! tomorrow are read in full, since the clocks of clients and of this machine differ. The first
//! look covers every day whose requests still exist, since no worker may have been running for a
//! while.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{Store, driver::error::StoreError, runs::request_ids::Requests};

/// How far back the frequent look goes.
const RECENT: TimeDelta = TimeDelta::minutes(10);
/// Interval between looks at whole days.
const FULL: Duration = Duration::from_secs(60);
/// Days for which requests are kept: `default_time_to_live` of their tables.
const KEPT: u64 = 30;
/// Longest pause before a request that could not be served is tried again. The first pause is 1 s;
/// each further one is twice as long.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// State of one table's requests; keep it between looks.
#[derive(Debug)]
pub struct Inbox {
    table: Requests,
    answered: HashSet<Uuid>,
    resting: HashMap<Uuid, (Instant, Duration)>,
    full_at: Option<Instant>,
}

impl Inbox {
    /// Returns an inbox for a table that has not been read yet.
    pub fn new(table: Requests) -> Self {
        Self {
            table,
            answered: HashSet::new(),
            resting: HashMap::new(),
            full_at: None,
        }
    }

    /// Returns the requests that have no answer and are not resting.
    pub async fn open(&mut self, store: &Store) -> Result<Vec<(NaiveDate, Uuid)>, StoreError> {
        let (now, asked_at) = (Instant::now(), Utc::now());
        let today = asked_at.date_naive();
        let (days, since) = match self.full_at {
            None => (days(today, KEPT, 1), None),
            Some(at) if now >= at => (days(today, 1, 1), None),
            Some(_) => (recent(asked_at), Some(asked_at - RECENT)),
        };
        let mut open = Vec::new();
        let mut seen = HashSet::new();
        for day in days {
            let ids = store.request_ids(self.table, day, since).await?;
            if ids.iter().any(|id| !self.answered.contains(id)) {
                self.answered.extend(store.answered_ids(day, since).await?);
            }
            let waiting = ids.iter().filter(|id| !self.answered.contains(id));
            open.extend(waiting.map(|id| (day, *id)));
            seen.extend(ids);
        }
        if since.is_none() {
            self.answered.retain(|id| seen.contains(id));
            self.resting.retain(|id, _| seen.contains(id));
            self.full_at = Some(now + FULL);
        }
        open.retain(|(_, id)| self.resting.get(id).is_none_or(|(until, _)| *until <= now));
        Ok(open)
    }

    /// Records that a request has been answered.
    pub fn settled(&mut self, id: Uuid) {
        self.resting.remove(&id);
        self.answered.insert(id);
    }

    /// Records that a request waits for something; it is checked again after `pause`.
    pub fn waits(&mut self, id: Uuid, pause: Duration) {
        self.resting.insert(id, (Instant::now() + pause, pause));
    }

    /// Makes the next [`Inbox::open`] return the waiting requests, too.
    pub fn wake(&mut self) {
        self.resting.clear();
        self.full_at = None;
    }

    /// Records that a request could not be served; it is tried again after a growing pause.
    pub fn rest(&mut self, id: Uuid) {
        let pause = self
            .resting
            .get(&id)
            .map_or(Duration::from_secs(1), |(_, pause)| *pause * 2)
            .min(LONGEST_REST);
        self.resting.insert(id, (Instant::now() + pause, pause));
    }
}

fn days(today: NaiveDate, back: u64, ahead: u64) -> Vec<NaiveDate> {
    let last = today + Days::new(ahead);
    let from = today - Days::new(back);
    from.iter_days().take_while(|day| *day <= last).collect()
}

/// Returns the days that may contain a request of the last ten minutes, if the client's clock is no
/// more than an hour ahead.
fn recent(now: DateTime<Utc>) -> Vec<NaiveDate> {
    let first = (now - RECENT).date_naive();
    let last = (now + TimeDelta::minutes(70)).date_naive();
    first.iter_days().take_while(|day| *day <= last).collect()
}

#[cfg(test)]
mod tests {
    use super::{days, recent};

    #[test]
    fn around_midnight_two_days_are_looked_at() {
        let at = |time: &str| time.parse().unwrap();
        assert_eq!(recent(at("2026-03-01T12:00:00Z")).len(), 1);
        assert_eq!(recent(at("2026-03-01T23:10:00Z")).len(), 2);
        assert_eq!(recent(at("2026-03-02T00:05:00Z")).len(), 2);
        assert_eq!(recent(at("2026-03-02T00:11:00Z")).len(), 1);
    }

    #[test]
    fn in_full_means_yesterday_today_and_tomorrow() {
        let today = "2026-03-01".parse().unwrap();
        let days = days(today, 1, 1);
        assert_eq!(days.len(), 3);
        assert_eq!(days[0].to_string(), "2026-02-28");
    }
}
