//! Where a run's time goes in this process, summed over its splits.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// What a split does or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The walk waits for pages.
    Reading,
    /// The walk types, hashes and gathers rows.
    Decoding,
    /// The walk waits until scoring and writing have room for its batch.
    Handing,
    /// A batch waits for its models, or is scored.
    Scoring,
    /// A batch waits for Cassandra to take it.
    Writing,
}

/// Time by [`Stage`]: of all splits together, so more than has passed.
#[derive(Debug, Default)]
pub struct Spent([AtomicU64; 5]);

impl Spent {
    /// What began then has ended; gives the present, for what begins with it.
    pub fn end(&self, stage: Stage, began: Instant) -> Instant {
        let now = Instant::now();
        self.add(stage, now - began);
        now
    }

    /// Adds to a stage.
    pub fn add(&self, stage: Stage, time: Duration) {
        self.0[stage as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Which part of the splits' time each kind of work held up.
    pub fn shares(&self) -> Option<Shares> {
        let [reading, decoding, handing, scoring, writing] =
            std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed) as f64);
        let (whole, ahead) = (reading + decoding + handing, scoring + writing);
        if whole == 0.0 {
            return None;
        }
        // While the walk waits to hand a batch on, it waits for scoring and for writing in the
        // proportion in which those take time.
        let held_up = |by: f64| handing * by / ahead.max(1.0);
        Some(Shares {
            reading: reading / whole,
            decoding: decoding / whole,
            scoring: held_up(scoring) / whole,
            writing: held_up(writing) / whole,
        })
    }
}

/// Parts of the splits' time; they sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Shares {
    /// Waiting for Cassandra's pages.
    pub reading: f64,
    /// Decoding, hashing and gathering rows, on this machine's cores.
    pub decoding: f64,
    /// Waiting for the models.
    pub scoring: f64,
    /// Waiting for Cassandra to take predictions, or for the run's rate.
    pub writing: f64,
}

impl Shares {
    /// One line of advice; `limited`: the run has a rate.
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
