//! Models and their versions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::found::FoundModel;
use crate::{
    codec::utc,
    domain::{
        model::{AdmissionState, alias::CHAMPION},
        problem::Problem,
    },
    failure::Failure,
    output,
    store::{
        Store,
        registry::{
            admissions::{Admission, Readiness},
            models::VersionRow,
        },
    },
};

/// A model.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelSummary {
    pub name: String,
    /// Number of versions.
    pub versions: usize,
    /// The newest version.
    pub latest: i32,
    /// State of the newest version.
    pub state: String,
    pub champion: Option<i32>,
}

/// A model's versions.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelVersions {
    pub name: String,
    /// Newest first.
    pub versions: Vec<VersionSummary>,
}

/// A version of a model.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VersionSummary {
    pub version: i32,
    /// undecided, admitting, ready, rejected, retired or tampered.
    pub state: String,
    pub aliases: Vec<String>,
    /// SHA-256 of the file, in hex.
    pub sha256: Option<String>,
    /// Bytes of the file.
    pub size: Option<i64>,
    #[schema(format = DateTime)]
    pub registered_at: Option<String>,
    pub registered_by: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    /// NaN and infinities are strings.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub metrics: Option<BTreeMap<String, Value>>,
    /// The headline of the newest evaluation.
    pub evaluated: Option<Headline>,
    pub note: Option<String>,
    /// Inputs and outputs, as text; null unless it was admitted.
    pub signature: Option<String>,
    /// Why it is rejected, retired or altered.
    pub reason: Option<String>,
}

/// An evaluation's headline.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Headline {
    pub metric: String,
    /// NaN and infinities are strings.
    pub value: Value,
}

/// A version: what was registered and what admission found.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VersionDetail {
    pub name: String,
    pub version: i32,
    /// undecided, admitting, ready, rejected, retired or tampered.
    pub state: String,
    pub aliases: Vec<String>,
    pub registered: RegisteredDetail,
    /// Null while it is undecided.
    pub admission: Option<AdmissionDetail>,
    /// Why it must not score; `None` if it may.
    #[serde(skip)]
    pub unready: Option<Problem>,
}

/// What was registered.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RegisteredDetail {
    pub format: Option<String>,
    /// SHA-256 of the file, in hex.
    pub sha256: Option<String>,
    /// Bytes of the file.
    pub size: Option<i64>,
    pub chunks: Option<i32>,
    pub feature_names: Option<Vec<String>>,
    pub class_names: Option<Vec<String>>,
    pub widths: Option<BTreeMap<String, i32>>,
    /// SHA-256 of the golden rows, in hex.
    pub golden_sha256: Option<String>,
    pub rtol: Option<f64>,
    pub atol: Option<f64>,
    pub accepts: Option<BTreeSet<String>>,
    /// SHA-256 of each artifact, in hex, by name.
    pub artifacts: Option<BTreeMap<String, String>>,
    pub tags: Option<BTreeMap<String, String>>,
    /// NaN and infinities are strings.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub metrics: Option<BTreeMap<String, Value>>,
    pub note: Option<String>,
    pub by: Option<String>,
    #[schema(format = DateTime)]
    pub at: Option<String>,
}

/// What admission decided.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AdmissionDetail {
    #[schema(value_type = String)]
    pub state: AdmissionState,
    pub reason: Option<String>,
    pub warnings: Vec<String>,
    /// Inputs and outputs, as text.
    pub signature: Option<String>,
    pub decided_by: Option<String>,
    #[schema(format = DateTime)]
    pub decided_at: Option<String>,
    /// Null if the version was rejected.
    pub found: Option<FoundModel>,
}

/// Returns all models that have a version.
///
/// # Errors
/// Errors of Cassandra.
pub async fn models(store: &Store) -> Result<Vec<ModelSummary>, Failure> {
    let mut models = Vec::new();
    for name in store.models().await? {
        let versions = store.versions(&name).await?;
        let Some(latest) = versions.first() else {
            continue;
        };
        let admissions = store.admissions(&name).await?;
        models.push(ModelSummary {
            versions: versions.len(),
            latest: latest.version,
            state: state(&admissions, latest.version),
            champion: store.alias(&name, CHAMPION).await?,
            name,
        });
    }
    Ok(models)
}

