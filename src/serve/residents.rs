//! The jobs that this process serves, compiled, with their models loaded.
//!
//! A request takes the job as it is at that moment and keeps it to its end; a job whose alias moved
//! or whose manifest changed is replaced as a whole, once its new models are loaded and warm.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::{
    batcher::{CALL_ROWS, Queue, RowScorer, ScoreItem, ScoredRows},
    error::ApiError,
    models::LoadedModel,
    state::Serving,
};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{
            CompiledJob, CompiledVersion,
            served::{Arms, Served},
        },
        model::alias::CHAMPION,
        names::nearest,
        problem::Problem,
    },
    engine::jobs::{self, PreparedJob},
    failure::{Exit, Failure},
    metrics::ServedRowCounters,
    store::{
        evidence::experiments::JobAllocation,
        predictions::selects::{KeySelect, prediction_of_key, source_key},
    },
};

/// A job as it is served.
pub struct ServedJob {
    /// The job with all of its versions.
    pub job: Arc<CompiledJob>,
    pub revision: i32,
    /// The aliases that its manifest names, and where they point.
    pub aliases: BTreeMap<String, i32>,
    /// The versions that are served; shadows are not among them.
    pub versions: BTreeMap<i32, Arc<ServedVersion>>,
    /// Reads a source row by key.
    pub source_key: KeySelect,
    /// Number of the change of the job's experiments that is served.
    allocation_seq: i32,
}

/// One version of a job, with its loaded model.
pub struct ServedVersion {
    /// The job with this version only.
    pub job: Arc<CompiledJob>,
    pub revision: i32,
    pub model: Arc<LoadedModel>,
    /// Reads this version's stored prediction by key.
    pub stored_key: KeySelect,
    /// Rows that were answered.
    pub counters: ServedRowCounters,
    queue: Queue<ScoreItem>,
}

impl ServedVersion {
    fn start(
        prepared: &PreparedJob,
        version: &CompiledVersion,
        model: Arc<LoadedModel>,
        config: &crate::config::Config,
    ) -> Self {
        let mut job = prepared.job.clone();
        job.versions = vec![version.clone()];
        // Arms may change while the version stays loaded.
        job.served = Served::default();
        let job = Arc::new(job);
        let workers = (0..config.scoring_threads)
            .map(|_| RowScorer::new(Arc::clone(&job), Arc::clone(&model.pool)));
        Self {
            queue: Queue::start(config.serve.queue, workers),
            stored_key: prediction_of_key(&job, version.ready.version),
            revision: prepared.revision,
            counters: ServedRowCounters::of(&job.job),
            job,
            model,
        }
    }

    /// Returns the compiled version.
    pub fn version(&self) -> &CompiledVersion {
        &self.job.versions[0]
    }

    /// Scores rows of the job's columns, in their order, together with what other requests wait
    /// for.
    ///
    /// # Errors
    /// 429 if too many requests wait, 503 if the model could not score.
    pub async fn score(&self, rows: CellBuffer) -> Result<ScoredRows, ApiError> {
        let scored = self.call_in_parts(rows).await?;
        let rejected = scored.rows.iter().filter(|row| row.outcome.is_err());
        let rejected = rejected.count();
        let accepted = scored.rows.len() - rejected;
        self.counters.scored(accepted, rejected);
        Ok(scored)
    }

    async fn call_in_parts(&self, rows: CellBuffer) -> Result<ScoredRows, ApiError> {
        if rows.rows() <= CALL_ROWS {
            return self.call(rows).await;
        }
        let mut all = ScoredRows {
            cells: CellBuffer::new(self.version().outputs.len()),
            rows: Vec::with_capacity(rows.rows()),
        };
        // One part after the other, so that a long request shares the model with short ones.
        for first in (0..rows.rows()).step_by(CALL_ROWS) {
            let mut part = CellBuffer::new(rows.width());
            for row in first..rows.rows().min(first + CALL_ROWS) {
                rows.row(row).for_each(|cell| part.push(cell));
            }
            let scored = self.call(part).await?;
            let before = all.cells.rows();
            for row in 0..scored.cells.rows() {
                scored.cells.row(row).for_each(|cell| all.cells.push(cell));
            }
            all.rows.extend(scored.rows.into_iter().map(|mut row| {
                row.outcome = row.outcome.map(|at| before + at);
                row
            }));
        }
        Ok(all)
    }

