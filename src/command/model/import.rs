//! `helenus model import`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    super::{Context, ask},
    check, push,
};
use crate::{
    domain::{
        folder::{DesiredVersion, VersionFacts},
        model::{AdmissionState, check_name, tolerance::Tolerance},
        problem::Problem,
    },
    engine::{artifacts, model_files, reference},
    failure::{Exit, Failure},
    inspect::{
        folder::{examine, facts},
        mlflow::{MlflowModel, MlflowServer, MlflowSource},
    },
    output::Answer,
    process,
    scorer::places::model_places,
    store::registry::models::VersionRow,
};

/// Register a model of MLflow as the next version and have it admitted
///
/// The source is a version of MLflow's registry, by number or alias, or a folder with the file MLmodel
/// (as `mlflow artifacts download` leaves it). Only models with the ONNX flavour are accepted. Feature
/// names come from --features, a file features.txt beside the model, the metadata `helenus.features`,
/// or the columns of the signature, which have the order of training; class names from --classes or
/// the metadata `helenus.classes`. Files golden.csv and reference.parquet beside the model are used,
/// too. The run's metrics are stored, and its ids as tags.
///
/// The server is that of MLFLOW_TRACKING_URI, with MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME
/// and MLFLOW_TRACKING_PASSWORD, and MLFLOW_TRACKING_SERVER_CERT_PATH. It must hand out the files
/// itself (`mlflow-artifacts:`) or have them on this machine; for others the error has the command
/// that downloads them.
///
/// Examples:
///
///     helenus model import mlflow:models:/tumour@champion
///     helenus model import mlflow:models:/tumour/3 --name tumour --golden golden.csv
///     helenus model import ./downloaded --name tumour
///
/// JSON result: as `helenus model push`, with "source", "features_from": "option" | "file" |
///   "metadata" | "signature" | "model" | null, "tags"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// mlflow:models:/NAME@ALIAS, mlflow:models:/NAME/VERSION, or a folder
    source: String,
    /// The model's name in helenus [default: that in MLflow]
    #[arg(long)]
    name: Option<String>,
    /// Address of the MLflow server [default: MLFLOW_TRACKING_URI]
    #[arg(long, value_name = "URL")]
    tracking_uri: Option<String>,
    #[command(flatten)]
    facts: check::Facts,
    /// Training rows with which runs are compared [default: reference.parquet beside the model]
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// A note, stored with the version
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Imports.
///
/// # Errors
/// Exit 5: the model is not found; exit 2: the model is not ONNX, or a file can't be used; exit 1:
/// the version is rejected; exit 3: MLflow or Cassandra.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let source = MlflowSource::parse(&args.source)?;
    let model = match &source {
        MlflowSource::Folder(folder) => MlflowModel::in_folder(folder)?,
        registered => {
            let limit = (context.config.max_model_mib as u64) << 20;
            let uri = args.tracking_uri.as_deref();
            let server = MlflowServer::from_environment(uri, limit)?;
            server.fetch(registered).await?
        }
    };
    let name = args.name.clone().or_else(|| model.name.clone());
    let name = name.ok_or_else(|| {
        let problem = Problem::new("mlflow.name", "the folder does not name the model");
        Failure::input(problem.help("give a name: --name NAME"))
    })?;
    check_name("a model", &name).map_err(|problem| {
        Failure::input(match args.name {
            Some(_) => problem,
            None => problem.help("give another name: --name NAME"),
        })
    })?;
    let file = model.file();
    let (features, features_from) = features(&args, &model, &file)?;
    let golden = match (&args.facts.golden, model.files.get("golden.csv")) {
        (Some(_), _) => args.facts.golden_text()?,
        (None, Some(path)) => Some(model_files::golden_text(path)?),
        (None, None) => None,
    };
    let reference = match args.reference.as_deref().or_else(|| reference_of(&model)) {
        Some(path) => Some(reference::read(path, &file, &features)?),
        None => None,
    };
    let classes = match args.facts.classes.as_slice() {
        [] => model.description.classes.clone().unwrap_or_default(),
        given => given.to_vec(),
    };
    let tolerance = args.facts.tolerance()?;
    let mut row = VersionRow {
        name: name.clone(),
        format: Some("onnx".to_owned()),
        feature_names: Some(features).filter(|names| !names.is_empty()),
        class_names: Some(classes).filter(|names| !names.is_empty()),
        widths: Some(args.facts.widths()?).filter(|widths| !widths.is_empty()),
        rtol: args.facts.rtol.map(|_| tolerance.rtol),
        atol: args.facts.atol.map(|_| tolerance.atol),
        accepts: (!args.facts.accept.is_empty())
            .then(|| args.facts.accept.iter().cloned().collect()),
        tags: Some(model.tags.clone()).filter(|tags| !tags.is_empty()),
        metrics: Some(model.metrics.clone()).filter(|metrics| !metrics.is_empty()),
        note: args.note.clone(),
        registered_by: Some(process::user()),
        ..VersionRow::default()
    };
    let opened = push::open(&file, context)?;
    refuse_early(context, &row, &file, golden.clone(), tolerance).await?;
    let store = context.store().await?;
    let (blob, sent) = push::upload(&store, context, &mut row, opened, golden.as_deref()).await?;
    row.artifacts = artifacts::upload(&store, &args.facts.artifact_files()?).await?;
    let version = store.insert_version(row).await?;
    if let Some(reference) = &reference {
        store.put_reference(&name, version, reference).await?;
    }
    let admission = push::admit(&store, context, &name, version, args.wait).await?;
    let mut answer = push::registered(&name, version, &blob, sent, Some(&admission));
    answer.result["source"] = json!(args.source);
    answer.result["features_from"] = json!(features_from);
    answer.result["tags"] = json!(model.tags);
    if let (None, Some(why)) = (features_from, model.description.unnamed)
        && admission.state == AdmissionState::Ready
    {
        answer = answer.warn(format!(
            "mlflow_unnamed: {why}; give the names: --features FILE"
        ));
    }
    Ok(answer)
}

