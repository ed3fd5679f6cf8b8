//! `gate_moves`: what gates that act have asked for, each once, and what came of it.

use chrono::Utc;
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::{
    Store,
    answers::Answer,
    error::{StoreError, StoreErrorKind},
};
use crate::process;

const COLUMNS: &str =
    "last_seq, evaluation, request_id, action, alias, version, from_version, answer, reason";
const INSERT: &str = "INSERT INTO gate_moves (model, gate, last_seq, evaluation, request_id, action, alias, version, from_version, asked_by, asked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
const ANSWER: &str = "UPDATE gate_moves SET answer = ?, reason = ?, answered_at = ? WHERE model = ? AND gate = ? AND last_seq = ? AND evaluation = ? IF answer = null AND request_id = ?";

/// A row of `gate_moves`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateMove {
    /// The model.
    pub model: String,
    /// The gate.
    pub gate: String,
    /// Number of the alias's change that it would follow.
    pub last_seq: i32,
    /// The evaluation that it is about; of a demotion, the newer one.
    pub evaluation: Uuid,
    /// Of the request to move; a timeuuid of when it was first asked for.
    pub request_id: Uuid,
    /// promote or rollback.
    pub action: String,
    /// What moves.
    pub alias: String,
    /// Where to.
    pub version: i32,
    /// Where from.
    pub from_version: i32,
    /// done or refused, and why; `None`: it is under way.
    pub answer: Option<(String, String)>,
}

#[derive(DeserializeRow)]
struct Row {
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

impl Row {
    fn of(self, model: &str, gate: &str) -> Option<GateMove> {
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
    /// A gate's newest move.
    ///
    /// # Errors
    /// Cassandra's.
    pub async fn newest_gate_move(
        &self,
        model: &str,
        gate: &str,
    ) -> Result<Option<GateMove>, StoreError> {
        let cql = format!("SELECT {COLUMNS} FROM gate_moves WHERE model = ? AND gate = ? LIMIT 1");
        let row: Option<Row> = self.serial_row(&cql, (model, gate)).await?;
        Ok(row.and_then(|row| row.of(model, gate)))
    }

    /// The move that stands for an evaluation and the alias's last change.
    ///
    /// # Errors
    /// Cassandra's.
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
        let row: Option<Row> = self.serial_row(&cql, key).await?;
        Ok(row.and_then(|row| row.of(model, gate)))
    }

    /// Asks for a move unless it was asked for; gives what stands.
    ///
    /// # Errors
    /// Cassandra's; ask again.
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
            process::spoken(process::identity()),
            CqlTimestamp(Utc::now().timestamp_millis()),
        );
        match self.apply(INSERT, values).await {
            Err(error) if error.kind != StoreErrorKind::Unknown => return Err(error),
            _ => {}
        }
        let (model, gate) = (&wanted.model, &wanted.gate);
        self.gate_move(model, gate, wanted.last_seq, wanted.evaluation)
            .await?
            .ok_or_else(|| StoreError {
                kind: StoreErrorKind::Unknown,
                detail: "the move was not written".to_owned(),
                cql: INSERT.to_owned(),
            })
    }

    /// Says what came of a move, unless it was said.
    ///
    /// # Errors
    /// As [`Store::apply`]; the move is found open again.
    pub async fn answer_gate_move(
        &self,
        asked: &GateMove,
        answer: &Answer,
    ) -> Result<(), StoreError> {
        let values = (
            &answer.answer,
            &answer.reason,
            CqlTimestamp(Utc::now().timestamp_millis()),
            &asked.model,
            &asked.gate,
            asked.last_seq,
            CqlTimeuuid::from(asked.evaluation),
            CqlTimeuuid::from(asked.request_id),
        );
        self.apply(ANSWER, values).await.map(drop)
    }
}
