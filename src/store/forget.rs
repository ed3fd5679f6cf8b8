//! Finding and erasing what stands about one entity, table by table.
//!
//! What only conditional writes make (`runs`, `splits`, `answers`, `job_status`) is erased by
//! conditional writes. What plain writes make carries a timestamp that beats what stands, and loses
//! against whoever writes afterwards: in prediction tables and `rejected_rows` the forgetting run's,
//! in people's tables the `WRITETIME` of the cell.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use super::{
    Store, codec,
    error::{StoreError, StoreErrorKind},
    quote::{name, table_name},
    raw::{Page, RawValues, push_cell},
    run_requests::to_cql,
    splits::Sampled,
    statement::{Mode, PATIENCE, into_rows, patiently},
};
use crate::domain::{entity::Entity, manifest::TableName};

const CLAIMS: &str = "SELECT keyspace_name, table_name, job FROM prediction_tables";
const REJECTED: &str = "SELECT entity FROM rejected_rows WHERE job = ? AND run_id = ? AND model_version = ? AND entity = ?";
const UNREJECT: &str = "DELETE FROM rejected_rows USING TIMESTAMP ? WHERE job = ? AND run_id = ? AND model_version = ? AND entity = ?";
const RUNS: &str = "SELECT run_id, state, versions, keys, splits_total, reason, warnings, note FROM runs WHERE job = ?";
const BLANK_RUN: &str = "UPDATE runs SET keys = ?, reason = ?, warnings = ?, note = ? WHERE job = ? AND run_id = ? IF state = ?";
const SPLIT: &str =
    "SELECT state, epoch, error, sample FROM splits WHERE job = ? AND run_id = ? AND split = ?";
const BLANK_SPLIT: &str = "UPDATE splits SET state = ?, error = ?, sample = ? WHERE job = ? AND run_id = ? AND split = ? IF state = ? AND epoch = ?";
const REQUESTS: &str = "SELECT id, job, keys, note, dedupe_key, WRITETIME(keys), WRITETIME(note), WRITETIME(dedupe_key), TTL(keys), TTL(note), TTL(dedupe_key) FROM run_requests WHERE day = ?";
const BLANK_REQUEST: &str = "UPDATE run_requests USING TIMESTAMP ? AND TTL ? SET keys = ?, note = ?, dedupe_key = ? WHERE day = ? AND id = ?";
const ANSWERS: &str = "SELECT id, reason, TTL(reason) FROM answers WHERE day = ?";
const BLANK_ANSWER: &str =
    "UPDATE answers USING TTL ? SET reason = ? WHERE day = ? AND id = ? IF reason = ?";
const HINTS: &str = "SELECT at, key, WRITETIME(key) FROM changed_keys WHERE job = ? AND day = ?";
const DELETE_HINT: &str =
    "DELETE FROM changed_keys USING TIMESTAMP ? WHERE job = ? AND day = ? AND at = ?";
const BLANK_STATUS: &str = "UPDATE job_status SET problems = ?, warnings = ? WHERE job = ? AND revision = ? IF problems = ? AND warnings = ?";

type Keys = Vec<BTreeMap<String, String>>;

/// What a run's row says that may name an entity.
#[derive(Debug, Clone)]
pub struct RunTexts {
    /// The run.
    pub run_id: Uuid,
    /// `runs.state`.
    pub state: String,
    /// Its versions.
    pub versions: Vec<i32>,
    /// The keys it was asked for.
    pub keys: Option<Keys>,
    /// Splits it was planned with.
    pub splits: i32,
    /// Why it ended.
    pub reason: Option<String>,
    /// What was worth a look.
    pub warnings: Option<Vec<String>>,
    /// Why it was asked for.
    pub note: Option<String>,
}

#[derive(DeserializeRow)]
struct RunRow {
    run_id: CqlTimeuuid,
    state: Option<String>,
    versions: Option<std::collections::BTreeSet<i32>>,
    keys: Option<Keys>,
    splits_total: Option<i32>,
    reason: Option<String>,
    warnings: Option<Vec<String>>,
    note: Option<String>,
}

/// What a split's row says that may name an entity.
#[derive(Debug, Clone)]
pub struct SplitTexts {
    /// `splits.state`.
    pub state: String,
    /// Its fencing number.
    pub epoch: i32,
    /// What its owner met.
    pub error: Option<String>,
    /// Rows to be read back.
    pub sample: Vec<Sampled>,
}

/// What a request says that may name an entity.
#[derive(Debug, Clone)]
pub struct RequestTexts {
    /// The request.
    pub id: Uuid,
    /// Its job.
    pub job: Option<String>,
    /// The keys it asks for.
    pub keys: Option<Keys>,
    /// Why.
    pub note: Option<String>,
    /// What makes it one of several.
    pub dedupe_key: Option<String>,
    /// The newest of these cells was written then, in microseconds.
    pub written_at: i64,
    /// Seconds that the longest-lived of them has left; 0: for ever.
    pub ttl: i32,
}

