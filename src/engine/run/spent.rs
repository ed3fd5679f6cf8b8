//! Measures where a run's time goes in this process, summed over its splits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What a split does or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The walk waits for pages.
    Reading,
    /// The walk decodes, hashes and collects rows.
    Decoding,
    /// The walk waits until scoring and writing have room for its batch.
    Handing,
    /// A batch waits for its models, or is scored.
    Scoring,
    /// A batch waits for Cassandra to accept it.
    Writing,
}

/// Time per [`Stage`], summed over all splits, so it exceeds the time elapsed.
#[derive(Debug, Default)]
pub struct Spent([AtomicU64; 5]);

impl Spent {
    /// Records the time since `began` and returns now, so stages can be chained.
    pub fn end(&self, stage: Stage, began: Instant) -> Instant {
        let now = Instant::now();
        self.add(stage, now - began);
        now
    }

    /// Adds time to a stage.
    pub fn add(&self, stage: Stage, time: Duration) {
        self.0[stage as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Returns which share of the splits' time each kind of work took or blocked; `None` if nothing
    /// was measured.
    pub fn shares(&self) -> Option<Shares> {
        let [reading, decoding, handing, scoring, writing] =
            std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed) as f64);
        let (whole, ahead) = (reading + decoding + handing, scoring + writing);
        if whole == 0.0 {
            return None;
        }
        // While the walk waits to hand a batch on, it waits for scoring and for writing in
        // proportion to the time that these take.
        let held_up = |by: f64| handing * by / ahead.max(1.0);
        Some(Shares {
            reading: reading / whole,
            decoding: decoding / whole,
            scoring: held_up(scoring) / whole,
            writing: held_up(writing) / whole,
        })
    }
}

/// Shares of the splits' time; they sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Shares {
    /// Waiting for Cassandra's pages.
    pub reading: f64,
    /// Decoding, hashing and collecting rows, on this machine's cores.
    pub decoding: f64,
    /// Waiting for the models.
    pub scoring: f64,
    /// Waiting for Cassandra to accept predictions, or for the run's rate limit.
    pub writing: f64,
}

impl Shares {
    /// Returns one line of advice. `limited` means that the run has a rate limit.
    pub fn advice(&self, limited: bool) -> &'static str {
        let most = [self.reading, self.decoding, self.scoring, self.writing]
            .into_iter()
            .fold(0.0, f64::max);
        match most {
            most if most == self.writing && limited => "the run's rate bounds it (--max-rate)",
            most if most == self.writing => {
                "Cassandra's writes bound it: fewer output columns, or more nodes; more workers help only while its CPUs have time"
            }
            most if most == self.reading => {
                "Cassandra's reads bound it: features in one vector column read about three times faster than in columns of their own; more `readers` help only while its CPUs have time"
            }
            most if most == self.scoring => {
                "the models bound it: more cores (`scoring_threads`), or more workers"
            }
            _ => "this machine's cores bound it: more workers, on other machines",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_walk_waits_for_is_shared_by_what_takes_time_ahead() {
        let spent = Spent::default();
        assert_eq!(spent.shares(), None);
        for (stage, seconds) in [
            (Stage::Reading, 2),
            (Stage::Decoding, 1),
            (Stage::Handing, 5),
            (Stage::Scoring, 3),
            (Stage::Writing, 12),
        ] {
            spent.add(stage, Duration::from_secs(seconds));
        }
        let shares = spent.shares().unwrap();
        let wanted = Shares {
            reading: 0.25,
            decoding: 0.125,
            scoring: 0.125,
            writing: 0.5,
        };
        assert_eq!(shares, wanted);
        assert!(shares.advice(false).starts_with("Cassandra's writes"));
        assert!(shares.advice(true).contains("--max-rate"));
    }
}