/// Returns a model's versions.
///
/// # Errors
/// Exit 5: no such model; errors of Cassandra.
pub async fn model(store: &Store, name: &str) -> Result<ModelVersions, Failure> {
    let rows = store.versions(name).await?;
    if rows.is_empty() {
        return Err(no_version(name, None));
    }
    let admissions = store.admissions(name).await?;
    let aliases = store.aliases(name).await?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let headline = store.newest_headline(name, row.version).await?;
        let admission = admissions
            .iter()
            .find(|admission| admission.version == row.version);
        versions.push(VersionSummary {
            version: row.version,
            state: state(&admissions, row.version),
            aliases: pointing(&aliases, row.version),
            sha256: row.sha256.as_ref().map(hex::encode),
            size: row.size,
            registered_at: row.registered_at().map(utc::to_millisecond),
            metrics: numbers(&row),
            evaluated: headline.map(|(metric, value)| Headline {
                metric,
                value: output::number(value),
            }),
            signature: admission.and_then(|admission| admission.signature.clone()),
            reason: admission.and_then(|admission| admission.reason.clone()),
            registered_by: row.registered_by,
            tags: row.tags,
            note: row.note,
        });
    }
    Ok(ModelVersions {
        name: name.to_owned(),
        versions,
    })
}

/// Returns a version of a model.
///
/// # Errors
/// Exit 5: no such version; errors of Cassandra.
pub async fn version(store: &Store, name: &str, version: i32) -> Result<VersionDetail, Failure> {
    let Some(row) = store.version(name, version).await? else {
        return Err(no_version(name, Some(version)));
    };
    let admission = store.admission(name, version).await?;
    let readiness = store.readiness(name, version).await?;
    let state = match (&readiness, &admission) {
        (Readiness::Tampered(_), _) => "tampered".to_owned(),
        (_, Some(admission)) => admission.state.to_string(),
        (_, None) => "undecided".to_owned(),
    };
    Ok(VersionDetail {
        name: name.to_owned(),
        version,
        state,
        aliases: pointing(&store.aliases(name).await?, version),
        registered: row.into(),
        admission: admission.map(AdmissionDetail::from),
        unready: readiness.problem(name, version),
    })
}

impl From<VersionRow> for RegisteredDetail {
    fn from(row: VersionRow) -> Self {
        Self {
            metrics: numbers(&row),
            at: row.registered_at().map(utc::to_millisecond),
            format: row.format,
            sha256: row.sha256.map(hex::encode),
            size: row.size,
            chunks: row.chunks,
            feature_names: row.feature_names,
            class_names: row.class_names,
            widths: row.widths,
            golden_sha256: row.golden_sha256.map(hex::encode),
            rtol: row.rtol,
            atol: row.atol,
            accepts: row.accepts,
            artifacts: row.artifacts.map(|artifacts| {
                let hex = artifacts.into_iter();
                hex.map(|(name, sha256)| (name, hex::encode(sha256)))
                    .collect()
            }),
            tags: row.tags,
            note: row.note,
            by: row.registered_by,
        }
    }
}

impl From<Admission> for AdmissionDetail {
    fn from(admission: Admission) -> Self {
        Self {
            decided_at: admission.decided_at().map(utc::to_millisecond),
            found: admission.admitted.as_ref().map(FoundModel::from),
            state: admission.state,
            reason: admission.reason,
            warnings: admission.warnings,
            signature: admission.signature,
            decided_by: admission.decided_by,
        }
    }
}

/// Returns the state of a version's admission; `undecided` before there is one.
fn state(admissions: &[Admission], version: i32) -> String {
    admissions
        .iter()
        .find(|admission| admission.version == version)
        .map_or_else(
            || "undecided".to_owned(),
            |admission| admission.state.to_string(),
        )
}

/// Returns a row's metrics; NaN and infinities become strings.
fn numbers(row: &VersionRow) -> Option<BTreeMap<String, Value>> {
    let metrics = row.metrics.as_ref()?.iter();
    Some(
        metrics
            .map(|(name, value)| (name.clone(), output::number(*value)))
            .collect(),
    )
}

fn pointing(aliases: &[(String, i32)], version: i32) -> Vec<String> {
    let pointing = aliases
        .iter()
        .filter(|(_, points_at)| *points_at == version);
    pointing.map(|(alias, _)| alias.clone()).collect()
}

/// Returns the failure for an unknown model or version.
pub fn no_version(model: &str, version: Option<i32>) -> Failure {
    let (message, help) = match version {
        Some(version) => (
            format!("model `{model}` has no version {version}"),
            format!("list the versions with `helenus model list {model}`"),
        ),
        None => (
            format!("unknown model `{model}`"),
            "list the models with `helenus model list`".to_owned(),
        ),
    };
    Failure::not_found(Problem::new("model.no_version", message).help(help))
}
