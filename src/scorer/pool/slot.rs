//! State of a scoring thread, for the watchdog.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    ScoreError, Scored,
    engine::{Engine, StopHandle},
    lock,
};
use crate::{
    domain::model::tensor::InputBatch,
    metrics,
    scorer::{
        isolate::Phase,
        session::{RowOutcomes, RunError},
    },
};

pub(super) type Reply = oneshot::Sender<Result<Scored, ScoreError>>;

/// State of a thread. The one that takes the reply out of it answers.
#[derive(Debug, Default)]
pub(super) enum Slot {
    #[default]
    Idle,
    Running(Call),
    /// Stopped, but perhaps still running.
    Overdue {
        since: Instant,
        call: Call,
        /// Whether another thread replaces it meanwhile.
        is_replaced: bool,
    },
    /// It did not stop; its call was answered.
    Lost,
    /// Its thread has ended.
    Ended,
}

/// A call of an engine.
#[derive(Debug)]
pub(super) struct Call {
    pub since: Instant,
    pub limit: Duration,
    pub rows: usize,
    pub stop: StopHandle,
    pub reply: Reply,
    /// Whether it is part of a hunt, which is pointless without a receiver.
    pub is_hunt: bool,
}

impl Call {
    pub(super) fn is_over(&self) -> bool {
        self.since.elapsed() > self.limit || (self.is_hunt && self.reply.is_closed())
    }
}

/// Parameters of a call.
pub(super) struct Order<'a> {
    pub version: usize,
    pub batch: &'a InputBatch,
    pub limit: Duration,
    /// Limit for loading, if a process must be started.
    pub load_limit: Duration,
    pub is_hunt: bool,
    /// Whether a model is called.
    pub is_scored: bool,
}

/// Outcome of a call.
pub(super) enum Attempt {
    /// It completed.
    Done(Result<RowOutcomes, RunError>, Reply),
    /// It was stopped at its limit; the engine can be used again.
    Hung { reply: Reply, is_replaced: bool },
    /// It stopped so late that its call was already answered: its thread must end.
    GivenUp,
}

/// Makes a call under supervision of the watchdog.
pub(super) fn attempt(
    slot: &Mutex<Slot>,
    engine: &mut Engine,
    order: &Order<'_>,
    reply: Reply,
) -> Attempt {
    let misaligned = |what| Err(RunError::Misaligned(what));
    let stop = match engine.stop(order.version) {
        Some(Ok(stop)) => stop,
        Some(Err(problem)) => return Attempt::Done(misaligned(problem.message), reply),
        None => {
            let what = format!("there is no version at index {}", order.version);
            return Attempt::Done(misaligned(what), reply);
        }
    };
    let begun = Instant::now();
    *lock(slot) = Slot::Running(Call {
        since: begun,
        limit: order.limit,
        rows: order.batch.rows,
        stop: stop.clone(),
        reply,
        is_hunt: order.is_hunt,
    });
    let alive = |phase| {
        if let Slot::Running(call) = &mut *lock(slot) {
            call.since = Instant::now();
            call.limit = match phase {
                Phase::Loading => order.load_limit,
                Phase::Scoring => order.limit,
            };
        }
    };
    let outcome = engine.run_rows(order.version, order.batch, &stop, &alive);
    let was = std::mem::take(&mut *lock(slot));
    let (reply, is_replaced) = match was {
        Slot::Running(call) => (call.reply, false),
        Slot::Overdue {
            call, is_replaced, ..
        } => (call.reply, is_replaced),
        Slot::Idle | Slot::Lost | Slot::Ended => return Attempt::GivenUp,
    };
    match outcome {
        Err(RunError::Stopped) => Attempt::Hung { reply, is_replaced },
        // It completed, even if it was stopped.
        outcome if !is_replaced => {
            if order.is_scored {
                metrics::SCORE_SECONDS.histogram().record(begun.elapsed());
            }
            Attempt::Done(outcome, reply)
        }
        // Its thread must end, so another thread continues.
        _ => Attempt::Hung { reply, is_replaced },
    }
}
