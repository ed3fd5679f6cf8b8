//! What had been predicted for an entity by a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    KeyWords, StoredPrediction, shown_key, spoken_key,
    standing::{Standing, cells_of, pointing, stored},
    typed_key,
};
use crate::{
    domain::{job::CompiledJob, manifest::TableName, problem::Problem, proof::Prediction},
    failure::Failure,
    store::Store,
    worker::jobs,
};

/// An entity's predictions as they stood then.
#[derive(Debug)]
pub struct Then {
    /// The job as it stands now.
    pub job: CompiledJob,
    /// Its revision.
    pub revision: i32,
    /// Key columns: name and value, in the key's order.
    pub key: Vec<(String, Value)>,
    /// The time that is asked for.
    pub at: DateTime<Utc>,
    /// Where it was looked up besides the prediction table; `None`: the job has no history, and
    /// what was replaced since is not known.
    pub history: Option<TableName>,
    /// Where the model's aliases pointed then.
    pub aliases: BTreeMap<String, i32>,
    /// The last prediction of each version by then.
    pub versions: BTreeMap<i32, ThenVersion>,
}

/// One version's last prediction by then.
#[derive(Debug)]
pub struct ThenVersion {
    /// Aliases that pointed at it at the time that is asked for.
    pub aliases: Vec<String>,
    /// The prediction, with the aliases at the time when it was made.
    pub prediction: StoredPrediction,
}

/// What had been predicted for the entity with this key by `at`: from the history where the job has
/// one, and of what stands whatever is as old.
///
/// # Errors
/// Exit 2 for what is no key, 5 when no prediction had been made by then; those of
/// [`jobs::prepare`], and Cassandra's.
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
    // What stands may be older than the history, or than its rows live.
    let mut found = Standing::read(store, &job, &asked).await?.versions;
    found.retain(|_, cells| made(Prediction::new(cells, 0)).is_some_and(|made| made <= by_then));
    let history = job.history_table();
    if let Some(history) = &history {
        for version in store.history_versions(&job, history, &asked.cells).await? {
            let page = store
                .history_at(&job, history, &asked.cells, version, at)
                .await?;
            // A prediction that stands and is as old is the same, or a newer one than any there.
            if page.rows() > 0 && !found.contains_key(&version) {
                found.insert(version, cells_of(&page, 0, 0));
            }
        }
    }
    if found.is_empty() {
        return Err(nothing(&job, &spoken_key(&named), at));
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
            "the job has no history, so only predictions that still stand are known; `[outputs] history = true` keeps those to come"
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
                at.to_rfc3339()
            ),
        )
        .help(help),
    )
}
