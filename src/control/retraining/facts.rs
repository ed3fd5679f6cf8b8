//! What makes a retraining due, and whether a training could lead to anything.

use crate::{
    control::jobs,
    domain::{
        alarm::Alarm, gate::Gate, job::manifest::VersionWish, model::alias::CHAMPION,
        problem::Problem, retraining::Retraining,
    },
    failure::Failure,
    store::{Store, driver::error::StoreError},
};

/// Evaluations of the champion that are searched for one with these labels.
const LOOKED_AT: i32 = 20;

/// Returns the open alarms of the job, if an alarm can make the retraining due.
pub async fn alarms(store: &Store, retraining: &Retraining) -> Result<Vec<Alarm>, StoreError> {
    if retraining.on_alarm.is_none() {
        return Ok(Vec::new());
    }
    let job = &retraining.spec.job;
    let open = store.open_alarms().await?.remove(job).unwrap_or_default();
    let mut alarms = Vec::new();
    for id in open.into_values() {
        alarms.extend(store.alarm(job, id).await?);
    }
    Ok(alarms)
}

/// Returns the labelled rows that the newest evaluation of the champion found, if their number can
/// make the retraining due.
pub async fn labelled_rows(
    store: &Store,
    retraining: &Retraining,
) -> Result<Option<u64>, StoreError> {
    if retraining.labelled_rows.is_none() {
        return Ok(None);
    }
    let model = &retraining.model;
    let Some(champion) = store.alias(model, CHAMPION).await? else {
        return Ok(None);
    };
    let heads = store.evaluation_heads(model, champion, LOOKED_AT).await?;
    let labels = Some(&retraining.spec.labels);
    for head in heads.iter().filter(|head| head.labels.as_ref() == labels) {
        let row = store.evaluation(model, champion, head.id).await?;
        // An evaluation on rows that were held out counts only these.
        let row = row.filter(|row| row.leakage.as_deref() != Some("held_out"));
        if let Some(rows) = row.and_then(|row| row.labelled) {
            return Ok(u64::try_from(rows).ok());
        }
    }
    Ok(None)
}

/// Checks before anything is trained that the version can be scored and judged.
///
/// # Errors
/// The job does not exist or does not score the challenger; the gate does not exist or wants other
/// labels.
pub async fn check(store: &Store, retraining: &Retraining) -> Result<(), Failure> {
    let spec = &retraining.spec;
    let wrong = |column: &str, message: String, help: String| {
        let problem = Problem::new(&format!("retraining.{column}"), message);
        Failure::input(problem.at(column).help(help))
    };
    let prepared = Box::pin(jobs::prepare(store, &spec.job, None)).await?;
    let manifest = &prepared.manifest;
    if manifest.model != retraining.model {
        let message = format!("job `{}` is about model `{}`", spec.job, manifest.model);
        return Err(wrong("job", message, "name a job of this model".to_owned()));
    }
    let challenger = VersionWish::Alias(spec.challenger.clone());
    if !manifest.versions.contains(&challenger) && !manifest.shadow.contains(&challenger) {
        let (job, alias) = (&spec.job, &spec.challenger);
        let message = format!("job `{job}` does not score `{alias}`");
        let help = format!(
            "point the alias at any version (`helenus model promote {} VERSION --alias {alias}`), and write shadow = [\"{alias}\"] in the job's manifest",
            retraining.model
        );
        return Err(wrong("challenger", message, help));
    }
    let Some(name) = &spec.gate else {
        return Ok(());
    };
    let row = store.gate(&retraining.model, name).await?;
    let Some(row) = row.filter(|row| row.removed != Some(true)) else {
        let message = format!("model `{}` has no gate `{name}`", retraining.model);
        return Err(wrong(
            "gate",
            message,
            "`helenus gate add` makes one".to_owned(),
        ));
    };
    let gate = Gate::read(&row).map_err(Failure::inputs)?;
    if gate.labels != spec.labels || gate.challenger != spec.challenger {
        let message = format!(
            "gate `{name}` is about `{}` and labels {}",
            gate.challenger, gate.labels
        );
        let help = format!(
            "this retraining is about `{}` and labels {}",
            spec.challenger, spec.labels
        );
        return Err(wrong("gate", message, help));
    }
    Ok(())
}
