//! The jobs that this process serves, compiled, with their models loaded.
//!
//! A request takes the job as it is at that moment and keeps it to its end; a job whose alias moved
//! or whose manifest changed is replaced as a whole, once its new models are loaded and warm.

mod served;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

pub use served::{ServedJob, ServedVersion};

use super::{error::ApiError, state::Serving};
use crate::{
    domain::{
        job::served::{Arms, Served},
        model::alias::CHAMPION,
        names::nearest,
        problem::Problem,
    },
    engine::jobs::{self, PreparedJob},
    failure::{Exit, Failure},
    store::{evidence::experiments::JobAllocation, predictions::selects::source_key},
};

type Jobs = HashMap<String, Arc<ServedJob>>;

/// The jobs that are served.
pub struct Residents {
    /// The jobs to serve; empty: all.
    wanted: Vec<String>,
    jobs: ArcSwap<Jobs>,
    state: Mutex<Freshness>,
}

#[derive(Default)]
struct Freshness {
    /// Why a wanted job is not served, by job.
    missing: BTreeMap<String, String>,
    /// The last time at which the jobs were found to be up to date.
    fresh: Option<Instant>,
}

impl Residents {
    /// Returns an empty set.
    pub fn new(wanted: Vec<String>) -> Self {
        Self {
            wanted,
            jobs: ArcSwap::default(),
            state: Mutex::default(),
        }
    }

