//! The message that a prediction becomes. The same for a scored message and for a stored prediction.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    codec::{json_row::JsonRow, utc},
    domain::job::CompiledJob,
};

/// Header with the number of the model's version.
pub const VERSION: &str = "helenus-version";
/// Header with the SHA-256 of the model's stored bytes, in hex.
pub const MODEL_SHA256: &str = "helenus-model-sha256";
/// Header with the hash of the values that the model was given, in hex.
pub const INPUT_HASH: &str = "helenus-input-hash";
/// Header with the row's arm of the running experiment.
pub const ARM: &str = "helenus-arm";
/// Header with the message that was scored or rejected: `TOPIC-PARTITION-OFFSET`.
pub const SOURCE: &str = "helenus-source";
/// Header with the run that stored the prediction.
pub const RUN: &str = "helenus-run";
/// Header of a dead letter with the error's code.
pub const ERROR_CODE: &str = "helenus-error-code";
/// Header of a dead letter with the error's text.
pub const ERROR: &str = "helenus-error";

/// A prediction that is sent. Key and outputs are cells; hashes and times are those of the lineage.
#[derive(Debug)]
pub struct PredictionMessage<'a, O> {
    pub job: &'a CompiledJob,
    /// Cells of the job's key.
    pub key: &'a [Option<&'a [u8]>],
    pub model: &'a str,
    pub version: i32,
    pub model_sha256: [u8; 32],
    /// Cells of the prediction table's output columns, in its order, or why the row is rejected.
    pub outcome: Result<O, &'a str>,
    pub input_hash: u128,
    pub source_hash: u128,
    pub job_revision: i32,
    /// The run that stored it; `None` for a message that was scored.
    pub run_id: Option<Uuid>,
    pub scored_at: DateTime<Utc>,
    /// As the lineage says it: `experiment/arm`.
    pub arm: Option<&'a str>,
}

/// Key, value and headers of a message to Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedMessage {
    /// The row's key as a JSON object: `{"id":7}`.
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
}

#[derive(Serialize)]
struct Body<'a, K, O> {
    job: &'a str,
    key: K,
    model: &'a str,
    version: i32,
    outputs: Option<O>,
    rejected: Option<&'a str>,
    lineage: Lineage<'a>,
}

/// As HTTP answers it.
#[derive(Serialize)]
struct Lineage<'a> {
    model_sha256: String,
    input_hash: String,
    source_hash: String,
    job_revision: i32,
    run_id: Option<String>,
    scored_at: String,
    arm: Option<&'a str>,
}

impl<'a, O> PredictionMessage<'a, O>
where
    O: Iterator<Item = Option<&'a [u8]>> + Clone,
{
    /// Returns the message. The same prediction always gives the same bytes.
    pub fn encode(&self) -> EncodedMessage {
        let cells = self.key.iter().copied();
        let key = self.job.key.iter().zip(cells);
        let key = JsonRow(key.map(|(column, cell)| (column.name.as_str(), &column.cql_type, cell)));
        let outputs = |cells: &O| {
            let outputs = self.job.target.outputs.iter().zip(cells.clone());
            JsonRow(outputs.map(|(column, cell)| (column.name.as_str(), &column.cql_type, cell)))
        };
        let model_sha256 = hex::encode(self.model_sha256);
        let input_hash = format!("{:032x}", self.input_hash);
        let mut headers = vec![
            (VERSION, self.version.to_string()),
            (MODEL_SHA256, model_sha256.clone()),
            (INPUT_HASH, input_hash.clone()),
        ];
        headers.extend(self.arm.map(|arm| (ARM, arm.to_owned())));
        headers.extend(self.run_id.map(|run| (RUN, run.to_string())));
        let body = Body {
            job: &self.job.job,
            key,
            model: self.model,
            version: self.version,
            outputs: self.outcome.as_ref().ok().map(outputs),
            rejected: self.outcome.as_ref().err().copied(),
            lineage: Lineage {
                model_sha256,
                input_hash,
                source_hash: format!("{:032x}", self.source_hash),
                job_revision: self.job_revision,
                run_id: self.run_id.map(|run| run.to_string()),
                scored_at: utc::to_millisecond(self.scored_at),
                arm: self.arm,
            },
        };
        EncodedMessage {
            key: encode(&body.key),
            value: encode(&body),
            headers,
        }
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts, numbers and maps with text keys have a JSON form")
}

/// Returns the value of [`SOURCE`].
pub fn source(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}-{partition}-{offset}")
}
