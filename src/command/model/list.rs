//! `helenus model list`.

use serde_json::json;

use super::super::Context;
use crate::{
    domain::model::check_name,
    failure::Failure,
    inspect::catalog::{self, VersionSummary},
    output::{self, Answer},
    store::Store,
};

/// List models, or one model's versions
///
/// Examples:
///
///     helenus model list
///     helenus model list tumour
///
/// JSON result: {"models": [{"name", "versions", "latest", "state", "champion"} …]}; with NAME
///   {"name", "versions": [{"version", "state", "aliases", "sha256", "size", "registered_at",
///   "registered_by", "tags", "metrics", "evaluated", "note", "signature", "reason"} …]}, newest
///   first; "evaluated" is the headline of the newest evaluation: null or {"metric", "value"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// List all versions of this model
    name: Option<String>,
}

/// Lists models or versions.
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
    let models = catalog::models(store).await?;
    if models.is_empty() {
        let text = "no models; register one with `helenus model push NAME FILE`";
        return Ok(Answer::new(json!({"models": models}), text));
    }
    let rows = models.iter().map(|model| {
        [
            model.name.clone(),
            model.versions.to_string(),
            model.latest.to_string(),
            model.state.clone(),
            model
                .champion
                .map_or_else(|| "-".to_owned(), |version| version.to_string()),
        ]
    });
    let text = output::table(["NAME", "VERSIONS", "LATEST", "STATE", "CHAMPION"], rows);
    Ok(Answer::new(json!({"models": models}), text))
}

async fn versions(store: &Store, name: &str) -> Result<Answer, Failure> {
    let model = catalog::model(store, name).await?;
    let text = output::table(
        [
            "VERSION",
            "STATE",
            "ALIASES",
            "BYTES",
            "SHA256",
            "REGISTERED",
            "EVALUATED",
            "NOTE",
        ],
        model.versions.iter().map(version_row),
    );
    Ok(Answer::new(json!(model), text))
}

fn version_row(version: &VersionSummary) -> [String; 8] {
    let sha256 = version.sha256.as_deref().unwrap_or_default();
    let evaluated = version.evaluated.as_ref().map(|headline| {
        let value = match headline.value.as_f64() {
            Some(value) => format!("{value:.4}"),
            None => headline.value.as_str().unwrap_or_default().to_owned(),
        };
        format!("{} {value}", headline.metric)
    });
    [
        version.version.to_string(),
        version.state.clone(),
        version.aliases.join(", "),
        version
            .size
            .map_or_else(String::new, |size| size.to_string()),
        sha256.chars().take(12).collect(),
        version.registered_at.clone().unwrap_or_default(),
        evaluated.unwrap_or_default(),
        version.note.clone().unwrap_or_default(),
    ]
}
