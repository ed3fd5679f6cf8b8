//! Finds and erases what is stored about one entity, table by table.
//!
//! Rows that only conditional writes create (`runs`, `splits`, `answers`, `job_status`) are erased
//! by conditional writes. Rows that plain writes create are erased with a timestamp that is newer
//! than the stored cells, and older than later writes: in prediction tables and `rejected_rows` the
//! forgetting run's, in user-written tables the `WRITETIME` of the cell.
//!
//! A conditional write that was refused, or whose outcome is unknown, is not an error here: the
//! caller reads everything again at the end.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use scylla::{DeserializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use crate::{
    domain::{
        job::{entity::Entity, manifest::TableName},
        run::RunState,
    },
    store::{
        Store,
        driver::{
            codec,
            error::StoreError,
            quote::{name, table_name},
            raw::{Page, RawValues, push_cell},
            statement::{Mode, PATIENCE, into_rows, patiently},
        },
        runs::splits::Sampled,
    },
};

const CLAIMS: &str = "SELECT keyspace_name, table_name, job FROM prediction_tables";
const RUNS: &str = "SELECT run_id, state, versions, keys, splits_total, reason, warnings, note FROM runs WHERE job = ? AND run_id > minTimeuuid('1970-01-01 00:00:00+0000')";
const FORGOTTEN_FOR: &str = "SELECT run_id, state, trigger, request_id FROM runs WHERE job = ? AND run_id > minTimeuuid('1970-01-01 00:00:00+0000')";
const BLANK_RUN: &str = "UPDATE runs SET keys = ?, reason = ?, warnings = ?, note = ? WHERE job = ? AND run_id = ? IF state = ?";
const SPLIT: &str =
    "SELECT state, epoch, error, sample FROM splits WHERE job = ? AND run_id = ? AND split = ?";
const BLANK_SPLIT: &str = "UPDATE splits SET state = ?, error = ?, sample = ? WHERE job = ? AND run_id = ? AND split = ? IF state = ? AND epoch = ?";
const HINTS: &str = "SELECT at, key, WRITETIME(key) FROM changed_keys WHERE job = ? AND day = ?";
const DELETE_HINT: &str =
    "DELETE FROM changed_keys USING TIMESTAMP ? WHERE job = ? AND day = ? AND at = ?";
const BLANK_STATUS: &str = "UPDATE job_status SET problems = ?, warnings = ? WHERE job = ? AND revision = ? IF problems = ? AND warnings = ?";

pub(super) type Keys = Vec<BTreeMap<String, String>>;

/// Columns of a run's row that may name an entity.
#[derive(Debug, Clone)]
pub struct RunTexts {
    pub run_id: Uuid,
    pub state: String,
    pub versions: Vec<i32>,
    /// The keys that the run was requested for.
    pub keys: Option<Keys>,
    /// Splits that the run was planned with.
    pub splits: i32,
    /// Why the run ended.
    pub reason: Option<String>,
    /// Warnings of the run.
    pub warnings: Option<Vec<String>>,
    /// Why the run was requested.
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

/// Columns of a split's row that may name an entity.
#[derive(Debug, Clone)]
pub struct SplitTexts {
    pub state: String,
    /// The split's fencing number.
    pub epoch: i32,
    /// Error that the split's owner met.
    pub error: Option<String>,
    /// Rows that are to be read back.
    pub sample: Vec<Sampled>,
}

impl Store {
    /// Returns the prediction tables that belong to a job. Reads all of a small table.
    pub async fn tables_of(&self, job: &str) -> Result<Vec<TableName>, StoreError> {
        let rows: Vec<(String, String, Option<String>)> = self.rows(CLAIMS, ()).await?;
        let mine = rows.into_iter().filter(|row| row.2.as_deref() == Some(job));
        Ok(mine
            .map(|(keyspace, table, _)| TableName { keyspace, table })
            .collect())
    }

    /// Returns the versions that have a prediction or a rejection of the entity.
    pub async fn versions_of(
        &self,
        table: &TableName,
        entity: &Entity,
    ) -> Result<Vec<i32>, StoreError> {
        let page = self.entity_rows(table, "model_version", entity).await?;
        let version = |row| Some(i32::from_be_bytes(page.cell(row, 0)?.try_into().ok()?));
        Ok((0..page.rows()).filter_map(version).collect())
    }

    /// Returns whether a user-written table has a row of the entity.
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

    /// Deletes all versions' predictions of the entity, including those that a late writer still
    /// sends with an older timestamp.
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

    /// Returns all runs of a job, newest first.
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

    /// Returns the run that forgot what a request asks to forget, if it succeeded.
    pub async fn forgotten_for(
        &self,
        job: &str,
        request: Uuid,
    ) -> Result<Option<Uuid>, StoreError> {
        type Row = (
            CqlTimeuuid,
            Option<String>,
            Option<String>,
            Option<CqlTimeuuid>,
        );
        // After every decided ending.
        let rows: Vec<Row> = self.serial_rows(FORGOTTEN_FOR, (job,)).await?;
        Ok(rows
            .into_iter()
            .find(|(_, state, trigger, asked_by)| {
                state.as_deref() == Some(RunState::Succeeded.as_str())
                    && trigger.as_deref() == Some("forget")
                    && asked_by.map(Uuid::from) == Some(request)
            })
            .map(|(run_id, ..)| run_id.into()))
    }

    /// Writes the texts of a run that has ended in state `run.state`.
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
        self.apply_ignoring_unknown(BLANK_RUN, values).await
    }

    /// Returns one split of a run; `None`: it was never claimed.
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

    /// Writes a split's texts. If the split of an ended run is still claimed, it is released, so
    /// that its owner, wherever it runs, cannot finish it.
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
        self.apply_ignoring_unknown(BLANK_SPLIT, values).await
    }

    /// Returns the hints of a day: (time, key, write time in microseconds).
    pub async fn hints(
        &self,
        job: &str,
        day: NaiveDate,
    ) -> Result<Vec<(Uuid, BTreeMap<String, String>, i64)>, StoreError> {
        type Row = (CqlTimeuuid, Option<BTreeMap<String, String>>, Option<i64>);
        let rows: Vec<Row> = self.rows(HINTS, (job, day)).await?;
        Ok(rows
            .into_iter()
            .filter_map(|(at, key, written)| Some((at.into(), key?, written?)))
            .collect())
    }

    /// Deletes a hint with the timestamp at which it was written.
    pub async fn delete_hint(
        &self,
        job: &str,
        day: NaiveDate,
        at: Uuid,
        written_at: i64,
    ) -> Result<(), StoreError> {
        let values = (written_at, job, day, CqlTimeuuid::from(at));
        self.write(DELETE_HINT, values).await
    }

    /// Changes the answer to a revision, if it still is `was` (problems, warnings).
    pub async fn blank_status(
        &self,
        job: &str,
        revision: i32,
        was: (&[String], &[String]),
        now: (&[String], &[String]),
    ) -> Result<(), StoreError> {
        let values = (now.0, now.1, job, revision, was.0, was.1);
        self.apply_ignoring_unknown(BLANK_STATUS, values).await
    }
}

fn conditions(entity: &Entity) -> String {
    let columns = entity.columns().iter();
    let conditions: Vec<_> = columns
        .map(|column| format!("{} = ?", name(&column.name)))
        .collect();
    conditions.join(" AND ")
}
