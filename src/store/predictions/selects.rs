//! The SELECTs of a run: source rows and stored predictions, by token range or by key.

use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{job::CompiledJob, model::proof},
    store::{
        Store,
        driver::{
            budget::Share,
            error::{Failed, StoreError},
            pages::PageRows,
            quote::{name, table_name},
            raw::{Page, RawValues, push_cell},
            scan::RangeSelect,
            statement::{Mode, PATIENCE, into_rows, retried},
        },
    },
};

/// How much of a stored prediction is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Carry {
    /// The hash, and whether it is a rejection: these decide whether its row is pending.
    #[default]
    Hash,
    /// Also the rest of [`proof::FIELDS`] and every output column.
    Proof,
    /// Also the whole lineage and every output column, to be written elsewhere.
    Whole,
}

/// Selects the key's and the job's columns of each source row, by token range.
pub fn source_range(job: &CompiledJob) -> RangeSelect {
    let mut more_values = Vec::new();
    if let Some(version) = job.source_version {
        push_cell(&mut more_values, Some(&version.to_be_bytes()));
    }
    RangeSelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {}{}",
            columns(job.key.iter().chain(job.read_columns())),
            table_name(&job.source.keyspace, &job.source.table),
            token_range(job),
            job.source_version
                .map_or("", |_| " AND model_version = ? ALLOW FILTERING"),
        ),
        more_values,
        partition_key_len: job.partition_key_len,
        key_len: job.key.len(),
        pages: PageRows::for_types(
            types(&job.key).chain(job.read_columns().map(|column| &column.cql_type)),
        ),
    }
}

/// Selects, by token range, key, model_version, `lineage.input_hash`, `lineage.rejected` (and TTL,
/// and with a history `lineage.scored_at`) of the predictions of the job's versions, then the
/// columns of `carry`. Filtering a range that is scanned anyway is the one permitted use of ALLOW
/// FILTERING.
pub fn stored_range(job: &CompiledJob, carry: Carry) -> RangeSelect {
    let mut more_values = Vec::new();
    push_cell(&mut more_values, Some(&version_list(job)));
    RangeSelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {} AND model_version IN ? ALLOW FILTERING",
            stored_columns(job, carry),
            table_name(&job.target.keyspace, &job.target.table),
            token_range(job),
        ),
        more_values,
        partition_key_len: job.partition_key_len,
        key_len: job.key.len() + 1,
        pages: match carry {
            Carry::Hash => PageRows::of_keys(types(&job.key)),
            Carry::Proof | Carry::Whole => {
                let outputs = job.target.outputs.iter().map(|column| &column.cql_type);
                PageRows::for_types(types(&job.key).chain(outputs)).at_most(2_500)
            }
        },
    }
}

/// A SELECT of one key's rows; its markers are the key's cells and then `more_values`.
#[derive(Clone)]
pub struct KeySelect {
    pub(in crate::store) cql: String,
    pub(in crate::store) more_values: Vec<u8>,
}

/// As [`source_range`], by key.
pub fn source_key(job: &CompiledJob) -> KeySelect {
    let range = source_range(job);
    KeySelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {}{}",
            columns(job.key.iter().chain(job.read_columns())),
            table_name(&job.source.keyspace, &job.source.table),
            key_conditions(job),
            job.source_version.map_or("", |_| " AND model_version = ?"),
        ),
        more_values: range.more_values,
    }
}

/// As [`stored_range`], by key.
pub fn stored_key(job: &CompiledJob, carry: Carry) -> KeySelect {
    let range = stored_range(job, carry);
    KeySelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {} AND model_version IN ?",
            stored_columns(job, carry),
            table_name(&job.target.keyspace, &job.target.table),
            key_conditions(job),
        ),
        more_values: range.more_values,
    }
}

/// Selects all predictions that are stored for one key, of any version: key, model_version, the
/// fields of [`proof::FIELDS`] and the output columns.
pub fn predictions_of_key(job: &CompiledJob) -> KeySelect {
    KeySelect {
        cql: format!(
            "SELECT {}, model_version, {} FROM {} WHERE {}",
            columns(job.key.iter()),
            proof_columns(job, &proof::FIELDS),
            table_name(&job.target.keyspace, &job.target.table),
            key_conditions(job),
        ),
        more_values: Vec::new(),
    }
}

/// Selects one version's prediction of one key: the fields of [`proof::FIELDS`] and the output
/// columns.
pub fn prediction_of_key(job: &CompiledJob, version: i32) -> KeySelect {
    let mut more_values = Vec::new();
    push_cell(&mut more_values, Some(&version.to_be_bytes()));
    KeySelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {} AND model_version = ?",
            proof_columns(job, &proof::FIELDS),
            table_name(&job.target.keyspace, &job.target.table),
            key_conditions(job),
        ),
        more_values,
    }
}

