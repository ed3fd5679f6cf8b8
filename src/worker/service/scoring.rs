//! Working on every open run, several at a time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::Utc;
use tokio::{
    task::{self, JoinError, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use super::{Service, rounds::jittered};
use crate::{
    domain::run::Run,
    failure::Failure,
    store::{error::StoreError, signals::OPEN_RUNS, splits::SplitState},
    worker::{
        claimant,
        run::{
            close,
            context::RunContext,
            open::open_runs,
            start::{Started, start_or_fail},
            stop::Asked,
            work::{Work, Worked},
        },
    },
};

/// How often the signal is read.
const POLL: Duration = Duration::from_secs(1);
/// How often open runs are looked through although nobody signalled.
const LOOK: Duration = Duration::from_secs(30);
/// Runs of one priority, or a higher one, that a worker has in hand at the same time.
const RUNS: usize = 8;
/// Up to so many splits are looked at before a run is started for.
const FEW_SPLITS: usize = 16;
/// A run that could not be worked on here is tried again after a second, then twice as long.
const LONGEST_REST: Duration = Duration::from_secs(60);

struct Scoring {
    service: Service,
    active: HashMap<Uuid, i32>,
    tasks: JoinSet<Rest>,
    /// What each task works on: known of one that panicked, too.
    runs: HashMap<task::Id, Uuid>,
    resting: HashMap<Uuid, (Instant, Duration)>,
    /// More is open than may be worked on at the same time.
    waiting: bool,
}

/// What to do about a run after working on it.
enum Rest {
    /// It has ended, or this process is leaving.
    No,
    /// Others hold all of it; whoever looks again sees whether they still do.
    Shortly,
    /// Something failed.
    Longer,
}

/// Works on open runs until asked to stop; then until what is claimed is finished or given back.
pub(super) async fn keep(service: Service) {
    let stop = service.stop();
    let opened = Arc::clone(&service.opened);
    let mut scoring = Scoring {
        service,
        active: HashMap::new(),
        tasks: JoinSet::new(),
        runs: HashMap::new(),
        resting: HashMap::new(),
        waiting: false,
    };
    let (mut seen, mut look_at) = (None, Instant::now());
    while stop.asked() == Asked::Nothing {
        let looked = scoring.look(&mut seen, &mut look_at).await;
        if let Err(error) = &looked {
            tracing::warn!(%error, "could not look for open runs");
        }
        scoring.service.health.beat();
        scoring.service.shared.warm.cool(Instant::now());
        scoring
            .service
            .health
            .ready(looked.map_err(|error| error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(jittered(POLL)) => {}
            () = opened.notified() => look_at = Instant::now(),
            Some(ended) = scoring.tasks.join_next_with_id() => {
                scoring.ended(ended);
                if scoring.waiting {
                    look_at = Instant::now();
                }
            }
            () = stop.reaches(Asked::Drain) => {}
        }
    }
    while let Some(ended) = scoring.tasks.join_next_with_id().await {
        scoring.ended(ended);
    }
}

impl Scoring {
    async fn look(
        &mut self,
        seen: &mut Option<Uuid>,
        look_at: &mut Instant,
    ) -> Result<(), StoreError> {
        let store = &self.service.store;
        let now = Instant::now();
        let signal = store.signal(OPEN_RUNS).await?;
        let rested = self.resting.values().any(|(until, _)| *until <= now);
        if signal == *seen && now < *look_at && !rested {
            return Ok(());
        }
        let open = open_runs(store).await?;
        (*seen, *look_at) = (signal, now + LOOK);
        self.take(open).await
    }

    async fn take(&mut self, mut open: Vec<Run>) -> Result<(), StoreError> {
        let now = Instant::now();
        let ids: HashSet<Uuid> = open.iter().map(|run| run.run_id).collect();
        self.resting.retain(|run_id, _| ids.contains(run_id));
        self.waiting = false;
        open.sort_by_key(|run| (std::cmp::Reverse(run.priority), run.due_at, run.run_id));
        for run in open {
            if !run.late && run.is_late(Utc::now()) {
                self.service.store.mark_late(&run.job, run.run_id).await?;
            }
            let rests = self.resting.get(&run.run_id);
            if self.active.contains_key(&run.run_id) || rests.is_some_and(|rest| rest.0 > now) {
                continue;
            }
            let before = self.active.values().filter(|other| **other >= run.priority);
            if before.count() >= RUNS {
                self.waiting = true;
                continue;
            }
            self.active.insert(run.run_id, run.priority);
            let run_id = run.run_id;
            let task = self.tasks.spawn(work_on(self.service.clone(), run));
            self.runs.insert(task.id(), run_id);
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<(task::Id, Rest), JoinError>) {
        let (task, rest) = match ended {
            Ok(ended) => ended,
            // A defect of ours: its leases ran out with it. Others may fare better, and so may
            // this process with other runs, or later.
            Err(panic) => {
                tracing::error!(%panic, "working on a run broke");
                (panic.id(), Rest::Longer)
            }
        };
        let Some(run_id) = self.runs.remove(&task) else {
            return;
        };
        self.active.remove(&run_id);
        let before = self.resting.remove(&run_id);
        let pause = match rest {
            Rest::No => return,
            Rest::Shortly => Duration::from_secs(2),
            Rest::Longer => before.map_or(Duration::from_secs(1), |(_, pause)| pause * 2),
        };
        let pause = pause.min(LONGEST_REST);
        let until = Instant::now() + jittered(pause);
        self.resting.insert(run_id, (until, pause));
    }
}

async fn work_on(service: Service, run: Run) -> Rest {
    let (job, run_id) = (run.job.clone(), run.run_id);
    let _note = service.board.note(format!("run {run_id} of job {job}"));
    match try_work_on(&service, run).await {
        Ok(None) => Rest::Shortly,
        Ok(Some(Worked::Ended(run))) => {
            let (state, reason) = (run.state, run.reason.as_deref().unwrap_or_default());
            tracing::info!(job, %run_id, %state, reason, "the run has ended");
            Rest::No
        }
        Ok(Some(Worked::Stopped)) => Rest::No,
        Ok(Some(Worked::GaveUp(reason))) => {
            tracing::warn!(job, %run_id, reason, "the run stays open");
            Rest::Longer
        }
        Err(failure) => {
            tracing::warn!(job, %run_id, %failure, "the run stays open");
            Rest::Longer
        }
    }
}

/// `None`: others have all of it in hand.
async fn try_work_on(service: &Service, run: Run) -> Result<Option<Worked>, Failure> {
    let store = &service.store;
    if in_good_hands(service, &run).await? {
        return Ok(None);
    }
    let shared = &service.shared;
    let context = match start_or_fail(store, run, Arc::default(), &shared.warm).await? {
        Started::Failed(run) => return Ok(Some(Worked::Ended(run))),
        Started::Ready(context) => Arc::<RunContext>::from(context),
    };
    let (job, run_id) = (context.run.job.clone(), context.run.run_id);
    let say = Arc::new(move |text: String| tracing::info!(job, %run_id, "{text}"));
    let worked = Work::new(context, claimant(), shared, say).run().await?;
    Ok(Some(worked))
}

/// Whether a small run has been claimed whole by others, and lately: loading its models here would
/// be for nothing. After a lease time it is joined anyway, so that somebody watches its owners.
async fn in_good_hands(service: &Service, run: &Run) -> Result<bool, StoreError> {
    let total = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
    let lease = service.store.settings().lease;
    let age = run.started_at.map(|at| Utc::now() - at);
    let is_young = age.and_then(|age| age.to_std().ok()) < Some(lease);
    if total > FEW_SPLITS || !is_young {
        return Ok(false);
    }
    let splits = close::read_splits(&service.store, run).await?;
    let held = splits.iter().flatten().filter(|split| match split.state {
        SplitState::Done => true,
        SplitState::Claimed => !crate::process::is_gone(&split.process),
        SplitState::Released => false,
    });
    Ok(held.count() == total)
}
