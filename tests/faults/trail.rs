//! What conditional writes leave, followed while faults happen: states of runs and splits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use scylla::{client::session::Session, value::CqlTimeuuid};
use uuid::Uuid;

use crate::support::{block_on, cassandra};

/// (job, run, split).
type SplitName = (String, Uuid, i32);

/// A split as one look saw it.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    state: String,
    owner: Uuid,
    epoch: i32,
    /// WRITETIME of `finished_at`: Cassandra's own, new with every write.
    finished: Option<i64>,
}

#[derive(Debug, Default)]
struct Seen {
    splits: HashMap<SplitName, Look>,
    runs: HashMap<(String, Uuid), String>,
    faults: Vec<String>,
}

impl Seen {
    fn split(&mut self, name: SplitName, now: Look) {
        let Some(before) = self.splits.insert(name.clone(), now.clone()) else {
            return;
        };
        if now == before {
            return;
        }
        let fault = if before.state == "done" {
            Some("was finished, and changed")
        } else if now.epoch < before.epoch {
            Some("went back to an earlier epoch")
        } else if now.epoch == before.epoch && now.owner != before.owner {
            Some("changed hands within an epoch")
        } else {
            None
        };
        if let Some(fault) = fault {
            self.faults
                .push(format!("split {name:?} {fault}: {before:?}, then {now:?}"));
        }
    }

    fn run(&mut self, name: (String, Uuid), now: String) {
        let before = self.runs.insert(name.clone(), now.clone());
        let ended = ["succeeded", "failed", "cancelled"];
        if let Some(before) = before.filter(|before| *before != now && ended.contains(&&before[..]))
        {
            self.faults
                .push(format!("run {name:?} was {before}, then {now}"));
        }
    }
}

/// Looks at a keyspace's runs and splits every few milliseconds, as long as it lives.
pub struct Trail {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Trail {
    /// Of helenus's keyspace on the Cassandra under test.
    pub fn follow(keyspace: &str) -> Self {
        Self::follow_on(cassandra::session, keyspace)
    }

    /// Where `session` leads; looks that fail are left out.
    pub fn follow_on(
        session: impl Fn() -> &'static Session + Send + 'static,
        keyspace: &str,
    ) -> Self {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (seeing, stopped, keyspace) =
            (Arc::clone(&seen), Arc::clone(&stop), keyspace.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(session(), &keyspace, &seeing);
                std::thread::sleep(Duration::from_millis(40));
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// Fails the test if a split was finished twice, an epoch fell, or an ended run changed.
    #[track_caller]
    pub fn assert_orderly(&self) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!seen.splits.is_empty(), "the trail saw nothing");
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(session: &Session, keyspace: &str, seen: &Mutex<Seen>) {
    type SplitRow = (String, CqlTimeuuid, i32, String, Uuid, i32, Option<i64>);
    let splits = rows::<SplitRow>(
        session,
        &format!(
            "SELECT job, run_id, split, state, owner, epoch, WRITETIME(finished_at) FROM \"{keyspace}\".splits"
        ),
    );
    let runs = rows::<(String, CqlTimeuuid, String)>(
        session,
        &format!("SELECT job, run_id, state FROM \"{keyspace}\".runs"),
    );
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for (job, run_id, split, state, owner, epoch, finished) in splits {
        let look = Look {
            state,
            owner,
            epoch,
            finished,
        };
        seen.split((job, run_id.into(), split), look);
    }
    for (job, run_id, state) in runs {
        seen.run((job, run_id.into()), state);
    }
}

fn rows<R>(session: &Session, select: &str) -> Vec<R>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm> + 'static,
{
    block_on(async {
        let result = session.query_unpaged(select, ()).await.ok()?;
        let rows = result.into_rows_result().ok()?;
        Some(rows.rows::<R>().ok()?.filter_map(Result::ok).collect())
    })
    .unwrap_or_default()
}
