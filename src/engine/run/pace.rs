//! Limits a run's rows per second, if the request sets a limit.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::metrics;

/// Number of long-running workers that may work on the same run, including this process.
static WORKERS: AtomicU32 = AtomicU32::new(1);

/// Sets how many long-running workers are alive, including this one.
/// Each takes an equal share of a run's limit, so that the limit holds for the run. Until the other
/// workers see a new worker, the run may be faster; while some workers are busy with other runs, it
/// is slower.
pub fn workers(alive: usize) {
    metrics::WORKERS.gauge([]).set(alive as f64);
    WORKERS.store(alive.clamp(1, 100_000) as u32, Ordering::Relaxed);
}

/// A limit on rows per second, shared by all splits of a run in this process.
#[derive(Debug)]
pub struct Pace {
    rows_per_s: Option<u32>,
    next: Mutex<Instant>,
    closed: watch::Sender<bool>,
}

/// Whether the caller may proceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The rows may be sent.
    Go,
    /// Nothing more may be sent: this process stops working on the run.
    Closed,
}

impl Pace {
    /// Returns a limit of `rows_per_s` rows per second across all workers. `None`, zero and
    /// negative values mean no limit.
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

    /// Ends all current and future waits with [`Turn::Closed`]. At a few rows per second, a wait
    /// could otherwise take minutes.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// Returns how long `rows` rows last at the limit, for one of `workers` workers.
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
        // The first call returns at once. No upper bound is asserted, since the machine may be
        // busy.
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
