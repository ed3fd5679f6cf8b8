//! Several threads that score: one session of each version a thread, a short queue before them.
//!
//! A thread owns its sessions and works on one batch at a time; a full queue makes the sender wait,
//! so no more than `threads` batches wait beside those being scored. One more thread watches the
//! time: a batch over the limit is answered for, and its run told to stop.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{
    image::Image,
    isolate::{Isolated, Killer, Models},
    runtime::Runtime,
    session::{Model, RowOutcomes, RunError, Stop},
};
use crate::{
    domain::{
        model::Signature,
        problem::Problem,
        tensor::{InputBatch, OutputBatch},
    },
    metrics,
};

/// How long after being told to stop a run may go on before its thread is given up.
const GRACE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_millis(50);
/// A session keeps its own copy of its weights: from so many bytes on there is one session.
const LARGE: usize = 32 << 20;

/// A scored batch.
#[derive(Debug)]
pub struct Scored {
    /// The accepted rows, in order, without the refused ones.
    pub outputs: OutputBatch,
    /// (row index in the inputs, ONNX Runtime's reason), in order.
    pub refused: Vec<(usize, String)>,
    /// The buffers that were given, to be filled again.
    pub inputs: InputBatch,
    /// Time in ONNX Runtime, and on the way to its process where it has one of its own.
    pub nanoseconds: u64,
}

/// Why a batch was not scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// The version gives something else than what was admitted: nothing of it can be trusted.
    #[error("the model does not behave as admitted: {0}")]
    Misaligned(String),
    /// The batch took longer than the limit.
    #[error("a batch of {rows} row(s) took more than {seconds} s")]
    TimedOut {
        /// Rows of the batch.
        rows: usize,
        /// The limit.
        seconds: u64,
    },
    /// The process that scores dies on everything, or beyond all measure.
    #[error("{0}")]
    Died(String),
    /// No thread is left: each was lost in a run that could not be stopped.
    #[error("no scoring thread is left: every one hangs in a run that cannot be stopped")]
    Lost,
}

/// Threads that score.
#[derive(Debug)]
pub struct Pool {
    requests: Option<mpsc::Sender<Request>>,
    threads: Vec<thread::JoinHandle<()>>,
    watchdog: Option<thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Request {
    version: usize,
    batch: InputBatch,
    reply: Reply,
    waiting: metrics::Held,
}

type Reply = oneshot::Sender<Result<Scored, ScoreError>>;

#[derive(Debug)]
struct Shared {
    queue: Mutex<mpsc::Receiver<Request>>,
    slots: Vec<Mutex<Slot>>,
    limit: Duration,
}

/// What one thread is doing.
#[derive(Debug, Default)]
enum Slot {
    #[default]
    Idle,
    Running {
        since: Instant,
        rows: usize,
        stop: StopHandle,
        reply: Reply,
    },
    /// Answered for, told to stop; perhaps still running.
    Overdue { since: Instant },
    /// Never came back.
    Lost,
    /// Its thread has ended.
    Ended,
}

/// Ends what a thread is doing.
#[derive(Clone)]
enum StopHandle {
    Run(Stop),
    Process(Arc<Killer>),
}

impl StopHandle {
    fn stop(&self) {
        match self {
            Self::Run(stop) => stop.stop(),
            Self::Process(killer) => killer.stop(),
        }
    }
}

impl std::fmt::Debug for StopHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

/// Where a thread's sessions are.
enum Engine {
    /// In this process.
    Here(Vec<Model>),
    /// In one of its own.
    Isolated(Isolated),
}

impl Engine {
    /// A handle for one call of [`Engine::run_rows`]; `None`: there is no such version.
    fn stop(&self, version: usize) -> Option<Result<StopHandle, Problem>> {
        match self {
            Self::Here(models) => {
                let stop = models.get(version)?.stop();
                Some(stop.map(StopHandle::Run))
            }
            Self::Isolated(isolated) => {
                (version < isolated.versions()).then(|| Ok(StopHandle::Process(isolated.killer())))
            }
        }
    }

