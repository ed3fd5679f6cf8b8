//! Which requests wait for an answer, found with few reads.
//!
//! Often: what was asked in the last ten minutes. Every minute: yesterday, today and tomorrow in
//! full, since clocks of people and of this machine differ. At first: every day whose requests
//! still stand, since nobody may have been there for a while.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::store::{Store, error::StoreError, request_ids::Requests};

/// How far back the frequent look goes.
const RECENT: TimeDelta = TimeDelta::minutes(10);
/// How often days are looked through in full.
const FULL: Duration = Duration::from_secs(60);
/// For how long requests stand: `default_time_to_live` of their tables.
const KEPT: u64 = 30;
/// A request that could not be served is tried again after 1 s, then twice as long each time.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What is known of one table's requests; keep it between looks.
#[derive(Debug)]
pub struct Inbox {
    table: Requests,
    answered: HashSet<Uuid>,
    resting: HashMap<Uuid, (Instant, Duration)>,
    full_at: Option<Instant>,
}

impl Inbox {
    /// Of a table that nobody has looked at yet.
    pub fn new(table: Requests) -> Self {
        Self {
            table,
            answered: HashSet::new(),
            resting: HashMap::new(),
            full_at: None,
        }
    }

    /// Requests that have no answer and are not resting.
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

    /// It has its answer.
    pub fn settled(&mut self, id: Uuid) {
        self.resting.remove(&id);
        self.answered.insert(id);
    }

    /// It waits for something: to be looked at again after `pause`.
    pub fn waits(&mut self, id: Uuid, pause: Duration) {
        self.resting.insert(id, (Instant::now() + pause, pause));
    }

    /// It could not be served now.
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

/// The days on which a request of the last ten minutes may stand, if its clock is no more than an
/// hour ahead.
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
