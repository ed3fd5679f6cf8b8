//! Scoring threads: each has one session of each version; they share a short queue.
//!
//! A thread owns its sessions and scores one batch at a time; a full queue blocks the sender, so at
//! most `threads` batches wait beside those being scored. Another thread enforces time limits
//! (`watch`): a call over its limit (`pace`) is stopped, and the rows that hang the model are
//! searched for (`hunt`), on a separate thread if jobs share the pool. A thread that cannot be
//! stopped is abandoned and replaced.

mod engine;
mod hunt;
mod pace;
mod shared;
mod slot;
mod watch;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use self::{
    engine::Engine,
    hunt::Hunted,
    pace::Pace,
    shared::{Shared, Spare, Started},
    slot::{Attempt, Order, Reply, Slot, attempt},
};
use super::{
    image::Image,
    isolate::{Isolated, Models},
    preparers::Preparers,
    runtime::Runtime,
    session::{Model, RowOutcomes, RunError},
    subject::Subject,
};
use crate::{
    domain::{
        job::outputs::ScoredRow,
        model::{
            Signature,
            tensor::{InputBatch, OutputBatch},
        },
        problem::Problem,
    },
    metrics,
};

/// Size of models from which there is only one session, since each has a copy of the weights.
const LARGE: usize = 32 << 20;

#[derive(Debug)]
pub struct Scored {
    /// Outputs of the accepted rows, in order.
    pub outputs: OutputBatch,
    /// (row index in the inputs, ONNX Runtime's reason), in order.
    pub refused: Vec<(usize, String)>,
    /// The input buffers, for reuse.
    pub inputs: InputBatch,
    /// Time in ONNX Runtime, including communication with a separate process.
    pub nanoseconds: u64,
}

impl Scored {
    /// Returns an accepted row by its index in the inputs and its index in the outputs.
    pub fn row(&self, input_row: usize, row: usize) -> ScoredRow<'_> {
        ScoredRow {
            inputs: &self.inputs,
            input_row,
            outputs: &self.outputs,
            row,
        }
    }
}

/// Reason why a batch was not scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// The version does not behave as admitted, so no output can be trusted.
    #[error("the model does not behave as admitted: {0}")]
    Misaligned(String),
    /// The batch was not scored in time, but no row is the cause: the machine is stalled.
    #[error(
        "a batch of {rows} row(s) was not scored in time, nor was a row that was scored before"
    )]
    TimedOut {
        /// Rows of the batch.
        rows: usize,
    },
    /// A call continues although it was stopped. A retry would cost another thread.
    #[error(
        "a batch of {rows} row(s) hangs the model in a call that cannot be stopped; score with --isolate"
    )]
    Unstoppable {
        /// Rows of the call.
        rows: usize,
    },
    /// The scoring process crashes on every row, or too often.
    #[error("{0}")]
    Died(String),
    /// No thread is left: each hangs in a call that could not be stopped.
    #[error("no scoring thread is left: each hangs in a call that cannot be stopped")]
    Lost,
}

/// A pool of scoring threads.
#[derive(Debug)]
pub struct Pool {
    requests: Option<mpsc::Sender<Request>>,
    watchdog: Option<thread::JoinHandle<()>>,
    shared: Arc<Shared>,
    preparers: Option<Preparers>,
}

#[derive(Debug)]
struct Request {
    version: usize,
    batch: InputBatch,
    reply: Reply,
    waiting: metrics::GaugeGuard,
}

impl Pool {
    /// Loads every version once per thread, one after the other to limit the peak memory, and
    /// starts the threads. Versions of 32 MiB or more together are loaded once only, for one thread
    /// whose runs use the given number of threads.
    ///
    /// # Errors
    /// ONNX Runtime refuses to load a version.
    pub fn start(
        runtime: &'static Runtime,
        versions: Vec<(Image, Signature)>,
        threads: usize,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let threads = threads.max(1);
        let weight: usize = versions.iter().map(|(image, _)| image.bytes().len()).sum();
        let signatures = signatures(&versions);
        if weight >= LARGE {
            let loaded: Result<Vec<Model>, Problem> = versions
                .into_iter()
                .map(|(image, signature)| Model::load_once(runtime, image, &signature, threads))
                .collect();
            let engines = vec![Engine::Here(loaded?)];
            return Self::with(engines, signatures, Subject::Model, None, limit);
        }
        let mut engines = Vec::with_capacity(threads);
        for _ in 0..threads {
            engines.push(Engine::here(runtime, &versions)?);
        }
        let spare = Spare { runtime, versions };
        Self::with(engines, signatures, Subject::Model, Some(spare), limit)
    }