/// Returns fields of the lineage, then the output columns.
pub(in crate::store) fn proof_columns(job: &CompiledJob, fields: &[&str]) -> String {
    let fields = fields.iter().map(|field| format!("lineage.{field}"));
    let outputs = job.target.outputs.iter().map(|column| name(&column.name));
    fields.chain(outputs).collect::<Vec<_>>().join(", ")
}

fn stored_columns(job: &CompiledJob, carry: Carry) -> String {
    let ttl = if job.rules.ttl_seconds > 0 {
        ", TTL(lineage)"
    } else {
        ""
    };
    let more = match carry {
        Carry::Hash => String::new(),
        Carry::Proof => format!(", {}", proof_columns(job, &proof::FIELDS[2..])),
        Carry::Whole => {
            let outputs = job.target.outputs.iter().map(|column| name(&column.name));
            let columns: Vec<_> = ["lineage".to_owned()].into_iter().chain(outputs).collect();
            format!(", {}", columns.join(", "))
        }
    };
    let made_at = match job.target.history {
        Some(_) => ", lineage.scored_at",
        None => "",
    };
    format!(
        "{}, model_version, lineage.input_hash, lineage.rejected{ttl}{made_at}{more}",
        columns(job.key.iter())
    )
}

/// Returns the job's versions as a `list<int>` in CQL's binary form.
pub(in crate::store) fn version_list(job: &CompiledJob) -> Vec<u8> {
    let mut list = (job.versions.len() as i32).to_be_bytes().to_vec();
    for version in &job.versions {
        push_cell(&mut list, Some(&version.ready.version.to_be_bytes()));
    }
    list
}

pub(in crate::store) fn columns<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    let names: Vec<_> = columns.map(|column| name(&column.name)).collect();
    names.join(", ")
}

pub(in crate::store) fn token_range(job: &CompiledJob) -> String {
    let token = format!(
        "token({})",
        columns(job.key[..job.partition_key_len].iter())
    );
    format!("{token} > ? AND {token} <= ?")
}

pub(in crate::store) fn key_conditions(job: &CompiledJob) -> String {
    let conditions: Vec<_> = job
        .key
        .iter()
        .map(|column| format!("{} = ?", name(&column.name)))
        .collect();
    conditions.join(" AND ")
}

pub(in crate::store) fn types(columns: &[Column]) -> impl Iterator<Item = &CqlType> {
    columns.iter().map(|column| &column.cql_type)
}

impl Store {
    /// Returns the rows of one key; `key` in the form of [`RawValues`].
    pub async fn by_key(&self, select: &KeySelect, key: &[u8]) -> Result<Page, StoreError> {
        let cql = &select.cql;
        let values = [key, &select.more_values].concat();
        retried(PATIENCE, || async {
            let prepared = self.prepared(Mode::ReadCells, cql).await?;
            let request = async {
                self.session()
                    .execute_unpaged(&prepared, RawValues(&values))
                    .await
                    .map_err(|error| Failed::execution(&error, cql))
            };
            let result = self.reads().enter().await.send(request).await?;
            Ok(Page::new(&into_rows(result, cql)?, cql)?)
        })
        .await
    }

    /// Returns the bytes that a row of this select is expected to have.
    pub fn key_bytes(&self, select: &KeySelect) -> usize {
        self.row_sizes.get(&select.cql).row()
    }

    /// As [`Store::by_key`]; the rows count as `share` for as long as they are held.
    pub async fn by_key_within(
        &self,
        select: &KeySelect,
        key: &[u8],
        share: Share,
    ) -> Result<Page, StoreError> {
        let mut page = self.by_key(select, key).await?;
        self.row_sizes.get(&select.cql).saw(&page);
        page.hold(share);
        Ok(page)
    }

    /// Returns the stored `lineage.input_hash` of one prediction; `None`: there is none. `key` in
    /// the form of [`RawValues`].
    pub async fn stored_hash(
        &self,
        job: &CompiledJob,
        key: &[u8],
        version: i32,
    ) -> Result<Option<u128>, StoreError> {
        let mut more_values = Vec::new();
        push_cell(&mut more_values, Some(&version.to_be_bytes()));
        let select = KeySelect {
            cql: format!(
                "SELECT lineage.input_hash FROM {} WHERE {} AND model_version = ?",
                table_name(&job.target.keyspace, &job.target.table),
                key_conditions(job),
            ),
            more_values,
        };
        let page = self.by_key(&select, key).await?;
        Ok((page.rows() > 0)
            .then(|| page.cell(0, 0))
            .flatten()
            .and_then(|bytes| bytes.try_into().ok())
            .map(u128::from_be_bytes))
    }
}
