//! `helenus model show`.

use serde_json::json;

use super::{super::Context, check, list, no_version, resolve, time};
use crate::{
    domain::{alias::CHAMPION, model::check_name},
    failure::Failure,
    output::Answer,
    store::{Store, admissions::Readiness, models::VersionRow},
};

/// Show one version: what was registered and what admission found
///
/// Examples:
///
///     helenus model show tumour
///     helenus model show tumour 2
///     helenus model show tumour challenger
///
/// JSON result: {"name", "version", "state", "aliases", "registered": {…, "sha256", "size",
///   "chunks", "feature_names", "class_names", "golden_sha256", "rtol", "atol", "tags",
///   "metrics", "note", "by", "at"}, "admission": null or {"state", "reason", "warnings",
///   "signature", "decided_by", "decided_at", "found": as of `model check`}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// Its version, or an alias [default: the champion, or else the newest]
    version: Option<String>,
}

/// Shows.
///
/// # Errors
/// Exit 5: no such version.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let store = context.store().await?;
    let name = &args.name;
    let version = match &args.version {
        Some(version) => resolve(&store, name, version).await?,
        None => default_version(&store, name).await?,
    };
    let Some(row) = store.version(name, version).await? else {
        return Err(no_version(name, Some(version)));
    };
    let admission = store.admission(name, version).await?;
    let readiness = store.readiness(name, version).await?;
    let aliases: Vec<_> = store
        .aliases(name)
        .await?
        .into_iter()
        .filter(|(_, points_at)| *points_at == version)
        .map(|(alias, _)| alias)
        .collect();
    let state = match (&readiness, &admission) {
        (Readiness::Tampered(_), _) => "tampered".to_owned(),
        (_, Some(admission)) => admission.state.to_string(),
        (_, None) => "undecided".to_owned(),
    };
    let found = admission
        .as_ref()
        .and_then(|admission| admission.admitted.as_ref())
        .map(check::accepted);
    let mut lines = vec![match aliases.as_slice() {
        [] => format!("{name} version {version}: {state}"),
        aliases => format!("{name} version {version}: {state}, {}", aliases.join(", ")),
    }];
    lines.extend(registered_text(&row));
    if let Some(problem) = readiness.problem(name, version) {
        lines.push(problem.line());
    }
    if let Some(found) = &found {
        lines.push(found.text.clone());
    }
    let result = json!({
        "name": name,
        "version": version,
        "state": state,
        "aliases": aliases,
        "registered": registered(&row),
        "admission": admission.as_ref().map(|admission| json!({
            "state": admission.state,
            "reason": admission.reason,
            "warnings": admission.warnings,
            "signature": admission.signature,
            "decided_by": admission.decided_by,
            "decided_at": time(admission.decided_at()),
            "found": found.as_ref().map(|found| &found.result),
        })),
    });
    let mut answer = Answer::new(result, lines.join("\n"));
    answer.warnings = admission
        .map(|admission| admission.warnings)
        .unwrap_or_default();
    Ok(answer)
}

async fn default_version(store: &Store, name: &str) -> Result<i32, Failure> {
    if let Some(champion) = store.alias(name, CHAMPION).await? {
        return Ok(champion);
    }
    let newest = store.versions(name).await?;
    newest
        .first()
        .map(|row| row.version)
        .ok_or_else(|| no_version(name, None))
}

fn registered(row: &VersionRow) -> serde_json::Value {
    json!({
        "format": row.format,
        "sha256": row.sha256.as_ref().map(hex::encode),
        "size": row.size,
        "chunks": row.chunks,
        "feature_names": row.feature_names,
        "class_names": row.class_names,
        "golden_sha256": row.golden_sha256.as_ref().map(hex::encode),
        "rtol": row.rtol,
        "atol": row.atol,
        "tags": row.tags,
        "metrics": list::numbers(row),
        "note": row.note,
        "by": row.registered_by,
        "at": time(row.registered_at()),
    })
}

fn registered_text(row: &VersionRow) -> Vec<String> {
    let mut lines = Vec::new();
    let by = row.registered_by.as_deref().unwrap_or("somebody");
    lines.push(format!(
        "registered by {by} at {}",
        time(row.registered_at()).unwrap_or_else(|| "an unknown time".to_owned())
    ));
    if let Some(note) = &row.note {
        lines.push(format!("note    {note}"));
    }
    let pairs = |pairs: Vec<String>| pairs.join(", ");
    if let Some(tags) = row.tags.as_ref().filter(|tags| !tags.is_empty()) {
        lines.push(format!(
            "tags    {}",
            pairs(
                tags.iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect()
            )
        ));
    }
    if let Some(metrics) = row.metrics.as_ref().filter(|metrics| !metrics.is_empty()) {
        lines.push(format!(
            "metrics {}",
            pairs(
                metrics
                    .iter()
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect()
            )
        ));
    }
    lines
}
