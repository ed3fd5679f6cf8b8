//! The loaded models of the process, shared by all jobs and by requests with raw tensors.
//!
//! Only versions that admission accepted are loaded. A version is loaded once, however many
//! requests ask for it at the same time. Versions that a job serves stay loaded; the others leave,
//! least recently used first, when the memory limit is reached.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::OnceCell;

use super::{
    batcher::{CALL_ROWS, Queue},
    error::ApiError,
    tensors::{InferItem, TensorScorer},
};
use crate::{
    domain::{
        csv,
        model::{
            ReadyVersion,
            golden::Golden,
            tensor::{InputBatch, OutputBatch, TensorData},
        },
    },
    engine::{admission, models},
    failure::Failure,
    scorer::{
        pool::Pool,
        rows::{append_outputs, none_of},
    },
    store::Store,
};

/// Golden rows that warm a model up before its first request.
const WARM_ROWS: usize = 64;
/// Largest golden rows that are read for it.
const GOLDEN_BYTES: usize = 16 << 20;

/// A loaded version, with its queue of requests with raw tensors.
pub struct LoadedModel {
    pub ready: ReadyVersion,
    pub pool: Arc<LoadedPool>,
    queue: Queue<InferItem>,
}

/// The outputs of a request with raw tensors.
#[derive(Debug, Clone)]
pub struct Inferred {
    /// Outputs of the rows that were not refused, in order.
    pub outputs: OutputBatch,
    /// Index of each row that ONNX Runtime refused, with its reason.
    pub refused: Vec<(usize, String)>,
}

impl LoadedModel {
    /// Runs the model over these inputs, together with what other requests wait for.
    ///
    /// # Errors
    /// 429 if too many requests wait, 503 if the model could not score.
    pub async fn infer(&self, inputs: InputBatch) -> Result<Inferred, ApiError> {
        if inputs.rows <= CALL_ROWS {
            return self.call(inputs).await;
        }
        let mut all = Inferred {
            outputs: none_of(&self.ready.admitted.signature),
            refused: Vec::new(),
        };
        // One part after the other, so that a long request shares the model with short ones.
        for first in (0..inputs.rows).step_by(CALL_ROWS) {
            let rows = first..inputs.rows.min(first + CALL_ROWS);
            let part = self.call(part_of(&inputs, rows)).await?;
            append_outputs(&mut all.outputs, part.outputs);
            let refused = part.refused.into_iter();
            all.refused
                .extend(refused.map(|(row, reason)| (first + row, reason)));
        }
        Ok(all)
    }

    async fn call(&self, inputs: InputBatch) -> Result<Inferred, ApiError> {
        let (item, answer) = InferItem::new(inputs);
        let name = format!("version {} of `{}`", self.ready.version, self.ready.model);
        self.queue.push(item, &name)?;
        Ok(answer.await.map_err(|_| ApiError::timed_out())??)
    }
}

/// Returns a copy of some rows of the inputs.
fn part_of(inputs: &InputBatch, rows: std::ops::Range<usize>) -> InputBatch {
    let slice = |data: &TensorData| {
        let width = data.len() / inputs.rows;
        data.slice(rows.start * width..rows.end * width)
    };
    InputBatch {
        rows: rows.len(),
        inputs: inputs.inputs.iter().map(slice).collect(),
        ..InputBatch::default()
    }
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LoadedModel").field(&self.ready).finish()
    }
}

/// A pool whose threads are ended in the background by whoever drops it last: that takes a while.
pub struct LoadedPool(Option<Pool>);

impl LoadedPool {
    fn new(pool: Pool) -> Arc<Self> {
        Arc::new(Self(Some(pool)))
    }

    /// Returns whether every thread can score. A pool that lost one is replaced.
    pub fn is_whole(&self) -> bool {
        self.pool().is_whole()
    }

    /// Returns the pool, with the model at index 0.
    pub fn pool(&self) -> &Pool {
        self.0.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for LoadedPool {
    fn drop(&mut self) {
        let pool = self.0.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(pool))),
            Err(_) => drop(pool),
        }
    }
}