/// Refuses a model that admission would reject, such as one whose weights are in files of their own,
/// before anything is written. Where there is no ONNX Runtime, a worker decides later.
async fn refuse_early(
    context: &Context,
    row: &VersionRow,
    file: &Path,
    golden: Option<String>,
    tolerance: Tolerance,
) -> Result<(), Failure> {
    let version = DesiredVersion {
        model: row.name.clone(),
        facts: VersionFacts {
            rtol: Some(tolerance.rtol),
            atol: Some(tolerance.atol),
            ..facts(row)
        },
        file: Some(file.to_owned()),
        golden,
        ..DesiredVersion::default()
    };
    let config = context.config.clone();
    let examined = tokio::task::spawn_blocking(move || examine(&config, &version)).await;
    match examined {
        Ok(Ok(Err(problems))) => Err(Failure {
            exit: Exit::No,
            problems,
        }),
        _ => Ok(()),
    }
}

fn reference_of(model: &MlflowModel) -> Option<&Path> {
    let mut names = ["reference.parquet", "reference.csv"].into_iter();
    names.find_map(|name| model.files.get(name).map(PathBuf::as_path))
}

/// Returns the names of the features and where they come from.
fn features(
    args: &Args,
    model: &MlflowModel,
    file: &Path,
) -> Result<(Vec<String>, Option<&'static str>), Failure> {
    if args.facts.features.is_some() {
        return Ok((args.facts.feature_names()?, Some("option")));
    }
    if let Some(path) = model.files.get("features.txt") {
        return Ok((model_files::feature_names(path)?, Some("file")));
    }
    if let Some(names) = &model.description.features {
        return Ok((names.clone(), Some("metadata")));
    }
    let bytes = std::fs::read(file).map_err(|error| {
        let problem = Problem::new("model.unreadable", format!("cannot be read: {error}"));
        Failure::input(problem.at(file.display().to_string()))
    })?;
    // A file that names the values of its inputs, or has an input for each feature, needs no others.
    let is_open = match model_places(bytes, &[]) {
        Ok(places) => places.iter().any(|place| place.name.ends_with(']')),
        Err(_) => true,
    };
    Ok(match (is_open, &model.description.columns) {
        (false, _) => (Vec::new(), Some("model")),
        (true, Some(columns)) => (columns.clone(), Some("signature")),
        (true, None) => (Vec::new(), None),
    })
}
