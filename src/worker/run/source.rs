//! Where a split's source rows come from: a token range, or keys that were asked for.

use std::{collections::BTreeMap, sync::Arc};

use futures::StreamExt;
use tokio::sync::mpsc;

use super::stored::Position;
use crate::{
    domain::{job::CompiledJob, literal, problem::Problem, ring::TokenRange},
    store::{
        Store,
        error::StoreError,
        raw::{Page, push_cell},
        scan::RangeSelect,
        selects::{self, Carry, KeySelect},
    },
};

/// Keys read at a time.
const KEYS_AT_A_TIME: usize = 16;

/// Pages of a table.
pub type Pages = mpsc::Receiver<Result<Page, StoreError>>;

/// How much is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Of each stored prediction.
    pub carry: Carry,
    /// Rows a page, where few are wanted; `None`: pages of a good size.
    pub page_rows: Option<i32>,
    /// How many keys of orphans are kept; `None`: all if the job deletes them.
    pub orphans: Option<usize>,
}

impl Reading {
    fn limited(&self, select: RangeSelect) -> RangeSelect {
        RangeSelect {
            page_rows: self
                .page_rows
                .map_or(select.page_rows, |rows| rows.min(select.page_rows)),
            ..select
        }
    }
}

/// Source rows of `range` in token order; without a range, those of `keys`.
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

/// The stored predictions of the same rows, in the same order.
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

/// A key that was asked for: where it stands, and its cells as they are bound.
pub struct AskedKey {
    /// Order of the walk.
    pub position: Position,
    /// In the form of `raw::RawValues`.
    pub cells: Vec<u8>,
}

fn by_keys(store: Store, select: KeySelect, keys: Arc<Vec<AskedKey>>) -> Pages {
    let (sender, receiver) = mpsc::channel(KEYS_AT_A_TIME);
    tokio::spawn(async move {
        let read = |at: usize| {
            let (store, select, keys) = (&store, &select, &keys);
            async move { store.by_key(select, &keys[at].cells).await }
        };
        let mut pages = futures::stream::iter((0..keys.len()).map(read)).buffered(KEYS_AT_A_TIME);
        while let Some(page) = pages.next().await {
            let failed = page.is_err();
            if sender.send(page).await.is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Reads the keys that a run is asked for: all primary key columns, values as CQL literals
/// without quotes; sorted as the walk goes, each once.
///
/// # Errors
/// All that is wrong, each naming the key by its number in the list (from 1).
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
            format!("`{unknown}` is no primary key column"),
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