/// All loaded models.
pub struct Models {
    store: Store,
    slots: Mutex<HashMap<ModelKey, Slot>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ModelKey {
    model: String,
    version: i32,
    sha256: [u8; 32],
}

struct Slot {
    loaded: Arc<OnceCell<Arc<LoadedModel>>>,
    used: Instant,
    /// Bytes of the model file.
    size: u64,
}

impl Slot {
    fn is_in_use(&self) -> bool {
        let shared = |model: &Arc<LoadedModel>| Arc::strong_count(model) > 1;
        Arc::strong_count(&self.loaded) > 1 || self.loaded.get().is_none_or(shared)
    }
}

impl Models {
    /// Returns an empty set.
    pub fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            slots: Mutex::default(),
        }
    }

    /// Returns the loaded version; loads it if necessary.
    ///
    /// # Errors
    /// The version cannot be loaded here, or errors of Cassandra.
    pub async fn get(&self, ready: &ReadyVersion) -> Result<Arc<LoadedModel>, Failure> {
        let key = ModelKey {
            model: ready.model.clone(),
            version: ready.version,
            sha256: ready.admitted.sha256,
        };
        let loaded = {
            let mut slots = self.lock();
            let broken = |slot: &Slot| slot.loaded.get().is_some_and(|it| !it.pool.is_whole());
            if slots.get(&key).is_some_and(broken) {
                tracing::warn!(
                    model = key.model,
                    version = key.version,
                    "loading a model again whose threads hang"
                );
                slots.remove(&key);
            }
            let slot = slots.entry(key.clone()).or_insert_with(|| Slot {
                loaded: Arc::default(),
                used: Instant::now(),
                size: ready.admitted.size,
            });
            slot.used = Instant::now();
            Arc::clone(&slot.loaded)
        };
        let model = loaded
            // Boxed: loading is rare, and its future large.
            .get_or_try_init(|| Box::pin(self.load(ready)))
            .await
            .map(Arc::clone);
        if model.is_err() && Arc::strong_count(&loaded) <= 2 {
            // Nobody else waits for it, and an empty slot would count as memory.
            self.lock().remove(&key);
        }
        drop(loaded);
        self.evict();
        model
    }

    /// Returns the loaded versions: model, version, bytes of the file.
    pub fn loaded(&self) -> Vec<(String, i32, u64)> {
        let slots = self.lock();
        let loaded = slots.iter().filter(|(_, slot)| slot.loaded.get().is_some());
        loaded
            .map(|(key, slot)| (key.model.clone(), key.version, slot.size))
            .collect()
    }

    async fn load(&self, ready: &ReadyVersion) -> Result<Arc<LoadedModel>, Failure> {
        let began = Instant::now();
        admission::confirm(&self.store, ready).await?;
        let config = self.store.config();
        let threads = config.scoring_threads;
        let admitted = std::iter::once(&ready.admitted);
        let pool = models::load_admitted(&self.store, admitted, threads).await?;
        let pool = LoadedPool::new(pool);
        self.warm(ready, pool.pool()).await?;
        let workers = (0..threads).map(|_| TensorScorer::new(&pool));
        let queue = Queue::start(config.serve.queue, workers);
        let (model, version) = (&ready.model, ready.version);
        tracing::info!(model, version, took = ?began.elapsed(), "loaded a model");
        Ok(Arc::new(LoadedModel {
            ready: ready.clone(),
            pool,
            queue,
        }))
    }

    /// Scores golden rows, so that the first request does not pay for what ONNX Runtime does once.
    async fn warm(&self, ready: &ReadyVersion, pool: &Pool) -> Result<(), Failure> {
        let row = self.store.version(&ready.model, ready.version).await?;
        let sha256 = row.and_then(|row| row.golden_sha256);
        let Some(sha256) = sha256.and_then(|sha256| sha256.try_into().ok()) else {
            return Ok(());
        };
        // Admission read them before; without them the first request is slower.
        let Ok(bytes) = self.store.download_small(&sha256, GOLDEN_BYTES).await else {
            return Ok(());
        };
        let text = csv::decode(&bytes).ok();
        let Some(Ok(mut golden)) = text.map(Golden::parse) else {
            return Ok(());
        };
        golden.truncate(WARM_ROWS);
        let admitted = &ready.admitted;
        if let Ok(inputs) = golden.inputs(&admitted.signature.inputs, &admitted.feature_names)
            && let Err(error) = pool.score(0, inputs).await
        {
            let (model, version) = (&ready.model, ready.version);
            tracing::warn!(model, version, %error, "golden rows could not be scored");
        }
        Ok(())
    }

    /// Unloads what nobody uses while the memory limit is exceeded.
    fn evict(&self) {
        let limit = (self.store.config().serve.model_memory_mib as u64) << 20;
        let mut slots = self.lock();
        let mut total: u64 = slots.values().map(|slot| slot.size).sum();
        while total > limit {
            let idle = slots.iter().filter(|(_, slot)| !slot.is_in_use());
            let oldest = idle.min_by_key(|(_, slot)| slot.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            let slot = slots.remove(&key);
            total -= slot.map_or(0, |slot| slot.size);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModelKey, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
