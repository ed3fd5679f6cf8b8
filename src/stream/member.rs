//! One job's stream in this process: joins, reads, is paused, begins again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::FutureExt;
use tokio::sync::watch;

use super::{
    pipeline::{Ended, Pipeline},
    report::{StreamReport, StreamState},
    slot::Slot,
};
use crate::{
    domain::job::stream::StreamRules,
    engine::jobs,
    failure::Failure,
    serve::{follow, residents::ServedJob, state::Serving},
    store::{
        Store, admin::leases::Watches, driver::error::StoreError, streams::events::StreamEvent,
    },
};

/// Interval at which a member that cannot read looks again.
const LOOK: Duration = Duration::from_secs(1);

/// A job's stream in this process.
pub struct StreamMember {
    pub job: String,
    pub serving: Arc<Serving>,
    pub report: Arc<StreamReport>,
    watches: Watches,
    /// After people said that the stream goes on, so much may be rejected until then.
    pub exempt_until: Option<Instant>,
    /// Whether it was paused when it was last looked at.
    was_paused: bool,
}

/// Why a job is not read.
enum Hindrance {
    /// It has no stream any more.
    NoStream,
    Paused(String),
    Waiting(String),
}

impl StreamMember {
    /// Returns a member that has not joined yet.
    pub fn new(store: &Store, job: &str) -> Self {
        Self {
            job: job.to_owned(),
            serving: Arc::new(Serving::new(store.clone(), vec![job.to_owned()])),
            report: Arc::new(StreamReport::new(job)),
            watches: Watches::default(),
            exempt_until: None,
            was_paused: false,
        }
    }

    /// Reads until it is stopped, or the job has no stream any more.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let store = self.serving.store.clone();
        let following = tokio::spawn(follow::keep(Arc::clone(&self.serving)));
        let reporting = tokio::spawn(Arc::clone(&self.report).keep(store.clone()));
        loop {
            let pause = match self.turn(&mut stop).boxed().await {
                Ok(Ended::Stopped | Ended::Gone) => break,
                Ok(Ended::Changed | Ended::Paused) => Duration::ZERO,
                Ok(Ended::Failed(why)) => {
                    self.report.state(StreamState::Waiting, Some(&why));
                    LOOK
                }
                Err(failure) => {
                    self.report
                        .state(StreamState::Waiting, Some(&failure.to_string()));
                    LOOK
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        reporting.abort();
        following.abort();
        self.report.leave(&store).await;
    }

    /// Joins and reads once.
    async fn turn(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Ended, Failure> {
        let (job, rules) = loop {
            if *stop.borrow() {
                return Ok(Ended::Stopped);
            }
            match self.current_job().await? {
                Ok(found) => break found,
                Err(Hindrance::NoStream) => return Ok(Ended::Gone),
                Err(Hindrance::Paused(why)) => {
                    self.was_paused = true;
                    self.report.state(StreamState::Paused, Some(&why));
                }
                Err(Hindrance::Waiting(why)) => {
                    self.report.state(StreamState::Waiting, Some(&why));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(Ended::Stopped),
            }
        };
        if std::mem::take(&mut self.was_paused) {
            let window = rules.input.as_ref().map(|input| input.window);
            self.exempt_until = window.map(|window| Instant::now() + window);
        }
        self.report.state(StreamState::Starting, None);
        let store = self.serving.store.clone();
        let slot = Slot::take(&store, &self.job, &mut self.watches).await?;
        let mut pipeline = match Pipeline::start(self, &slot, rules) {
            Ok(pipeline) => pipeline,
            Err(failure) => {
                slot.release().await;
                return Err(failure);
            }
        };
        let ended = pipeline.run(self, job, stop).boxed().await;
        pipeline.leave(self).boxed().await;
        self.report.left();
        slot.release().await;
        Ok(ended)
    }

    /// Returns the job and its rules if it should be read now.
    async fn current_job(
        &self,
    ) -> Result<Result<(Arc<ServedJob>, Arc<StreamRules>), Hindrance>, Failure> {
        let store = &self.serving.store;
        if let Some(why) = self.paused().await? {
            return Ok(Err(Hindrance::Paused(why)));
        }
        let job = match self.serving.residents.job(&self.job) {
            Ok(job) => job,
            Err(error) => {
                if jobs::ready_revision(store, &self.job).await?.is_none() {
                    return Ok(Err(Hindrance::NoStream));
                }
                return Ok(Err(Hindrance::Waiting(error.line())));
            }
        };
        let rules = Arc::clone(&job.job.stream);
        match rules.input {
            Some(_) => Ok(Ok((job, rules))),
            None => Ok(Err(Hindrance::NoStream)),
        }
    }

    /// Returns why people must say that the stream goes on.
    ///
    /// # Errors
    /// Errors of Cassandra.
    pub async fn paused(&self) -> Result<Option<String>, StoreError> {
        let store = &self.serving.store;
        let rows = store.job_rows(&self.job).await?;
        if rows.iter().any(|row| row.paused == Some(true)) {
            return Ok(Some(format!(
                "the job is paused: helenus job resume {}",
                self.job
            )));
        }
        let events = store.open_stream_events(&self.job).await?;
        let pause = events
            .into_iter()
            .find(|event| event.kind == StreamEvent::PAUSED);
        Ok(pause.map(|event| event.what))
    }
}