    /// Does the same with a separate process for each thread, which contains the damage that a
    /// model may do. Cells are then prepared in separate processes, too ([`Pool::preparers`]).
    ///
    /// # Errors
    /// ONNX Runtime refuses to load a version, or each process that loads it crashes.
    pub fn start_isolated(
        models: Models,
        threads: usize,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let preparers = Preparers::new(models.base_memory(), threads, limit);
        let mut pool = Self::of_processes(models, threads, limit)?;
        pool.preparers = Some(preparers);
        Ok(pool)
    }

    /// Starts a thread for each process.
    pub(super) fn of_processes(
        models: Models,
        threads: usize,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let models = Arc::new(models);
        let signatures = models.signatures();
        let engines =
            (0..threads.max(1)).map(|_| Engine::Isolated(Isolated::new(Arc::clone(&models))));
        Self::with(engines.collect(), signatures, models.subject(), None, limit)
    }

    /// Returns what prepares cells in separate processes; `None`: this process prepares them.
    pub fn preparers(&self) -> Option<&Preparers> {
        self.preparers.as_ref()
    }

    fn with(
        engines: Vec<Engine>,
        signatures: Vec<Signature>,
        subject: Subject,
        spare: Option<Spare>,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let threads = engines.len();
        let (requests, queue) = mpsc::channel(threads);
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            slots: Mutex::default(),
            threads: Mutex::default(),
            replaced: AtomicUsize::new(0),
            wanted: threads,
            pace: Pace::new(&signatures, limit, &subject),
            subject,
            proven: signatures.iter().map(|_| OnceLock::new()).collect(),
            signatures,
            hunts: Mutex::default(),
            hung: AtomicU64::new(0),
            scored: AtomicU64::new(0),
            is_hopeless: AtomicBool::new(false),
            spare,
        });
        let mut pool = Self {
            requests: Some(requests),
            watchdog: None,
            shared,
            preparers: None,
        };
        let killers: Vec<_> = engines
            .iter()
            .filter_map(|engine| match engine {
                Engine::Here(_) => None,
                Engine::Isolated(isolated) => Some(isolated.killer()),
            })
            .collect();
        let (ready, loaded) = sync_channel(threads);
        for (place, mut engine) in engines.into_iter().enumerate() {
            let ready = ready.clone();
            pool.shared
                .spawn(format!("score-{place}"), move |shared, slot| {
                    let outcome = engine.load();
                    let is_loaded = outcome.is_ok();
                    // There is no receiver after the time limit.
                    let _ = ready.send(outcome);
                    if is_loaded {
                        work(shared, slot, engine);
                    }
                })?;
        }
        let shared = Arc::clone(&pool.shared);
        let watchdog = thread::Builder::new()
            .name("score-watch".to_owned())
            .spawn(move || watch::watch(&shared));
        pool.watchdog = Some(watchdog.map_err(|error| {
            Problem::new(
                "scorer.threads",
                format!("cannot start the watchdog thread: {error}"),
            )
        })?);
        let loading = pool.shared.pace.loading();
        for _ in 0..threads {
            loaded.recv_timeout(loading).unwrap_or_else(|_| {
                killers.iter().for_each(|killer| killer.stop());
                Err(Problem::new(
                    "model.process_died",
                    format!("loading the models took more than {} s", loading.as_secs()),
                )
                .help("raise batch_timeout, which is also the limit on loading if it exceeds 60 s"))
            })?;
        }
        Ok(pool)
    }

    /// Returns whether every thread can score.
    pub fn is_whole(&self) -> bool {
        let slots = lock(&self.shared.slots).clone();
        let is_stuck =
            |slot: &Arc<Mutex<Slot>>| matches!(*lock(slot), Slot::Overdue { .. } | Slot::Lost);
        let ended = |slot: &&Arc<Mutex<Slot>>| matches!(*lock(slot), Slot::Ended);
        !self.shared.is_hopeless.load(Ordering::Relaxed)
            && !slots.iter().any(is_stuck)
            && slots.len() - slots.iter().filter(ended).count() >= self.shared.wanted
    }

    /// Scores a batch of the version at index `version` of those given to [`Pool::start`]. Waits
    /// while the queue is full. If the future is dropped, the batch is scored and its result
    /// discarded.
    ///
    /// # Errors
    /// [`ScoreError`]; rows that ONNX Runtime refuses are in [`Scored::refused`].
    pub async fn score(&self, version: usize, batch: InputBatch) -> Result<Scored, ScoreError> {
        let (reply, answer) = oneshot::channel();
        let request = Request {
            version,
            batch,
            reply,
            waiting: metrics::BATCHES_WAITING.hold([]),
        };
        let requests = self.requests.as_ref().ok_or(ScoreError::Lost)?;
        requests.send(request).await.map_err(|_| ScoreError::Lost)?;
        answer.await.map_err(|_| ScoreError::Lost)?
    }
}

