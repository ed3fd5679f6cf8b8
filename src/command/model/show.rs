//! `helenus model show`.

use serde_json::json;

use super::{super::Context, check, no_version, resolve};
use crate::{
    domain::model::{alias::CHAMPION, check_name},
    failure::Failure,
    inspect::catalog::{self, RegisteredDetail},
    output::Answer,
    store::Store,
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
///   "chunks", "feature_names", "class_names", "widths", "golden_sha256", "rtol", "atol", "accepts",
///   "artifacts", "tags", "metrics", "note", "by", "at"}, "admission": null or {"state", "reason", "warnings",
///   "signature", "decided_by", "decided_at", "found": as `model check`}}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The version, by number or alias [default: the champion, or else the newest]
    version: Option<String>,
}

/// Shows the version.
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
    let shown = catalog::version(&store, name, version).await?;
    let mut lines = vec![match shown.aliases.as_slice() {
        [] => format!("{name} version {version}: {}", shown.state),
        aliases => format!(
            "{name} version {version}: {}, {}",
            shown.state,
            aliases.join(", ")
        ),
    }];
    lines.extend(registered_text(&shown.registered));
    if let Some(problem) = &shown.unready {
        lines.push(problem.line());
    }
    let admission = shown.admission.as_ref();
    if let Some(found) = admission.and_then(|admission| admission.found.as_ref()) {
        lines.push(check::summary(found));
    }
    let mut answer = Answer::new(json!(shown), lines.join("\n"));
    if let Some(admission) = shown.admission {
        answer.warnings = admission.warnings;
    }
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

fn registered_text(row: &RegisteredDetail) -> Vec<String> {
    let mut lines = Vec::new();
    let by = row.by.as_deref().unwrap_or("an unknown user");
    lines.push(format!(
        "registered by {by} at {}",
        row.at.as_deref().unwrap_or("an unknown time")
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
                    .map(|(key, value)| match value.as_str() {
                        Some(text) => format!("{key} = {text}"),
                        None => format!("{key} = {value}"),
                    })
                    .collect()
            )
        ));
    }
    lines
}
