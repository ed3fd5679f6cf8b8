//! One version's view of an entity: fed, scored, judged.

use std::collections::BTreeSet;

use super::{
    ExplainedVersion, Recomputed,
    fed::fed,
    standing::{Standing, aliases, stored},
};
use crate::{
    codec::{cell_json, cells::CellBuffer},
    domain::{
        job::{
            CompiledJob, CompiledVersion,
            hash::{append_row, source_hash},
            outputs,
            prepare::TypedRows,
        },
        model::{
            proof::Prediction,
            tensor::InputBatch,
            tolerance::Tolerance,
            verdict::{Verdict, after_scoring, before_scoring},
        },
        problem::Problem,
    },
    engine::{models, predict, second_look::SecondLook},
    failure::Failure,
    scorer::pool::ScoreError,
    store::Store,
};

/// A version and everything needed to explain it.
pub struct VersionView<'a> {
    pub store: &'a Store,
    /// The job whose mapping is used.
    pub job: &'a CompiledJob,
    /// The job's revision.
    pub revision: i32,
    /// The version, one of the job's.
    pub version: &'a CompiledVersion,
    /// The entity's cells of the job's columns, if the source has a row.
    pub source: Option<&'a CellBuffer>,
    /// The stored predictions, in the job's columns.
    pub standing: &'a Standing,
}

impl VersionView<'_> {
    /// Explains the entity from the view of this version.
    ///
    /// # Errors
    /// A model that can't be loaded, and Cassandra's errors.
    pub async fn explain(&self) -> Result<ExplainedVersion, Failure> {
        let ready = &self.version.ready;
        let standing = self.standing.prediction(ready.version);
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
        let mut batch = TypedRows::new(self.version);
        let (hash, typed) = append_row(self.version, &cells, &mut batch, &mut scratch);
        let preparers = models::preparers(self.store.config(), 1);
        explained.fed = fed((self.job, self.version), preparers.as_ref(), &cells).await;
        explained.input_hash = Some(hash);
        explained.source_hash = Some(source_hash(&self.job.columns, &cells, &mut scratch));
        let early = standing.and_then(|standing| before_scoring(self.version, standing, hash));
        let recomputed = match typed {
            Ok(()) => self.score(batch).await?,
            Err(rejection) => Scored::Rejected(rejection.to_string()),
        };
        explained.verdict = match (early, standing) {
            (None, Some(standing)) => Some(self.judge(&recomputed, standing).await?),
            (early, _) => early,
        };
        explained.recomputed = recomputed.shown(self.job);
        Ok(explained)
    }

    async fn score(&self, rows: TypedRows) -> Result<Scored, Failure> {
        let pool = models::load(self.store, std::slice::from_ref(self.version), 1).await?;
        let scored = predict::score((&pool, 0), rows).await;
        models::unload(pool).await;
        let scored = scored.map_err(failed)?;
        if let Some(reason) = scored.reason(0) {
            return Ok(Scored::Rejected(reason.to_owned()));
        }
        let mut cells = CellBuffer::new(self.job.target.outputs.len());
        Ok(
            match outputs::encode(self.version, scored.row(0), &mut cells) {
                Err(rejection) => Scored::Rejected(rejection.to_string()),
                Ok(()) => {
                    let signature = &self.version.ready.admitted.signature;
                    let usual = Tolerance::default();
                    let labels = 0..signature.outputs.len();
                    let tied = labels
                        .filter(|label| usual.label_ties(signature, *label, &scored.outputs, 0))
                        .collect();
                    Scored::Cells {
                        cells,
                        tied,
                        inputs: scored.rows.tensors,
                    }
                }
            },
        )
    }

    async fn judge(
        &self,
        recomputed: &Scored,
        standing: Prediction<'_>,
    ) -> Result<Verdict, Failure> {
        let verdict = recomputed.judge(self, standing);
        let (Verdict::Differing(_), Scored::Cells { inputs, .. }) = (&verdict, recomputed) else {
            return Ok(verdict);
        };
        let mut stored = CellBuffer::new(self.job.target.outputs.len());
        standing.outputs().for_each(|cell| stored.push(cell));
        let pool = models::load(self.store, std::slice::from_ref(self.version), 1).await?;
        let look = SecondLook {
            pool: &pool,
            at: 0,
            version: self.version,
            columns: &self.job.target.outputs,
            tolerance: Tolerance::default(),
        };
        let is_rounding = look.is_rounding(inputs, 0, &stored).await;
        models::unload(pool).await;
        Ok(match is_rounding.map_err(failed)? {
            true => Verdict::Matching,
            false => verdict,
        })
    }
}

fn failed(error: ScoreError) -> Failure {
    Failure::system(Problem::new("scorer.failed", error.to_string()))
}

/// The result of scoring one row.
enum Scored {
    Cells {
        cells: CellBuffer,
        /// Outputs whose label is a tie.
        tied: BTreeSet<usize>,
        inputs: InputBatch,
    },
    Rejected(String),
}

impl Scored {
    fn judge(&self, seen: &VersionView<'_>, standing: Prediction<'_>) -> Verdict {
        let none = BTreeSet::new();
        let (recomputed, tied) = match self {
            Self::Cells { cells, tied, .. } => (Ok(cells.row(0)), tied),
            Self::Rejected(reason) => (Err(reason.clone()), &none),
        };
        after_scoring(
            seen.version,
            &seen.job.target.outputs,
            Tolerance::default(),
            standing.rejected().is_some(),
            standing.outputs(),
            recomputed,
            |label| tied.contains(&label),
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
