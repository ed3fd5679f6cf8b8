//! Answers rows of `triggers`, whichever client wrote them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{Scheduler, TriggerId, TriggerRound, Watched, alarms, hints, look};
use crate::{
    domain::{
        names::nearest,
        problem::Problem,
        trigger::{
            Trigger, TriggerRow, TriggerState, TriggerStatus, When,
            after::{Graph, Taken},
        },
    },
    failure::Failure,
    store::{Store, triggers::trigger_status::Written},
};

/// A row with its verdict.
struct Judged {
    row: TriggerRow,
    hash: Vec<u8>,
    standing: Option<TriggerStatus>,
    trigger: Result<Trigger, Vec<Problem>>,
}

impl Judged {
    fn state(&self) -> TriggerState {
        match (&self.trigger, self.row.removed, self.row.paused) {
            (_, Some(true), _) => TriggerState::Removed,
            (Err(_), ..) => TriggerState::Invalid,
            (_, _, Some(true)) => TriggerState::Paused,
            _ => TriggerState::Ready,
        }
    }

    fn is_ready_already(&self) -> bool {
        let standing = self.standing.as_ref();
        standing.is_some_and(|status| {
            status.state == TriggerState::Ready && status.row_hash == self.hash
        })
    }
}

impl Scheduler {
    /// Reads all rows, and answers those that are new or whose verdict changed.
    pub(super) async fn sweep(
        &mut self,
        store: &Store,
        now: DateTime<Utc>,
        round: &mut TriggerRound,
    ) -> Result<(), Failure> {
        let rows = store.triggers().await?;
        let mut standing: BTreeMap<TriggerId, TriggerStatus> = store
            .trigger_statuses()
            .await?
            .into_iter()
            .map(|status| ((status.job.clone(), status.name.clone()), status))
            .collect();
        let jobs: BTreeSet<String> = match rows.is_empty() {
            true => BTreeSet::new(),
            false => store.sweep_jobs().await?.into_iter().collect(),
        };
        let mut judged: Vec<Judged> = rows
            .into_iter()
            .map(|row| {
                let id = (row.job.clone(), row.name.clone());
                Judged {
                    hash: row.hash(),
                    standing: standing.remove(&id),
                    trigger: Trigger::read(&row).and_then(|trigger| known(trigger, &jobs)),
                    row,
                }
            })
            .collect();
        refuse_cycles(&mut judged);
        let mut watched = BTreeMap::new();
        for judged in judged {
            let id = (judged.row.job.clone(), judged.row.name.clone());
            match answer(store, judged, now, round).await {
                Ok(new) => {
                    let old = self.watched.remove(&id);
                    watched.insert(id, merged(new, old));
                }
                Err(failure) if failure.is("cassandra.denied") => return Err(failure),
                Err(failure) => {
                    round
                        .troubles
                        .push(format!("trigger `{}` of job `{}`: {failure}", id.1, id.0));
                    if let Some(old) = self.watched.remove(&id) {
                        watched.insert(id, old);
                    }
                }
            }
        }
        // Statuses whose row was deleted.
        for (_, status) in standing {
            if status.state != TriggerState::Removed {
                let mut status = TriggerStatus {
                    state: TriggerState::Removed,
                    ..status
                };
                rest(&mut status);
                store.write_trigger_status(&status, now).await?;
                round.answered += 1;
            }
        }
        self.watched = watched;
        self.swept_at = Some(now);
        Ok(())
    }
}

/// Merges a new row into a watched trigger; work that is under way continues.
fn merged(new: Watched, old: Option<Watched>) -> Watched {
    let Some(old) = old else { return new };
    let is_same = old.row == new.row;
    Watched {
        status: match old.status.seq > new.status.seq {
            true => old.status,
            false => new.status,
        },
        look_at: old.look_at.filter(|_| is_same),
        busy: old.busy,
        ..new
    }
}

/// Checks that the jobs that a trigger names exist.
fn known(trigger: Trigger, jobs: &BTreeSet<String>) -> Result<Trigger, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut check = |job: &str, column: &str| {
        if !jobs.contains(job) {
            let near = nearest(job, jobs.iter().map(String::as_str));
            let help = near.map_or_else(
                || "`helenus job list` shows all".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let problem = Problem::new("trigger.unknown_job", format!("there is no job `{job}`"));
            problems.push(problem.at(column).help(help));
        }
    };
    check(&trigger.job, "job");
    if let When::After(upstream) = &trigger.when {
        upstream.iter().for_each(|job| check(job, "after_job"));
    }
    match problems.is_empty() {
        true => Ok(trigger),
        false => Err(problems),
    }
}

