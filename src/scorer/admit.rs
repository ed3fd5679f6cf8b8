//! Deciding about a model file. Runs in the admission process (`child`): a hostile file may crash it.

use std::{io::Read, path::PathBuf};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    golden_check,
    graph::{Categories, Told},
    image::{Image, unreadable},
    judge, onnx, runtime,
    session::Model,
    signature, trial,
    walk::walk,
};
use crate::domain::{
    golden::Golden,
    model::{Admitted, Signature},
    problem::Problem,
    tolerance::Tolerance,
};

/// Models above this are refused unless the limit is raised: 1 GiB.
pub const MAX_SIZE: u64 = 1 << 30;

/// What to decide about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The file, as an absolute path.
    pub model: PathBuf,
    /// ONNX Runtime's library, as [`runtime::locate`] gives it.
    pub library: PathBuf,
    /// Names of the places of all wide inputs, concatenated; empty when not given.
    pub feature_names: Vec<String>,
    /// Names of the classes, in column order; empty when not given.
    pub class_names: Vec<String>,
    /// The text of the golden rows' CSV.
    pub golden: Option<String>,
    /// How golden rows are held to what they expect.
    pub tolerance: Tolerance,
    /// Larger files are refused, in bytes.
    pub max_size: u64,
    /// What the file's sha256 must be, where that is known.
    pub sha256: Option<Sha>,
}

/// A sha256, hex in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sha(#[serde(with = "hex::serde")] pub [u8; 32]);

impl Request {
    /// A request about a file with nothing else given.
    pub fn new(model: PathBuf, library: PathBuf) -> Self {
        Self {
            model,
            library,
            feature_names: Vec::new(),
            class_names: Vec::new(),
            golden: None,
            tolerance: Tolerance::default(),
            max_size: MAX_SIZE,
            sha256: None,
        }
    }
}

/// Looks at everything and tries it. `stage` is told what comes next, so that a crash can be placed.
///
/// # Errors
/// All problems that were found before it made no sense to go on.
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
                "the bytes have sha256 {}, not the one that was registered",
                hex::encode(sha256)
            ),
        )));
    }
    let mut golden = match &request.golden {
        Some(text) => Some(Golden::parse(text)?),
        None => None,
    };

    stage("walking the graph");
    let file = Bytes::from(file);
    let told = look_into(file.clone())?;

    stage("creating a session");
    let runtime = runtime::load(Some(&request.library)).map_err(one)?;
    // The last handle, so the bytes are moved and not copied.
    let image = Image::merged(file.into(), &told.merge);
    let (mut model, inputs, outputs) = Model::explore(runtime, &image).map_err(one)?;
    drop(image);

    stage("reading the signature");
    let mut warnings = Vec::new();
    let features = match request.feature_names.as_slice() {
        [] => &told.metadata_features,
        given => given,
    };
    let (inputs, fixed_batch) = signature::inputs(&inputs, features, golden.as_ref())?;
    let outputs = signature::outputs(&outputs, &told)?;
    let feature_names = signature::feature_names(&inputs, features, &mut warnings).map_err(one)?;
    if let Some(batch) = fixed_batch {
        warnings.push(format!(
            "fixed_batch: the file takes exactly {batch} row(s) a call; rows are scored {batch} at a time, the last call padded"
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
    let golden_inputs = match &mut golden {
        Some(golden) => Some(golden_check::inputs(
            golden,
            model.signature(),
            &feature_names,
            &mut warnings,
        )?),
        None => None,
    };

    stage("scoring trial rows");
    let tried = trial::run(&mut model, golden_inputs.as_ref(), &categories)?;
    if golden.is_none() && tried.random_accepted < 8 {
        warnings.push(format!(
            "barely_tried: the model accepted {} of 64 random rows; golden rows would show more",
            tried.random_accepted
        ));
    }

    stage("comparing golden rows");
    let mut signature = model.signature().clone();
    if let Some(golden) = &golden {
        golden_check::compare(golden, &signature, &tried, request.tolerance)?;
    }
    for (output, data) in signature.outputs.iter_mut().zip(&tried.answers.outputs) {
        output.simplex = judge::is_simplex(output, data);
    }
    signature::name_classes(&mut signature.outputs, &request.class_names, &told).map_err(one)?;
    warnings.extend(judge::label_disagrees(&signature, &tried.answers));
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
    })
}

/// Reads the protobuf, refuses what must not be loaded, and keeps what the graph tells.
fn look_into(file: Bytes) -> Result<Told, Vec<Problem>> {
    let proto = onnx::decode(file).map_err(|problem| vec![problem])?;
    let problems = walk(&proto);
    if !problems.is_empty() {
        return Err(problems);
    }
    Told::by(&proto).map_err(|problem| vec![problem])
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

/// Above the limit, whichever way that was noticed.
pub fn too_big(size: u64, limit: u64) -> Problem {
    Problem::new(
        "model.too_big",
        format!("the model has {size} bytes, the limit is {limit}"),
    )
    .help("raise max_model_mib where the worker's memory allows it (ONNX Runtime needs a multiple of the size)")
}
