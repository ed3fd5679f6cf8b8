//! Finds the tables that may hold a job's entities.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::ForgetTarget;
use crate::{
    codec::schema::TableSchema,
    domain::{
        job::{
            entity::{Entity, key_columns},
            manifest::TableName,
        },
        problem::Problem,
    },
    engine::jobs,
    failure::Failure,
    store::{
        Store,
        jobs::{JobRow, JobStatus},
    },
};

/// A job's tables.
pub struct Place {
    pub job: String,
    /// The newest revision that was answered.
    pub revision: i32,
    /// Name of the source table, from the job's status.
    pub source: String,
    /// The answers to the job's revisions, newest first.
    pub statuses: Vec<JobStatus>,
    /// Versions that may have predictions, stored or under way.
    pub versions: BTreeSet<i32>,
    /// The request that asks to forget; `None`: a command asks.
    pub asked_by: Option<Uuid>,
    /// The job's prediction tables with their current schemas.
    pub targets: Vec<(TableName, TableSchema)>,
    source_table: Option<(TableName, TableSchema)>,
    rows: Vec<JobRow>,
    /// Jobs that score one of this job's prediction tables, directly or through other jobs.
    downstream: BTreeSet<String>,
}

impl Place {
    /// Reads everything that shows where the job has written.
    pub async fn read(store: &Store, job: &str, asked_by: Option<Uuid>) -> Result<Self, Failure> {
        let statuses = store.job_statuses(job).await?;
        let rows = store.job_rows(job).await?;
        let tables = store.tables_of(job).await?;
        if statuses.is_empty() && tables.is_empty() && rows.is_empty() {
            return Err(jobs::unknown(store, job).await?);
        }
        let source = statuses.iter().find_map(|status| status.source.clone());
        let mut place = Self {
            job: job.to_owned(),
            asked_by,
            revision: statuses.first().map_or(0, |status| status.revision),
            source_table: match source.as_deref().and_then(table_of) {
                Some(name) => store.table(&name).await?.map(|schema| (name, schema)),
                None => None,
            },
            source: source.unwrap_or_default(),
            versions: versions(store, job, &statuses).await?,
            targets: Vec::new(),
            rows,
            downstream: downstream(store, &tables).await?,
            statuses,
        };
        for name in tables {
            if let Some(schema) = store.table(&name).await? {
                place.targets.push((name, schema));
            }
        }
        Ok(place)
    }

    /// Returns the requested entities, with keys parsed by the schema of the job's tables.
    pub fn entities(&self, asked: &ForgetTarget) -> Result<Vec<Entity>, Failure> {
        let tables = self.targets.iter().chain(&self.source_table);
        let schema = tables.map(|(_, schema)| schema).next().ok_or_else(|| {
            Failure::not_found(Problem::new(
                "forget.no_table",
                format!(
                    "job `{}` has neither a prediction table nor a source table",
                    self.job
                ),
            ))
        })?;
        let keys = match asked {
            ForgetTarget::Words(words) => {
                let columns = key_columns(schema);
                let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
                vec![words.named(&names).map_err(Failure::input)?]
            }
            ForgetTarget::Keys(keys) => keys.clone(),
        };
        let keys = keys.iter().map(|key| Entity::parse(schema, key));
        keys.collect::<Result<_, _>>().map_err(Failure::input)
    }

    /// Returns the source table, if it still has one of the entities.
    pub async fn still_in_source(
        &self,
        store: &Store,
        entities: &[Entity],
    ) -> Result<Option<String>, Failure> {
        let Some((name, schema)) = &self.source_table else {
            return Ok(None);
        };
        for entity in entities {
            if has_the_key_of(schema, entity) && store.has_row(name, entity).await? {
                return Ok(Some(name.to_string()));
            }
        }
        Ok(None)
    }

    /// Returns warnings about what forgetting does not reach.
    pub fn warnings(&self, entities: &[Entity]) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.downstream.is_empty() {
            let jobs: Vec<_> = self.downstream.iter().map(String::as_str).collect();
            warnings.push(format!(
                "downstream: jobs that score this one's predictions may hold the entity, too: {}",
                jobs.join(", ")
            ));
        }
        let exact: BTreeSet<&str> = entities.iter().flat_map(Entity::exact_columns).collect();
        for column in exact {
            warnings.push(format!(
                "exact_key: `{column}` is a partition key column, of which Cassandra compares the bytes: 1.5 and 1.50 are two rows, and only the one that was named is forgotten"
            ));
        }
        for (name, schema) in &self.targets {
            if !entities.iter().all(|entity| has_the_key_of(schema, entity)) {
                warnings.push(format!(
                    "other_key: {name}, of an earlier revision, has another key and was not looked at"
                ));
            }
        }
        for row in &self.rows {
            let texts = [&row.manifest, &row.note];
            let named = texts.into_iter().flatten().any(|text| {
                entities
                    .iter()
                    .any(|entity| entity.scrubbed(text).is_some())
            });
            if let (true, Some(revision)) = (named, row.revision) {
                warnings.push(format!(
                    "manifest: revision {revision} of the job may name it (in [expect], or a note): revisions are people's and never change; DELETE FROM jobs WHERE job = '{}' AND revision = {revision}, once a newer one is ready",
                    self.job
                ));
            }
        }
        warnings
    }
}

/// Returns whether the table has the entity's key columns.
pub fn has_the_key_of(schema: &TableSchema, entity: &Entity) -> bool {
    key_columns(schema) == entity.columns()
}

fn table_of(name: &str) -> Option<TableName> {
    let (keyspace, table) = name.split_once('.')?;
    Some(TableName {
        keyspace: keyspace.to_owned(),
        table: table.to_owned(),
    })
}

/// Returns all versions that were ever open, and all versions of the job's models.
async fn versions(
    store: &Store,
    job: &str,
    statuses: &[JobStatus],
) -> Result<BTreeSet<i32>, Failure> {
    let open = store.open_runs(job).await?;
    let mut versions: BTreeSet<i32> = open.iter().map(|row| row.version).collect();
    let models: BTreeSet<_> = statuses.iter().filter_map(|s| s.model.as_ref()).collect();
    for model in models {
        let admitted = store.admissions(model).await?;
        versions.extend(admitted.iter().map(|admission| admission.version));
    }
    Ok(versions)
}

/// Returns the jobs whose source is one of these tables, and transitively those whose source is one
/// of their targets.
async fn downstream(store: &Store, tables: &[TableName]) -> Result<BTreeSet<String>, Failure> {
    let mut reached: BTreeSet<String> = tables.iter().map(TableName::to_string).collect();
    let mut all = Vec::new();
    for job in store.job_names().await? {
        for status in store.job_statuses(&job).await? {
            if let (Some(source), Some(target)) = (status.source, status.target) {
                all.push((job.clone(), source, target));
            }
        }
    }
    let mut jobs = BTreeSet::new();
    loop {
        let before = reached.len();
        for (job, source, target) in &all {
            if reached.contains(source) {
                jobs.insert(job.clone());
                reached.insert(target.clone());
            }
        }
        if reached.len() == before {
            return Ok(jobs);
        }
    }
}