    async fn call(&self, rows: CellBuffer) -> Result<ScoredRows, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(ScoreItem { rows, reply }, &self.job.job)?;
        Ok(answer.await.map_err(|_| ApiError::timed_out())??)
    }
}

impl ServedJob {
    /// Returns the version that a caller names by number or alias; the champion if the caller names
    /// none, or the job's only version.
    ///
    /// # Errors
    /// 400 with what there is.
    pub fn version(&self, wanted: Option<&str>) -> Result<&Arc<ServedVersion>, ApiError> {
        let number = match wanted {
            Some(word) => word
                .parse()
                .ok()
                .or_else(|| self.aliases.get(word).copied()),
            None => match self.aliases.get(CHAMPION) {
                Some(champion) => Some(*champion),
                None if self.versions.len() == 1 => self.versions.keys().next().copied(),
                None => None,
            },
        };
        number
            .and_then(|number| self.versions.get(&number))
            .ok_or_else(|| ApiError::bad(self.unknown_version(wanted)))
    }

    /// Returns the version that serves the rows of an arm, or of no arm.
    ///
    /// # Errors
    /// 400 without a champion; 503 if the version of the arm is not ready any more.
    pub fn version_of_arm(&self, arm: Option<usize>) -> Result<&Arc<ServedVersion>, ApiError> {
        let (Some(arm), Some(arms)) = (arm, &self.job.served.arms) else {
            return self.version(None);
        };
        let number = arms.allocation.arms[arm].version;
        self.versions.get(&number).ok_or_else(|| {
            let label = arms.label(arm);
            let message = format!("version {number} of arm `{label}` is not ready any more");
            let experiment = &arms.allocation.experiment;
            let help = format!("helenus experiment stop {} {experiment}", self.job.job);
            ApiError::unavailable(Problem::new("experiment.not_ready", message).help(help))
        })
    }

    /// Returns the versions that serve rows of some arm, or of no arm.
    ///
    /// # Errors
    /// Those of [`ServedJob::version_of_arm`].
    pub fn serving(&self) -> Result<Vec<Arc<ServedVersion>>, ApiError> {
        let arms = self.job.served.arms.as_ref();
        let arms = arms.map_or(0, |arms| arms.allocation.arms.len());
        let mut serving: Vec<Arc<ServedVersion>> = Vec::new();
        for arm in std::iter::once(None).chain((0..arms).map(Some)) {
            let version = self.version_of_arm(arm)?;
            if !serving.iter().any(|known| Arc::ptr_eq(known, version)) {
                serving.push(Arc::clone(version));
            }
        }
        Ok(serving)
    }

    fn unknown_version(&self, wanted: Option<&str>) -> Problem {
        let numbers = self.versions.keys().map(ToString::to_string);
        let known: Vec<_> = self.aliases.keys().cloned().chain(numbers).collect();
        let message = match wanted {
            Some(wanted) => format!("job `{}` does not score `{wanted}`", self.job.job),
            None => format!("job `{}` has no champion; name a version", self.job.job),
        };
        Problem::new("job.unknown_version", message)
            .at("versions")
            .help(format!("it scores {}", known.join(", ")))
    }

    /// Returns whether every version's model can score.
    fn is_whole(&self) -> bool {
        let mut versions = self.versions.values();
        versions.all(|served| served.model.pool.is_whole())
    }

    /// Returns the aliases that point to a version.
    pub fn aliases_of(&self, version: i32) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter();
        aliases
            .filter(move |(_, at)| **at == version)
            .map(|(alias, _)| alias.as_str())
    }
}

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
