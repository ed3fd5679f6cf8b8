//! `gate_moves`: moves that gates have requested, each once, and their outcome.

use chrono::Utc;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::answer::RequestAnswer,
    process,
    store::{Store, driver::error::StoreError},
};

const COLUMNS: &str =
    "last_seq, evaluation, request_id, action, alias, version, from_version, answer, reason";
const INSERT: &str = "INSERT INTO gate_moves (model, gate, last_seq, evaluation, request_id, action, alias, version, from_version, asked_by, asked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const ANSWER: &str = "UPDATE gate_moves SET answer = ?, reason = ?, answered_at = ? WHERE model = ? AND gate = ? AND last_seq = ? AND evaluation = ? IF answer = null AND request_id = ?";

/// A row of `gate_moves`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateMove {
    pub model: String,
    pub gate: String,
    /// Number of the alias's change that the move would follow.
    pub last_seq: i32,
    /// The evaluation that it is based on; for a demotion, the newer one.
    pub evaluation: Uuid,
    /// Id of the request to move; a timeuuid of when it was first made.
    pub request_id: Uuid,
    /// promote or rollback.
    pub action: String,
    /// The alias to move.
    pub alias: String,
    /// The version to move to.
    pub version: i32,
    /// The version to move from.
    pub from_version: i32,
    /// done or refused, and why; `None`: it is under way.
    pub answer: Option<(String, String)>,
}

#[derive(DeserializeRow)]
struct GateMoveColumns {
    last_seq: i32,
    evaluation: CqlTimeuuid,
    request_id: Option<CqlTimeuuid>,
    action: Option<String>,
    alias: Option<String>,
    version: Option<i32>,
    from_version: Option<i32>,
    answer: Option<String>,
    reason: Option<String>,
}

impl GateMoveColumns {
    fn into_move(self, model: &str, gate: &str) -> Option<GateMove> {
        Some(GateMove {
            model: model.to_owned(),
            gate: gate.to_owned(),
            last_seq: self.last_seq,
            evaluation: self.evaluation.into(),
            request_id: self.request_id?.into(),
            action: self.action?,
            alias: self.alias?,
            version: self.version?,
            from_version: self.from_version?,
            answer: self
                .answer
                .map(|answer| (answer, self.reason.unwrap_or_default())),
        })
    }
}

impl Store {
    /// Returns a gate's newest move.
    pub async fn newest_gate_move(
        &self,
        model: &str,
        gate: &str,
    ) -> Result<Option<GateMove>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM gate_moves WHERE model = ? AND gate = ? LIMIT 1");
        let row: Option<GateMoveColumns> = self.serial_row(&cql, (model, gate)).await?;
        Ok(row.and_then(|row| row.into_move(model, gate)))
    }

    /// Returns the stored move for an evaluation and the alias's last change.
    pub async fn gate_move(
        &self,
        model: &str,
        gate: &str,
        last_seq: i32,
        evaluation: Uuid,
    ) -> Result<Option<GateMove>, StoreError> {
        let cql = format!(
            "SELECT {COLUMNS} FROM gate_moves WHERE model = ? AND gate = ? AND last_seq = ? AND evaluation = ?"
        );
        let key = (model, gate, last_seq, CqlTimeuuid::from(evaluation));
        let row: Option<GateMoveColumns> = self.serial_row(&cql, key).await?;
        Ok(row.and_then(|row| row.into_move(model, gate)))
    }

    /// Requests a move unless it already exists; returns the stored one.
    ///
    /// # Errors
    /// Errors of Cassandra; call it again.
    pub async fn ask_gate_move(&self, wanted: &GateMove) -> Result<GateMove, StoreError> {
        let values = (
            &wanted.model,
            &wanted.gate,
            wanted.last_seq,
            CqlTimeuuid::from(wanted.evaluation),
            CqlTimeuuid::from(wanted.request_id),
            &wanted.action,
            &wanted.alias,
            wanted.version,
            wanted.from_version,
            process::readable(process::identity()),
            Utc::now(),
        );
        self.apply_ignoring_unknown(INSERT, values).await?;
        let (model, gate) = (&wanted.model, &wanted.gate);
        let standing = self.gate_move(model, gate, wanted.last_seq, wanted.evaluation);
        let standing = standing.await?;
        standing.ok_or_else(|| StoreError::unknown("the move was not written", INSERT))
    }

    /// Records the outcome of a move, unless it is already recorded.
    ///
    /// # Errors
    /// As [`Store::apply`]; the move is then found open again.
    pub async fn answer_gate_move(
        &self,
        asked: &GateMove,
        answer: &RequestAnswer,
    ) -> Result<(), StoreError> {
        let values = (
            answer.kind.as_str(),
            &answer.reason,
            Utc::now(),
            &asked.model,
            &asked.gate,
            asked.last_seq,
            CqlTimeuuid::from(asked.evaluation),
            CqlTimeuuid::from(asked.request_id),
        );
        self.apply(ANSWER, values).await.map(drop)
    }
}
