//! Predictions of a batch's rows, by the versions that serve them, as HTTP answers them.

use std::sync::Arc;

use chrono::Utc;
use futures::future::try_join_all;

use super::decode::{DecodedRows, RowLayout};
use crate::{
    codec::cells::CellBuffer,
    domain::{
        job::{
            manifest::VersionWish,
            stream::{PredictionMessage, message::EncodedMessage},
        },
        problem::Problem,
    },
    serve::{
        batcher::{CALL_ROWS, ScoredRows},
        error::ApiError,
        residents::{ServedJob, ServedVersion},
        routes::unit,
    },
};

/// Why a batch cannot be scored now.
#[derive(Debug)]
pub enum ScoringError {
    /// The job or its model is not ready; it may be again.
    Waiting(String),
}

/// One version's prediction for a message.
pub struct MessagePrediction {
    /// Index of the message in its batch.
    pub message: usize,
    /// The message to send and its topic, or why the row is rejected.
    pub outcome: Result<(String, EncodedMessage), Problem>,
}

/// Returns the predictions for rows, given as index of the message and of the row. `versions`: by
/// number or alias; if there are none, the version of the row's arm, or the champion.
///
/// # Errors
/// The job or its model is not ready.
pub async fn predictions(
    job: &ServedJob,
    versions: &[VersionWish],
    layout: &RowLayout,
    rows: &DecodedRows,
    wanted: &[(usize, usize)],
) -> Result<Vec<MessagePrediction>, ScoringError> {
    let mut cells = CellBuffer::new(layout.scored.len());
    for (_, row) in wanted {
        for column in &layout.scored {
            cells.push(rows.cells.cell(*row, *column));
        }
    }
    let arms = unit::arms(&job.job, &cells);
    let waiting = |error: ApiError| ScoringError::Waiting(error.line());
    // Each version with the rows that it scores.
    let mut parts: Vec<(Arc<ServedVersion>, Vec<usize>)> = Vec::new();
    if versions.is_empty() {
        for (at, arm) in arms.iter().enumerate() {
            let version = job.version_of_arm(*arm).map_err(waiting)?;
            match parts
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, version))
            {
                Some((_, part)) => part.push(at),
                None => parts.push((Arc::clone(version), vec![at])),
            }
        }
    } else {
        for version in versions {
            let version = job.version(Some(&version.to_string())).map_err(waiting)?;
            if !parts.iter().any(|(known, _)| Arc::ptr_eq(known, version)) {
                parts.push((Arc::clone(version), (0..wanted.len()).collect()));
            }
        }
    }
    let mut predictions = Vec::with_capacity(wanted.len() * versions.len().max(1));
    for (version, part) in parts {
        let calls = part.chunks(CALL_ROWS).map(|part| {
            let mut own = CellBuffer::new(job.job.columns.len());
            for at in part {
                // The columns of an experiment's unit follow the job's.
                cells
                    .row(*at)
                    .take(own.width())
                    .for_each(|cell| own.push(cell));
            }
            let version = &version;
            async move { version.score(own).await }
        });
        let scored = try_join_all(calls).await.map_err(waiting)?;
        for (part, scored) in part.chunks(CALL_ROWS).zip(&scored) {
            for (place, at) in part.iter().enumerate() {
                let (message, row) = wanted[*at];
                let prediction = Prediction {
                    job,
                    version: &version,
                    scored,
                    place,
                    arm: job.job.served.label(arms[*at]),
                };
                predictions.push(prediction.of_message(message, row, layout, rows));
            }
        }
    }
    Ok(predictions)
}

struct Prediction<'a> {
    job: &'a ServedJob,
    version: &'a ServedVersion,
    scored: &'a ScoredRows,
    place: usize,
    arm: Option<&'a str>,
}

impl Prediction<'_> {
    fn of_message(
        &self,
        message: usize,
        row: usize,
        layout: &RowLayout,
        rows: &DecodedRows,
    ) -> MessagePrediction {
        let ready = &self.version.version().ready;
        let scored = &self.scored.rows[self.place];
        let at = match &scored.outcome {
            Ok(at) => *at,
            Err(reason) => {
                let text = format!("version {} rejects the row: {reason}", ready.version);
                return MessagePrediction {
                    message,
                    outcome: Err(Problem::new("row.rejected", text)),
                };
            }
        };
        let key: Vec<_> = layout
            .key
            .iter()
            .map(|at| rows.cells.cell(row, *at))
            .collect();
        let encoded = PredictionMessage {
            job: &self.version.job,
            key: &key,
            model: &ready.model,
            version: ready.version,
            model_sha256: ready.admitted.sha256,
            outcome: Ok(self.scored.cells.row(at)),
            input_hash: scored.input_hash,
            source_hash: scored.source_hash,
            job_revision: self.version.revision,
            run_id: None,
            scored_at: Utc::now(),
            arm: self.arm,
        };
        MessagePrediction {
            message,
            outcome: Ok((self.topic(at), encoded.encode())),
        }
    }

    /// Returns the topic of the prediction with these cells.
    fn topic(&self, at: usize) -> String {
        let output = self.job.job.stream.output.as_ref();
        let outputs = &self.version.job.target.outputs;
        let topic = output.map(|output| {
            output
                .topic
                .of_prediction(outputs, self.scored.cells.row(at))
        });
        topic.unwrap_or_default().into_owned()
    }
}
