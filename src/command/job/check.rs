//! `helenus job check`.

use std::path::PathBuf;

use serde_json::json;

use super::{Context, check_all};
use crate::{engine::jobs::read_manifest, failure::Failure, output::Answer};

/// Check a manifest against models and tables, and change nothing
///
/// Runs the same checks as `job create`: names, types, classes, the existing prediction table, and
/// the expected rows, scored through the real mapping. Reports all problems at once.
///
/// Examples:
///
///     helenus job check tumour.toml
///     helenus job check tumour.toml --output json | jq .error
///
/// JSON result: {"job", "model", "versions": [number …], "source", "target",
///   "expected_rows": bool}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The manifest (TOML)
    file: PathBuf,
}

/// Checks the manifest.
///
/// # Errors
/// Exit 2: all problems of the manifest.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let (_, manifest) = read_manifest(&args.file)?;
    let store = context.store().await?;
    let checked = check_all(&store, &manifest, Some(&args.file)).await?;
    let versions: Vec<i32> = checked
        .job
        .versions
        .iter()
        .map(|version| version.ready.version)
        .collect();
    let expected = match manifest.expect.is_some() {
        true => "; the expected rows match",
        false => "",
    };
    let numbers: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let text = format!(
        "job `{}` is valid: model `{}` ({}), {} -> {}{expected}",
        manifest.job,
        manifest.model,
        numbers.join(", "),
        manifest.source,
        manifest.target()
    );
    let mut answer = Answer::new(
        json!({
            "job": manifest.job,
            "model": manifest.model,
            "versions": versions,
            "source": manifest.source.to_string(),
            "target": manifest.target().to_string(),
            "expected_rows": manifest.expect.is_some(),
        }),
        text,
    );
    answer.warnings = checked.job.warnings;
    Ok(answer)
}
