//! Jobs that run after others: which upstream runs are new, and cycles.
//!
//! **A generation** of a dependent job is one new run of *each* job that its trigger names: a run
//! over the whole ring (scope pending or all) that succeeded and that no earlier generation
//! consumed. A trigger fires once for each generation. So in a diamond (A and B after R, C after
//! `A, B`) C runs once when both have followed R; if A ran twice meanwhile, C runs once and
//! consumes both of A's runs. To run after either job, write two triggers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Maximum difference of workers' clocks, which give the finishing times.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

/// A run over the whole ring that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamRun {
    pub run_id: Uuid,
    pub finished_at: DateTime<Utc>,
}

/// The runs that a trigger consumed already, by upstream job: stored in its status as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken(BTreeMap<String, TakenRuns>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct TakenRuns {
    runs: BTreeSet<Uuid>,
    newest: Option<DateTime<Utc>>,
}

/// One new run of each upstream job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// When the last of them finished.
    pub due: DateTime<Utc>,
    /// The consumed runs including these.
    pub taken: Taken,
}

/// The newest successful runs of each upstream job, in any order.
pub type Upstream = BTreeMap<String, Vec<UpstreamRun>>;

impl Taken {
    /// Consumes all existing runs: the baseline of a new trigger, which follows only later runs.
    pub fn all(upstream: &Upstream) -> Self {
        Self(
            upstream
                .iter()
                .map(|(job, runs)| {
                    let taken = TakenRuns {
                        runs: runs.iter().map(|run| run.run_id).collect(),
                        newest: runs.iter().map(|run| run.finished_at).max(),
                    };
                    (job.clone(), taken)
                })
                .collect(),
        )
    }

    /// Returns the next generation if each upstream job has a new run, otherwise the jobs without
    /// one.
    pub fn next(&self, upstream: &Upstream) -> Result<Generation, Vec<String>> {
        let mut waits_for = Vec::new();
        let mut due = None;
        for (job, runs) in upstream {
            let taken = self.0.get(job).cloned().unwrap_or_default();
            let news = runs.iter().filter(|run| {
                // A run far older than a consumed one becomes visible when newer rows were deleted.
                !taken.runs.contains(&run.run_id)
                    && taken
                        .newest
                        .is_none_or(|newest| run.finished_at > newest - CLOCKS_APART)
            });
            match news.map(|run| run.finished_at).max() {
                Some(finished) => due = due.max(Some(finished)),
                None => waits_for.push(job.clone()),
            }
        }
        match (due, waits_for.is_empty()) {
            (Some(due), true) => Ok(Generation {
                due,
                taken: Self::all(upstream),
            }),
            _ => Err(waits_for),
        }
    }
}

/// Dependencies between jobs.
#[derive(Debug, Default)]
pub struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// Adds `job` after each of `upstream`, unless this closes a cycle.
    ///
    /// # Errors
    /// The cycle from `job` to `job`, each job after the one before it.
    pub fn add(&mut self, job: &str, upstream: &BTreeSet<String>) -> Result<(), Vec<String>> {
        for before in upstream {
            let mut path = vec![before.clone()];
            if self.reaches(job, &mut path) {
                // It was found against the direction of the dependencies.
                path.reverse();
                path.push(job.to_owned());
                return Err(path);
            }
        }
        let known = self.0.entry(job.to_owned()).or_default();
        known.extend(upstream.iter().cloned());
        Ok(())
    }

    /// Extends `path`, which ends with a job, upstream until it reaches `goal`.
    fn reaches(&self, goal: &str, path: &mut Vec<String>) -> bool {
        let Some(at) = path.last().cloned() else {
            return false;
        };
        if at == goal {
            return true;
        }
        for before in self.0.get(&at).into_iter().flatten() {
            // The graph has no cycle, so this terminates.
            path.push(before.clone());
            if self.reaches(goal, path) {
                return true;
            }
            path.pop();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u128, finished: i64) -> UpstreamRun {
        UpstreamRun {
            run_id: Uuid::from_u128(id),
            finished_at: DateTime::from_timestamp(1_800_000_000 + finished, 0).unwrap(),
        }
    }

    fn upstream(runs: &[(&str, &[UpstreamRun])]) -> Upstream {
        runs.iter()
            .map(|(job, runs)| ((*job).to_owned(), runs.to_vec()))
            .collect()
    }

    #[test]
    fn a_diamond_fires_once_both_have_run_and_not_again() {
        let start = upstream(&[("a", &[run(1, 0)]), ("b", &[])]);
        let taken = Taken::all(&start);
        assert_eq!(taken.next(&start), Err(vec!["a".into(), "b".into()]));
        let a_only = upstream(&[("a", &[run(2, 10), run(1, 0)]), ("b", &[])]);
        assert_eq!(taken.next(&a_only), Err(vec!["b".into()]));
        let both = upstream(&[("a", &[run(2, 10), run(1, 0)]), ("b", &[run(3, 5)])]);
        let generation = taken.next(&both).unwrap();
        assert_eq!(generation.due, run(2, 10).finished_at);
        assert_eq!(
            generation.taken.next(&both),
            Err(vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn a_run_that_ended_late_is_news_though_its_id_is_older() {
        let taken = Taken::all(&upstream(&[("a", &[run(5, 100)])]));
        let late = upstream(&[("a", &[run(5, 100), run(4, 101)])]);
        assert!(taken.next(&late).is_ok());
    }

    #[test]
    fn an_old_run_that_comes_into_sight_again_is_no_news() {
        let taken = Taken::all(&upstream(&[("a", &[run(9, 10_000)])]));
        let deleted = upstream(&[("a", &[run(1, 0)])]);
        assert!(taken.next(&deleted).is_err());
    }

    #[test]
    fn a_cycle_is_refused_with_its_path_and_the_others_stay() {
        let set = |jobs: &[&str]| jobs.iter().map(|job| (*job).to_owned()).collect();
        let mut graph = Graph::default();
        graph.add("b", &set(&["a"])).unwrap();
        graph.add("c", &set(&["b", "x"])).unwrap();
        graph.add("d", &set(&["a", "c"])).unwrap();
        assert_eq!(
            graph.add("a", &set(&["c"])),
            Err(vec!["a".into(), "b".into(), "c".into(), "a".into()])
        );
        assert_eq!(graph.add("a", &set(&["y"])), Ok(()));
        assert_eq!(
            graph.add("e", &set(&["e"])),
            Err(vec!["e".into(), "e".into()])
        );
    }
}
