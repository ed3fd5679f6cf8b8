//! A job as it is served, and its versions with their loaded models.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    codec::cells::CellBuffer,
    config::Config,
    domain::{
        job::{CompiledJob, CompiledVersion, served::Served},
        model::alias::CHAMPION,
        problem::Problem,
    },
    engine::jobs::PreparedJob,
    metrics::ServedRowCounters,
    serve::{
        batcher::{CALL_ROWS, Queue, RowScorer, ScoreItem, ScoredRows},
        error::ApiError,
        models::LoadedModel,
    },
    store::predictions::selects::{KeySelect, prediction_of_key},
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
    pub(super) allocation_seq: i32,
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
    pub(super) fn start(
        prepared: &PreparedJob,
        version: &CompiledVersion,
        model: Arc<LoadedModel>,
        config: &Config,
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
            counters: ServedRowCounters::for_job(&job.job),
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
    pub(super) fn is_whole(&self) -> bool {
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
