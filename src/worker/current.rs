//! Tables of current predictions, brought to where the champion is.
//!
//! What is to be done is derived: a job whose table holds another version than the champion's, or
//! another revision's predictions, gets a run of scope `current` ([`crate::worker::run::current`]).
//! Whoever plans it again while it is open joins it; one that was done and not noted is done again.
//!
//! A round without such tables is one read, one where nothing moved two.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use tokio::time::Instant;
use uuid::Uuid;

use super::run::plan::{self, Planned, Wish};
use crate::{
    domain::{
        alias::CHAMPION,
        run::{Part, Run, RunState, Scope},
    },
    failure::Failure,
    process,
    store::{Store, current_tables::CurrentTable, error::StoreError, signals::EVIDENCE},
};

/// `runs.trigger` of a run that is planned here.
const TRIGGER: &str = "current";

/// Tables are looked at at least so often.
const LOOK: Duration = Duration::from_secs(300);
/// Another run holds the version: its end is waited for.
const BEHIND: Duration = Duration::from_secs(5);
/// After a run that failed or was cancelled, and twice as long after each further one.
const RETRY: Duration = Duration::from_secs(60);
/// But no longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// What is known since the last look; keep it between rounds.
#[derive(Debug, Default)]
pub struct Watch {
    seen: Option<Seen>,
    attempts: BTreeMap<String, Attempt>,
}

#[derive(Debug)]
struct Seen {
    tables: Vec<CurrentTable>,
    signal: Option<Uuid>,
    /// When to look although nothing changed.
    again: Instant,
}

/// A table that is not where the champion is.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    goal: Goal,
    run: Option<Uuid>,
    failures: u32,
    /// Not before then.
    again: Instant,
}

/// What a table is to hold. Another one is tried at once, however often the one before failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Goal {
    /// The champion, and the number of the move that led to it.
    champion: (i32, i32),
    /// Of the job.
    revision: i32,
}

/// What a round did.
#[derive(Debug, Default)]
pub struct Round {
    /// Runs that were planned or joined.
    pub planned: Vec<Run>,
    /// What could not be done; it is tried again.
    pub troubles: Vec<String>,
}

impl Watch {
    /// Plans a run for each table that is behind, if there may be one.
    ///
    /// # Errors
    /// Cassandra's; the next round looks. One job's trouble is no error.
    pub async fn round(&mut self, store: &Store, now: Instant) -> Result<Round, StoreError> {
        let mut round = Round::default();
        let mut tables = store.current_tables().await?;
        if tables.is_empty() {
            *self = Self::default();
            return Ok(round);
        }
        tables.sort_by(|a, b| a.job.cmp(&b.job));
        // Read before the aliases are: what moves meanwhile is the next round's.
        let signal = store.signal(EVIDENCE).await?;
        let same = |seen: &Seen| seen.tables == tables && seen.signal == signal && now < seen.again;
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
        self.seen = Some(Seen {
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
        round: &mut Round,
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
        match Box::pin(plan::plan(store, &wish(&table.job))).await {
            Ok(Planned::Opened(run) | Planned::Joined(run)) => {
                attempt.run = Some(run.run_id);
                round.planned.push(*run);
            }
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

/// What the table is to hold, where it doesn't. Without a champion there is nothing to copy.
async fn behind(store: &Store, table: &CurrentTable) -> Result<Option<Goal>, StoreError> {
    let Some(champion) = store.alias_now(&table.model, CHAMPION).await? else {
        return Ok(None);
    };
    let goal = Goal {
        champion,
        revision: table.revision,
    };
    let holds = table.holds.as_ref().map(|holds| Goal {
        champion: (holds.version, holds.last_seq),
        revision: holds.revision,
    });
    Ok((holds != Some(goal)).then_some(goal))
}

/// A job that is paused or deleted gets no run.
async fn is_resting(store: &Store, job: &str) -> Result<bool, StoreError> {
    let rows = store.job_rows(job).await?;
    let mut rows = rows.iter();
    Ok(rows.any(|row| row.paused == Some(true) || row.deleted == Some(true)))
}

fn wish(job: &str) -> Wish {
    Wish {
        job: job.to_owned(),
        scope: Scope {
            rewrite: false,
            refresh: true,
            part: Part::Whole,
        },
        versions: None,
        trigger: TRIGGER.to_owned(),
        // Nobody else makes the same run: while it is open, who asks again joins it.
        cause: process::timeuuid().to_string(),
        due_at: Utc::now(),
        request_id: None,
        requested_by: None,
        note: None,
        priority: 0,
        max_rows_per_s: None,
        deadline: None,
    }
}

fn trouble(job: &str, failure: &Failure) -> String {
    format!("job `{job}`: its current predictions are not brought to the champion's: {failure}")
}
