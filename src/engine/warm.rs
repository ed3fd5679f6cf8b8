//! Keeps models loaded between the runs of one process: a job that scores a few rows every minute
//! loads its models once.
//!
//! Pools are identified by what was admitted (sha256, signature), so a kept pool cannot differ from
//! what a run asks for. Whether the version's rows in Cassandra were altered is checked before.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{domain::model::Admitted, scorer::pool::Pool};

/// How long a pool is kept after its last run: a job due every five minutes finds its models
/// loaded.
const FOR: Duration = Duration::from_secs(10 * 60);
/// Pools kept besides those in use, and bytes of their model files. The sessions of a pool take
/// several times as many bytes.
const POOLS: usize = 4;
const BYTES: u64 = 64 << 20;

/// The loaded models of a process.
#[derive(Debug, Default)]
pub struct Warm {
    /// Most recently used first.
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    versions: Vec<Admitted>,
    used: Instant,
    pool: Arc<Pool>,
}

impl Kept {
    fn is_at_work(&self) -> bool {
        Arc::strong_count(&self.pool) > 1
    }

    fn bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.size).sum()
    }
}

impl Warm {
    /// Returns the pool of these versions in this order, unless it lost one of its threads.
    pub fn find(&self, versions: &[Admitted]) -> Option<Arc<Pool>> {
        let mut kept = self.lock();
        let place = kept
            .iter()
            .position(|kept| kept.versions == versions && kept.pool.is_whole())?;
        let mut found = kept.remove(place);
        found.used = Instant::now();
        let pool = Arc::clone(&found.pool);
        kept.insert(0, found);
        Some(pool)
    }

    /// Keeps a pool for later runs.
    pub fn keep(&self, versions: Vec<Admitted>, pool: &Arc<Pool>) {
        let (used, pool) = (Instant::now(), Arc::clone(pool));
        self.lock().insert(
            0,
            Kept {
                versions,
                used,
                pool,
            },
        );
    }

    /// Drops pools that were unused for a while, that exceed the limits, or that are broken. Call
    /// it periodically, from within the async runtime.
    pub fn cool(&self, now: Instant) {
        let (mut pools, mut bytes) = (0, 0);
        let leaving = self
            .lock()
            .extract_if(.., |kept| {
                if kept.is_at_work() {
                    kept.used = now;
                    return false;
                }
                let has_room = pools < POOLS && bytes + kept.bytes() <= BYTES;
                let stays = has_room && now - kept.used < FOR && kept.pool.is_whole();
                if stays {
                    pools += 1;
                    bytes += kept.bytes();
                }
                !stays
            })
            .collect::<Vec<_>>();
        for kept in leaving {
            // Ending the threads takes a while.
            tokio::task::spawn_blocking(move || drop(kept));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