    /// `alive` is called whenever an attempt begins.
    fn run_rows(
        &mut self,
        version: usize,
        batch: &InputBatch,
        stop: &StopHandle,
        alive: &dyn Fn(),
    ) -> Result<RowOutcomes, RunError> {
        match (self, stop) {
            (Self::Here(models), StopHandle::Run(stop)) => models[version].run_rows(batch, stop),
            (Self::Isolated(isolated), _) => isolated.run_rows(version, batch, alive),
            (Self::Here(_), StopHandle::Process(_)) => Err(RunError::Stopped),
        }
    }
}

impl Pool {
    /// Loads every version once a thread, one after the other so that loading needs little memory
    /// beside the sessions, and starts the threads. Versions that weigh 32 MiB or more together
    /// are loaded once only, for one thread, whose runs use as many as are given.
    ///
    /// # Errors
    /// A version that ONNX Runtime refuses to load.
    pub fn start(
        runtime: &'static Runtime,
        versions: Vec<(Image, Signature)>,
        threads: usize,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let threads = threads.max(1);
        let weight: usize = versions.iter().map(|(image, _)| image.bytes().len()).sum();
        if weight >= LARGE {
            let loaded: Result<Vec<Model>, Problem> = versions
                .into_iter()
                .map(|(image, signature)| Model::load_once(runtime, image, &signature, threads))
                .collect();
            return Self::with(vec![Engine::Here(loaded?)], limit);
        }
        let mut engines = Vec::with_capacity(threads);
        for _ in 0..threads {
            let loaded: Result<Vec<Model>, Problem> = versions
                .iter()
                .map(|(image, signature)| Model::load(runtime, image, signature))
                .collect();
            engines.push(Engine::Here(loaded?));
        }
        Self::with(engines, limit)
    }

    /// The same with a process of its own beside each thread: what a model does there, it does to
    /// that process.
    ///
    /// # Errors
    /// A version that ONNX Runtime refuses to load, or that kills each process that loads it.
    pub fn start_isolated(
        models: Models,
        threads: usize,
        limit: Duration,
    ) -> Result<Self, Problem> {
        let models = Arc::new(models);
        let engines =
            (0..threads.max(1)).map(|_| Engine::Isolated(Isolated::new(Arc::clone(&models))));
        Self::with(engines.collect(), limit)
    }

