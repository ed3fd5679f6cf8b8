//! Resolves the versions and aliases that a manifest names.

use std::collections::{BTreeMap, BTreeSet};

use super::outlook::Outlook;
use crate::{
    codec::schema::TableSchema,
    domain::{
        job::{
            compile::Asked,
            manifest::{Manifest, VersionWish},
        },
        model::{ReadyVersion, alias::PREVIOUS},
        names::nearest,
        problem::Problem,
    },
    engine::artifacts,
    store::{
        Store,
        driver::{error::StoreError, names::aliases_of},
        jobs::JobState,
        registry::admissions::Readiness,
    },
};

/// Returns the versions that the manifest asks for, each once, and the aliases with their versions.
pub(super) async fn versions(
    store: &Store,
    manifest: &Manifest,
    outlook: &Outlook,
    problems: &mut Vec<Problem>,
) -> Result<(Vec<Asked>, BTreeMap<String, i32>), StoreError> {
    let model = &manifest.model;
    let pointing = &outlook.pointing;
    let rows = store.versions(model).await?;
    let mut pushed: BTreeSet<i32> = rows.iter().map(|row| row.version).collect();
    let planned = outlook.versions.iter().map(|planned| &planned.ready);
    let planned = planned.filter(|ready| ready.model == *model);
    pushed.extend(planned.map(|ready| ready.version));
    if pushed.is_empty() {
        let models = store.models().await?;
        let near = nearest(model, models.iter().map(String::as_str));
        problems.push(
            Problem::new("job.unknown_model", format!("there is no model `{model}`"))
                .at("model")
                .help(near.map_or_else(
                    || format!("push it first: helenus model push {model} FILE"),
                    |near| format!("did you mean `{near}`?"),
                )),
        );
        return Ok((Vec::new(), BTreeMap::new()));
    }
    let mut aliases = BTreeMap::new();
    let mut numbers: BTreeMap<i32, Vec<VersionWish>> = BTreeMap::new();
    for wish in &manifest.versions {
        let number = match wish {
            VersionWish::Number(number) => *number,
            VersionWish::Alias(alias) => match match pointing.get(alias) {
                Some(number) => Some(*number),
                None => store.alias(model, alias).await?,
            } {
                Some(number) => {
                    aliases.insert(alias.clone(), number);
                    number
                }
                None => {
                    problems.push(unknown_alias(store, model, alias, "versions").await?);
                    continue;
                }
            },
        };
        let by = numbers
            .entry(number)
            .or_insert_with(|| vec![VersionWish::Number(number)]);
        if !by.contains(wish) {
            by.push(wish.clone());
        }
    }
    for wish in &manifest.shadow {
        let number = match wish {
            VersionWish::Number(number) => *number,
            VersionWish::Alias(alias) => match pointing.get(alias).copied() {
                Some(number) => number,
                // Without such a version there is nothing to score beside the others yet.
                None => match store.alias(model, alias).await? {
                    Some(number) => number,
                    None => continue,
                },
            },
        };
        if let VersionWish::Alias(alias) = wish {
            aliases.insert(alias.clone(), number);
        }
        let by = numbers.entry(number);
        let by = by.or_insert_with(|| vec![VersionWish::Number(number)]);
        if !by.contains(wish) {
            by.push(wish.clone());
        }
    }
    // A running experiment keeps its versions, wherever aliases move.
    let running = store.allocation_of(&manifest.job).await?;
    for arm in running.iter().flat_map(|running| &running.arms) {
        if running
            .as_ref()
            .is_some_and(|running| running.model == *model)
        {
            let by = || vec![VersionWish::Number(arm.version)];
            numbers.entry(arm.version).or_insert_with(by);
        }
    }
    let mut asked = Vec::new();
    for (number, by) in numbers {
        if let Some(planned) = outlook.version(model, number).cloned() {
            asked.push(Asked {
                ready: planned.ready,
                by,
                artifacts: planned.artifacts,
            });
            continue;
        }
        let ready = match ready(store, model, number, &pushed).await? {
            Ok(ready) => ready,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        match artifacts::load(store, &ready.admitted).await? {
            Ok(artifacts) => asked.push(Asked {
                ready,
                by,
                artifacts,
            }),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((asked, aliases))
}

/// Returns the problem for an alias that the model does not have; it suggests the nearest name.
pub(crate) async fn unknown_alias(
    store: &Store,
    model: &str,
    alias: &str,
    place: &str,
) -> Result<Problem, StoreError> {
    let known = store.names(&aliases_of(model)).await?;
    let near = nearest(alias, known.iter().map(String::as_str));
    Ok(Problem::new(
        "job.unknown_alias",
        format!("no version of model `{model}` is `{alias}`"),
    )
    .at(place)
    .help(match near.filter(|near| *near != alias) {
        Some(near) => format!("did you mean `{near}`?"),
        None if alias == PREVIOUS => {
            "there is a previous one only after the champion has moved".to_owned()
        }
        None => format!("promote one: helenus model promote {model} VERSION --alias {alias}"),
    }))
}

/// Returns a version that may score, or why it must not.
async fn ready(
    store: &Store,
    model: &str,
    number: i32,
    pushed: &BTreeSet<i32>,
) -> Result<Result<ReadyVersion, Problem>, StoreError> {
    let readiness = store.readiness(model, number).await?;
    if let Readiness::Ready(ready) = readiness {
        return Ok(Ok(*ready));
    }
    let Some(problem) = readiness.problem(model, number) else {
        return Err(StoreError::corrupt("neither ready nor not", "admissions"));
    };
    let known: Vec<String> = pushed.iter().map(ToString::to_string).collect();
    Ok(Err(match readiness {
        Readiness::Missing => problem.help(format!("it has {}", known.join(", "))),
        _ => problem,
    }
    .at("versions")))
}

/// Returns the version whose rows are read if the source is a prediction table.
pub(super) async fn source_version(
    store: &Store,
    manifest: &Manifest,
    source: Option<&TableSchema>,
    problems: &mut Vec<Problem>,
) -> Result<Option<i32>, StoreError> {
    let (Some(source), Some(wish)) = (source, &manifest.source_version) else {
        return Ok(None);
    };
    if !source.is_prediction_table() {
        return Ok(None);
    }
    let alias = match wish {
        VersionWish::Number(number) => return Ok(Some(*number)),
        VersionWish::Alias(alias) => alias,
    };
    // The alias belongs to the model whose predictions the source holds.
    let mut model = None;
    if let Some(claim) = store.claim_of(&manifest.source).await? {
        let statuses = store.job_statuses(&claim.job).await?;
        model = statuses
            .into_iter()
            .find(|status| status.state == JobState::Ready)
            .and_then(|status| status.model);
    }
    let Some(model) = model else {
        problems.push(
            Problem::new(
                "job.source_version",
                format!(
                    "no job of this helenus writes {}, so `{alias}` means nothing there",
                    manifest.source
                ),
            )
            .at("source.version")
            .help("say the version by its number"),
        );
        return Ok(None);
    };
    let number = store.alias(&model, alias).await?;
    if number.is_none() {
        problems.push(unknown_alias(store, &model, alias, "source.version").await?);
    }
    Ok(number)
}
