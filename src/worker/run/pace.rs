//! At most so many rows a second, if the request says so.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

/// A limit on rows a second, shared by all splits of a run in this process.
#[derive(Debug)]
pub struct Pace {
    per_row: Option<Duration>,
    next: Mutex<Instant>,
}

impl Pace {
    /// No more than `rows_per_s` rows a second; `None` is without a limit.
    pub fn new(rows_per_s: Option<i32>) -> Self {
        let per_row = rows_per_s
            .filter(|rows| *rows > 0)
            .map(|rows| Duration::from_secs(1) / rows as u32);
        Self {
            per_row,
            next: Mutex::new(Instant::now()),
        }
    }

    /// Waits until `rows` more rows may be sent.
    pub async fn take(&self, rows: usize) {
        let Some(per_row) = self.per_row else { return };
        let mut next = self.next.lock().await;
        let due = (*next).max(Instant::now());
        *next = due + per_row * rows as u32;
        drop(next);
        tokio::time::sleep_until(due).await;
    }
}
