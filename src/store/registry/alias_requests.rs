//! `alias_requests`: users' requests for aliases and versions, by UTC day.

use chrono::NaiveDate;
use scylla::value::CqlTimeuuid;
use uuid::Uuid;

use crate::store::{
    Store,
    driver::{
        columns::{insert, stored},
        error::StoreError,
    },
};

/// A row as the client wrote it; only its key is certain to be valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AliasRequest {
    /// The UTC day under which it is stored.
    pub day: NaiveDate,
    /// A timeuuid; its time is the time of the request.
    pub id: Uuid,
    /// promote, rollback or retire.
    pub action: Option<String>,
    pub model: Option<String>,
    pub alias: Option<String>,
    /// The version to promote or retire.
    pub version: Option<i32>,
    /// The request is refused unless the alias points to this version.
    pub expected_version: Option<i32>,
    pub requested_by: Option<String>,
    pub why: Option<String>,
    /// full (or null), now, when_covered.
    pub coverage: Option<String>,
    /// For an approval: the gate that must pass.
    pub gate: Option<String>,
    /// For an approval: the evaluation on which the gate must pass.
    pub evaluation: Option<Uuid>,
}

stored! {
    read write struct Row of AliasRequest {
        day: NaiveDate,
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
}

impl Store {
    /// Writes a request, as any CQL client can.
    pub async fn insert_alias_request(&self, request: &AliasRequest) -> Result<(), StoreError> {
        self.write(&insert("alias_requests", Row::COLUMNS), Row::from(request))
            .await
    }

    pub async fn alias_request(
        &self,
        day: NaiveDate,
        id: Uuid,
    ) -> Result<Option<AliasRequest>, StoreError> {
        self.one_stored::<Row>(
            "FROM alias_requests WHERE day = ? AND id = ?",
            (day, CqlTimeuuid::from(id)),
        )
        .await
    }

    /// Returns the requests of a day that have no answer, oldest first.
    pub async fn open_alias_requests(
        &self,
        day: NaiveDate,
    ) -> Result<Vec<AliasRequest>, StoreError> {
        let mut requests = self
            .stored::<Row>("FROM alias_requests WHERE day = ?", (day,))
            .await?;
        if !requests.is_empty() {
            let answered = self.answered(day).await?;
            requests.retain(|request| !answered.contains(&request.id));
        }
        Ok(requests)
    }

    /// Returns the newest requests for aliases of a day, `limit` at most, newest first.
    pub async fn newest_alias_requests(
        &self,
        day: NaiveDate,
        limit: i32,
    ) -> Result<Vec<AliasRequest>, StoreError> {
        self.of_day::<Row>("alias_requests", day, limit).await
    }

    /// Returns the request for an alias with this id, of one of these days.
    pub async fn alias_request_of(
        &self,
        days: &[NaiveDate],
        id: Uuid,
    ) -> Result<Option<AliasRequest>, StoreError> {
        self.of_id::<Row>("alias_requests", days, id).await
    }
}
