//! `helenus model reference`.

use std::path::PathBuf;

use serde_json::json;

use super::{super::Context, no_version, pull::trusted_blob, resolve};
use crate::{
    domain::{model::check_name, problem::Problem},
    engine::reference,
    failure::{Exit, Failure},
    output::Answer,
};

/// Store the rows that a version was trained on, for drift
///
/// For versions that were registered without `--reference`. The file is CSV or Parquet, with one
/// column for each feature by the model's names, and at least 200 rows. Stored are histograms of
/// these rows, not the rows; jobs compare their next run with them. A command that was interrupted
/// can be repeated with --replace.
///
/// Examples:
///
///     helenus model reference tumour 2 training.parquet
///     helenus model reference tumour champion training.csv --replace
///
/// JSON result: {"name", "version", "features", "replaced"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The version, by number or alias
    version: String,
    /// Rows that the version was trained on: CSV or Parquet
    file: PathBuf,
    /// Replace the reference that the version has
    #[arg(long)]
    replace: bool,
}

/// Stores the reference.
///
/// # Errors
/// Exit 5: no such version; exit 4: it has a reference; exit 2: the file can't be used; exit 1: the
/// stored model was altered.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let store = context.store().await?;
    let version = resolve(&store, &args.name, &args.version).await?;
    let Some(row) = store.version(&args.name, version).await? else {
        return Err(no_version(&args.name, Some(version)));
    };
    let existing = store.reference(&args.name, version).await?;
    let replaced = !existing.features.is_empty() || !existing.unusable.is_empty();
    if replaced && !args.replace {
        let message = format!(
            "version {version} of `{}` already has a reference",
            args.name
        );
        let problem = Problem::new("reference.exists", message);
        return Err(Failure::new(
            Exit::Conflict,
            problem.help("use --replace to replace it"),
        ));
    }
    let blob = trusted_blob(&store, &row).await?;
    let unwritable = |error: std::io::Error| {
        let message = format!("cannot write the model to a temporary file: {error}");
        Failure::system(Problem::new("reference.temporary", message))
    };
    let mut model = tempfile::NamedTempFile::new().map_err(unwritable)?;
    let write = |bytes: &[u8]| std::io::Write::write_all(&mut model, bytes);
    store.download(&blob, write).await?;
    let names = row.feature_names.unwrap_or_default();
    let reference = reference::read(&args.file, model.path(), &names)?;
    store.put_reference(&args.name, version, &reference).await?;
    let features = reference.len();
    let text = format!(
        "version {version} of `{}` has a reference of {features} features",
        args.name
    );
    let result = json!({
        "name": args.name,
        "version": version,
        "features": features,
        "replaced": replaced,
    });
    Ok(Answer::new(result, text))
}