    /// Returns a served job.
    ///
    /// # Errors
    /// 404 with the nearest name, or why the job is not served (503).
    pub fn job(&self, name: &str) -> Result<Arc<ServedJob>, ApiError> {
        let jobs = self.jobs.load();
        if let Some(job) = jobs.get(name) {
            return Ok(Arc::clone(job));
        }
        if let Some(why) = self.lock().missing.get(name) {
            return Err(ApiError::unavailable(Problem::new(
                "serve.not_ready",
                format!("job `{name}` is not served: {why}"),
            )));
        }
        let near = nearest(name, jobs.keys().map(String::as_str));
        let problem = Problem::new("job.unknown", format!("no job `{name}` is served here"));
        Err(ApiError::not_found(match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help("`GET /v1/jobs` lists the jobs"),
        }))
    }

    /// Returns all served jobs, by name.
    pub fn all(&self) -> BTreeMap<String, Arc<ServedJob>> {
        let jobs = self.jobs.load();
        jobs.iter()
            .map(|(name, job)| (name.clone(), Arc::clone(job)))
            .collect()
    }

    /// Returns for how long Cassandra has not confirmed what is served.
    pub fn stale(&self) -> Duration {
        self.lock().fresh.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Records that Cassandra has just confirmed what is served.
    pub fn confirmed(&self) {
        self.lock().fresh = Some(Instant::now());
    }

    /// Returns whether the wanted jobs are served.
    ///
    /// # Errors
    /// The jobs that are not, and why.
    pub fn is_ready(&self) -> Result<(), String> {
        let state = self.lock();
        if state.fresh.is_none() {
            return Err("starting".to_owned());
        }
        let missing = self.wanted.iter().filter_map(|job| {
            let why = state.missing.get(job)?;
            Some(format!("job `{job}`: {why}"))
        });
        match missing.collect::<Vec<_>>() {
            missing if missing.is_empty() => Ok(()),
            missing => Err(missing.join("; ")),
        }
    }

    /// Looks at every job and replaces those that changed. A job that cannot be read or loaded stays
    /// as it was. Unless `whole`, only new and deleted jobs and new revisions are noticed, at two
    /// reads a job.
    ///
    /// # Errors
    /// The list of jobs or a job could not be read, or a model could not be loaded.
    pub async fn refresh(&self, serving: &Serving, whole: bool) -> Result<(), Failure> {
        let names = match self.wanted.is_empty() {
            true => serving.store.job_names().await?,
            false => self.wanted.clone(),
        };
        let before = self.jobs.load_full();
        let mut jobs = Jobs::new();
        let mut missing = BTreeMap::new();
        let mut unread = None;
        for name in names {
            let old = before.get(&name);
            match self.served(serving, &name, old, whole).await {
                Ok(job) => drop(jobs.insert(name, job)),
                Err(failure) if failure.exit == Exit::System => {
                    // Cassandra or this machine: what is served stays right meanwhile.
                    match old {
                        Some(old) => drop(jobs.insert(name.clone(), Arc::clone(old))),
                        None => drop(missing.insert(name.clone(), failure.to_string())),
                    }
                    unread = Some(failure);
                }
                Err(failure) => {
                    if old.is_some() || !self.lock().missing.contains_key(&name) {
                        tracing::warn!(job = name, %failure, "the job is not served");
                    }
                    missing.insert(name, failure.to_string());
                }
            }
        }
        self.jobs.store(Arc::new(jobs));
        let mut state = self.lock();
        state.missing = missing;
        match unread {
            Some(failure) => Err(failure),
            None => {
                state.fresh = Some(Instant::now());
                Ok(())
            }
        }
    }

    async fn served(
        &self,
        serving: &Serving,
        name: &str,
        old: Option<&Arc<ServedJob>>,
        whole: bool,
    ) -> Result<Arc<ServedJob>, Failure> {
        // A model whose calls hung for good is loaded again.
        let old = old.filter(|old| old.is_whole());
        if let Some(old) = old.filter(|_| !whole)
            && jobs::ready_revision(&serving.store, name).await? == Some(old.revision)
        {
            return Ok(Arc::clone(old));
        }
        let mut prepared = jobs::read_ready(&serving.store, name).await?;
        hide_shadows(&mut prepared);
        // Read after the job, which has the versions of every arm that was running by then.
        let JobAllocation { seq, allocation } = serving.store.allocation_now(name).await?;
        prepared.job.served = Served {
            champion: prepared.aliases.get(CHAMPION).copied(),
            arms: match allocation {
                Some(allocation) => {
                    let arms = Arms::new(&prepared.job, allocation).map_err(Failure::input)?;
                    Some(Arc::new(arms))
                }
                None => None,
            },
        };
        if let Some(old) = old.filter(|old| is_same(old, &prepared, seq)) {
            return Ok(Arc::clone(old));
        }
        let mut versions = BTreeMap::new();
        for version in &prepared.job.versions {
            let number = version.ready.version;
            let kept = old
                .and_then(|old| old.versions.get(&number))
                .filter(|kept| {
                    kept.revision == prepared.revision
                        && kept.version().hash_prefix == version.hash_prefix
                        && kept.job.columns == prepared.job.columns
                });
            let served = match kept {
                Some(kept) => Arc::clone(kept),
                None => {
                    let model = serving.models.get(&version.ready).await;
                    // A version that cannot be loaded here says nothing about what is served now.
                    let model = model.map_err(|failure| Failure {
                        exit: Exit::System,
                        ..failure
                    })?;
                    let config = serving.store.config();
                    Arc::new(ServedVersion::start(&prepared, version, model, config))
                }
            };
            versions.insert(number, served);
        }
        tracing::info!(
            job = name,
            revision = prepared.revision,
            aliases = ?prepared.aliases,
            "the job is served"
        );
        Ok(Arc::new(ServedJob {
            source_key: source_key(&prepared.job),
            job: Arc::new(prepared.job),
            revision: prepared.revision,
            aliases: prepared.aliases,
            versions,
            allocation_seq: seq,
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Freshness> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes what is only scored as a shadow.
fn hide_shadows(prepared: &mut PreparedJob) {
    let shadows = prepared.manifest.shadows(&prepared.aliases);
    let versions = &mut prepared.job.versions;
    versions.retain(|version| !shadows.contains(&version.ready.version));
    prepared
        .aliases
        .retain(|_, version| !shadows.contains(version));
}

fn is_same(old: &ServedJob, prepared: &PreparedJob, allocation_seq: i32) -> bool {
    let versions = prepared.job.versions.iter();
    old.allocation_seq == allocation_seq
        && old.revision == prepared.revision
        && old.aliases == prepared.aliases
        && old.job.fingerprint == prepared.job.fingerprint
        && versions
            .map(|version| version.ready.version)
            .eq(old.versions.keys().copied())
}
