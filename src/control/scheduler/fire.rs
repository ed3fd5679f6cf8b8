//! Plans a firing that is decided, and records the outcome.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    facts,
    step::{QUEUED, Stepped, lines, standing},
};
use crate::{
    control::{jobs, planning},
    domain::{
        problem::Problem,
        run::{Part, Run, Scope, run_id},
        trigger::{
            Key, Trigger, TriggerStatus,
            decide::{News, Resume, next_after_queue, resume},
        },
    },
    engine::run::{
        close,
        plan::{Planned, RunSpec},
        source,
    },
    failure::Failure,
    store::Store,
};

/// Pause after a failure of Cassandra or of a clock.
const RETRY: TimeDelta = TimeDelta::seconds(5);

/// Continues with a firing that is decided.
///
/// # Errors
/// Errors of Cassandra.
pub async fn go_on(
    store: &Store,
    trigger: &Trigger,
    status: TriggerStatus,
    now: DateTime<Utc>,
) -> Result<Stepped, Failure> {
    let Some(due) = status.queued_due else {
        return Ok(Stepped::later(status, None));
    };
    let own = run_id::derive(
        &trigger.job,
        &trigger.name,
        due.timestamp_micros().max(0) as u64 * 10,
    );
    let facts = facts::read(store, trigger, News::None).await?;
    match resume(trigger, own, facts.job, facts.open) {
        Resume::Plan => match store.trigger_status(&trigger.job, &trigger.name).await? {
            // Another scheduler continued with it, or an entity whose key was queued was forgotten.
            Some(standing) if standing.seq != status.seq => {
                Ok(Stepped::later(standing, Some(now + QUEUED)))
            }
            _ => plan_it(store, trigger, status, due, now).await,
        },
        Resume::Wait(_) => Ok(Stepped::later(status, Some(now + QUEUED))),
        Resume::Cancel(run) => {
            store.request_cancel(&trigger.job, run).await?;
            if let Some(run) = store.run(&trigger.job, run).await?
                && !run.state.is_terminal()
            {
                close::cancel_if_idle(store, &run).await?;
            }
            Ok(Stepped::later(status, Some(now + QUEUED)))
        }
        Resume::Drop(reason) => {
            settled(store, trigger, status, None, ("skipped", Some(reason)), now).await
        }
    }
}

async fn plan_it(
    store: &Store,
    trigger: &Trigger,
    status: TriggerStatus,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Stepped, Failure> {
    let planned = match wish(store, trigger, &status, due).await {
        Ok(wish) => planning::plan(store, &wish).await,
        Err(failure) => Err(failure),
    };
    let why = status.last_reason.clone();
    match planned {
        Ok(Planned::Opened(run)) => {
            settled(store, trigger, status, Some(run), ("fired", why), now).await
        }
        Ok(Planned::Joined(run)) => {
            let why = Some(format!("run {} was open and does the same", run.run_id));
            settled(store, trigger, status, Some(run), ("joined", why), now).await
        }
        // The run may already have passed rows that this firing is about.
        Ok(Planned::Behind(_)) => Ok(Stepped::later(status, Some(now + QUEUED))),
        // The run was opened just now: the overlap policy decides once it is being worked on.
        Err(failure) if failure.is("run.conflict") => {
            Ok(Stepped::later(status, Some(now + QUEUED)))
        }
        Err(failure) if failure.is_retryable() => {
            let reason = Some(lines(&failure.problems));
            let mut next = status.clone();
            let trouble = Some(format!(
                "trigger `{}` of job `{}`: {failure}",
                trigger.name, trigger.job
            ));
            let status = match next.last_reason == reason {
                true => status,
                false => {
                    next.note("delayed", reason, now);
                    standing(store.write_trigger_status(&next, now).await?, status)
                }
            };
            Ok(Stepped {
                trouble,
                ..Stepped::later(status, Some(now + RETRY))
            })
        }
        Err(failure) => {
            let reason = Some(lines(&failure.problems));
            settled(store, trigger, status, None, ("refused", reason), now).await
        }
    }
}

/// Returns the run to plan. Hints that are not keys of the source are left out.
async fn wish(
    store: &Store,
    trigger: &Trigger,
    status: &TriggerStatus,
    due: DateTime<Utc>,
) -> Result<RunSpec, Failure> {
    let part = match &status.queued_keys {
        None => Part::Whole,
        Some(hinted) => {
            let prepared = jobs::prepare(store, &trigger.job, trigger.versions.as_ref()).await?;
            let is_key =
                |key: &&Key| source::asked_keys(&prepared.job, std::slice::from_ref(*key)).is_ok();
            let keys: Vec<_> = hinted.iter().filter(is_key).cloned().collect();
            if keys.is_empty() {
                return Err(Failure::input(Problem::new(
                    "trigger.hints",
                    format!(
                        "none of {} hinted keys is a key of the source",
                        hinted.len()
                    ),
                )));
            }
            Part::Keys(keys)
        }
    };
    let deadline = trigger
        .deadline
        .and_then(|deadline| TimeDelta::from_std(deadline).ok());
    Ok(RunSpec {
        job: trigger.job.clone(),
        scope: Scope {
            rewrite: trigger.rewrite,
            refresh: false,
            part,
        },
        versions: trigger.versions.clone(),
        trigger: trigger.name.clone(),
        cause: trigger.name.clone(),
        due_at: due,
        request_id: None,
        requested_by: None,
        note: status.last_reason.clone(),
        priority: trigger.priority,
        max_rows_per_s: trigger.max_rows_per_s,
        deadline: deadline.map(|deadline| due + deadline),
        after: None,
    })
}

/// Records the outcome of a firing.
async fn settled(
    store: &Store,
    trigger: &Trigger,
    mut status: TriggerStatus,
    run: Option<Box<Run>>,
    (outcome, reason): (&str, Option<String>),
    now: DateTime<Utc>,
) -> Result<Stepped, Failure> {
    let before = status.clone();
    let fired = run.map(|run| run.run_id);
    status.next_due = next_after_queue(trigger, status.next_due, now);
    status.last_run = fired.or(status.last_run);
    status.settle();
    status.note(outcome, reason, now);
    tracing::info!(job = trigger.job, trigger = trigger.name, outcome, reason = ?status.last_reason, "trigger");
    let written = store.write_trigger_status(&status, now).await?;
    // If another scheduler recorded it, the run is the same.
    Ok(Stepped {
        fired,
        ..Stepped::later(standing(written, before), None)
    })
}
