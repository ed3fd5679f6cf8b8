//! Serves one trigger once: decides, plans and records a firing.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    facts,
    fire::go_on,
    look::{Looked, observe},
};
use crate::{
    domain::{
        problem::Problem,
        trigger::{
            Trigger, TriggerStatus,
            decide::{Facts, Firing, Outcome, decide},
        },
    },
    failure::Failure,
    store::{Store, triggers::trigger_status::Written},
};

/// Interval between looks while a firing waits for a run.
pub const QUEUED: TimeDelta = TimeDelta::seconds(1);

/// Outcome of serving a trigger.
#[derive(Debug)]
pub struct Stepped {
    /// The current status.
    pub status: TriggerStatus,
    /// A run that was made or joined.
    pub fired: Option<Uuid>,
    /// When to look again; `None`: whenever something is due.
    pub look_at: Option<DateTime<Utc>>,
    /// An error to report.
    pub trouble: Option<String>,
}

impl Stepped {
    /// Returns the outcome without a firing.
    pub fn later(status: TriggerStatus, look_at: Option<DateTime<Utc>>) -> Self {
        Self {
            status,
            fired: None,
            look_at,
            trouble: None,
        }
    }
}

/// Looks at a trigger and does what is due.
///
/// # Errors
/// Errors of Cassandra. The decision is stored in the status, and the next scheduler continues from
/// there.
pub async fn step(
    store: &Store,
    trigger: &Trigger,
    model: Option<&str>,
    status: TriggerStatus,
    now: DateTime<Utc>,
) -> Result<Stepped, Failure> {
    if status.queued_due.is_some() {
        return Box::pin(go_on(store, trigger, status, now)).await;
    }
    let seen = status.cursor.clone();
    let (news, status, look_at) =
        match Box::pin(observe(store, trigger, model, status, now)).await? {
            Looked::News(news, status, look_at) => (news, *status, look_at),
            Looked::Done(stepped) => return Ok(*stepped),
        };
    let quiet = Facts {
        news: news.clone(),
        ..facts::quiet()
    };
    let outcome = match decide(trigger, &status, now, quiet) {
        wait @ Outcome::Wait { .. } => wait,
        // Reading what else may block the run costs reads.
        _ => decide(
            trigger,
            &status,
            now,
            facts::read(store, trigger, news).await?,
        ),
    };
    let mut next = status.clone();
    match outcome {
        Outcome::Wait { until, reason } => {
            let look_at = look_at.max(until).or(Some(now + QUEUED));
            let says_the_same = reason.is_none() || reason == status.last_reason;
            if !says_the_same {
                next.note("waiting", reason, now);
            } else if status.cursor == seen
                && status
                    .estimate
                    .as_ref()
                    .is_none_or(|estimate| estimate.at != now)
            {
                return Ok(Stepped::later(status, look_at));
            }
            let written = store.write_trigger_status(&next, now).await?;
            return Ok(Stepped::later(standing(written, status), look_at));
        }
        Outcome::Fire(firing) => {
            next.note("due", firing.why.clone(), now);
            queue(&mut next, firing);
        }
        Outcome::Queue(firing, run) => {
            next.note("queued", Some(format!("behind run {run}")), now);
            queue(&mut next, firing);
        }
        Outcome::CancelThenFire(firing, run) => {
            next.note("cancelling", Some(format!("run {run} makes way")), now);
            queue(&mut next, firing);
        }
        Outcome::Skip {
            next_due,
            cursor,
            reason,
        } => {
            next.note("skipped", Some(reason), now);
            next.next_due = next_due;
            next.cursor = cursor.or(next.cursor);
        }
    }
    match store.write_trigger_status(&next, now).await? {
        Written::Yes(status) if status.queued_due.is_some() => {
            Box::pin(go_on(store, trigger, *status, now)).await
        }
        // Another scheduler decided: the next round looks at its decision.
        written => Ok(Stepped::later(standing(written, status), look_at)),
    }
}

fn queue(status: &mut TriggerStatus, firing: Firing) {
    status.queued_due = Some(firing.due);
    status.queued_keys = firing.keys;
    status.next_due = firing.next_due;
    status.cursor = firing.cursor.or(status.cursor.take());
}

/// Returns the status that is stored after a write.
pub fn standing(written: Written, before: TriggerStatus) -> TriggerStatus {
    match written {
        Written::Yes(status) => *status,
        Written::No(standing) => standing.map_or(before, |standing| *standing),
    }
}

/// Joins problems into one line.
pub fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::line).collect();
    lines.join("; ")
}
