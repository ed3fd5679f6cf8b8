//! Looks at what a trigger watches: runs of other jobs, an alias, pending rows.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    ESTIMATE, HINTED, LOOK, alarms, estimate, hints,
    step::{Stepped, lines, standing},
};
use crate::{
    control::jobs,
    domain::{
        run::{RunState, run_id},
        trigger::{
            Trigger, TriggerStatus, When,
            after::{Taken, Upstream, UpstreamRun},
            decide::News,
            estimate::Estimate,
            hinted::HintCursor,
        },
    },
    failure::Failure,
    store::Store,
};

/// What a look found.
pub enum Looked {
    /// What happened; the updated status; when to look again.
    News(News, Box<TriggerStatus>, Option<DateTime<Utc>>),
    /// Nothing could be looked at.
    Done(Box<Stepped>),
}

/// Looks at what the trigger watches.
///
/// # Errors
/// Errors of Cassandra.
pub async fn observe(
    store: &Store,
    trigger: &Trigger,
    model: Option<&str>,
    mut status: TriggerStatus,
    now: DateTime<Utc>,
) -> Result<Looked, Failure> {
    let news = match &trigger.when {
        When::Scheduled(_) => return Ok(Looked::News(News::None, Box::new(status), None)),
        When::After(jobs) => {
            let upstream = upstream(store, jobs).await?;
            let taken = status
                .cursor
                .as_deref()
                .and_then(|json| serde_json::from_str::<Taken>(json).ok());
            match taken
                .unwrap_or_else(|| Taken::all(&upstream))
                .next(&upstream)
            {
                Ok(generation) => {
                    let cursor = cursor_of(&generation.taken);
                    News::Generation(generation, cursor)
                }
                Err(_) => News::None,
            }
        }
        When::Promotion(alias) => match changed(store, model, alias).await? {
            Some((seq, at)) if status.cursor.as_deref() != Some(seq.to_string().as_str()) => {
                News::Moved {
                    at,
                    cursor: seq.to_string(),
                }
            }
            _ => News::None,
        },
        When::Alarm(pattern) => {
            match alarms::opened(store, &trigger.job, pattern, status.cursor.as_deref()).await? {
                Some((what, cursor)) => News::Alarmed { what, cursor },
                None => News::None,
            }
        }
        When::Pending { hints, .. } => {
            let is_due = status
                .estimate
                .as_ref()
                .is_none_or(|last| now < last.at || now - last.at >= ESTIMATE);
            if is_due {
                match estimated(store, trigger, &status, now).await {
                    Ok(estimate) => status.estimate = Some(estimate),
                    Err(failure) if failure.is_retryable() => return Err(failure),
                    Err(failure) => {
                        let reason = Some(lines(&failure.problems));
                        if status.last_reason != reason {
                            status.note("refused", reason, now);
                            status =
                                standing(store.write_trigger_status(&status, now).await?, status);
                        }
                        return Ok(Looked::Done(Box::new(Stepped::later(
                            status,
                            Some(now + ESTIMATE),
                        ))));
                    }
                }
            }
            let hints = match hints {
                true => {
                    let cursor = status.cursor.as_deref();
                    let mut cursor = match cursor.and_then(|text| HintCursor::parse(text, now)) {
                        Some(cursor) => cursor,
                        None => hints::begin(store, &trigger.job, now).await?,
                    };
                    let hints = hints::read(store, &trigger.job, &mut cursor, now).await?;
                    status.cursor = Some(cursor.to_text());
                    Some(hints)
                }
                false => None,
            };
            let failed_at = match status.last_run {
                Some(run) if status.last_due.is_some() => {
                    failed_at(store, &trigger.job, run).await?
                }
                _ => None,
            };
            // An estimate is news only at the moment it was made.
            let estimate = status.estimate.clone().filter(|_| is_due);
            let look_at = match &hints {
                Some(hints) if hints.count > 0 => now + HINTED,
                Some(_) => now + LOOK,
                None => status.estimate.as_ref().map_or(now, |estimate| estimate.at) + ESTIMATE,
            };
            let news = News::Waiting {
                estimate,
                hints,
                failed_at,
            };
            return Ok(Looked::News(news, Box::new(status), Some(look_at)));
        }
    };
    Ok(Looked::News(news, Box::new(status), Some(now + LOOK)))
}

/// Returns the runs of upstream jobs that a dependent job follows.
pub async fn upstream(store: &Store, jobs: &BTreeSet<String>) -> Result<Upstream, Failure> {
    let mut upstream = BTreeMap::new();
    for job in jobs {
        let runs = store.whole_runs(job).await?;
        let runs = runs.into_iter().map(|run| UpstreamRun {
            run_id: run.run_id,
            finished_at: run.finished_at,
        });
        upstream.insert(job.clone(), runs.collect());
    }
    Ok(upstream)
}

/// Returns the cursor's form of what is taken.
pub fn cursor_of(taken: &Taken) -> String {
    // Ids and times always serialise.
    serde_json::to_string(taken).unwrap_or_default()
}

/// Returns the number and the time of the last change of an alias.
pub async fn changed(
    store: &Store,
    model: Option<&str>,
    alias: &str,
) -> Result<Option<(i32, DateTime<Utc>)>, Failure> {
    let Some(model) = model else {
        return Ok(None);
    };
    let last = store.alias_history(model, alias, 1).await?;
    Ok(last.first().and_then(|change| {
        let ticks = run_id::time_100ns(change.changed_at)?;
        Some((
            change.seq,
            DateTime::from_timestamp_micros((ticks / 10) as i64)?,
        ))
    }))
}

async fn estimated(
    store: &Store,
    trigger: &Trigger,
    status: &TriggerStatus,
    now: DateTime<Utc>,
) -> Result<Estimate, Failure> {
    let prepared = jobs::prepare(store, &trigger.job, trigger.versions.as_ref()).await?;
    let before = status.estimate.as_ref();
    let known_rows = before.map(|estimate| estimate.rows);
    let started = store.last_whole_start(&trigger.job).await?;
    let estimate = estimate::estimate(store, &prepared.job, known_rows, now).await?;
    Ok(estimate.since(before, started))
}

async fn failed_at(store: &Store, job: &str, run: Uuid) -> Result<Option<DateTime<Utc>>, Failure> {
    let run = store.run(job, run).await?;
    Ok(run
        .filter(|run| run.state == RunState::Failed)
        .and_then(|run| run.finished_at))
}
