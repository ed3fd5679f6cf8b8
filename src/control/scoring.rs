//! Works on every open run, several at a time.

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

use super::{rounds::jittered, service::Service};
use crate::{
    domain::run::Run,
    engine::{
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
    failure::Failure,
    store::{admin::signals::OPEN_RUNS, driver::error::StoreError, runs::splits::SplitState},
};

/// Interval at which the signal is read.
const POLL: Duration = Duration::from_secs(1);
/// Interval at which open runs are checked even without a signal.
const LOOK: Duration = Duration::from_secs(30);
/// Runs of the same or a higher priority that a worker works on concurrently.
const RUNS: usize = 8;
/// Largest number of splits of a run for which the splits are checked before its models are loaded.
const FEW_SPLITS: usize = 16;
/// Longest pause before a run that could not be worked on here is tried again. The first pause is a
/// second; each further one is twice as long.
const LONGEST_REST: Duration = Duration::from_secs(60);

struct Scoring {
    service: Service,
    active: HashMap<Uuid, i32>,
    tasks: JoinSet<Rest>,
    /// The run that each task works on; also known after the task panicked.
    runs: HashMap<task::Id, Uuid>,
    resting: HashMap<Uuid, (Instant, Duration)>,
    /// More runs are open than this worker may work on concurrently.
    waiting: bool,
}

/// What to do about a run after working on it.
enum Rest {
    /// Nothing: the run has ended, or this process is leaving.
    No,
    /// Check again shortly: other workers hold all splits, and may lose them.
    Shortly,
    /// Pause longer: something failed.
    Longer,
}

/// Works on open runs until asked to stop; then waits until claimed splits are finished or given
/// back.
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
        let looked = scoring.poll(&mut seen, &mut look_at).await;
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
    async fn poll(
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
            // A panic is a defect of helenus; the leases of the task expire. Other workers may
            // succeed, and so may this process with other runs, or later.
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

/// Works on a run; returns `None` if other workers hold all its splits.
async fn try_work_on(service: &Service, run: Run) -> Result<Option<Worked>, Failure> {
    let store = &service.store;
    if in_good_hands(service, &run).await? {
        return Ok(None);
    }
    let shared = &service.shared;
    let context = match start_or_fail(store, run, Arc::default(), shared).await? {
        Started::Failed(run) => return Ok(Some(Worked::Ended(run))),
        Started::Ready(context) => Arc::<RunContext>::from(context),
    };
    let (job, run_id) = (context.run.job.clone(), context.run.run_id);
    let say = Arc::new(move |text: String| tracing::info!(job, %run_id, "{text}"));
    let worked = Work::new(context, claimant(), shared, say).run().await?;
    Ok(Some(worked))
}

/// Returns whether other workers recently claimed every split of a small run. Loading its models
/// here would then be wasted. After a lease time the run is joined anyway, so that another worker
/// watches the owners of its splits.
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
