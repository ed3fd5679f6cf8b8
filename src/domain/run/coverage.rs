//! Coverage: how much of a job's source a version has scored, computed from its runs without a
//! scan.
//!
//! A whole-ring run that succeeded leaves a prediction or a rejection for every row that it read.
//! Later runs of other versions show what has changed since: rows that they scored again, although
//! they had scored the whole ring before. Changes that no run has seen yet are unknown; they are
//! equally missing from the version that readers see now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::run_id::time_100ns;
use crate::domain::run::RunState;

/// Maximum delay, in microseconds, between due time and start of a run that coverage considers.
const MADE_UP_US: i64 = 24 * 3_600 * 1_000_000;

/// The columns of a run that coverage needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub run_id: Uuid,
    /// The versions that it scored.
    pub versions: BTreeSet<i32>,
    /// Whether it covers the whole ring, not some keys or a part.
    pub whole: bool,
    /// Whether it also wrote unchanged rows, so that its counts do not show changes.
    pub rewrite: bool,
    /// Whether its predictions are what the job would write today: same table, same mapping.
    pub fits: bool,
    pub state: RunState,
    /// Cassandra's timestamp of its start, strictly increasing; `None`: it never wrote.
    pub base: Option<i64>,
    pub started_at: Option<DateTime<Utc>>,
    /// Rows read.
    pub source_rows: u64,
    /// Version -> rows written.
    pub scored: BTreeMap<i32, u64>,
    /// The request that it serves.
    pub request_id: Option<Uuid>,
}

/// How well a version covers a job's source.
#[derive(Debug, Clone, PartialEq)]
pub struct Coverage {
    /// The version's newest whole-ring run that succeeded.
    pub run: Option<Head>,
    /// Rows that later runs found changed and that this version has not scored since.
    pub changed: u64,
    /// A newer run of the version that is open or failed, so its effect is unknown.
    pub obstacle: Option<(Uuid, RunState)>,
}

impl Coverage {
    /// Computes the coverage of a version from a job's runs, in any order.
    pub fn compute(version: i32, heads: &[Head]) -> Self {
        let run = heads
            .iter()
            .filter(|head| covers(head, version) && head.fits)
            .max_by_key(|head| head.base)
            .cloned();
        let since = run.as_ref().and_then(|run| run.base);
        let newer = |head: &&Head| match head.state.is_terminal() {
            // A run that was planned and never began wrote nothing.
            true => head.base > since,
            false => head.base.is_none_or(|base| Some(base) > since),
        };
        let obstacle = heads
            .iter()
            .filter(newer)
            .filter(|head| head.versions.contains(&version))
            .find(|head| !head.state.is_terminal() || head.state == RunState::Failed)
            .map(|head| (head.run_id, head.state));
        let later = heads
            .iter()
            .filter(newer)
            .filter(|head| !head.versions.contains(&version) && !head.rewrite);
        let changed = later.map(|head| changes(head, heads)).sum();
        Self {
            run,
            changed,
            obstacle,
        }
    }

    /// Returns whether runs older than `heads` cannot change the coverage of a version: `heads`
    /// contains the run that covers it, all later ones, and for each later run that shows changes
    /// an earlier run that covered the same version. Runs are listed by due time, and a run for a
    /// missed tick begins later than that, so a day before the covering run is required, too.
    pub fn is_known(version: i32, heads: &[Head]) -> bool {
        let coverage = Self::compute(version, heads);
        let Some(since) = coverage.run.and_then(|run| run.base) else {
            return false;
        };
        let oldest = heads
            .iter()
            .filter_map(|head| time_100ns(head.run_id))
            .min();
        let reached = oldest.and_then(|oldest| i64::try_from(oldest / 10).ok());
        let is_deep = reached.is_some_and(|reached| reached < since - MADE_UP_US);
        let later = heads.iter().filter(|head| {
            head.base > Some(since) && !head.versions.contains(&version) && !head.rewrite
        });
        let mut scored = later.flat_map(|later| {
            let scored = later.scored.iter().filter(|(_, rows)| **rows > 0);
            scored.map(|(version, _)| (*version, later.base))
        });
        is_deep
            && scored.all(|(version, base)| {
                let mut earlier = heads.iter().filter(|head| head.base < base);
                earlier.any(|head| covers(head, version))
            })
    }

    /// Returns whether every known row is scored, which a promotion requires.
    pub fn is_full(&self) -> bool {
        self.run.is_some() && self.changed == 0 && self.obstacle.is_none()
    }

