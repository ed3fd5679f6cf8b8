//! Admits a model file. Runs in the admission process (`child`), which a hostile file may crash.

use std::{collections::BTreeMap, io::Read, path::PathBuf};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    artifacts::{self, ArtifactFile},
    class_names, golden_check,
    graph::{Categories, GraphInfo},
    image::{Image, unreadable},
    judge, onnx,
    output_checks::{self, SHAPE_DIFFERS},
    runtime,
    session::Model,
    signature, trial,
    walk::walk,
    widths,
};
use crate::domain::{
    model::{Admitted, Signature, golden::Golden, tolerance::Tolerance},
    problem::Problem,
};

/// Default limit on a model's size: 1 GiB.
pub const MAX_SIZE: u64 = 1 << 30;

/// Input of an admission.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The file, as an absolute path.
    pub model: PathBuf,
    /// ONNX Runtime's library, from [`runtime::locate`].
    pub library: PathBuf,
    /// Names of the places of all wide inputs, concatenated; empty when not given.
    pub feature_names: Vec<String>,
    /// Names of the classes, in column order; empty when not given.
    pub class_names: Vec<String>,
    /// Number of values per row of inputs that the file declares as `[N, ?]`, by name; at least 1
    /// each.
    pub widths: BTreeMap<String, i32>,
    /// The text of the golden rows' CSV.
    pub golden: Option<String>,
    /// Tolerance of golden rows.
    pub tolerance: Tolerance,
    /// Otherwise fatal findings that are accepted: [`SHAPE_DIFFERS`].
    pub accepts: Vec<String>,
    /// Maximum size of the file in bytes.
    pub max_size: u64,
    /// The file's required sha256, if it is known.
    pub sha256: Option<Sha>,
    /// Files beside the model, by name.
    pub artifacts: BTreeMap<String, ArtifactFile>,
}

/// A sha256, hex in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sha(#[serde(with = "hex::serde")] pub [u8; 32]);

impl Request {
    /// Returns a request for a file without any options.
    pub fn new(model: PathBuf, library: PathBuf) -> Self {
        Self {
            model,
            library,
            feature_names: Vec::new(),
            class_names: Vec::new(),
            widths: BTreeMap::new(),
            golden: None,
            tolerance: Tolerance::default(),
            accepts: Vec::new(),
            max_size: MAX_SIZE,
            sha256: None,
            artifacts: BTreeMap::new(),
        }
    }
}

