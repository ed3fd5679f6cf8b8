//! Examines versions for which a first look was too short, with the full limit and outside the
//! sweeps.
//!
//! Whatever is lost here with the process is found again by the next sweep.

use std::collections::{HashMap, VecDeque};

use tokio::task::{Id, JoinSet};

use super::{
    Answer, Service,
    look::{Looker, Trouble},
};
use crate::{
    failure::Failure,
    store::{Store, admin::leases::Watches},
};

/// Concurrent looks with the full limit; a first look runs beside them. So at most one process more
/// than this uses `admission_memory_mib`.
const AT_A_TIME: usize = 2;

type Version = (String, i32);

/// Versions that wait for a long look, oldest first, and those that are being examined.
#[derive(Debug, Default)]
pub(super) struct Slow {
    waiting: VecDeque<Version>,
    looks: JoinSet<Result<bool, Failure>>,
    /// The version of each look; also known after the look panicked.
    under_way: HashMap<Id, Version>,
}

impl Slow {
    /// Returns whether nothing waits and nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.looks.is_empty()
    }

    /// Returns whether this version waits or is being examined.
    pub(super) fn holds(&self, name: &str, version: i32) -> bool {
        let mut all = self.waiting.iter().chain(self.under_way.values());
        all.any(|other| other.0 == name && other.1 == version)
    }

    /// Appends a version to the queue.
    pub(super) fn add(&mut self, name: String, version: i32) {
        self.waiting.push_back((name, version));
    }

    /// Waits for the end of a look; returns whether it led to a verdict, or `None` if no look is
    /// under way or waiting.
    pub(super) async fn next(&mut self, store: &Store, looker: &Looker) -> Option<bool> {
        while self.looks.len() < AT_A_TIME
            && let Some(version) = self.waiting.pop_front()
        {
            let look = decide(store.clone(), looker.clone(), version.clone());
            let task = self.looks.spawn(look);
            self.under_way.insert(task.id(), version);
        }
        self.ended().await
    }

    /// Waits for the looks that are under way, and drops the waiting ones.
    pub(super) async fn finish(&mut self) {
        self.waiting.clear();
        while self.ended().await.is_some() {}
    }

    async fn ended(&mut self) -> Option<bool> {
        let (task, looked) = match self.looks.join_next_with_id().await? {
            Ok((task, looked)) => (task, looked),
            Err(panic) => {
                let task = panic.id();
                (
                    task,
                    Err(Trouble::local(std::io::Error::other(panic)).into()),
                )
            }
        };
        let (model, version) = self.under_way.remove(&task).unwrap_or_default();
        Some(looked.unwrap_or_else(|failure| {
            tracing::error!(model, version, %failure, "no verdict");
            false
        }))
    }
}

async fn decide(store: Store, looker: Looker, (name, version): Version) -> Result<bool, Failure> {
    let mut service = Service {
        watches: Watches::default(),
        looker,
        slow: Slow::default(),
    };
    let answer = service.decide(&store, &name, version).await?;
    Ok(matches!(answer, Answer::Decided(_)))
}
