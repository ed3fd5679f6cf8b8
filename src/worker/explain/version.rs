//! One version's view of an entity: fed, scored, judged.

use super::{
    ExplainedVersion, Recomputed,
    fed::fed,
    standing::{Standing, aliases, stored},
};
use crate::{
    domain::{
        cell_json,
        cells::CellBuffer,
        hash::{append_row, source_hash},
        job::{CompiledJob, CompiledVersion},
        outputs,
        problem::Problem,
        proof::Prediction,
        tensor::InputBatch,
        tolerance::Tolerance,
        verdict::{Verdict, after_scoring, before_scoring},
    },
    failure::Failure,
    store::Store,
    worker::models,
};

/// A version with everything that is needed to explain it.
pub struct Seen<'a> {
    /// The database.
    pub store: &'a Store,
    /// The job by whose mapping it is looked at.
    pub job: &'a CompiledJob,
    /// Its revision.
    pub revision: i32,
    /// The version, one of the job's.
    pub version: &'a CompiledVersion,
    /// The job's columns of the entity, if it has a row.
    pub source: Option<&'a CellBuffer>,
    /// What stands, in the job's columns.
    pub standing: &'a Standing,
}

impl Seen<'_> {
    /// # Errors
    /// A model that can't be had, and Cassandra's.
    pub async fn explain(&self) -> Result<ExplainedVersion, Failure> {
        let ready = &self.version.ready;
        let standing = self.standing.of(ready.version);
        let mut explained = ExplainedVersion {
            model: ready.model.clone(),
            sha256: Some(ready.admitted.sha256),
            revision: self.revision,
            aliases: aliases(self.store, &ready.model, ready.version, None).await?,
            fed: Vec::new(),
            input_hash: None,
            source_hash: None,
            stored: None,
            recomputed: Recomputed::Not("the source has no such row".to_owned()),
            verdict: None,
        };
        if let Some(standing) = standing {
            explained.stored =
                Some(stored(self.store, self.job, &ready.model, ready.version, standing).await?);
        }
        let Some(source) = self.source else {
            return Ok(explained);
        };
        let cells: Vec<_> = source.row(0).collect();
        let mut scratch = Vec::new();
        let mut batch = InputBatch::new(&ready.admitted.signature.inputs);
        let (hash, typed) = append_row(self.version, &cells, &mut batch, &mut scratch);
        explained.fed = fed(self.job, self.version, &cells);
        explained.input_hash = Some(hash);
        explained.source_hash = Some(source_hash(&self.job.columns, &cells, &mut scratch));
        let early = standing.and_then(|standing| before_scoring(self.version, standing, hash));
        let recomputed = match typed {
            Ok(()) => self.score(batch).await?,
            Err(rejection) => Scored::Rejected(rejection.to_string()),
        };
        let late = standing.map(|standing| recomputed.judge(self, standing));
        explained.verdict = early.or(late);
        explained.recomputed = recomputed.shown(self.job);
        Ok(explained)
    }

    async fn score(&self, batch: InputBatch) -> Result<Scored, Failure> {
        let pool = models::load(self.store, std::slice::from_ref(self.version), 1).await?;
        let scored = pool.score(0, batch).await;
        models::unload(pool).await;
        let scored = scored
            .map_err(|error| Failure::system(Problem::new("scorer.failed", error.to_string())))?;
        if let Some((_, reason)) = scored.refused.first() {
            return Ok(Scored::Rejected(format!("refused: {reason}")));
        }
        let mut cells = CellBuffer::new(self.job.target.outputs.len());
        Ok(
            match outputs::encode(self.version, &scored.outputs, 0, &mut cells) {
                Err(rejection) => Scored::Rejected(rejection.to_string()),
                Ok(()) => {
                    let signature = &self.version.ready.admitted.signature;
                    let tied = Tolerance::default().scores_tie(signature, &scored.outputs, 0);
                    Scored::Cells { cells, tied }
                }
            },
        )
    }
}

/// What one row gave.
enum Scored {
    Cells { cells: CellBuffer, tied: bool },
    Rejected(String),
}

impl Scored {
    fn judge(&self, seen: &Seen<'_>, standing: Prediction<'_>) -> Verdict {
        let (recomputed, tied) = match self {
            Self::Cells { cells, tied } => (Ok(cells.row(0)), *tied),
            Self::Rejected(reason) => (Err(reason.clone()), false),
        };
        after_scoring(
            seen.version,
            &seen.job.target.outputs,
            standing.rejected().is_some(),
            standing.outputs(),
            recomputed,
            || tied,
        )
    }

    fn shown(self, job: &CompiledJob) -> Recomputed {
        match self {
            Self::Rejected(reason) => Recomputed::Rejected(reason),
            Self::Cells { cells, .. } => {
                let values = job.target.outputs.iter().zip(cells.row(0));
                let shown = values.map(|(column, cell)| cell_json::cell(&column.cql_type, cell));
                Recomputed::Outputs(shown.collect())
            }
        }
    }
}
