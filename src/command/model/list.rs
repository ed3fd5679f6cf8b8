//! `helenus model list`.

use std::collections::BTreeMap;

use serde_json::json;

use super::{super::Context, no_version, time};
use crate::{
    domain::{alias::CHAMPION, model::check_name},
    failure::Failure,
    output::{self, Answer},
    store::{Store, admissions::Admission, models::VersionRow},
};

/// List models, or one model's versions
///
/// Examples:
///
///     helenus model list
///     helenus model list tumour
///
/// JSON result: {"models": [{"name", "versions", "latest", "state", "champion"} …]}; of one model
///   {"name", "versions": [{"version", "state", "aliases", "sha256", "size", "registered_at",
///   "registered_by", "tags", "metrics", "evaluated", "note", "reason"} …]}, the newest first;
///   "evaluated" is the headline of the newest evaluation: null or {"metric", "value"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Only this model, all its versions
    name: Option<String>,
}

/// Lists.
///
/// # Errors
/// Exit 5: no such model.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    match &args.name {
        Some(name) => {
            check_name("a model", name).map_err(Failure::input)?;
            versions(&context.store().await?, name).await
        }
        None => models(&context.store().await?).await,
    }
}

async fn models(store: &Store) -> Result<Answer, Failure> {
    let mut told = Vec::new();
    let mut rows = Vec::new();
    for name in store.models().await? {
        let versions = store.versions(&name).await?;
        let Some(latest) = versions.first() else {
            continue;
        };
        let admissions = store.admissions(&name).await?;
        let state = state(&admissions, latest.version);
        let champion = store.alias(&name, CHAMPION).await?;
        rows.push([
            name.clone(),
            versions.len().to_string(),
            latest.version.to_string(),
            state.clone(),
            champion.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        ]);
        told.push(json!({
            "name": name,
            "versions": versions.len(),
            "latest": latest.version,
            "state": state,
            "champion": champion,
        }));
    }
    let text = if rows.is_empty() {
        "no models yet: `helenus model push NAME FILE`".to_owned()
    } else {
        output::table(["NAME", "VERSIONS", "LATEST", "STATE", "CHAMPION"], rows)
    };
    Ok(Answer::new(json!({"models": told}), text))
}

async fn versions(store: &Store, name: &str) -> Result<Answer, Failure> {
    let versions = store.versions(name).await?;
    if versions.is_empty() {
        return Err(no_version(name, None));
    }
    let admissions = store.admissions(name).await?;
    let aliases = store.aliases(name).await?;
    let mut evaluated = BTreeMap::new();
    for row in &versions {
        if let Some(found) = store.newest_headline(name, row.version).await? {
            evaluated.insert(row.version, found);
        }
    }
    let of = |version: i32| -> Vec<&str> {
        let pointing = aliases
            .iter()
            .filter(|(_, points_at)| *points_at == version);
        pointing.map(|(alias, _)| alias.as_str()).collect()
    };
    let told: Vec<_> = versions
        .iter()
        .map(|row| {
            let admission = admissions
                .iter()
                .find(|admission| admission.version == row.version);
            json!({
                "version": row.version,
                "state": state(&admissions, row.version),
                "aliases": of(row.version),
                "sha256": row.sha256.as_ref().map(hex::encode),
                "size": row.size,
                "registered_at": time(row.registered_at()),
                "registered_by": row.registered_by,
                "tags": row.tags,
                "metrics": numbers(row),
                "evaluated": evaluated.get(&row.version).map(|(metric, value)| {
                    json!({"metric": metric, "value": output::number(*value)})
                }),
                "note": row.note,
                "reason": admission.and_then(|admission| admission.reason.clone()),
            })
        })
        .collect();
    let rows = versions.iter().map(|row| {
        [
            row.version.to_string(),
            state(&admissions, row.version),
            of(row.version).join(", "),
            row.size.map_or_else(String::new, |size| size.to_string()),
            row.sha256.as_ref().map_or_else(String::new, |sha| {
                hex::encode(sha).chars().take(12).collect()
            }),
            time(row.registered_at()).unwrap_or_default(),
            evaluated
                .get(&row.version)
                .map_or_else(String::new, |(metric, value)| {
                    format!("{metric} {value:.4}")
                }),
            row.note.clone().unwrap_or_default(),
        ]
    });
    let header = [
        "VERSION",
        "STATE",
        "ALIASES",
        "BYTES",
        "SHA256",
        "REGISTERED",
        "EVALUATED",
        "NOTE",
    ];
    let text = output::table(header, rows);
    Ok(Answer::new(json!({"name": name, "versions": told}), text))
}

/// The admission's state; `undecided` before there is one.
pub fn state(admissions: &[Admission], version: i32) -> String {
    admissions
        .iter()
        .find(|admission| admission.version == version)
        .map_or_else(
            || "undecided".to_owned(),
            |admission| admission.state.to_string(),
        )
}

/// A row's metrics, NaN and infinities as texts.
pub fn numbers(row: &VersionRow) -> Option<serde_json::Map<String, serde_json::Value>> {
    let metrics = row.metrics.as_ref()?;
    Some(
        metrics
            .iter()
            .map(|(name, value)| (name.clone(), output::number(*value)))
            .collect(),
    )
}
