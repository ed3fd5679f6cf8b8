//! Reads models: their versions, the decision about each, and where aliases point.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};

use super::{AT_A_TIME, PROMPT, ago};
use crate::{
    domain::model::{AdmissionState, alias::PREVIOUS},
    store::{
        Store,
        driver::error::StoreError,
        registry::{admissions::Admission, models::VersionRow},
    },
};

/// A model.
#[derive(Debug)]
pub struct ModelLine {
    pub name: String,
    /// Newest first.
    pub versions: Vec<VersionLine>,
    /// Versions that the aliases point to.
    pub aliases: BTreeMap<String, i32>,
}

/// A version.
#[derive(Debug)]
pub struct VersionLine {
    /// The version's number, from 1.
    pub version: i32,
    /// `admissions.state`; `undecided` before the decision, `tampered` once the row was altered.
    pub state: String,
    /// Why it is rejected, retired or altered.
    pub reason: Option<String>,
    pub registered_at: Option<DateTime<Utc>>,
}

pub(super) async fn read(store: &Store) -> Result<Vec<ModelLine>, StoreError> {
    let names = store.models().await?;
    futures::stream::iter(names)
        .map(|name| model(store, name))
        .buffered(AT_A_TIME)
        .try_collect()
        .await
}

async fn model(store: &Store, name: String) -> Result<ModelLine, StoreError> {
    let rows = store.versions(&name).await?;
    let mut admissions: BTreeMap<i32, Admission> = store
        .admissions(&name)
        .await?
        .into_iter()
        .map(|admission| (admission.version, admission))
        .collect();
    let mut aliases: BTreeMap<_, _> = store.aliases(&name).await?.into_iter().collect();
    if let Some(version) = store.alias(&name, PREVIOUS).await? {
        aliases.insert(PREVIOUS.to_owned(), version);
    }
    let versions = rows
        .iter()
        .map(|row| version(row, admissions.remove(&row.version)))
        .collect();
    Ok(ModelLine {
        name,
        versions,
        aliases,
    })
}

fn version(row: &VersionRow, admission: Option<Admission>) -> VersionLine {
    let (state, reason) = match admission {
        None => ("undecided".to_owned(), None),
        Some(admission) => {
            let altered = admission.state == AdmissionState::Ready
                && admission.version_row_hash.as_deref() != Some(row.hash().as_slice());
            match altered {
                true => (
                    AdmissionState::Tampered.to_string(),
                    Some("its row in model_versions was altered".to_owned()),
                ),
                false => (admission.state.to_string(), admission.reason),
            }
        }
    };
    VersionLine {
        version: row.version,
        state,
        reason,
        registered_at: row.registered_at(),
    }
}

impl ModelLine {
    /// Returns the aliases of a version.
    pub fn aliases_of(&self, version: i32) -> Vec<&str> {
        let aliases = self.aliases.iter();
        aliases
            .filter(|(_, points_at)| **points_at == version)
            .map(|(alias, _)| alias.as_str())
            .collect()
    }

    pub(super) fn warn(&self, now: DateTime<Utc>, warnings: &mut Vec<String>) {
        for version in &self.versions {
            let name = format!("version {} of model `{}`", version.version, self.name);
            let reason = version
                .reason
                .as_deref()
                .unwrap_or("no reason was recorded");
            match version.state.as_str() {
                "tampered" => warnings.push(format!("{name} is not what was admitted: {reason}")),
                "undecided" | "admitting" => {
                    let late = version
                        .registered_at
                        .filter(|at| (now - *at).num_seconds() > PROMPT);
                    if let Some(at) = late {
                        warnings.push(format!(
                            "{name} waits for admission since {}: is a worker running? `helenus worker --once` does it now",
                            ago(at, now)
                        ));
                    }
                }
                "ready" => {}
                state => {
                    let aliases = self.aliases_of(version.version);
                    if !aliases.is_empty() {
                        warnings.push(format!(
                            "{name} is {} and is {state}: {reason}",
                            aliases.join(", ")
                        ));
                    }
                }
            }
        }
    }
}
