//! Models and their versions, for reading.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Extension, Json, extract::State};
use serde::Serialize;

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
};
use crate::{
    inspect::catalog::{self, ModelSummary, VersionDetail, VersionSummary},
    serve::{
        caller::{Caller, Right},
        error::{ApiError, ErrorResponses},
        state::Serving,
    },
    store::Store,
};

/// All models.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    pub models: Vec<ModelSummary>,
}

/// A model and its versions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    pub name: String,
    /// Where its aliases point.
    pub aliases: BTreeMap<String, i32>,
    /// Newest first.
    pub versions: Vec<ModelVersionItem>,
}

/// A version of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelVersionItem {
    #[serde(flatten)]
    pub version: VersionSummary,
    /// Whether this server has it loaded.
    pub loaded: bool,
}

/// A version: what was registered and what admission found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelVersionView {
    #[serde(flatten)]
    pub version: VersionDetail,
    /// Whether this server has it loaded.
    pub loaded: bool,
}

/// Lists the models that the caller is permitted to read.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "models",
    responses((status = 200, description = "The models", body = ModelList), ErrorResponses),
)]
pub async fn list(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ModelList>, ApiError> {
    caller.check(Right::Read)?;
    let mut models = catalog::models(&serving.store).await?;
    models.retain(|model| caller.check_model(Right::Read, &model.name).is_ok());
    Ok(Json(ModelList { models }))
}

/// Returns a model and its versions.
#[utoipa::path(
    get,
    path = "/v1/models/{model}",
    tag = "models",
    params(("model" = String, Path, description = "The model")),
    responses((status = 200, description = "The model", body = ModelView), ErrorResponses),
)]
pub async fn show(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments(model): Segments<String>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ModelView>, ApiError> {
    caller.check_model(Right::Read, &model)?;
    let found = catalog::model(&serving.store, &model).await?;
    let aliases = serving.store.aliases(&model).await?;
    let item = |version: VersionSummary| ModelVersionItem {
        loaded: is_loaded(&serving, &model, version.version),
        version,
    };
    Ok(Json(ModelView {
        name: found.name,
        aliases: aliases.into_iter().collect(),
        versions: found.versions.into_iter().map(item).collect(),
    }))
}

/// Returns a version of a model.
#[utoipa::path(
    get,
    path = "/v1/models/{model}/versions/{version}",
    tag = "models",
    params(
        ("model" = String, Path, description = "The model"),
        ("version" = String, Path, description = "The version, by number or alias"),
    ),
    responses((status = 200, description = "The version", body = ModelVersionView), ErrorResponses),
)]
pub async fn version(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((model, version)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Json<ModelVersionView>, ApiError> {
    caller.check_model(Right::Read, &model)?;
    let number = resolve(&serving.store, &model, &version).await?;
    let version = catalog::version(&serving.store, &model, number).await?;
    Ok(Json(ModelVersionView {
        loaded: is_loaded(&serving, &model, number),
        version,
    }))
}

/// Returns a version that a caller names by number or alias; it may not exist.
///
/// # Errors
/// 404: no such alias; errors of Cassandra.
pub async fn resolve(store: &Store, model: &str, version: &str) -> Result<i32, ApiError> {
    if let Ok(number) = version.parse() {
        return Ok(number);
    }
    let problem = || {
        crate::domain::problem::Problem::new(
            "model.no_alias",
            format!("model `{model}` has no alias `{version}`"),
        )
        .help("`GET /v1/models/{model}` lists its versions and aliases")
    };
    let alias = store.alias(model, version).await?;
    alias.ok_or_else(|| ApiError::not_found(problem()))
}

fn is_loaded(serving: &Serving, model: &str, version: i32) -> bool {
    let loaded = serving.models.loaded();
    loaded
        .iter()
        .any(|(name, number, _)| name == model && *number == version)
}