/// Refuses, of the triggers that form a cycle, the last one: triggers that are already ready come
/// first, then by job and name.
fn refuse_cycles(judged: &mut [Judged]) {
    judged.sort_by(|a, b| {
        let order = |judged: &Judged| {
            (
                !judged.is_ready_already(),
                judged.row.job.clone(),
                judged.row.name.clone(),
            )
        };
        order(a).cmp(&order(b))
    });
    let mut graph = Graph::default();
    for judged in judged
        .iter_mut()
        .filter(|judged| judged.row.removed != Some(true))
    {
        let Ok(Trigger {
            when: When::After(upstream),
            job,
            ..
        }) = &judged.trigger
        else {
            continue;
        };
        if let Err(path) = graph.add(job, upstream) {
            let problem = Problem::new("trigger.cycle", format!("a cycle: {}", path.join(" → ")))
                .at("after_job")
                .help("each runs after the one before it; take one of the triggers away");
            judged.trigger = Err(vec![problem]);
        }
    }
}

/// Clears everything that is due.
fn rest(status: &mut TriggerStatus) {
    status.next_due = None;
    status.queued_due = None;
    status.queued_keys = None;
    status.cursor = None;
    status.estimate = None;
}

async fn answer(
    store: &Store,
    judged: Judged,
    now: DateTime<Utc>,
    round: &mut TriggerRound,
) -> Result<Watched, Failure> {
    let state = judged.state();
    let Judged {
        row,
        hash,
        standing,
        trigger,
    } = judged;
    let problems: Vec<String> = match (&trigger, state) {
        (Err(problems), TriggerState::Invalid) => problems
            .iter()
            .map(|problem| format!("{}: {}", problem.code, problem.line()))
            .collect(),
        _ => Vec::new(),
    };
    let trigger = trigger.ok();
    let fires = trigger.as_ref().map(|trigger| trigger.when.to_string());
    let ready = trigger.filter(|_| state == TriggerState::Ready);
    let model = match &ready {
        Some(trigger) if matches!(trigger.when, When::Promotion(_)) => {
            let statuses = store.job_statuses(&trigger.job).await?;
            statuses.into_iter().find_map(|status| status.model)
        }
        _ => None,
    };
    let watched = |status| Watched {
        row: row.clone(),
        trigger: ready.clone(),
        model: model.clone(),
        status,
        look_at: None,
        busy: false,
    };
    let old = standing.unwrap_or_else(|| TriggerStatus {
        job: row.job.clone(),
        name: row.name.clone(),
        ..TriggerStatus::default()
    });
    let says_the_same =
        old.seq > 0 && old.state == state && old.problems == problems && old.row_hash == hash;
    // A trigger that follows an alias of a model that is not known yet begins once the model is
    // known.
    let begins = match &ready {
        Some(trigger) => match trigger.when {
            When::Promotion(_) => model.is_some() && old.cursor.is_none(),
            _ => false,
        },
        None => false,
    };
    if says_the_same && !begins {
        return Ok(watched(old));
    }
    let goes_on = old.state == TriggerState::Ready && old.fires == fires && !begins;
    let mut new = TriggerStatus {
        state,
        problems,
        fires,
        row_hash: hash,
        ..old.clone()
    };
    match &ready {
        None => rest(&mut new),
        Some(_) if goes_on => {}
        Some(trigger) => {
            rest(&mut new);
            begin(store, trigger, model.as_deref(), &mut new, now).await?;
        }
    }
    let status = match store.write_trigger_status(&new, now).await? {
        Written::Yes(status) => {
            tracing::info!(
                job = row.job,
                trigger = row.name,
                state = state.as_str(),
                "answered"
            );
            round.answered += 1;
            *status
        }
        Written::No(standing) => standing.map_or(old, |standing| *standing),
    };
    Ok(watched(status))
}

/// Starts a trigger: it follows only what comes later, the next tick and runs and changes that do
/// not exist yet.
async fn begin(
    store: &Store,
    trigger: &Trigger,
    model: Option<&str>,
    status: &mut TriggerStatus,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    match &trigger.when {
        When::Scheduled(schedule) => status.next_due = schedule.next_after(now),
        When::After(jobs) => {
            let upstream = look::upstream(store, jobs).await?;
            status.cursor = Some(look::cursor_of(&Taken::all(&upstream)));
        }
        When::Promotion(alias) => {
            let change = look::changed(store, model, alias).await?;
            status.cursor = model.map(|_| change.map_or(0, |(seq, _)| seq).to_string());
        }
        When::Alarm(pattern) => {
            status.cursor = Some(alarms::begin(store, &trigger.job, pattern).await?);
        }
        When::Pending { .. } => {
            status.cursor = Some(hints::begin(store, &trigger.job, now).await?.to_text());
        }
    }
    Ok(())
}
