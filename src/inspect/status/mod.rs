//! Summarises everything on one screen: models, jobs, open runs, waiting requests, alarms.

mod jobs;
mod models;
mod requests;
mod retrainings;

use chrono::{DateTime, Utc};

use super::experiment::state::{self, ExperimentView};
use crate::{
    domain::{cassandra::Release, run::Run},
    inspect::alarms::{self, KnownAlarm},
    store::{Store, driver::error::StoreError},
};
pub use jobs::{JobLine, OpenRun};
pub use models::{ModelLine, VersionLine};
pub use requests::{Waiting, waits_for};
pub use retrainings::RetrainingLine;

/// Models or jobs that are read concurrently.
const AT_A_TIME: usize = 8;
/// Seconds within which a row should have been answered.
const PROMPT: i64 = 60;

/// Models, jobs and waiting requests, and what needs attention.
#[derive(Debug)]
pub struct Status {
    /// The oldest release of Cassandra's nodes.
    pub release: Release,
    /// Sorted by name.
    pub models: Vec<ModelLine>,
    /// Sorted by name; deleted jobs are left out.
    pub jobs: Vec<JobLine>,
    /// Experiments that are not over.
    pub experiments: Vec<ExperimentView>,
    /// Requests without an answer, oldest first.
    pub waiting: Vec<Waiting>,
    /// Open alarms, the oldest first.
    pub alarms: Vec<KnownAlarm>,
    /// Sorted by model and name.
    pub retrainings: Vec<RetrainingLine>,
    /// What needs attention, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads the status; changes nothing.
///
/// # Errors
/// Errors of Cassandra.
pub async fn read(store: &Store) -> Result<Status, StoreError> {
    let now = Utc::now();
    let (release, models, jobs, waiting, mut experiments, alarms, retrainings) = futures::try_join!(
        store.release(),
        models::read(store),
        jobs::read(store),
        requests::read(store, now),
        state::states(store, None, 1),
        alarms::open(store, None),
        retrainings::read(store)
    )?;
    experiments.retain(|experiment| !experiment.is_over());
    let mut warnings = Vec::new();
    models
        .iter()
        .for_each(|model| model.warn(now, &mut warnings));
    jobs.iter().for_each(|job| job.warn(&mut warnings));
    experiments
        .iter()
        .for_each(|experiment| experiment.warn(&mut warnings));
    requests::warn(&waiting, now, &mut warnings);
    retrainings
        .iter()
        .for_each(|retraining| retraining.warn(&mut warnings));
    let unknown = alarms.iter().filter(|known| known.ack.is_none());
    warnings.extend(unknown.map(|KnownAlarm { alarm, .. }| {
        format!(
            "alarm {} of job `{}`: {}; `helenus alarm ack` says that you know of it",
            alarm.kind, alarm.job, alarm.what
        )
    }));
    Ok(Status {
        release,
        models,
        jobs,
        experiments,
        waiting,
        alarms,
        retrainings,
        warnings,
    })
}

/// Formats how long ago `at` was, in a suitable unit: `40 s`, `12 min`, `3 h`, `9 d`.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns when a run began, or was due if it has not begun.
pub fn began(run: &Run) -> DateTime<Utc> {
    run.started_at.unwrap_or(run.due_at)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ages_are_told_in_a_unit_that_says_something() {
        let now = Utc::now();
        let ago = |seconds| ago(now - TimeDelta::seconds(seconds), now);
        assert_eq!(ago(-3), "0 s");
        assert_eq!(ago(119), "119 s");
        assert_eq!(ago(120), "2 min");
        assert_eq!(ago(7_200), "2 h");
        assert_eq!(ago(172_800), "2 d");
    }
}
