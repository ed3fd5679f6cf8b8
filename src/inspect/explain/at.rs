//! What had been predicted for an entity by a given time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    KeyWords, StoredPrediction, format_key, shown_key,
    standing::{Standing, pointing, stored},
    typed_key,
};
use crate::{
    codec::utc,
    domain::{
        job::{CompiledJob, manifest::TableName},
        model::proof::Prediction,
        problem::Problem,
    },
    engine::jobs,
    failure::Failure,
    store::Store,
};

/// An entity's predictions as of a given time.
#[derive(Debug)]
pub struct Then {
    /// The job as it is now.
    pub job: CompiledJob,
    /// The job's revision.
    pub revision: i32,
    /// Key columns: name and value, in key order.
    pub key: Vec<(String, Value)>,
    /// The requested time.
    pub at: DateTime<Utc>,
    /// The history table that was searched besides the prediction table. `None`: the job has no
    /// history, so predictions that were replaced since are unknown.
    pub history: Option<TableName>,
    /// Where the model's aliases pointed at that time.
    pub aliases: BTreeMap<String, i32>,
    /// The last prediction of each version by that time.
    pub versions: BTreeMap<i32, ThenVersion>,
}

/// One version's last prediction by that time.
#[derive(Debug)]
pub struct ThenVersion {
    /// Aliases that pointed to the version at the requested time.
    pub aliases: Vec<String>,
    /// The prediction, with the aliases at the time when it was made.
    pub prediction: StoredPrediction,
}

/// Returns what had been predicted for the entity with this key by `at`. Predictions come from the
/// history, if the job has one, and from the stored predictions that are old enough.
///
/// # Errors
/// Exit 2 for an invalid key, exit 5 if no prediction had been made by then; those of
/// [`jobs::prepare`], and Cassandra's errors.
pub async fn explain_at(
    store: &Store,
    job: &str,
    key: &KeyWords,
    at: DateTime<Utc>,
) -> Result<Then, Failure> {
    let prepared = jobs::prepare(store, job, None).await?;
    let (job, revision) = (prepared.job, prepared.revision);
    let (named, asked) = typed_key(&job, key)?;
    let model = job.versions.first().map(|version| &version.ready.model);
    let model = model.cloned().unwrap_or_default();
    let aliases: BTreeMap<String, i32> = pointing(store, &model, Some(at))
        .await?
        .into_iter()
        .collect();
    let made = |prediction: Prediction<'_>| prediction.scored_at();
    let by_then = at.timestamp_millis();
    // A stored prediction may be older than the history, or than the lifetime of its rows.
    let mut found = Standing::read(store, &job, &asked).await?.versions;
    found.retain(|_, cells| made(Prediction::new(cells, 0)).is_some_and(|made| made <= by_then));
    let history = job.history_table();
    if let Some(history) = &history {
        for version in store.history_versions(&job, history, &asked.cells).await? {
            let page = store
                .history_at(&job, history, &asked.cells, version, at)
                .await?;
            // A stored prediction that is old enough is the newest one in the history, or newer
            // than any row there.
            if page.rows() > 0 && !found.contains_key(&version) {
                found.insert(version, page.copy_row(0, 0));
            }
        }
    }
    if found.is_empty() {
        return Err(nothing(&job, &format_key(&named), at));
    }
    let mut versions = BTreeMap::new();
    for (version, cells) in found {
        let prediction = Prediction::new(&cells, 0);
        let pointed = aliases.iter().filter(|(_, to)| **to == version);
        let then = ThenVersion {
            aliases: pointed.map(|(alias, _)| alias.clone()).collect(),
            prediction: stored(store, &job, &model, version, prediction).await?,
        };
        versions.insert(version, then);
    }
    Ok(Then {
        key: shown_key(&job, &asked),
        job,
        revision,
        at,
        history,
        aliases,
        versions,
    })
}

fn nothing(job: &CompiledJob, key: &str, at: DateTime<Utc>) -> Failure {
    let help = match &job.target.history {
        None => {
            "the job has no history, so only current predictions are known; `[outputs] history = true` keeps future ones"
        }
        Some(_) => {
            "a history begins when it is turned on, and its rows live as long as history_ttl says"
        }
    };
    Failure::not_found(
        Problem::new(
            "explain.nothing_then",
            format!(
                "no prediction of {key} that was made by {} is known",
                utc::to_millisecond(at)
            ),
        )
        .help(help),
    )
}