/// Checks and tries a model. `stage` is called before each stage, so that a crash can be located.
///
/// # Errors
/// All problems found before it made no sense to continue.
pub fn admit(request: &Request, stage: &mut dyn FnMut(&str)) -> Result<Admitted, Vec<Problem>> {
    let one = |problem| vec![problem];
    stage("reading the file");
    let file = read(request).map_err(one)?;
    let sha256: [u8; 32] = Sha256::digest(&file).into();
    let size = file.len() as u64;
    if request.sha256.is_some_and(|wanted| wanted.0 != sha256) {
        return Err(one(Problem::new(
            "model.sha256",
            format!(
                "the bytes have sha256 {}, which differs from the registered one",
                hex::encode(sha256)
            ),
        )));
    }
    let mut golden = match &request.golden {
        Some(text) => Some(Golden::parse(text)?),
        None => None,
    };

    stage("reading the artifacts");
    let artifacts = artifacts::admit(&request.artifacts)?;

    stage("walking the graph");
    let file = Bytes::from(file);
    let told = inspect(file.clone())?;

    stage("creating a session");
    let runtime = runtime::load(Some(&request.library)).map_err(one)?;
    // The last handle, so the bytes are moved, not copied.
    let image = Image::merged(file.into(), &told.merge);
    let (mut model, inputs, declared) = Model::explore(runtime, &image).map_err(one)?;
    drop(image);

    stage("reading the signature");
    let mut warnings = told.warnings.clone();
    let features = match request.feature_names.as_slice() {
        [] => &told.metadata_features,
        given => given,
    };
    let given = widths::Given {
        widths: &request.widths,
        features,
        golden: golden.as_ref(),
    };
    let (inputs, fixed_batch) = signature::inputs(&inputs, &given)?;
    let outputs = signature::outputs(&declared, &told)?;
    let feature_names = signature::feature_names(&inputs, features, &mut warnings).map_err(one)?;
    if let Some(batch) = fixed_batch {
        warnings.push(format!(
            "fixed_batch: the file takes exactly {batch} row(s) per call; rows are scored {batch} at a time, with padding"
        ));
    }
    let none = Categories::default();
    let categories: Vec<&Categories> = inputs
        .iter()
        .map(|input| told.categories.get(&input.name).unwrap_or(&none))
        .collect();
    model.set_signature(Signature {
        inputs,
        outputs,
        fixed_batch,
    });
    let labels = signature::place_labels(model.signature(), &feature_names);
    let golden_inputs = match &mut golden {
        Some(golden) => Some(golden_check::inputs(
            golden,
            model.signature(),
            &labels,
            &mut warnings,
        )?),
        None => None,
    };

    stage("scoring trial rows");
    let tried = trial::run(
        &mut model,
        golden_inputs.as_ref(),
        &categories,
        request.tolerance,
        &told.causes,
    )?;
    warnings.extend_from_slice(&tried.warnings);
    if golden.is_none() && tried.random_accepted < 8 {
        warnings.push(format!(
            "barely_tried: the model accepted only {} of 64 random rows; add golden rows",
            tried.random_accepted
        ));
    }

    stage("comparing golden rows");
    let mut signature = model.signature().clone();
    if let Some(golden) = &golden {
        golden_check::compare(golden, &signature, &tried, request.tolerance, &told.causes)?;
    }
    let expected = match &golden {
        Some(golden) => golden.expected(&signature.outputs)?,
        None => Vec::new(),
    };
    let is_accepted = request.accepts.iter().any(|what| what == SHAPE_DIFFERS);
    warnings.extend(output_checks::shapes(
        &declared,
        &signature,
        &expected,
        is_accepted,
    )?);
    warnings.extend(output_checks::nothing_but_nan(&signature, &tried.answers));
    for (output, data) in signature.outputs.iter_mut().zip(&tried.answers.outputs) {
        output.simplex = judge::is_simplex(output, data);
    }
    class_names::name(&mut signature.outputs, &request.class_names, &told).map_err(one)?;
    warnings.extend(judge::label_disagrees(&signature, &tried.answers));
    warnings.extend(class_names::unnamed(&signature, &tried.answers));
    warnings.extend(golden_check::warnings(
        golden.as_ref(),
        &feature_names,
        &signature,
    ));
    Ok(Admitted {
        sha256,
        size,
        signature,
        merge: told.merge,
        feature_names,
        opsets: told.opsets,
        ir_version: told.ir_version,
        warnings,
        runtime_version: runtime.version.clone(),
        artifacts,
        index_limits: told.index_limits,
    })
}

/// Decodes the protobuf, rejects what must not be loaded, and extracts the graph's properties.
fn inspect(file: Bytes) -> Result<GraphInfo, Vec<Problem>> {
    let proto = onnx::decode(file).map_err(|problem| vec![problem])?;
    let problems = walk(&proto);
    if !problems.is_empty() {
        return Err(problems);
    }
    GraphInfo::read(&proto).map_err(|problem| vec![problem])
}

fn read(request: &Request) -> Result<Vec<u8>, Problem> {
    let path = &request.model;
    let unreadable = |error| unreadable(path, &error);
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > request.max_size {
        return Err(too_big(size, request.max_size));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.by_ref()
        .take(request.max_size + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > request.max_size {
        return Err(too_big(bytes.len() as u64, request.max_size));
    }
    Ok(bytes)
}

/// The model exceeds the size limit.
pub fn too_big(size: u64, limit: u64) -> Problem {
    Problem::new(
        "model.too_big",
        format!("the model has {size} bytes, but the limit is {limit}"),
    )
    .help("raise max_model_mib if the worker's memory permits (ONNX Runtime needs a multiple of the size)")
}
