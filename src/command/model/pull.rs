//! `helenus model pull`.

use std::{io::Write, path::PathBuf};

use serde_json::json;

use super::{
    super::{
        Context,
        whole_file::{Content, Existing, WholeFile, is_stdout},
    },
    no_version, resolve,
};
use crate::{
    domain::{
        model::{AdmissionState, artifact::MAX_ARTIFACT, check_name},
        printable::printable,
        problem::Problem,
    },
    failure::Failure,
    output::{Answer, Format},
    store::{
        Store,
        registry::{
            chunks::{Blob, BlobError},
            models::VersionRow,
        },
    },
};

/// Write a version's bytes to a file, verified
///
/// Checks each chunk and the whole file against their sha256. The file appears only when it is
/// complete. On standard output (`-`) chunks appear as they are verified, so the output is only
/// valid with exit code 0.
///
/// Examples:
///
///     helenus model pull tumour 2
///     helenus model pull tumour champion -o model.onnx
///     helenus model pull tumour 2 -o - | sha256sum
///     helenus model pull mails 1 --artifact minilm -o tokenizer.json
///
/// JSON result: {"name", "version", "file", "size", "sha256"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The version, by number or alias
    version: String,
    /// Output file; `-` is standard output [default: NAME-VERSION.onnx, or NAME-VERSION-ARTIFACT]
    #[arg(short = 'o', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it exists, and keep its mode and owner
    #[arg(long)]
    force: bool,
    /// Write this artifact of the version instead of its model
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
}

/// Downloads the bytes.
///
/// # Errors
/// Exit 5: no such version; exit 1: missing or altered chunks, or a row altered since admission;
/// exit 2: the file exists or can't be written.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let to_stdout = args.file.as_deref().is_some_and(is_stdout);
    if to_stdout && context.format == Format::Json {
        return Err(Failure::input(Problem::new(
            "usage",
            "`-o -` and `--output json` both use standard output",
        )));
    }
    let store = context.store().await?;
    let version = resolve(&store, &args.name, &args.version).await?;
    let Some(row) = store.version(&args.name, version).await? else {
        return Err(no_version(&args.name, Some(version)));
    };
    let blob = trusted_blob(&store, &row).await?;
    let artifact = match &args.artifact {
        Some(name) => Some(artifact_bytes(&store, &row, name).await?),
        None => None,
    };
    let usual = match &args.artifact {
        Some(artifact) => format!("{}-{version}-{artifact}", args.name),
        None => format!("{}-{version}.onnx", args.name),
    };
    let path = args.file.unwrap_or_else(|| PathBuf::from(usual));
    let existing = match args.force {
        true => Existing::Replace,
        false => Existing::Keep,
    };
    let mut file = WholeFile::begin(&path, Content::Public, existing)?;
    file.refuse_terminal("a model")?;
    let (sha256, size) = match artifact {
        Some((sha256, bytes)) => {
            let written = file.write_all(&bytes);
            written.map_err(BlobError::Local)?;
            (sha256, bytes.len() as u64)
        }
        None => {
            store.download(&blob, |bytes| file.write_all(bytes)).await?;
            (blob.sha256, blob.size)
        }
    };
    file.finish()?;
    if to_stdout {
        return Ok(Answer::default());
    }
    let sha256 = hex::encode(sha256);
    let text = format!("{}: {size} bytes, sha256 {sha256}", path.display());
    Ok(Answer::new(
        json!({
            "name": args.name,
            "version": version,
            "file": path,
            "size": size,
            "sha256": sha256,
        }),
        text,
    ))
}

/// Returns an artifact's sha256 and bytes.
async fn artifact_bytes(
    store: &Store,
    row: &VersionRow,
    name: &str,
) -> Result<([u8; 32], Vec<u8>), Failure> {
    let all = row.artifact_shas();
    let sha256 = all.get(name).copied().ok_or_else(|| {
        let message = format!(
            "version {} of model `{}` has no artifact `{}`",
            row.version,
            row.name,
            printable(name)
        );
        let problem = Problem::new("artifact.unknown", message);
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        Failure::not_found(match known.as_slice() {
            [] => problem,
            known => problem.help(format!("it has {}", known.join(", "))),
        })
    })?;
    Ok((sha256, store.download_small(&sha256, MAX_ARTIFACT).await?))
}

/// Returns the blob of a version row; refuses a row that was altered since its admission.
pub async fn trusted_blob(store: &Store, row: &VersionRow) -> Result<Blob, Failure> {
    let problem = |code: &str, message: String| {
        Failure::no(Problem::new(code, message).at(format!("{} version {}", row.name, row.version)))
    };
    let blob = row.blob().map_err(|wrong| {
        problem(
            "model.row",
            format!("invalid row in model_versions: {}", wrong.join("; ")),
        )
    })?;
    if let Some(admission) = store.admission(&row.name, row.version).await? {
        let altered = admission.version_row_hash.as_deref() != Some(row.hash().as_slice());
        if altered || admission.state == AdmissionState::Tampered {
            return Err(problem(
                "model.tampered",
                "the version was altered after its admission".to_owned(),
            ));
        }
    }
    Ok(blob)
}
