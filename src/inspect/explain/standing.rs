//! Reads the stored predictions of one key.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::StoredPrediction;
use crate::{
    codec::{cell_json, cells::CellBuffer},
    domain::{
        job::CompiledJob,
        model::{
            alias::{CHAMPION, PREVIOUS, previous},
            proof::Prediction,
        },
        run::run_id,
    },
    engine::run::source::AskedKey,
    store::{
        Store,
        driver::{error::StoreError, names},
        predictions::selects::{self, KeySelect},
    },
};

/// Returns the cells of a key's only row, without the first `skip`.
pub async fn first_row(
    store: &Store,
    select: &KeySelect,
    key: &AskedKey,
    skip: usize,
) -> Result<Option<CellBuffer>, StoreError> {
    let page = store.by_key(select, &key.cells).await?;
    Ok((page.rows() > 0).then(|| page.copy_row(0, skip)))
}

/// The stored predictions of a key, by version.
pub struct Standing {
    /// The fields of `proof::FIELDS`, then the output columns.
    pub versions: BTreeMap<i32, CellBuffer>,
}

impl Standing {
    /// Reads all of a key's predictions, in the columns that `job` has.
    pub async fn read(
        store: &Store,
        job: &CompiledJob,
        key: &AskedKey,
    ) -> Result<Self, StoreError> {
        let page = store
            .by_key(&selects::predictions_of_key(job), &key.cells)
            .await?;
        let at = job.key.len();
        let version = |row| {
            let cell = page.cell(row, at)?.try_into().ok()?;
            Some((i32::from_be_bytes(cell), page.copy_row(row, at + 1)))
        };
        Ok(Self {
            versions: (0..page.rows()).filter_map(version).collect(),
        })
    }

    /// Returns one version's prediction.
    pub fn prediction(&self, version: i32) -> Option<Prediction<'_>> {
        self.versions
            .get(&version)
            .map(|cells| Prediction::new(cells, 0))
    }
}

/// Returns one prediction, with the run that wrote it and the aliases at that time.
pub async fn stored(
    store: &Store,
    job: &CompiledJob,
    model: &str,
    version: i32,
    standing: Prediction<'_>,
) -> Result<StoredPrediction, StoreError> {
    let lineage = standing.lineage();
    let columns = job.target.outputs.iter().zip(standing.outputs());
    let outputs = columns
        .map(|(column, cell)| (column.name.clone(), cell_json::cell(&column.cql_type, cell)))
        .collect();
    let aliases_then = match lineage.scored_at {
        Some(at) => aliases(store, model, version, Some(at)).await?,
        None => Vec::new(),
    };
    let run = match lineage.run_id {
        Some(run_id) => store.run(&job.job, run_id).await?,
        None => None,
    };
    Ok(StoredPrediction {
        outputs,
        lineage,
        aliases_then,
        run,
    })
}

/// Returns the aliases that point to a version now, or pointed to it at the time `at`.
pub async fn aliases(
    store: &Store,
    model: &str,
    version: i32,
    at: Option<DateTime<Utc>>,
) -> Result<Vec<String>, StoreError> {
    let pointing = pointing(store, model, at).await?.into_iter();
    let mine = pointing.filter(|(_, pointed_at)| *pointed_at == version);
    Ok(mine.map(|(alias, _)| alias).collect())
}

/// Returns where a model's aliases point now, or pointed at the time `at`.
pub async fn pointing(
    store: &Store,
    model: &str,
    at: Option<DateTime<Utc>>,
) -> Result<Vec<(String, i32)>, StoreError> {
    let mut found = Vec::new();
    let mut known = store.names(&names::aliases_of(model)).await?;
    known.push(PREVIOUS.to_owned());
    for alias in known {
        let pointed_at = match at {
            None => store.alias(model, &alias).await?,
            Some(at) if alias == PREVIOUS => previous_at(store, model, at).await?,
            Some(at) => store
                .alias_at(model, &alias, at)
                .await?
                .map(|change| change.to),
        };
        found.extend(pointed_at.map(|version| (alias, version)));
    }
    Ok(found)
}

async fn previous_at(
    store: &Store,
    model: &str,
    at: DateTime<Utc>,
) -> Result<Option<i32>, StoreError> {
    let mut history = store.recent_alias_history(model, CHAMPION).await?;
    let at = at.timestamp_micros().max(0) as u64 * 10;
    history.retain(|change| run_id::time_100ns(change.changed_at).is_some_and(|time| time <= at));
    Ok(previous(&history))
}
