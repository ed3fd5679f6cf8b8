//! Finds the rows of a batch that hang the model.
//!
//! The batch is halved until these rows are isolated. A row is refused after two calls with it
//! alone, the second with a generous limit, and only if a row that was scored before can still be
//! scored: a stalled machine is no evidence against a row.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    ScoreError, Shared,
    engine::Engine,
    lock,
    slot::{Attempt, Order, Reply, Slot, attempt},
};
use crate::{
    domain::model::tensor::InputBatch,
    scorer::{
        isolate::{none_yet, part_of},
        rows::append_outputs,
        session::{RowOutcomes, RunError},
    },
};

/// Maximum number of calls of a pool that may hang, plus one for each [`ROWS_PER_HANG`] rows
/// scored.
const MAX_HANGS: u64 = 500;
const ROWS_PER_HANG: u64 = 1_000;
/// Maximum number of rows refused before a row of the version was scored.
const UNPROVEN: usize = 16;

/// A batch whose call hung.
pub(super) struct Hunted {
    pub version: usize,
    pub batch: InputBatch,
    pub reply: Reply,
    /// When its first call began.
    pub begun: Instant,
}

/// Batches that wait for the hunting thread, so that scoring threads stay available.
#[derive(Default)]
pub(super) struct Hunts {
    pub waiting: VecDeque<Hunted>,
    pub is_running: bool,
}

impl std::fmt::Debug for Hunts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} waiting", self.waiting.len())
    }
}

/// Hands a batch to the hunting thread, which is started if needed.
pub(super) fn submit(shared: &Arc<Shared>, hunted: Hunted) {
    let mut hunts = lock(&shared.hunts);
    hunts.waiting.push_back(hunted);
    if !std::mem::replace(&mut hunts.is_running, true) {
        drop(hunts);
        start(shared);
    }
}

/// Starts the thread. `is_running` is already set.
pub(super) fn start(shared: &Arc<Shared>) {
    let begun = shared.spawn("score-hunt".to_owned(), |shared, slot| {
        let _ending = Ending(shared);
        let mut engine = match shared.another_engine() {
            Ok(engine) => engine,
            Err(problem) => {
                let why = ScoreError::Died(problem.line());
                return give_up_all(shared, &why);
            }
        };
        loop {
            let next = {
                let mut hunts = lock(&shared.hunts);
                let next = hunts.waiting.pop_front();
                hunts.is_running = next.is_some();
                next
            };
            let Some(hunted) = next else { return };
            if !hunt(shared, slot, &mut engine, hunted) {
                return;
            }
        }
    });
    if let Err(problem) = begun {
        give_up_all(shared, &ScoreError::Died(problem.line()));
    }
}

fn give_up_all(shared: &Shared, why: &ScoreError) {
    let mut hunts = lock(&shared.hunts);
    hunts.is_running = false;
    for hunted in hunts.waiting.drain(..) {
        // There is no receiver if the run was given up meanwhile.
        let _ = hunted.reply.send(Err(why.clone()));
    }
}

/// Answers waiting batches if the thread panics.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            give_up_all(self.0, &ScoreError::Lost);
        }
    }
}

/// Hunts and answers. Returns `false` if this thread was abandoned.
pub(super) fn hunt(
    shared: &Shared,
    slot: &Mutex<Slot>,
    engine: &mut Engine,
    hunted: Hunted,
) -> bool {
    let Hunted {
        version,
        batch,
        reply,
        begun,
    } = hunted;
    tracing::warn!(
        version,
        rows = batch.rows,
        "a batch hangs {}; looking for the rows that do it",
        shared.subject.name()
    );
    let mut hunt = Hunt {
        shared,
        slot,
        engine,
        version,
        batch: &batch,
        outcomes: none_yet(&shared.signatures[version]),
        unproven: 0,
        reply: Some(reply),
    };
    let found = hunt.run();
    let Some(reply) = hunt.reply else {
        return false;
    };
    if matches!(found, Err(RunError::Died(_))) {
        shared.is_hopeless.store(true, Ordering::Relaxed);
    }
    let outcome = found.map(|()| hunt.outcomes);
    super::answer(reply, outcome, batch, begun);
    true
}

struct Hunt<'a> {
    shared: &'a Shared,
    slot: &'a Mutex<Slot>,
    engine: &'a mut Engine,
    version: usize,
    batch: &'a InputBatch,
    outcomes: RowOutcomes,
    /// Rows refused while none was scored.
    unproven: usize,
    /// `None` once another thread has answered.
    reply: Option<Reply>,
}

