//! `helenus model pull`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{super::Context, no_version, resolve};
use crate::{
    domain::{
        model::{AdmissionState, check_name},
        problem::Problem,
    },
    failure::Failure,
    output::{Answer, Format},
    store::{Store, chunks::Blob, models::VersionRow},
};

/// Write a version's bytes to a file, verified
///
/// Each chunk and the whole are checked against their sha256. The file appears only when all of it
/// is there; to standard output (`-`) chunks go as they are checked, and what was written counts
/// only with exit code 0.
///
/// Examples:
///
///     helenus model pull tumour 2
///     helenus model pull tumour champion -o model.onnx
///     helenus model pull tumour 2 -o - | sha256sum
///
/// JSON result: {"name", "version", "file", "size", "sha256"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// Its version, or an alias
    version: String,
    /// Where to; `-` is standard output [default: NAME-VERSION.onnx]
    #[arg(short = 'o', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Fetches the bytes.
///
/// # Errors
/// Exit 5: no such version; exit 1: chunks missing or altered, or a row that is not what was
/// admitted; exit 2: the file exists or can't be written.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let to_stdout = args.file.as_deref() == Some(Path::new("-"));
    if to_stdout && context.format == Format::Json {
        return Err(Failure::input(Problem::new(
            "usage",
            "`-o -` and `--output json` both want standard output",
        )));
    }
    let store = context.store().await?;
    let version = resolve(&store, &args.name, &args.version).await?;
    let Some(row) = store.version(&args.name, version).await? else {
        return Err(no_version(&args.name, Some(version)));
    };
    let blob = trusted(&store, &row).await?;
    if to_stdout {
        let mut stdout = io::stdout().lock();
        store
            .download(&blob, |bytes| stdout.write_all(bytes))
            .await?;
        stdout
            .flush()
            .map_err(|error| unwritable(Path::new("-"), &error))?;
        return Ok(Answer::default());
    }
    let path = args
        .file
        .unwrap_or_else(|| PathBuf::from(format!("{}-{version}.onnx", args.name)));
    write(&store, &blob, &path, args.force).await?;
    let sha256 = hex::encode(blob.sha256);
    let text = format!("{}: {} bytes, sha256 {sha256}", path.display(), blob.size);
    Ok(Answer::new(
        json!({
            "name": args.name,
            "version": version,
            "file": path,
            "size": blob.size,
            "sha256": sha256,
        }),
        text,
    ))
}

/// What the row is about; refused when it is not what was admitted.
async fn trusted(store: &Store, row: &VersionRow) -> Result<Blob, Failure> {
    let problem = |code: &str, what: String| {
        Failure::no(Problem::new(code, what).at(format!("{} version {}", row.name, row.version)))
    };
    let blob = row.blob().map_err(|wrong| {
        problem(
            "model.row",
            format!(
                "its row in model_versions is unusable: {}",
                wrong.join("; ")
            ),
        )
    })?;
    if let Some(admission) = store.admission(&row.name, row.version).await? {
        let altered = admission.version_row_hash.as_deref() != Some(row.hash().as_slice());
        if altered || admission.state == AdmissionState::Tampered {
            return Err(problem(
                "model.tampered",
                "it is not what was admitted".to_owned(),
            ));
        }
    }
    Ok(blob)
}

async fn write(store: &Store, blob: &Blob, path: &Path, force: bool) -> Result<(), Failure> {
    if !force && path.exists() {
        return Err(exists(path));
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(unwritable(path, &io::Error::other("it is no file"))),
    };
    let mut builder = tempfile::Builder::new();
    use std::os::unix::fs::PermissionsExt;
    builder
        .prefix(".helenus-pull-")
        .permissions(std::fs::Permissions::from_mode(0o644));
    let mut file = builder
        .tempfile_in(folder)
        .map_err(|error| unwritable(path, &error))?;
    store.download(blob, |bytes| file.write_all(bytes)).await?;
    file.as_file()
        .sync_all()
        .map_err(|error| unwritable(path, &error))?;
    let kept = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    kept.map(drop).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => unwritable(path, &error.error),
    })
}

fn exists(path: &Path) -> Failure {
    Failure::input(
        Problem::new("file.exists", "the file exists")
            .at(path.display().to_string())
            .help("--force replaces it"),
    )
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::input(
        Problem::new("file.unwritable", format!("cannot be written: {error}"))
            .at(path.display().to_string()),
    )
}
