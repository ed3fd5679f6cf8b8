//! `helenus model check`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::Context;
use crate::{
    domain::{
        csv,
        golden::Golden,
        model::{Admitted, ClassSource, Output},
        problem::Problem,
        tolerance::Tolerance,
    },
    failure::{Exit, Failure},
    output::Answer,
    scorer::{
        admit::Request,
        child::{self, Limits},
        runtime,
    },
};

/// Decide about a local file as admission would, without Cassandra
///
/// The file is read, walked, loaded and tried in a process with limits on memory and time. Exit
/// code 0: accepted. 1: rejected. 2: a file or an option cannot be used.
///
/// Example:
///
///     helenus model check model.onnx --features features.txt --golden golden.csv
///
/// JSON result: {"accepted": bool, "sha256", "size", "inputs": […], "outputs": […],
/// "feature_names": […], "opsets": {…}, "ir_version", "runtime_version"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The ONNX file
    file: PathBuf,
    #[command(flatten)]
    facts: Facts,
    /// Refuse larger files, in MiB [default: the setting max_model_mib, 1024]
    #[arg(long, value_name = "MIB")]
    max_size: Option<u64>,
}

/// What an ONNX file does not say by itself; the same options push it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Facts {
    /// Feature names in the model's order, one a line
    #[arg(long, value_name = "FILE")]
    pub features: Option<PathBuf>,
    /// Class names in column order, comma separated
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// Golden rows: CSV of `in.<input or feature>` and `out.<output>` columns
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// Relative tolerance for golden rows [default: 1e-5]
    #[arg(long, value_name = "NUMBER")]
    pub rtol: Option<f64>,
    /// Absolute tolerance for golden rows [default: 1e-6]
    #[arg(long, value_name = "NUMBER")]
    pub atol: Option<f64>,
}

impl Facts {
    /// Feature names, one a line; blank lines at the end do not count.
    ///
    /// # Errors
    /// A file that cannot be read, an empty line in the middle.
    pub fn feature_names(&self) -> Result<Vec<String>, Failure> {
        let Some(path) = &self.features else {
            return Ok(Vec::new());
        };
        let text = text(path)?;
        let mut names = Vec::new();
        for (at, line) in text.trim_end().lines().enumerate() {
            let name = line.trim_end_matches('\r');
            if name.trim().is_empty() {
                return Err(Failure::input(
                    Problem::new("features.empty_line", "an empty line is no feature name")
                        .at(format!("{}: line {}", path.display(), at + 1)),
                ));
            }
            names.push(name.to_owned());
        }
        if names.is_empty() {
            return Err(Failure::input(
                Problem::new("features.empty", "the file names no features")
                    .at(path.display().to_string()),
            ));
        }
        Ok(names)
    }

    /// The golden rows' text, whose columns may yet name nothing of the model.
    ///
    /// # Errors
    /// A file that cannot be read, is no CSV, or has columns that are neither `in.` nor `out.`.
    pub fn golden_text(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.golden else {
            return Ok(None);
        };
        let text = text(path)?;
        Golden::parse(&text).map_err(|mut problems| {
            name_file(&mut problems, path);
            Failure::inputs(problems)
        })?;
        Ok(Some(text))
    }

    /// The tolerance for golden rows.
    ///
    /// # Errors
    /// Negative numbers and NaN.
    pub fn tolerance(&self) -> Result<Tolerance, Failure> {
        let usual = Tolerance::default();
        let tolerance = Tolerance {
            rtol: self.rtol.unwrap_or(usual.rtol),
            atol: self.atol.unwrap_or(usual.atol),
        };
        if [tolerance.rtol, tolerance.atol]
            .iter()
            .all(|number| *number >= 0.0)
        {
            return Ok(tolerance);
        }
        Err(Failure::input(Problem::new(
            "tolerance.negative",
            "--rtol and --atol take numbers from 0",
        )))
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::input(Problem::new(
            "file.unreadable",
            format!("{} cannot be read: {error}", path.display()),
        ))
    })?;
    csv::decode(&bytes).map(str::to_owned).map_err(|problem| {
        let place = problem.place.clone().unwrap_or_default();
        Failure::input(problem.at(format!("{}: {place}", path.display())))
    })
}

