//! Prepares cells in separate processes: what strangers wrote is decoded there.
//!
//! Each version's rules have processes of their own, which are started when they are needed first.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Mutex, task::spawn_blocking};

use super::{
    isolate::Models,
    pool::{Pool, ScoreError},
};
use crate::domain::{
    job::prepare::{PreparedPart, Preparer, Unprepared},
    model::tensor::InputBatch,
};

/// Maximum number of rules whose processes are kept: a loaded model may serve several jobs.
const MOST: usize = 8;

/// The processes that prepare cells beside a pool of isolated models.
#[derive(Debug)]
pub struct Preparers {
    memory: u64,
    threads: usize,
    limit: Duration,
    /// The most recently used last.
    pools: Mutex<Vec<(Preparer, Arc<Pool>)>>,
}

impl Preparers {
    /// `memory`: limit on a process's address space in bytes; `threads`: number of processes for
    /// each version's rules; `limit`: the setting `batch_timeout`.
    pub fn new(memory: u64, threads: usize, limit: Duration) -> Self {
        Self {
            memory,
            threads,
            limit,
            pools: Mutex::default(),
        }
    }

    /// Prepares a range of rows. Rows that crash or hang a process are among the rejected.
    ///
    /// # Errors
    /// [`ScoreError`]: no process can be started, or each crashes or hangs on every row.
    pub async fn prepare(
        &self,
        unprepared: &Unprepared,
        rows: Range<usize>,
    ) -> Result<PreparedPart, ScoreError> {
        let preparer = unprepared.preparer();
        let pool = self.pool(preparer).await?;
        let cells = InputBatch::of_cells(unprepared.cells(rows.clone()));
        match pool.score(0, cells).await {
            Ok(prepared) => Ok(preparer.part(rows.start, prepared.outputs, prepared.refused)),
            Err(error) => {
                // It gives up for ever; the next request may have better luck with a new one.
                let mut pools = self.pools.lock().await;
                pools.retain(|(_, known)| !Arc::ptr_eq(known, &pool));
                drop(pools);
                end(pool);
                Err(error)
            }
        }
    }

    /// Returns the pool that prepares by these rules, started if needed.
    async fn pool(&self, preparer: &Preparer) -> Result<Arc<Pool>, ScoreError> {
        let mut pools = self.pools.lock().await;
        if let Some(at) = pools.iter().position(|(known, _)| known == preparer) {
            let used = pools.remove(at);
            let pool = Arc::clone(&used.1);
            pools.push(used);
            return Ok(pool);
        }
        let (memory, threads, limit) = (self.memory, self.threads, self.limit);
        let rules = preparer.clone();
        let start = move || Pool::of_processes(Models::preparing(memory, &rules), threads, limit);
        let started = spawn_blocking(start).await;
        let started = started.map_err(|error| ScoreError::Died(error.to_string()))?;
        let pool = Arc::new(started.map_err(|problem| ScoreError::Died(problem.line()))?);
        pools.push((preparer.clone(), Arc::clone(&pool)));
        if pools.len() > MOST {
            end(pools.remove(0).1);
        }
        Ok(pool)
    }
}

impl Drop for Preparers {
    fn drop(&mut self) {
        for (_, pool) in self.pools.get_mut().drain(..) {
            end(pool);
        }
    }
}

/// Drops a pool on a thread that may block: its last user waits for its threads to end.
fn end(pool: Arc<Pool>) {
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(pool))),
        Err(_) => drop(pool),
    }
}