    /// Returns 0 to 100, relative to the rows that the whole-ring run read.
    pub fn percent(&self) -> f64 {
        let Some(run) = &self.run else {
            return 0.0;
        };
        match run.source_rows {
            0 => 100.0,
            rows => (rows - self.changed.min(rows)) as f64 * 100.0 / rows as f64,
        }
    }
}

fn covers(head: &Head, version: i32) -> bool {
    head.state == RunState::Succeeded && head.whole && head.versions.contains(&version)
}

/// Returns the rows that a run found changed: rows scored by a version that had covered the ring.
fn changes(head: &Head, heads: &[Head]) -> u64 {
    let before = |version: i32| {
        let mut earlier = heads.iter().filter(|other| other.base < head.base);
        earlier.any(|other| covers(other, version))
    };
    let counted = head.scored.iter().filter(|(version, _)| before(**version));
    counted.map(|(_, rows)| *rows).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(base: i64, version: i32, scored: u64, state: RunState) -> Head {
        Head {
            run_id: Uuid::from_u128(base as u128),
            versions: BTreeSet::from([version]),
            whole: true,
            rewrite: false,
            fits: true,
            state,
            base: Some(base),
            started_at: None,
            source_rows: 100,
            scored: BTreeMap::from([(version, scored)]),
            request_id: None,
        }
    }

    #[test]
    fn a_first_scoring_is_no_change_and_a_second_one_tells_of_changes() {
        use RunState::Succeeded;
        let mut heads = vec![head(1, 1, 100, Succeeded), head(2, 2, 100, Succeeded)];
        assert!(Coverage::compute(1, &heads).is_full());
        assert!(Coverage::compute(2, &heads).is_full());
        assert_eq!(Coverage::compute(3, &heads).percent(), 0.0);
        heads.push(head(3, 2, 25, Succeeded));
        let one = Coverage::compute(1, &heads);
        assert_eq!((one.changed, one.percent()), (25, 75.0));
        assert!(Coverage::compute(2, &heads).is_full());
        // A rewrite of everything tells nothing of changes.
        let mut rewrite = head(4, 2, 100, Succeeded);
        rewrite.rewrite = true;
        heads.push(rewrite);
        assert_eq!(Coverage::compute(1, &heads).changed, 25);
    }

    #[test]
    fn a_newer_run_that_is_open_or_failed_is_in_the_way() {
        use RunState::*;
        for (state, clear) in [(Failed, false), (Running, false), (Cancelled, true)] {
            let heads = [head(1, 1, 100, Succeeded), head(2, 1, 1, state)];
            assert_eq!(Coverage::compute(1, &heads).is_full(), clear, "{state}");
            let healed = [&heads[..], &[head(3, 1, 1, Succeeded)]].concat();
            assert!(Coverage::compute(1, &healed).is_full() || state == Running);
        }
        let mut planning = head(2, 1, 0, Planning);
        planning.base = None;
        let heads = [head(1, 1, 100, Succeeded), planning];
        assert!(!Coverage::compute(1, &heads).is_full());
    }

    #[test]
    fn older_runs_are_read_until_they_can_change_nothing() {
        use RunState::Succeeded;
        let day = MADE_UP_US;
        let at = |base: i64, version: i32, scored: u64| Head {
            run_id: crate::domain::run::run_id::derive("job", &base.to_string(), base as u64 * 10),
            ..head(base, version, scored, Succeeded)
        };
        let keys = |base: i64| Head {
            whole: false,
            ..at(base, 1, 1)
        };
        let mut heads = vec![keys(20 * day)];
        assert!(!Coverage::is_known(2, &heads));
        heads.push(at(19 * day, 2, 100));
        assert!(!Coverage::is_known(2, &heads), "a run of the day before");
        heads.push(keys(18 * day - 1));
        // Whether what it scored had changed is known once a run that covered version 1 is found.
        assert!(!Coverage::is_known(2, &heads));
        assert!(Coverage::compute(2, &heads).is_full());
        heads.push(at(3 * day, 1, 100));
        assert!(Coverage::is_known(2, &heads));
        assert_eq!(Coverage::compute(2, &heads).changed, 1);
    }

    #[test]
    fn parts_of_the_ring_and_other_mappings_cover_nothing() {
        let mut part = head(1, 1, 10, RunState::Succeeded);
        part.whole = false;
        assert!(Coverage::compute(1, &[part]).run.is_none());
        let mut other = head(1, 1, 10, RunState::Succeeded);
        other.fits = false;
        assert!(Coverage::compute(1, &[other]).run.is_none());
    }
}
