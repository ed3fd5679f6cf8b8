//! Keeps the tables of current predictions at the champion.
//!
//! The work is derived from the tables: a job whose table holds another version than the
//! champion's, predictions of another revision, or those of other arms than the running
//! experiment's, gets a run of scope `current` ([`crate::engine::run::current`]). Another process that plans the same run while it is open
//! joins it; a run that was completed but not recorded is repeated.
//!
//! A round costs one read if there are no such tables, and two if nothing changed.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    control::planning,
    domain::{
        model::alias::CHAMPION,
        run::{Part, Run, RunState, Scope},
    },
    engine::run::plan::{Planned, RunSpec},
    failure::Failure,
    process,
    store::{
        Store, admin::signals::EVIDENCE, driver::error::StoreError,
        predictions::current_tables::CurrentTable,
    },
};

/// `runs.trigger` of a run that is planned here.
const TRIGGER: &str = "current";

/// Longest interval between two looks at the tables.
const LOOK: Duration = Duration::from_secs(300);
/// Pause while another run holds the version.
const BEHIND: Duration = Duration::from_secs(5);
/// Pause after a run that failed or was cancelled; each further one doubles it.
const RETRY: Duration = Duration::from_secs(60);
/// Longest pause after failures.
const LONGEST: Duration = Duration::from_secs(3600);

/// State since the last look; keep it between rounds.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<LastLook>,
    attempts: BTreeMap<String, Attempt>,
}

#[derive(Debug)]
struct LastLook {
    tables: Vec<CurrentTable>,
    signal: Option<Uuid>,
    /// When to look again even if nothing changed.
    again: Instant,
}

/// A table that is not at the champion.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    goal: Goal,
    run: Option<Uuid>,
    failures: u32,
    /// Earliest time of the next attempt.
    again: Instant,
}

/// What a table should hold. A new goal is tried at once, however often the previous one failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Goal {
    /// The champion's version, and the number of the move that led to it.
    champion: (i32, i32),
    /// Revision of the job.
    revision: i32,
    /// Number of the last change of the job's experiments.
    allocation_seq: i32,
}

/// What a round did.
#[derive(Debug, Default)]
pub struct CurrentRound {
    /// Runs that were planned or joined.
    pub planned: Vec<Run>,
    /// What could not be done; it is tried again.
    pub troubles: Vec<String>,
}

impl Watch {
    /// Plans a run for each table that is behind, unless its job is paused or an earlier attempt
    /// has to be waited for.
    ///
    /// # Errors
    /// Errors of Cassandra; the next round looks again. A failure of one job is not an error of the
    /// round.
    pub async fn round(&mut self, store: &Store, now: Instant) -> Result<CurrentRound, StoreError> {
        let mut round = CurrentRound::default();
        let mut tables = store.current_tables().await?;
        if tables.is_empty() {
            *self = Self::default();
            return Ok(round);
        }
        tables.sort_by(|a, b| a.job.cmp(&b.job));
        // Read before the aliases: a change made in between is found by the next round.
        let signal = store.signal(EVIDENCE).await?;
        let same =
            |seen: &LastLook| seen.tables == tables && seen.signal == signal && now < seen.again;
        if self.attempts.is_empty() && self.seen.as_ref().is_some_and(same) {
            return Ok(round);
        }
        self.seen = None;
        self.attempts
            .retain(|job, _| tables.iter().any(|table| table.job == *job));
        for table in &tables {
            match behind(store, table).await? {
                None => drop(self.attempts.remove(&table.job)),
                Some(goal) => self.bring(store, table, goal, now, &mut round).await?,
            }
        }
        self.seen = Some(LastLook {
            tables,
            signal,
            again: now + LOOK,
        });
        Ok(round)
    }

    async fn bring(
        &mut self,
        store: &Store,
        table: &CurrentTable,
        goal: Goal,
        now: Instant,
        round: &mut CurrentRound,
    ) -> Result<(), StoreError> {
        let first = Attempt {
            goal,
            run: None,
            failures: 0,
            again: now,
        };
        let attempt = self.attempts.entry(table.job.clone()).or_insert(first);
        if attempt.goal != goal {
            *attempt = first;
        }
        if let Some(run) = attempt.run {
            match store.run(&table.job, run).await?.map(|run| run.state) {
                Some(RunState::Succeeded) | None => attempt.run = None,
                Some(state) if !state.is_terminal() => return Ok(()),
                Some(_) => attempt.failed(now),
            }
        }
        if now < attempt.again || is_resting(store, &table.job).await? {
            return Ok(());
        }
        match Box::pin(planning::plan(store, &wish(&table.job))).await {
            Ok(Planned::Opened(run) | Planned::Joined(run)) => {
                attempt.run = Some(run.run_id);
                round.planned.push(*run);
            }
            Ok(Planned::Behind(_)) => attempt.again = now + BEHIND,
            Err(failure) if failure.is("run.conflict") => attempt.again = now + BEHIND,
            Err(failure) => {
                attempt.failed(now);
                round.troubles.push(trouble(&table.job, &failure));
            }
        }
        Ok(())
    }
}

impl Attempt {
    fn failed(&mut self, now: Instant) {
        self.run = None;
        self.again = now + LONGEST.min(RETRY * 2_u32.saturating_pow(self.failures));
        self.failures += 1;
    }
}

/// Returns what the table should hold, if it does not hold it. Without a champion there is nothing
/// to copy.
async fn behind(store: &Store, table: &CurrentTable) -> Result<Option<Goal>, StoreError> {
    let Some(champion) = store.alias_now(&table.model, CHAMPION).await? else {
        return Ok(None);
    };
    let goal = Goal {
        champion,
        revision: table.revision,
        allocation_seq: store.allocation_now(&table.job).await?.seq,
    };
    let holds = table.holds.as_ref().map(|holds| Goal {
        champion: (holds.version, holds.last_seq),
        revision: holds.revision,
        allocation_seq: holds.allocation_seq,
    });
    Ok((holds != Some(goal)).then_some(goal))
}

/// Returns whether the job is paused or deleted, and so gets no run.
async fn is_resting(store: &Store, job: &str) -> Result<bool, StoreError> {
    let rows = store.job_rows(job).await?;
    let mut rows = rows.iter();
    Ok(rows.any(|row| row.paused == Some(true) || row.deleted == Some(true)))
}

fn wish(job: &str) -> RunSpec {
    RunSpec {
        job: job.to_owned(),
        scope: Scope {
            rewrite: false,
            refresh: true,
            part: Part::Whole,
        },
        versions: None,
        trigger: TRIGGER.to_owned(),
        // Unique, so no other process makes the same run; while it is open, a second plan joins it.
        cause: process::timeuuid().to_string(),
        due_at: Utc::now(),
        request_id: None,
        requested_by: None,
        note: None,
        priority: 0,
        max_rows_per_s: None,
        deadline: None,
        after: None,
    }
}

fn trouble(job: &str, failure: &Failure) -> String {
    format!("job `{job}`: its current predictions are not brought to the champion's: {failure}")
}
