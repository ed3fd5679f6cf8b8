//! Takes a version out of service.

use super::followers::jobs_naming;
use crate::{
    domain::{
        answer::RequestAnswer,
        model::{AdmissionState, alias::PREVIOUS},
        problem::Problem,
    },
    store::{
        Store,
        driver::error::StoreError,
        registry::{admissions::Readiness, alias_requests::AliasRequest},
    },
};

pub(super) async fn retire(
    store: &Store,
    request: &AliasRequest,
    model: &str,
    version: i32,
) -> Result<RequestAnswer, StoreError> {
    match store.readiness(model, version).await? {
        Readiness::Ready(_) => {}
        Readiness::Retired => {
            return Ok(RequestAnswer::done(format!(
                "version {version} of `{model}` is retired already"
            )));
        }
        other => {
            let problem = other.problem(model, version);
            return Ok(RequestAnswer::refused_for(
                &problem.unwrap_or_else(|| Problem::new("model.state", "not ready")),
            ));
        }
    }
    let mut pointing: Vec<String> = store
        .aliases(model)
        .await?
        .into_iter()
        .filter(|(_, points_at)| *points_at == version)
        .map(|(alias, _)| format!("`{alias}`"))
        .collect();
    if store.alias(model, PREVIOUS).await? == Some(version) {
        let keeping = jobs_naming(store, model, PREVIOUS).await?;
        pointing.extend(keeping.into_iter().map(|job| {
            format!(
                "`{PREVIOUS}`, which job `{}` keeps ready for a rollback",
                job.job
            )
        }));
    }
    let running = store.allocations().await?.into_iter();
    pointing.extend(running.filter_map(|(job, running)| {
        let allocation = running
            .allocation
            .filter(|running| running.model == model)?;
        let arm = allocation.arms.iter().find(|arm| arm.version == version)?;
        let (arm, experiment) = (&arm.name, &allocation.experiment);
        Some(format!(
            "arm `{arm}` of experiment `{experiment}` of job `{job}`"
        ))
    }));
    if !pointing.is_empty() {
        return Ok(RequestAnswer::refused_for(
            &Problem::new(
                "model.in_use",
                format!("version {version} of `{model}` is {}", pointing.join(", ")),
            )
            .help("promote another version, or stop the experiment, first"),
        ));
    }
    let (from, to) = (AdmissionState::Ready, AdmissionState::Retired);
    let why = request.why.as_deref();
    if store.move_admission(model, version, from, to, why).await? {
        Ok(RequestAnswer::done(format!(
            "version {version} of `{model}` is retired"
        )))
    } else {
        Ok(RequestAnswer::refused_for(&Problem::new(
            "model.state",
            format!("version {version} of `{model}` changed its state meanwhile"),
        )))
    }
}
