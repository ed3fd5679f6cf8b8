//! State shared by all threads of a pool, and the start of more threads.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    super::{
        image::Image, isolate::part_of, runtime::Runtime, session::RowOutcomes, subject::Subject,
    },
    Request,
    engine::Engine,
    hunt::Hunts,
    lock,
    pace::Pace,
    slot::Slot,
    work,
};
use crate::domain::{
    model::{Signature, tensor::InputBatch},
    problem::Problem,
};

/// State shared by all threads of a pool.
pub(super) struct Shared {
    pub queue: Mutex<mpsc::Receiver<Request>>,
    /// Slot of every thread that was started.
    pub slots: Mutex<Vec<Arc<Mutex<Slot>>>>,
    pub threads: Mutex<Vec<Started>>,
    /// Number of threads that replaced others.
    pub replaced: AtomicUsize,
    /// Required number of threads.
    pub wanted: usize,
    pub signatures: Vec<Signature>,
    pub pace: Pace,
    /// What is called.
    pub subject: Subject,
    pub hunts: Mutex<Hunts>,
    /// Number of calls that hung, and of rows scored.
    pub hung: AtomicU64,
    pub scored: AtomicU64,
    /// A row that was scored, by version.
    pub proven: Vec<OnceLock<InputBatch>>,
    /// Whether the pool must not be used for another run.
    pub is_hopeless: AtomicBool,
    /// Material for more sessions, if jobs share the pool.
    pub spare: Option<Spare>,
}

pub(super) struct Started {
    pub thread: thread::JoinHandle<()>,
    pub slot: Arc<Mutex<Slot>>,
}

pub(super) struct Spare {
    pub runtime: &'static Runtime,
    pub versions: Vec<(Image, Signature)>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Starts a thread with its own slot.
    pub(super) fn spawn(
        self: &Arc<Self>,
        name: String,
        work: impl FnOnce(&Arc<Self>, &Mutex<Slot>) + Send + 'static,
    ) -> Result<(), Problem> {
        let slot = Arc::new(Mutex::new(Slot::Idle));
        let (shared, its_slot) = (Arc::clone(self), Arc::clone(&slot));
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _ending = Ending(&its_slot);
                work(&shared, &its_slot);
            })
            .map_err(|error| {
                Problem::new(
                    "scorer.threads",
                    format!("cannot start a scoring thread: {error}"),
                )
            })?;
        lock(&self.slots).push(Arc::clone(&slot));
        let mut threads = lock(&self.threads);
        threads.retain(|started| !started.thread.is_finished());
        threads.push(Started { thread, slot });
        Ok(())
    }

    /// Returns whether models are called.
    pub(super) fn scores(&self) -> bool {
        matches!(self.subject, Subject::Model)
    }

    /// Records the duration and outcome of a call.
    pub(super) fn note_scored(
        &self,
        version: usize,
        batch: &InputBatch,
        outcome: &RowOutcomes,
        took: Duration,
    ) {
        self.pace.note(version, batch.rows, took);
        let scored = outcome.outputs.rows as u64;
        self.scored.fetch_add(scored, Ordering::Relaxed);
        if self.proven[version].get().is_some() {
            return;
        }
        // The first row that was not refused: refused rows are in order.
        let refused = outcome.refused.iter().enumerate();
        let row = refused.take_while(|(at, refused)| *at == refused.0).count();
        if row < batch.rows {
            let row = part_of(batch, &self.signatures[version], row..row + 1);
            let _ = self.proven[version].set(row);
        }
    }

    pub(super) fn another_engine(&self) -> Result<Engine, Problem> {
        let spare = self.spare.as_ref().ok_or_else(|| {
            Problem::new("scorer.threads", "this pool cannot create more sessions")
        })?;
        Engine::here(spare.runtime, &spare.versions)
    }

    /// Starts a replacement for a thread that does not stop; returns whether it did.
    pub(super) fn replace(self: &Arc<Self>) -> bool {
        if self.spare.is_none() || self.replaced.load(Ordering::Relaxed) >= self.wanted {
            return false;
        }
        self.replaced.fetch_add(1, Ordering::Relaxed);
        let started = self.spawn("score-again".to_owned(), |shared, slot| {
            match shared.another_engine() {
                Ok(engine) => work(shared, slot, engine),
                Err(problem) => {
                    tracing::error!("cannot replace a scoring thread: {}", problem.line())
                }
            }
        });
        started.is_ok()
    }
}

/// Marks its slot when the thread ends, also by a panic.
struct Ending<'a>(&'a Mutex<Slot>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // Dropping a reply answers `Lost` to its receiver.
        *lock(self.0) = Slot::Ended;
    }
}
