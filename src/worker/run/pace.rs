//! At most so many rows a second, if the request says so.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::metrics;

/// Long-running workers that may be at the same run; this process is one of them.
static WORKERS: AtomicU32 = AtomicU32::new(1);

/// Says how many long-running workers are alive, this one included: each takes an equal share of
/// a run's limit, so that the limit holds for the run. Until a newcomer is known to the others the
/// run may be faster; while some work on other runs it is slower.
pub fn workers(alive: usize) {
    metrics::WORKERS.gauge([]).set(alive as f64);
    WORKERS.store(alive.clamp(1, 100_000) as u32, Ordering::Relaxed);
}

/// A limit on rows a second, shared by all splits of a run in this process.
#[derive(Debug)]
pub struct Pace {
    rows_per_s: Option<u32>,
    next: Mutex<Instant>,
    closed: watch::Sender<bool>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The rows may be sent.
    Go,
    /// Nothing more may be sent: this process stops working on the run.
    Closed,
}

impl Pace {
    /// No more than `rows_per_s` rows a second in all workers; `None` is without a limit.
    pub fn new(rows_per_s: Option<i32>) -> Self {
        Self {
            rows_per_s: rows_per_s.filter(|rows| *rows > 0).map(i32::unsigned_abs),
            next: Mutex::new(Instant::now()),
            closed: watch::Sender::new(false),
        }
    }

    /// Waits until `rows` more rows may be sent.
    pub async fn take(&self, rows: usize) -> Turn {
        let Some(rows_per_s) = self.rows_per_s else {
            return Turn::Go;
        };
        let lasts = duration(rows, rows_per_s, WORKERS.load(Ordering::Relaxed));
        let mut next = self.next.lock().await;
        let due = (*next).max(Instant::now());
        *next = due + lasts;
        drop(next);
        let mut closed = self.closed.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(due) => Turn::Go,
            _ = closed.wait_for(|closed| *closed) => Turn::Closed,
        }
    }

    /// Whoever waits, or comes to wait, is sent away: with few rows a second its turn might be
    /// minutes off.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// For how long `rows` rows are enough, for one of `workers` workers.
fn duration(rows: usize, rows_per_s: u32, workers: u32) -> Duration {
    Duration::from_secs(1).mul_f64(rows as f64 * f64::from(workers) / f64::from(rows_per_s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_workers_add_up_to_the_limit() {
        assert_eq!(duration(20, 1_000, 1), Duration::from_millis(20));
        for workers in [1, 2, 7, 16] {
            let rate = 20.0 / duration(20, 300, workers).as_secs_f64();
            let all = rate * f64::from(workers);
            assert!((all - 300.0).abs() < 1e-3, "{all}");
        }
        assert_eq!(duration(1, 1, 100_000), Duration::from_secs(100_000));
    }

    #[tokio::test]
    async fn rows_come_no_faster_than_they_may() {
        let pace = Pace::new(Some(1_000));
        let began = Instant::now();
        for _ in 0..5 {
            pace.take(20).await;
        }
        // The first goes at once; no upper bound, since the machine may be busy.
        assert!(began.elapsed() >= Duration::from_millis(80));
    }

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        use futures::FutureExt;
        for none in [None, Some(0), Some(-1)] {
            assert!(Pace::new(none).take(1_000_000).now_or_never().is_some());
        }
    }
}