impl Drop for Pool {
    /// Lets the threads finish queued batches, and joins those that are not lost.
    fn drop(&mut self) {
        self.requests = None;
        // The watchdog ends once every thread has ended or is lost.
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
        let threads = std::mem::take(&mut *lock(&self.shared.threads));
        for Started { thread, slot } in threads {
            // A lost thread cannot be ended, only abandoned.
            if !matches!(*lock(&slot), Slot::Lost) && thread.join().is_err() {
                tracing::error!("a scoring thread panicked");
            }
        }
    }
}

fn signatures(versions: &[(Image, Signature)]) -> Vec<Signature> {
    let versions = versions.iter();
    versions.map(|(_, signature)| signature.clone()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Arc<Shared>, slot: &Mutex<Slot>, mut engine: Engine) {
    loop {
        // Waiting while holding the lock is as good as waiting for it: one thread takes the next
        // batch.
        let Some(request) = lock(&shared.queue).blocking_recv() else {
            return;
        };
        let Request {
            version,
            batch,
            reply,
            waiting,
        } = request;
        drop(waiting);
        if reply.is_closed() {
            continue;
        }
        let begun = Instant::now();
        let order = Order {
            version,
            batch: &batch,
            limit: match shared.spare {
                Some(_) => shared.pace.shared(version, batch.rows),
                None => shared.pace.limit(version, batch.rows),
            },
            load_limit: shared.pace.loading(),
            is_hunt: false,
            is_scored: shared.scores(),
        };
        match attempt(slot, &mut engine, &order, reply) {
            Attempt::Done(outcome, reply) => {
                if let Ok(outcome) = &outcome {
                    shared.note_scored(version, &batch, outcome, begun.elapsed());
                }
                answer(reply, outcome, batch, begun);
            }
            Attempt::Hung { reply, is_replaced } => {
                let hunted = Hunted {
                    version,
                    batch,
                    reply,
                    begun,
                };
                if shared.spare.is_some() {
                    hunt::submit(shared, hunted);
                } else if !hunt::hunt(shared, slot, &mut engine, hunted) {
                    return;
                }
                if is_replaced {
                    return;
                }
            }
            Attempt::GivenUp => return,
        }
    }
}

/// Sends the outcome of a batch.
fn answer(reply: Reply, outcome: Result<RowOutcomes, RunError>, batch: InputBatch, begun: Instant) {
    let answer = match outcome {
        Ok(outcome) => Ok(Scored {
            outputs: outcome.outputs,
            refused: outcome.refused,
            inputs: batch,
            nanoseconds: begun.elapsed().as_nanos() as u64,
        }),
        Err(RunError::Stopped) => Err(ScoreError::TimedOut { rows: batch.rows }),
        Err(RunError::Died(why)) => Err(ScoreError::Died(why)),
        Err(error) => Err(ScoreError::Misaligned(error.to_string())),
    };
    // There is no receiver if the run was given up meanwhile.
    let _ = reply.send(answer);
}