/// Decides, and tells what was found.
///
/// # Errors
/// Exit 1 with all problems when the model is rejected.
pub fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let config = &context.config;
    let unreadable = |error: std::io::Error| {
        Failure::input(Problem::new(
            "model.unreadable",
            format!("{} cannot be read: {error}", args.file.display()),
        ))
    };
    let model = std::path::absolute(&args.file).map_err(unreadable)?;
    if !std::fs::metadata(&model).map_err(unreadable)?.is_file() {
        let why = std::io::Error::other("it is no file");
        return Err(unreadable(why));
    }
    std::fs::File::open(&model).map_err(unreadable)?;
    let library = runtime::locate(config.onnxruntime.as_deref());
    let mut request = Request::new(model, library);
    request.feature_names = args.facts.feature_names()?;
    request.class_names.clone_from(&args.facts.classes);
    request.golden = args.facts.golden_text()?;
    request.tolerance = args.facts.tolerance()?;
    request.max_size = args.max_size.unwrap_or(config.max_model_mib as u64) << 20;
    let limits = Limits {
        time: config.admission_timeout,
        memory: (config.admission_memory_mib as u64) << 20,
        ..Limits::default()
    };
    let outcome = child::run(&request, &limits).map_err(Failure::system)?;
    match outcome.verdict() {
        Ok(admitted) => Ok(accepted(&admitted)),
        Err(problems) => Err(rejected(&args, problems)),
    }
}

fn rejected(args: &Args, mut problems: Vec<Problem>) -> Failure {
    if let Some(golden) = &args.facts.golden {
        name_file(&mut problems, golden);
    }
    Failure {
        exit: Exit::No,
        problems,
    }
}

/// Problems of golden rows know their line, not their file.
pub fn name_file(problems: &mut [Problem], file: &Path) {
    for problem in problems {
        let golden = ["golden.", "csv."]
            .iter()
            .any(|code| problem.code.starts_with(code));
        if let (true, Some(place)) = (golden, &problem.place) {
            problem.place = Some(format!("{}: {place}", file.display()));
        }
    }
}

/// The answer about an admitted model, for `check`, `push` and `show`.
pub fn accepted(admitted: &Admitted) -> Answer {
    let mut answer = Answer::new(result(admitted), said(admitted));
    answer.warnings.clone_from(&admitted.warnings);
    answer
}

fn result(admitted: &Admitted) -> Value {
    let signature = &admitted.signature;
    let outputs: Vec<Value> = signature
        .outputs
        .iter()
        .map(|output| {
            json!({
                "name": output.public_name,
                "tensor": output.name,
                "element": output.element,
                "dims": output.dims,
                "probabilities": output.simplex,
                "classes": output.classes.as_ref().map(|classes| &classes.names),
                "classes_source": output.classes.as_ref().map(|classes| classes.source),
            })
        })
        .collect();
    json!({
        "accepted": true,
        "sha256": hex::encode(admitted.sha256),
        "size": admitted.size,
        "inputs": signature.inputs,
        "outputs": outputs,
        "fixed_batch": signature.fixed_batch,
        "feature_names": admitted.feature_names,
        "opsets": admitted.opsets,
        "ir_version": admitted.ir_version,
        "runtime_version": admitted.runtime_version,
    })
}

fn said(admitted: &Admitted) -> String {
    let signature = &admitted.signature;
    let mut lines = vec![format!(
        "accepted: {} bytes, sha256 {}",
        admitted.size,
        hex::encode(admitted.sha256)
    )];
    for input in &signature.inputs {
        lines.push(format!(
            "input   {}: {}",
            input.name,
            shape(input.element, &input.dims)
        ));
    }
    for output in &signature.outputs {
        lines.push(format!(
            "output  {}: {}{}",
            output.public_name,
            shape(output.element, &output.dims),
            columns(output)
        ));
    }
    if !admitted.feature_names.is_empty() {
        lines.push(format!("features {}", admitted.feature_names.join(", ")));
    }
    let opsets: Vec<String> = admitted
        .opsets
        .iter()
        .map(|(domain, version)| format!("{domain} {version}"))
        .collect();
    lines.push(format!(
        "opsets  {}; IR version {}; tried with ONNX Runtime {}",
        opsets.join(", "),
        admitted.ir_version,
        admitted.runtime_version
    ));
    lines.join("\n")
}

fn shape(element: crate::domain::tensor::Element, dims: &[usize]) -> String {
    let dims: String = dims.iter().map(|dim| format!(", {dim}")).collect();
    format!("{} [N{dims}]", format!("{element:?}").to_lowercase())
}

fn columns(output: &Output) -> String {
    if output.width() < 2 {
        return String::new();
    }
    let kind = if output.simplex {
        "probabilities"
    } else {
        "scores"
    };
    let Some(classes) = &output.classes else {
        return match output.simplex {
            true => format!(", {kind}"),
            false => String::new(),
        };
    };
    let from = match classes.source {
        ClassSource::Manifest => "the manifest",
        ClassSource::PushOption => "--classes",
        ClassSource::MetadataProps => "metadata helenus.classes",
        ClassSource::Zipmap => "ZipMap",
        ClassSource::ClasslabelsAttribute => "the classlabels attribute",
        ClassSource::Index => "their index",
    };
    format!(", {kind} of {} (from {from})", classes.names.join(", "))
}
