//! `run_requests`: users' requests for runs, by UTC day.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use scylla::value::{CqlTimestamp, CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::run::Scope,
    store::{
        Store,
        driver::{
            columns::{insert, stored},
            error::StoreError,
        },
    },
};

/// A row of `run_requests`, as the client wrote it; only its key is certain to be valid.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRequest {
    pub day: NaiveDate,
    pub id: Uuid,
    pub action: Option<String>,
    pub job: Option<String>,
    pub target_run: Option<Uuid>,
    pub scope: Option<String>,
    pub keys: Option<Vec<BTreeMap<String, String>>>,
    pub token_from: Option<i64>,
    pub token_to: Option<i64>,
    pub versions: Option<BTreeSet<i32>>,
    pub priority: Option<i32>,
    pub max_rows_per_s: Option<i32>,
    pub deadline: Option<DateTime<Utc>>,
    pub dedupe_key: Option<String>,
    pub requested_by: Option<String>,
    pub note: Option<String>,
    pub options: Option<BTreeMap<String, String>>,
}

impl RunRequest {
    /// Returns what the run would score.
    ///
    /// # Errors
    /// The columns contradict each other; the text says how.
    pub fn scope(&self) -> Result<Scope, String> {
        Scope::from_columns(
            self.scope.as_deref(),
            self.token_from,
            self.token_to,
            self.keys.clone(),
        )
    }
}

stored! {
    read write struct Row of RunRequest {
        day: NaiveDate,
        id: CqlTimeuuid,
        action: Option<String>,
        job: Option<String>,
        target_run: Option<CqlTimeuuid>,
        scope: Option<String>,
        keys: Option<Vec<BTreeMap<String, String>>>,
        token_from: Option<i64>,
        token_to: Option<i64>,
        versions: Option<BTreeSet<i32>>,
        priority: Option<i32>,
        max_rows_per_s: Option<i32>,
        deadline: Option<CqlTimestamp>,
        dedupe_key: Option<String>,
        requested_by: Option<String>,
        note: Option<String>,
        options: Option<BTreeMap<String, String>>,
    }
}

impl Store {
    /// Writes a request, as any CQL client can.
    pub async fn insert_run_request(&self, request: &RunRequest) -> Result<(), StoreError> {
        self.write(&insert("run_requests", Row::COLUMNS), Row::from(request))
            .await
    }

    pub async fn run_request(
        &self,
        day: NaiveDate,
        id: Uuid,
    ) -> Result<Option<RunRequest>, StoreError> {
        self.one_stored::<Row>(
            "FROM run_requests WHERE day = ? AND id = ?",
            (day, CqlTimeuuid::from(id)),
        )
        .await
    }

    /// Returns all requests of a day.
    pub async fn run_requests(&self, day: NaiveDate) -> Result<Vec<RunRequest>, StoreError> {
        self.stored::<Row>("FROM run_requests WHERE day = ?", (day,))
            .await
    }

    /// Returns the requests of a day for a job with this `dedupe_key`, oldest first.
    pub async fn run_requests_with_key(
        &self,
        day: NaiveDate,
        job: &str,
        key: &str,
    ) -> Result<Vec<Uuid>, StoreError> {
        type KeyRow = (CqlTimeuuid, Option<String>, Option<String>);
        let cql = "SELECT id, job, dedupe_key FROM run_requests WHERE day = ?";
        let rows: Vec<KeyRow> = self.rows(cql, (day,)).await?;
        let rows = rows.into_iter().filter(|(_, of_job, of_key)| {
            of_job.as_deref() == Some(job) && of_key.as_deref() == Some(key)
        });
        Ok(rows.map(|(id, ..)| id.into()).collect())
    }

    /// Returns the requests of a day that have no answer, oldest first.
    pub async fn open_run_requests(&self, day: NaiveDate) -> Result<Vec<RunRequest>, StoreError> {
        let mut requests = self.run_requests(day).await?;
        if !requests.is_empty() {
            let answered = self.answered(day).await?;
            requests.retain(|request| !answered.contains(&request.id));
        }
        Ok(requests)
    }
}