impl Hunt<'_> {
    /// Halves the batch until the rows that hang the model are refused and all others scored.
    ///
    /// # Errors
    /// [`RunError`]; `Stopped` if the machine is stalled, or there is no receiver any more.
    fn run(&mut self) -> Result<(), RunError> {
        let shared = self.shared;
        let pace = &shared.pace;
        // On a shared thread, the first limit is short while the version's speed is unknown.
        let whole = 0..self.batch.rows;
        let mut parts = match shared.spare.is_some() && !pace.is_known(self.version) {
            true => vec![whole],
            false => halves(whole),
        };
        while let Some(rows) = parts.pop() {
            let limit = pace.limit(self.version, rows.len());
            if self.scores(rows.clone(), limit)? {
                continue;
            }
            if rows.len() > 1 {
                parts.extend(halves(rows));
                continue;
            }
            let limit = pace.lone(self.version);
            if self.scores(rows.clone(), limit)? {
                continue;
            }
            self.blame(rows.start)?;
            let seconds = limit.as_secs_f64();
            let reason = shared.subject.hung(seconds);
            self.outcomes.refused.push((rows.start, reason));
        }
        Ok(())
    }

    /// Checks that the row hangs the model, not the machine or every row.
    fn blame(&mut self, row: usize) -> Result<(), RunError> {
        let shared = self.shared;
        let proven = &shared.proven[self.version];
        if proven.get().is_none() && self.unproven == 0 {
            self.look_for_proof(row)?;
        }
        let limit = self.shared.pace.lone(self.version);
        if let Some(proven) = proven.get() {
            if self.call(proven, limit)?.is_none() {
                return Err(RunError::Stopped);
            }
            let name = shared.subject.name();
            tracing::warn!(version = self.version, row, "a row hangs {name}");
            return Ok(());
        }
        self.unproven += 1;
        if self.unproven < UNPROVEN {
            return Ok(());
        }
        Err(RunError::Died(format!(
            "{} hangs on every row: none of {UNPROVEN} rows was answered within {} s",
            shared.subject.name(),
            limit.as_secs_f64()
        )))
    }

    /// Tries a few other rows, far from each other.
    fn look_for_proof(&mut self, but: usize) -> Result<(), RunError> {
        let rows = self.batch.rows;
        let limit = self.shared.pace.limit(self.version, 1);
        for row in [rows - 1, rows / 2, rows / 4, rows / 4 * 3] {
            if row == but {
                continue;
            }
            let begun = Instant::now();
            let part = self.part(row..row + 1);
            if let Some(found) = self.call(&part, limit)? {
                let took = begun.elapsed();
                self.shared.note_scored(self.version, &part, &found, took);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Scores the rows and adds their outcomes; returns `false` if the call hung.
    fn scores(&mut self, rows: Range<usize>, limit: Duration) -> Result<bool, RunError> {
        let begun = Instant::now();
        let part = self.part(rows.clone());
        let Some(found) = self.call(&part, limit)? else {
            return Ok(false);
        };
        self.shared
            .note_scored(self.version, &part, &found, begun.elapsed());
        append_outputs(&mut self.outcomes.outputs, found.outputs);
        let refused = found.refused.into_iter();
        let refused = refused.map(|(row, why)| (rows.start + row, why));
        self.outcomes.refused.extend(refused);
        Ok(true)
    }

    fn part(&self, rows: Range<usize>) -> InputBatch {
        part_of(self.batch, &self.shared.signatures[self.version], rows)
    }

    /// Makes a call; `None`: it hung.
    fn call(
        &mut self,
        batch: &InputBatch,
        limit: Duration,
    ) -> Result<Option<RowOutcomes>, RunError> {
        let Some(reply) = self.reply.take() else {
            return Err(RunError::Stopped);
        };
        if reply.is_closed() {
            self.reply = Some(reply);
            return Err(RunError::Stopped);
        }
        let order = Order {
            version: self.version,
            batch,
            limit,
            load_limit: self.shared.pace.loading(),
            is_hunt: true,
            is_scored: self.shared.scores(),
        };
        let reply = match attempt(self.slot, self.engine, &order, reply) {
            Attempt::Done(outcome, reply) => {
                self.reply = Some(reply);
                return outcome.map(Some);
            }
            Attempt::Hung { reply, .. } => reply,
            Attempt::GivenUp => return Err(RunError::Stopped),
        };
        self.reply = Some(reply);
        let hung = 1 + self.shared.hung.fetch_add(1, Ordering::Relaxed);
        let scored = self.shared.scored.load(Ordering::Relaxed);
        if hung > MAX_HANGS + scored / ROWS_PER_HANG {
            return Err(RunError::Died(format!(
                "{} hung in {hung} calls over {scored} rows",
                self.shared.subject.name()
            )));
        }
        Ok(None)
    }
}

/// Returns the second half first: parts are taken from the end, and rows must come in order.
fn halves(rows: Range<usize>) -> Vec<Range<usize>> {
    if rows.len() < 2 {
        return vec![rows];
    }
    let middle = rows.start + rows.len() / 2;
    vec![middle..rows.end, rows.start..middle]
}
