//! Reads a split's source rows: those of a token range, or those of requested keys.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, stream::FuturesOrdered};
use tokio::sync::mpsc;

use super::position::Position;
use crate::{
    codec::{literal, ring::TokenRange},
    domain::{job::CompiledJob, problem::Problem},
    store::{
        Store,
        driver::{
            budget::Share,
            error::StoreError,
            raw::{Page, push_cell},
            scan::RangeSelect,
        },
        predictions::selects::{self, Carry, KeySelect},
    },
};

/// Keys read concurrently.
const KEYS_AT_A_TIME: usize = 16;

/// A stream of pages of a table.
pub type Pages = mpsc::Receiver<Result<Page, StoreError>>;

/// How much a walk reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Which cells are read of each stored prediction.
    pub carry: Carry,
    /// Rows per page, when few rows are wanted; `None` reads pages of the default size.
    pub page_rows: Option<i32>,
    /// How many keys of orphans are kept. `None` keeps all if the job deletes orphans, otherwise no
    /// keys.
    pub orphans: Option<usize>,
}

impl Reading {
    fn limited(&self, select: RangeSelect) -> RangeSelect {
        RangeSelect {
            pages: match self.page_rows {
                Some(rows) => select.pages.at_most(rows),
                None => select.pages,
            },
            ..select
        }
    }
}

/// Streams the source rows of `range` in token order; without a range, those of `keys`.
pub fn source_pages(
    store: &Store,
    job: &CompiledJob,
    keys: &Arc<Vec<AskedKey>>,
    range: Option<TokenRange>,
    reading: &Reading,
) -> Pages {
    match range {
        Some(range) => store.scan(reading.limited(selects::source_range(job)), range),
        None => by_keys(store.clone(), selects::source_key(job), Arc::clone(keys)),
    }
}

/// Streams the stored predictions of the same rows, in the same order.
pub fn stored_pages(
    store: &Store,
    job: &CompiledJob,
    keys: &Arc<Vec<AskedKey>>,
    range: Option<TokenRange>,
    reading: &Reading,
) -> Pages {
    let carry = reading.carry;
    match range {
        Some(range) => store.scan(reading.limited(selects::stored_range(job, carry)), range),
        None => by_keys(
            store.clone(),
            selects::stored_key(job, carry),
            Arc::clone(keys),
        ),
    }
}

/// A requested key: its position in the walk, and its cells as they are bound.
pub struct AskedKey {
    /// Position of its partition, in walk order.
    pub position: Position,
    /// Encoded like `raw::RawValues`.
    pub cells: Vec<u8>,
}

async fn by_key(
    store: Store,
    select: Arc<KeySelect>,
    keys: Arc<Vec<AskedKey>>,
    at: usize,
    share: Share,
) -> Result<Page, StoreError> {
    store.by_key_within(&select, &keys[at].cells, share).await
}

fn by_keys(store: Store, select: KeySelect, keys: Arc<Vec<AskedKey>>) -> Pages {
    let (sender, receiver) = mpsc::channel(KEYS_AT_A_TIME);
    tokio::spawn(async move {
        let reader = store.row_budget().reader();
        let select = Arc::new(select);
        let mut under_way = FuturesOrdered::new();
        let mut next = 0;
        loop {
            let more = next < keys.len() && under_way.len() < KEYS_AT_A_TIME;
            tokio::select! {
                share = reader.take(store.key_bytes(&select)), if more => {
                    let (select, keys) = (Arc::clone(&select), Arc::clone(&keys));
                    under_way.push_back(by_key(store.clone(), select, keys, next, share));
                    next += 1;
                }
                Some(page) = under_way.next(), if !under_way.is_empty() => {
                    let failed = page.is_err();
                    if sender.send(page).await.is_err() || failed {
                        return;
                    }
                }
                else => return,
            }
        }
    });
    receiver
}

/// Parses the keys that a run is asked for: all primary key columns, values as CQL literals without
/// quotes. The result is in walk order, without duplicates.
///
/// # Errors
/// Everything that is wrong; each problem names its key by its number in the list (from 1).
pub fn asked_keys(
    job: &CompiledJob,
    keys: &[BTreeMap<String, String>],
) -> Result<Vec<AskedKey>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut asked = Vec::with_capacity(keys.len());
    for (number, key) in (1..).zip(keys) {
        match asked_key(job, key) {
            Ok(key) => asked.push(key),
            Err(problem) => problems.push(problem.at(format!("key {number}"))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    asked.sort_by(|a, b| (&a.position, &a.cells).cmp(&(&b.position, &b.cells)));
    asked.dedup_by(|a, b| a.cells == b.cells);
    Ok(asked)
}

fn asked_key(job: &CompiledJob, key: &BTreeMap<String, String>) -> Result<AskedKey, Problem> {
    let columns: Vec<&str> = job.key.iter().map(|column| column.name.as_str()).collect();
    if let Some(unknown) = key.keys().find(|name| !columns.contains(&name.as_str())) {
        return Err(Problem::new(
            "keys.unknown_column",
            format!("`{unknown}` is not a primary key column"),
        )
        .help(format!("the key is {}", columns.join(", "))));
    }
    let mut values = Vec::with_capacity(job.key.len());
    for column in &job.key {
        let text = key.get(&column.name).ok_or_else(|| {
            Problem::new(
                "keys.missing_column",
                format!("`{}` is missing", column.name),
            )
            .help(format!("all of {} are needed", columns.join(", ")))
        })?;
        values.push(literal::from_text(&column.cql_type, text).map_err(|error| {
            Problem::new("keys.not_a_value", format!("`{}`: {error}", column.name)).help(format!(
                "a CQL literal of type {} without quotes",
                column.cql_type
            ))
        })?);
    }
    let mut position = Position::default();
    let partition_key = values[..job.partition_key_len].iter();
    position
        .set(partition_key.map(|value| Some(value.as_slice())))
        .map_err(|error| Problem::new("keys.too_long", error.to_string()))?;
    let mut cells = Vec::new();
    values
        .iter()
        .for_each(|value| push_cell(&mut cells, Some(value)));
    Ok(AskedKey { position, cells })
}