impl Store {
    /// The prediction tables that belong to a job. Walks a small table.
    pub async fn tables_of(&self, job: &str) -> Result<Vec<TableName>, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = self.rows(CLAIMS, ()).await?;
        let mine = rows.into_iter().filter(|row| row.2.as_deref() == Some(job));
        Ok(mine
            .map(|(keyspace, table, _)| TableName { keyspace, table })
            .collect())
    }

    /// The versions of which a prediction or a rejection of the entity stands.
    pub async fn versions_of(
        &self,
        table: &TableName,
        entity: &Entity,
    ) -> Result<Vec<i32>, StoreError> {
        let page = self.entity_rows(table, "model_version", entity).await?;
        let version = |row| Some(i32::from_be_bytes(page.cell(row, 0)?.try_into().ok()?));
        Ok((0..page.rows()).filter_map(version).collect())
    }

    /// Whether a row of the entity stands in a table that people fill.
    pub async fn has_row(&self, table: &TableName, entity: &Entity) -> Result<bool, StoreError> {
        let column = name(&entity.columns()[0].name);
        let page = self.entity_rows(table, &column, entity).await?;
        Ok(page.rows() > 0)
    }

    async fn entity_rows(
        &self,
        table: &TableName,
        columns: &str,
        entity: &Entity,
    ) -> Result<Page, StoreError> {
        let cql = format!(
            "SELECT {columns} FROM {} WHERE {}",
            table_name(&table.keyspace, &table.table),
            conditions(entity)
        );
        let mut values = Vec::new();
        let cells = entity.cells().iter();
        cells.for_each(|cell| push_cell(&mut values, Some(cell)));
        patiently(PATIENCE, || async {
            let prepared = self.prepared(Mode::Read, &cql).await?;
            let result = self
                .session()
                .execute_unpaged(&prepared, RawValues(&values))
                .await
                .map_err(|error| StoreError::execution(&error, &cql))?;
            Page::new(&into_rows(result, &cql)?, &cql)
        })
        .await
    }

    /// Deletes all versions' predictions of the entity, those too that a late writer still sends
    /// with an older timestamp.
    pub async fn delete_entity(
        &self,
        table: &TableName,
        entity: &Entity,
        timestamp: i64,
    ) -> Result<(), StoreError> {
        let cql = format!(
            "DELETE FROM {} USING TIMESTAMP ? WHERE {}",
            table_name(&table.keyspace, &table.table),
            conditions(entity)
        );
        let mut values = Vec::new();
        push_cell(&mut values, Some(&timestamp.to_be_bytes()));
        let cells = entity.cells().iter();
        cells.for_each(|cell| push_cell(&mut values, Some(cell)));
        self.write(&cql, RawValues(&values)).await
    }

    /// Whether a run's list of rejected rows names the entity for a version.
    pub async fn is_listed_rejected(
        &self,
        job: &str,
        run_id: Uuid,
        version: i32,
        entity: &str,
    ) -> Result<bool, StoreError> {
        let key = (job, CqlTimeuuid::from(run_id), version, entity);
        Ok(self.row::<(String,)>(REJECTED, key).await?.is_some())
    }

    /// Takes the entity from that list.
    pub async fn unlist_rejected(
        &self,
        job: &str,
        run_id: Uuid,
        version: i32,
        entity: &str,
        timestamp: i64,
    ) -> Result<(), StoreError> {
        let run_id = CqlTimeuuid::from(run_id);
        self.write(UNREJECT, (timestamp, job, run_id, version, entity))
            .await
    }

    /// All runs of a job, the newest first.
    pub async fn run_texts(&self, job: &str) -> Result<Vec<RunTexts>, StoreError> {
        let rows: Vec<RunRow> = self.rows(RUNS, (job,)).await?;
        let rows = rows.into_iter().map(|row| RunTexts {
            run_id: row.run_id.into(),
            state: row.state.unwrap_or_default(),
            versions: row.versions.unwrap_or_default().into_iter().collect(),
            keys: row.keys,
            splits: row.splits_total.unwrap_or_default(),
            reason: row.reason,
            warnings: row.warnings,
            note: row.note,
        });
        Ok(rows.collect())
    }

    /// Writes the texts of a run that has ended as `run.state` says.
    pub async fn blank_run(&self, job: &str, run: &RunTexts) -> Result<(), StoreError> {
        let values = (
            &run.keys,
            &run.reason,
            &run.warnings,
            &run.note,
            job,
            CqlTimeuuid::from(run.run_id),
            &run.state,
        );
        self.settle(BLANK_RUN, values).await
    }

    /// One split of a run; `None`: never claimed.
    pub async fn split_texts(
        &self,
        job: &str,
        run_id: Uuid,
        split: i32,
    ) -> Result<Option<SplitTexts>, StoreError> {
        type Row = (String, i32, Option<String>, Option<Vec<u8>>);
        let key = (job, CqlTimeuuid::from(run_id), split);
        let row: Option<Row> = self.serial_row(SPLIT, key).await?;
        row.map(|(state, epoch, error, sample)| {
            let sample = sample.map_or(Ok(Vec::new()), |bytes| codec::decode(&bytes));
            Ok(SplitTexts {
                state,
                epoch,
                error,
                sample: sample.map_err(|error| StoreError::corrupt(error, SPLIT))?,
            })
        })
        .transpose()
    }

    /// Writes a split's texts. One that is claimed still, of a run that has ended, is released: its
    /// owner, wherever it is, finishes it no more.
    pub async fn blank_split(
        &self,
        job: &str,
        run_id: Uuid,
        split: i32,
        texts: &SplitTexts,
    ) -> Result<(), StoreError> {
        let state = match texts.state.as_str() {
            "claimed" => "released",
            other => other,
        };
        let sample = (!texts.sample.is_empty()).then(|| codec::encode(&texts.sample));
        let run_id = CqlTimeuuid::from(run_id);
        let values = (
            state,
            &texts.error,
            sample,
            job,
            run_id,
            split,
            &texts.state,
            texts.epoch,
        );
        self.settle(BLANK_SPLIT, values).await
    }

    /// All requests of a day.
    pub async fn request_texts(&self, day: NaiveDate) -> Result<Vec<RequestTexts>, StoreError> {
        type Row = (
            CqlTimeuuid,
            Option<String>,
            Option<Keys>,
            Option<String>,
            Option<String>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i32>,
            Option<i32>,
            Option<i32>,
        );
        let rows: Vec<Row> = self.rows(REQUESTS, (to_cql(day),)).await?;
        let rows = rows.into_iter().map(
            |(id, job, keys, note, dedupe_key, w1, w2, w3, t1, t2, t3)| RequestTexts {
                id: id.into(),
                job,
                keys,
                note,
                dedupe_key,
                written_at: w1.max(w2).max(w3).unwrap_or_default(),
                ttl: t1.max(t2).max(t3).unwrap_or_default(),
            },
        );
        Ok(rows.collect())
    }

    /// Writes what a request is to say from now on. Whoever writes it after this, wins.
    pub async fn blank_request(
        &self,
        day: NaiveDate,
        request: &RequestTexts,
    ) -> Result<(), StoreError> {
        let values = (
            request.written_at + 1,
            request.ttl,
            &request.keys,
            &request.note,
            &request.dedupe_key,
            to_cql(day),
            CqlTimeuuid::from(request.id),
        );
        self.write(BLANK_REQUEST, values).await
    }

    /// The reasons answered on a day: (request, reason, seconds it has left).
    pub async fn answer_texts(
        &self,
        day: NaiveDate,
    ) -> Result<Vec<(Uuid, String, i32)>, StoreError> {
        type Row = (CqlTimeuuid, Option<String>, Option<i32>);
        let rows: Vec<Row> = self.rows(ANSWERS, (to_cql(day),)).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, reason, ttl)| Some((id.into(), reason?, ttl.unwrap_or_default())))
            .collect())
    }

    /// Changes a reason that still is `was`.
    pub async fn blank_answer(
        &self,
        day: NaiveDate,
        (id, was, ttl): &(Uuid, String, i32),
        reason: &str,
    ) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(*id);
        self.settle(BLANK_ANSWER, (ttl, reason, to_cql(day), id, was))
            .await
    }

    /// The hints of a day: (when, key, when written in microseconds).
    pub async fn hints(
        &self,
        job: &str,
        day: NaiveDate,
    ) -> Result<Vec<(Uuid, BTreeMap<String, String>, i64)>, StoreError> {
        type Row = (CqlTimeuuid, Option<BTreeMap<String, String>>, Option<i64>);
        let rows: Vec<Row> = self.rows(HINTS, (job, to_cql(day))).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(at, key, written)| Some((at.into(), key?, written?)))
            .collect())
    }

    /// Deletes a hint as it was written.
    pub async fn delete_hint(
        &self,
        job: &str,
        day: NaiveDate,
        at: Uuid,
        written_at: i64,
    ) -> Result<(), StoreError> {
        let values = (written_at, job, to_cql(day), CqlTimeuuid::from(at));
        self.write(DELETE_HINT, values).await
    }

    /// Changes what a revision was answered, if that still is `was` (problems, warnings).
    pub async fn blank_status(
        &self,
        job: &str,
        revision: i32,
        was: (&[String], &[String]),
        now: (&[String], &[String]),
    ) -> Result<(), StoreError> {
        let values = (now.0, now.1, job, revision, was.0, was.1);
        self.settle(BLANK_STATUS, values).await
    }

    /// Not applied or unknown: whoever erases looks again at the end.
    async fn settle(
        &self,
        cql: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<(), StoreError> {
        match self.apply(cql, values).await {
            Err(error) if error.kind != StoreErrorKind::Unknown => Err(error),
            _ => Ok(()),
        }
    }
}

fn conditions(entity: &Entity) -> String {
    let columns = entity.columns().iter();
    let conditions: Vec<_> = columns
        .map(|column| format!("{} = ?", name(&column.name)))
        .collect();
    conditions.join(" AND ")
}