    fn with(engines: Vec<Engine>, limit: Duration) -> Result<Self, Problem> {
        let threads = engines.len();
        let (requests, queue) = mpsc::channel(threads);
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            slots: (0..threads).map(|_| Mutex::default()).collect(),
            limit,
        });
        let spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name)
                .spawn(work)
                .map_err(|error| {
                    Problem::new(
                        "scorer.threads",
                        format!("a scoring thread did not start: {error}"),
                    )
                })
        };
        let mut pool = Self {
            requests: Some(requests),
            threads: Vec::with_capacity(threads),
            watchdog: None,
            shared,
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
            let (shared, ready) = (Arc::clone(&pool.shared), ready.clone());
            let work = move || {
                // In the thread that will own the process, or it would end with another one.
                let outcome = match &mut engine {
                    Engine::Here(_) => Ok(()),
                    Engine::Isolated(isolated) => isolated.load(),
                };
                let is_loaded = outcome.is_ok();
                let _ = ready.send(outcome);
                match is_loaded {
                    true => work(&shared, place, engine),
                    false => *lock(&shared.slots[place]) = Slot::Ended,
                }
            };
            pool.threads
                .push(spawn(format!("score-{place}"), Box::new(work))?);
        }
        let shared = Arc::clone(&pool.shared);
        pool.watchdog = Some(spawn(
            "score-watch".to_owned(),
            Box::new(move || watch(&shared)),
        )?);
        for _ in 0..threads {
            loaded.recv_timeout(limit).unwrap_or_else(|_| {
                killers.iter().for_each(|killer| killer.stop());
                Err(Problem::new(
                    "model.process_died",
                    format!("loading the models took more than {} s", limit.as_secs()),
                )
                .help("the limit is batch_timeout"))
            })?;
        }
        Ok(pool)
    }

    /// Whether every thread is there to score.
    pub fn is_whole(&self) -> bool {
        let slots = self.shared.slots.iter();
        slots
            .map(lock)
            .all(|slot| matches!(*slot, Slot::Idle | Slot::Running { .. }))
    }

    /// Scores a batch of the version at `version` of those given to [`Pool::start`]. Waits while the
    /// queue is full. Dropping the future leaves the batch to be scored for nobody.
    ///
    /// # Errors
    /// [`ScoreError`]; rows that ONNX Runtime refuses are no error but in [`Scored::refused`].
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
    /// Lets the threads finish what is queued, and waits for all that still answer.
    fn drop(&mut self) {
        self.requests = None;
        // The watchdog ends once every thread has ended or is lost.
        if let Some(watchdog) = self.watchdog.take() {
            let _ = watchdog.join();
        }
        for (thread, slot) in self.threads.drain(..).zip(&self.shared.slots) {
            // A lost thread cannot be ended, only left.
            if !matches!(*lock(slot), Slot::Lost) && thread.join().is_err() {
                tracing::error!("a scoring thread panicked");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks its slot when the thread ends, by a panic too.
struct Ending<'a>(&'a Mutex<Slot>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // Dropping a reply answers `Lost` to whoever waits for it.
        *lock(self.0) = Slot::Ended;
    }
}

fn work(shared: &Shared, place: usize, mut engine: Engine) {
    let slot = &shared.slots[place];
    let _ending = Ending(slot);
    loop {
        // Waiting with the lock held is as good as waiting for it: one thread takes the next batch.
        let Some(request) = lock(&shared.queue).blocking_recv() else {
            return;
        };
        drop(request.waiting);
        let stop = match engine.stop(request.version) {
            Some(Ok(stop)) => stop,
            Some(Err(problem)) => {
                let _ = request
                    .reply
                    .send(Err(ScoreError::Misaligned(problem.message)));
                continue;
            }
            None => {
                let what = format!("there is no version at {}", request.version);
                let _ = request.reply.send(Err(ScoreError::Misaligned(what)));
                continue;
            }
        };
        if request.reply.is_closed() {
            continue;
        }
        let begun = Instant::now();
        *lock(slot) = Slot::Running {
            since: begun,
            rows: request.batch.rows,
            stop: stop.clone(),
            reply: request.reply,
        };
        let alive = || {
            if let Slot::Running { since, .. } = &mut *lock(slot) {
                *since = Instant::now();
            }
        };
        let outcome = engine.run_rows(request.version, &request.batch, &stop, &alive);
        let took = begun.elapsed();
        metrics::SCORE_SECONDS.histogram().record(took);
        let nanoseconds = took.as_nanos() as u64;
        let was = std::mem::take(&mut *lock(slot));
        // Otherwise the watchdog has answered.
        if let Slot::Running { reply, rows, .. } = was {
            let answer = match outcome {
                Ok(outcome) => Ok(Scored {
                    outputs: outcome.outputs,
                    refused: outcome.refused,
                    inputs: request.batch,
                    nanoseconds,
                }),
                Err(RunError::Stopped) => Err(ScoreError::TimedOut {
                    rows,
                    seconds: shared.limit.as_secs(),
                }),
                Err(RunError::Died(why)) => Err(ScoreError::Died(why)),
                Err(error) => Err(ScoreError::Misaligned(error.to_string())),
            };
            // Nobody waits when the run was given up meanwhile.
            let _ = reply.send(answer);
        }
    }
}

/// Ends when every thread has.
fn watch(shared: &Shared) {
    loop {
        let mut alive = 0;
        let mut lost = 0;
        for slot in &shared.slots {
            let mut slot = lock(slot);
            *slot = overseen(std::mem::take(&mut *slot), shared.limit);
            match *slot {
                Slot::Ended => {}
                Slot::Lost => lost += 1,
                _ => alive += 1,
            }
        }
        if alive == 0 {
            if lost > 0 {
                // Whoever waits in the queue would wait for ever. No live thread holds this lock.
                let mut queue = lock(&shared.queue);
                queue.close();
                while queue.try_recv().is_ok() {}
            }
            return;
        }
        thread::sleep(WATCH);
    }
}

fn overseen(slot: Slot, limit: Duration) -> Slot {
    match slot {
        Slot::Running {
            since,
            rows,
            stop,
            reply,
        } if since.elapsed() > limit => {
            stop.stop();
            let seconds = limit.as_secs();
            let _ = reply.send(Err(ScoreError::TimedOut { rows, seconds }));
            Slot::Overdue {
                since: Instant::now(),
            }
        }
        Slot::Overdue { since } if since.elapsed() > GRACE => {
            tracing::error!(
                "a run goes on {} s after it was told to stop; its thread is given up",
                GRACE.as_secs()
            );
            Slot::Lost
        }
        slot => slot,
    }
}
