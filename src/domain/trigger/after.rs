//! Jobs that run after others: which upstream runs are news, and cycles.
//!
//! **A generation** of a dependent job is one new run of *each* job that its trigger names: a run
//! over the whole ring (scope pending or all) that succeeded and that no earlier generation took.
//! A trigger fires once for each generation. So in a diamond (A and B after R, C after `A, B`) C
//! runs once when both have followed R; where A ran twice meanwhile, C runs once, and both of A's
//! runs are taken. Who wants a run after either writes two triggers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Finishing times come from different workers' clocks, which may be seconds apart.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

/// A run over the whole ring that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UpstreamRun {
    pub run_id: Uuid,
    pub finished_at: DateTime<Utc>,
}

/// What a trigger took already, by upstream job: kept in its status as JSON.
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
    /// When the last of them had finished.
    pub due: DateTime<Utc>,
    /// What is taken with it.
    pub taken: Taken,
}

/// The newest runs of each upstream job that succeeded, in any order.
pub type Upstream = BTreeMap<String, Vec<UpstreamRun>>;

impl Taken {
    /// Everything that is there: the baseline of a new trigger, which follows only what comes.
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

    /// The next generation, if each upstream job has a new run; otherwise the jobs that have none.
    pub fn next(&self, upstream: &Upstream) -> Result<Generation, Vec<String>> {
        let mut waits_for = Vec::new();
        let mut due = None;
        for (job, runs) in upstream {
            let taken = self.0.get(job).cloned().unwrap_or_default();
            let news = runs.iter().filter(|run| {
                // A run far older than one that was taken shows up when newer rows were deleted.
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

/// Which job runs after which.
#[derive(Debug, Default)]
pub struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    /// Adds `job` after each of `upstream`, unless that closes a cycle.
    ///
    /// # Errors
    /// The path, from `job` back to `job`, each after the one before it.
    pub fn add(&mut self, job: &str, upstream: &BTreeSet<String>) -> Result<(), Vec<String>> {
        for before in upstream {
            let mut path = vec![before.clone()];
            if self.reaches(job, &mut path) {
                // Found against the arrows: from the upstream back to the job.
                path.reverse();
                path.push(job.to_owned());
                return Err(path);
            }
        }
        let known = self.0.entry(job.to_owned()).or_default();
        known.extend(upstream.iter().cloned());
        Ok(())
    }

    /// Extends `path`, at whose end stands a job, upstream until it comes to `goal`.
    fn reaches(&self, goal: &str, path: &mut Vec<String>) -> bool {
        let Some(at) = path.last().cloned() else {
            return false;
        };
        if at == goal {
            return true;
        }
        for before in self.0.get(&at).into_iter().flatten() {
            // The graph holds no cycle, so this ends.
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
