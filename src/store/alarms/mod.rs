//! `alarms`: conditions of jobs, each opened and closed once by conditional batches.

pub mod acks;
pub mod deliveries;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::alarm::{Alarm, Condition},
    process,
    store::{
        Store,
        driver::{columns::stored, conditional::known, error::StoreError},
    },
};

const OPEN: &str = "SELECT DISTINCT job, open FROM alarms";
const OPEN_OF: &str = "SELECT DISTINCT job, open FROM alarms WHERE job = ?";
const JOBS: &str = "SELECT DISTINCT job, deleted FROM jobs";
const NAME: &str = "UPDATE alarms SET open[?] = ? WHERE job = ? IF open[?] = null";
const INSERT: &str = "INSERT INTO alarms (job, id, kind, subject, what, evidence, since, seen, last_run, opened_by) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)";
const UNNAME: &str = "UPDATE alarms SET open[?] = null WHERE job = ? IF open[?] = ?";
const CLOSE: &str = "UPDATE alarms SET closed_at = ? WHERE job = ? AND id = ?";
const SEEN: &str = "UPDATE alarms SET what = ?, evidence = ?, seen = ?, last_run = ? WHERE job = ? AND id = ? IF seen = ? AND closed_at = null";
/// Restricts a SELECT to alarms: a partition may have nothing but its static column.
const ROWS: &str = "id > minTimeuuid('1970-01-01 00:00:00+0000')";

stored! {
    read struct AlarmColumns of Alarm {
        job: String,
        id: CqlTimeuuid,
        kind: Option<String>,
        subject: Option<String>,
        what: Option<String>,
        evidence: Option<BTreeMap<String, String>>,
        since: Option<CqlTimestamp>,
        seen: Option<i32>,
        last_run: Option<CqlTimeuuid>,
        closed_at: Option<CqlTimestamp>,
    }
}

#[derive(DeserializeRow)]
struct OpenAlarms {
    job: String,
    open: Option<BTreeMap<String, CqlTimeuuid>>,
}

impl Store {
    /// Returns each job's open alarms: key -> id. Reads all partitions.
    pub async fn open_alarms(
        &self,
    ) -> Result<BTreeMap<String, BTreeMap<String, Uuid>>, StoreError> {
        let rows: Vec<OpenAlarms> = self.rows(OPEN, ()).await?;
        let ids = |open: BTreeMap<String, CqlTimeuuid>| {
            let ids = open.into_iter();
            ids.map(|(key, id)| (key, id.into())).collect()
        };
        Ok(rows
            .into_iter()
            .map(|row| (row.job, ids(row.open.unwrap_or_default())))
            .collect())
    }

    /// Returns the open alarms of one job: key -> id.
    pub async fn open_alarms_of(&self, job: &str) -> Result<BTreeMap<String, Uuid>, StoreError> {
        let row: Option<OpenAlarms> = self.row(OPEN_OF, (job,)).await?;
        let open = row.and_then(|row| row.open).unwrap_or_default();
        Ok(open.into_iter().map(|(key, id)| (key, id.into())).collect())
    }

    /// Returns the jobs that are not deleted. Reads all partitions.
    pub async fn live_jobs(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows: Vec<(String, Option<bool>)> = self.rows(JOBS, ()).await?;
        let live = rows
            .into_iter()
            .filter(|(_, deleted)| *deleted != Some(true));
        Ok(live.map(|(job, _)| job).collect())
    }

    /// Returns an alarm, after every decided conditional write.
    pub async fn alarm(&self, job: &str, id: Uuid) -> Result<Option<Alarm>, StoreError> {
        self.one_stored_serially::<AlarmColumns>(
            "FROM alarms WHERE job = ? AND id = ?",
            (job, CqlTimeuuid::from(id)),
        )
        .await
    }

    /// Returns a job's newest alarms, open and closed.
    pub async fn alarms(&self, job: &str, limit: i32) -> Result<Vec<Alarm>, StoreError> {
        self.stored::<AlarmColumns>(
            &format!("FROM alarms WHERE job = ? AND {ROWS} LIMIT ?"),
            (job, limit),
        )
        .await
    }

    /// Opens the alarm `id` for a condition, unless it has an open one.
    ///
    /// # Errors
    /// Errors of Cassandra. An unknown outcome counts as not opened: the next round finds the alarm
    /// open, or opens it.
    pub async fn open_alarm(
        &self,
        condition: &Condition,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (key, id) = (condition.key(), CqlTimeuuid::from(id));
        let named = (&key, id, &condition.job, &key);
        let inserted = (
            &condition.job,
            id,
            condition.kind.as_str(),
            &condition.subject,
            &condition.what,
            &condition.evidence,
            now,
            condition.run.map(CqlTimeuuid::from),
            process::readable(process::identity()),
        );
        let outcome = self.apply_batch(&[NAME, INSERT], (named, inserted)).await;
        Ok(known(outcome)?.unwrap_or(false))
    }

    /// Closes an alarm, unless another process did.
    ///
    /// # Errors
    /// Errors of Cassandra. An unknown outcome counts as not closed: the next round looks again.
    pub async fn close_alarm(
        &self,
        job: &str,
        key: &str,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let id = CqlTimeuuid::from(id);
        let unnamed = (key, job, key, id);
        let outcome = self.apply_batch(&[UNNAME, CLOSE], (unnamed, (now, job, id)));
        Ok(known(outcome.await)?.unwrap_or(false))
    }

    /// Records that the condition of an open alarm held in another run. A concurrent change of the
    /// alarm wins.
    pub async fn note_alarm_run(&self, alarm: &Alarm, now: &Condition) -> Result<(), StoreError> {
        let values = (
            &now.what,
            &now.evidence,
            alarm.seen + 1,
            now.run.map(CqlTimeuuid::from),
            &alarm.job,
            CqlTimeuuid::from(alarm.id),
            alarm.seen,
        );
        self.apply_ignoring_unknown(SEEN, values).await
    }
}
