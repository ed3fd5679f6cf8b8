//! `alias_requests`: people's wishes for aliases and versions, by UTC day.

use chrono::NaiveDate;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use super::{Store, error::StoreError, run_requests::to_cql};

const INSERT: &str = "INSERT INTO alias_requests (day, id, action, model, alias, version, expected_version, requested_by, why, coverage, gate, evaluation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const OF_DAY: &str = "SELECT id, action, model, alias, version, expected_version, requested_by, why, coverage, gate, evaluation FROM alias_requests WHERE day = ?";
const ANSWERED: &str = "SELECT id FROM answers WHERE day = ?";

/// A row as somebody wrote it: nothing about it is certain but its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AliasRequest {
    /// The UTC day under which it stands.
    pub day: NaiveDate,
    /// A timeuuid: its time is the time of asking.
    pub id: Uuid,
    /// promote, rollback or retire.
    pub action: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The alias to move.
    pub alias: Option<String>,
    /// The version to promote or retire.
    pub version: Option<i32>,
    /// Refuse unless the alias points here.
    pub expected_version: Option<i32>,
    /// Who asks.
    pub requested_by: Option<String>,
    /// Why.
    pub why: Option<String>,
    /// full (or null), now, when_covered.
    pub coverage: Option<String>,
    /// An approval: the gate that must pass.
    pub gate: Option<String>,
    /// The evaluation that it must pass on.
    pub evaluation: Option<Uuid>,
}

#[derive(DeserializeRow)]
struct Row {
    id: CqlTimeuuid,
    action: Option<String>,
    model: Option<String>,
    alias: Option<String>,
    version: Option<i32>,
    expected_version: Option<i32>,
    requested_by: Option<String>,
    why: Option<String>,
    coverage: Option<String>,
    gate: Option<String>,
    evaluation: Option<CqlTimeuuid>,
}

impl Store {
    /// Asks, as anybody may with any CQL client.
    pub async fn insert_alias_request(&self, request: &AliasRequest) -> Result<(), StoreError> {
        let values = (
            to_cql(request.day),
            CqlTimeuuid::from(request.id),
            &request.action,
            &request.model,
            &request.alias,
            request.version,
            request.expected_version,
            &request.requested_by,
            &request.why,
            &request.coverage,
            &request.gate,
            request.evaluation.map(CqlTimeuuid::from),
        );
        self.write(INSERT, values).await
    }

    /// The requests of a day that have no answer, the oldest first.
    pub async fn open_alias_requests(
        &self,
        day: NaiveDate,
    ) -> Result<Vec<AliasRequest>, StoreError> {
        let rows: Vec<Row> = self.rows(OF_DAY, (to_cql(day),)).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let answered: Vec<(CqlTimeuuid,)> = self
            .rows::<(CqlTimeuuid,)>(ANSWERED, (to_cql(day),))
            .await?;
        let answered: std::collections::HashSet<Uuid> =
            answered.into_iter().map(|(id,)| id.into()).collect();
        Ok(rows
            .into_iter()
            .filter(|row| !answered.contains(&row.id.into()))
            .map(|row: Row| AliasRequest {
                day,
                id: row.id.into(),
                action: row.action,
                model: row.model,
                alias: row.alias,
                version: row.version,
                expected_version: row.expected_version,
                requested_by: row.requested_by,
                why: row.why,
                coverage: row.coverage,
                gate: row.gate,
                evaluation: row.evaluation.map(Uuid::from),
            })
            .collect())
    }
}
