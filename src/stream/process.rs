//! The process: a member for each job that has a stream.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{client, member::StreamMember, requests::RequestTopic};
use crate::{
    control::{health::Health, http},
    domain::problem::Problem,
    engine::jobs,
    failure::{Exit, Failure},
    store::Store,
};

/// Interval at which new jobs are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// The streams of this process.
pub struct StreamProcess {
    store: Store,
    /// The jobs to read; empty: all that have a stream.
    wanted: Vec<String>,
    members: BTreeMap<String, JoinHandle<()>>,
    stop: watch::Sender<bool>,
    /// Revisions of jobs that have no stream.
    without: BTreeSet<(String, i32)>,
    health: Arc<Health>,
}

impl StreamProcess {
    /// Checks what can be checked before anything is read.
    ///
    /// # Errors
    /// Exit 2: Kafka's settings, or a job that is named has no stream; exit 5: it does not exist.
    pub async fn new(store: Store, wanted: Vec<String>) -> Result<Self, Failure> {
        client::client_config(&store.config().kafka)?;
        for job in &wanted {
            let prepared = match jobs::read_ready(&store, job).await {
                // Cassandra may come back, and a job may become ready.
                Err(failure) if failure.exit == Exit::System => continue,
                outcome => outcome?,
            };
            if prepared.manifest.stream.input.is_none() {
                let message = format!("job `{job}` has no [stream.in]");
                let problem = Problem::new("stream.none", message);
                return Err(Failure::input(
                    problem.help("say in its manifest which topic it reads: docs/streams.md"),
                ));
            }
        }
        Ok(Self {
            store,
            wanted,
            members: BTreeMap::new(),
            stop: watch::Sender::new(false),
            without: BTreeSet::new(),
            health: Arc::default(),
        })
    }

    /// Reads until `stopped` is done; then finishes what is in progress. Returns whether it was
    /// finished within the time.
    ///
    /// # Errors
    /// Exit 3: the address of `listen` cannot be bound.
    pub async fn run(
        mut self,
        stopped: impl Future<Output = ()>,
        drain: Duration,
    ) -> Result<bool, Failure> {
        let _server = match self.store.config().listen {
            Some(listen) => Some(http::serve(listen, Arc::clone(&self.health)).await?),
            None => None,
        };
        let requests = self.read_requests()?;
        tokio::pin!(stopped);
        loop {
            self.health.beat();
            let looked = self.start_members().await;
            if let Err(error) = &looked {
                tracing::warn!(%error, "could not look for jobs with a stream");
            }
            self.health.ready(looked.map_err(|error| error.to_string()));
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = &mut stopped => break,
            }
        }
        self.health.draining();
        self.stop.send_replace(true);
        let until = Instant::now() + drain;
        if let Some(requests) = requests
            && timeout_at(until, requests).await.is_err()
        {
            return Ok(false);
        }
        for (job, member) in &mut self.members {
            if timeout_at(until, member).await.is_err() {
                tracing::warn!(job, "the stream did not finish in time; nothing is lost");
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads requests for runs, if a topic is set.
    fn read_requests(&self) -> Result<Option<JoinHandle<()>>, Failure> {
        let Some((topic, dead_letters)) = &self.store.config().kafka.requests else {
            return Ok(None);
        };
        let topics = (topic.as_str(), dead_letters.as_str());
        let requests = RequestTopic::join(&self.store, topics, self.stop.subscribe())?;
        Ok(Some(tokio::spawn(requests.keep())))
    }

    /// Starts members for jobs that have a stream and none.
    async fn start_members(&mut self) -> Result<(), Failure> {
        self.members.retain(|_, member| !member.is_finished());
        let names = match self.wanted.is_empty() {
            true => self.store.job_names().await?,
            false => self.wanted.clone(),
        };
        for job in names {
            if self.members.contains_key(&job) || !self.has_stream(&job).await? {
                continue;
            }
            tracing::info!(job, "reading the job's stream");
            let member = StreamMember::new(&self.store, &job);
            let running = tokio::spawn(member.run(self.stop.subscribe()));
            self.members.insert(job, running);
        }
        Ok(())
    }

    async fn has_stream(&mut self, job: &str) -> Result<bool, Failure> {
        let Some(revision) = jobs::ready_revision(&self.store, job).await? else {
            return Ok(false);
        };
        let key = (job.to_owned(), revision);
        if self.without.contains(&key) {
            return Ok(false);
        }
        match jobs::read_ready(&self.store, job).await {
            Ok(prepared) if prepared.manifest.stream.input.is_some() => Ok(true),
            Ok(_) => {
                self.without.insert(key);
                Ok(false)
            }
            Err(failure) if failure.exit == Exit::System => Err(failure),
            // A job that is not ready is not read.
            Err(_) => Ok(false),
        }
    }
}
