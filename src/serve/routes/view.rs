//! Predictions as JSON.

use serde::Serialize;
use serde_json::Value;

use crate::{
    codec::{cell_json, cells::CellBuffer, utc},
    domain::{job::CompiledJob, model::proof::Prediction},
    serve::{
        batcher::{RowOutcome, ScoredRows},
        residents::ServedVersion,
    },
};

/// Where a prediction comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// It was scored for this request.
    Scored,
    /// It is the stored one, which is what scoring the row now would give.
    Stored,
}

/// One version's prediction of one row.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PredictionView {
    pub model: String,
    pub version: i32,
    /// Aliases of the job's manifest that point to the version.
    pub aliases: Vec<String>,
    pub from: From,
    /// By output column; null if the row is rejected.
    #[schema(value_type = Option<Object>)]
    pub outputs: Option<serde_json::Map<String, Value>>,
    /// Why the row is rejected, in the words of the batch.
    pub rejected: Option<String>,
    pub lineage: LineageView,
}

/// What the prediction was made from.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LineageView {
    /// SHA-256 of the model's stored bytes, in hex.
    pub model_sha256: String,
    /// Hash of the values that the model was given, in hex.
    pub input_hash: String,
    /// Hash of all columns that the job reads, in hex.
    pub source_hash: String,
    pub job_revision: i32,
    /// The run that stored it; null for a prediction made for this request.
    pub run_id: Option<String>,
    /// When it was made (RFC 3339).
    pub scored_at: String,
    /// The arm of the running experiment that the row belongs to, as `experiment/arm`.
    pub arm: Option<String>,
}

/// Returns the output cells by column.
pub fn outputs<'a>(
    job: &CompiledJob,
    cells: impl Iterator<Item = Option<&'a [u8]>>,
) -> serde_json::Map<String, Value> {
    let columns = job.target.outputs.iter().zip(cells);
    columns
        .map(|(column, cell)| (column.name.clone(), cell_json::cell(&column.cql_type, cell)))
        .collect()
}

/// Returns a row of `scored` as it is answered. `now`: RFC 3339. `arm`: as in the lineage.
pub fn scored(
    served: &ServedVersion,
    aliases: &[String],
    scored: &ScoredRows,
    row: &RowOutcome,
    (now, arm): (&str, Option<&str>),
) -> PredictionView {
    let ready = &served.version().ready;
    let (outputs, rejected) = match &row.outcome {
        Ok(at) => (
            Some(self::outputs(&served.job, scored.cells.row(*at))),
            None,
        ),
        Err(reason) => (None, Some(reason.clone())),
    };
    PredictionView {
        model: ready.model.clone(),
        version: ready.version,
        aliases: aliases.to_vec(),
        from: From::Scored,
        outputs,
        rejected,
        lineage: LineageView {
            model_sha256: hex::encode(ready.admitted.sha256),
            input_hash: hash(row.input_hash),
            source_hash: hash(row.source_hash),
            job_revision: served.revision,
            run_id: None,
            scored_at: now.to_owned(),
            arm: arm.map(str::to_owned),
        },
    }
}

/// Returns a stored prediction as it is answered. `arm`: that of the row now; the stored lineage has
/// the one from when it was made.
pub fn stored(
    served: &ServedVersion,
    aliases: &[String],
    cells: &CellBuffer,
    arm: Option<&str>,
) -> PredictionView {
    let ready = &served.version().ready;
    let prediction = Prediction::new(cells, 0);
    let lineage = prediction.lineage();
    let is_rejected = prediction.is_rejected();
    PredictionView {
        model: ready.model.clone(),
        version: ready.version,
        aliases: aliases.to_vec(),
        from: From::Stored,
        outputs: (!is_rejected).then(|| outputs(&served.job, prediction.outputs())),
        rejected: lineage.rejected,
        lineage: LineageView {
            model_sha256: hex::encode(lineage.model_sha256.unwrap_or_default()),
            input_hash: lineage.input_hash.map(hash).unwrap_or_default(),
            source_hash: lineage.source_hash.map(hash).unwrap_or_default(),
            job_revision: lineage.job_revision.unwrap_or_default(),
            run_id: lineage.run_id.map(|run| run.to_string()),
            scored_at: lineage
                .scored_at
                .map(utc::to_millisecond)
                .unwrap_or_default(),
            arm: arm.map(str::to_owned),
        },
    }
}

/// Returns a hash as `explain` prints it.
pub fn hash(hash: u128) -> String {
    format!("{hash:032x}")
}
