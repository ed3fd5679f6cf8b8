//! `helenus model check`.

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::json;

use super::{
    super::Context,
    preprocess::{PreprocessArgs, add_entry},
};
use crate::{
    domain::{
        model::{Admitted, ClassSource, artifact::check_artifact_name, tolerance::Tolerance},
        printable::printable,
        problem::Problem,
    },
    engine::{
        artifacts::{self, ArtifactPaths},
        model_files,
    },
    failure::{Exit, Failure},
    inspect::catalog::{FoundModel, FoundOutput},
    output::Answer,
    scorer::{
        admit::Request,
        child::{self, Limits},
        output_checks::SHAPE_DIFFERS,
        runtime,
    },
};

/// Check a local file as admission would, without Cassandra
///
/// Reads, inspects, loads and runs the model in a process with limits on memory and time.
///
/// Exit code 0: accepted. 1: rejected. 2: a file or an option cannot be used.
///
/// Example:
///
///     helenus model check model.onnx --features features.txt --golden golden.csv
///
/// JSON result: {"accepted": bool, "sha256", "size", "inputs": […], "outputs": […], "fixed_batch",
///   "feature_names": […], "opsets": {…}, "ir_version", "runtime_version",
///   "artifacts": {name: {"sha256", "size", "kind": "tokenizer" | "labels" | "json", …}},
///   "features_entry" (with --preprocess)}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The ONNX file
    file: PathBuf,
    #[command(flatten)]
    facts: Facts,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// Maximum size of the file in MiB [default: the setting max_model_mib, 1024]
    #[arg(long, value_name = "MIB")]
    max_size: Option<u64>,
}

/// Facts that an ONNX file does not contain; `model check` and `model push` take the same options.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Facts {
    /// File of feature names in the model's order, one per line
    #[arg(long, value_name = "FILE")]
    pub features: Option<PathBuf>,
    /// Class names in column order, comma-separated
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub classes: Vec<String>,
    /// Number of values per row of an input that the file declares as [N, ?] (can be repeated)
    #[arg(long = "width", value_name = "INPUT=N")]
    pub widths: Vec<String>,
    /// Golden rows: CSV file with `in.<input or feature>` and `out.<output>` columns
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// Relative tolerance for golden rows [default: 1e-5]
    #[arg(long, value_name = "NUMBER")]
    pub rtol: Option<f64>,
    /// Absolute tolerance for golden rows [default: 1e-6]
    #[arg(long, value_name = "NUMBER")]
    pub atol: Option<f64>,
    /// Accept outputs whose rows have another width than the file declares and that no golden row
    /// verifies
    #[arg(long, value_name = "WHAT", value_parser = [SHAPE_DIFFERS])]
    pub accept: Vec<String>,
    /// File that inputs or outputs need beside the model: a tokenizer.json, a list of labels (can be
    /// repeated)
    #[arg(long = "artifact", value_name = "NAME=FILE")]
    pub artifacts: Vec<String>,
}

impl Facts {
    /// Reads the feature names; empty without a file.
    ///
    /// # Errors
    /// As [`model_files::feature_names`].
    pub fn feature_names(&self) -> Result<Vec<String>, Failure> {
        let names = self.features.as_deref().map(model_files::feature_names);
        names.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Parses the widths of inputs by name.
    ///
    /// # Errors
    /// Exit 2: not `input=number`, or an input with two widths.
    pub fn widths(&self) -> Result<BTreeMap<String, i32>, Failure> {
        let mut widths = BTreeMap::new();
        for text in &self.widths {
            let pair = text.rsplit_once('=').and_then(|(input, width)| {
                let width = width.trim().parse().ok().filter(|width| *width > 0)?;
                (!input.is_empty()).then(|| (input.to_owned(), width))
            });
            let usage = |message| Failure::input(Problem::new("usage", message).at("--width"));
            let (input, width) = pair.ok_or_else(|| {
                usage(format!(
                    "invalid width `{text}`: use INPUT=N, such as input_ids=128"
                ))
            })?;
            if widths.insert(input.clone(), width).is_some() {
                return Err(usage(format!("two widths for input `{input}`")));
            }
        }
        Ok(widths)
    }

    /// Returns the files of the artifacts, by name.
    ///
    /// # Errors
    /// Exit 2: not `name=file`, an invalid name, or a name given twice.
    pub fn artifact_files(&self) -> Result<ArtifactPaths, Failure> {
        let mut files = ArtifactPaths::new();
        for text in &self.artifacts {
            let usage = |problem: Problem| Failure::input(problem.at("--artifact"));
            let (name, file) = text.split_once('=').ok_or_else(|| {
                let message = format!("invalid artifact `{text}`");
                usage(Problem::new("usage", message).help("write NAME=FILE"))
            })?;
            check_artifact_name(name).map_err(usage)?;
            if files.insert(name.to_owned(), PathBuf::from(file)).is_some() {
                let message = format!("two files for artifact `{name}`");
                return Err(usage(Problem::new("usage", message)));
            }
        }
        Ok(files)
    }

    /// Reads the golden rows as text. Their columns are not checked against the model yet.
    ///
    /// # Errors
    /// As [`model_files::golden_text`].
    pub fn golden_text(&self) -> Result<Option<String>, Failure> {
        let text = self.golden.as_deref().map(model_files::golden_text);
        text.transpose()
    }

    /// Returns the tolerance for golden rows.
    ///
    /// # Errors
    /// As [`tolerance`].
    pub fn tolerance(&self) -> Result<Tolerance, Failure> {
        tolerance(self.rtol, self.atol)
    }
}

/// Returns the tolerance of `--rtol` and `--atol`.
///
/// # Errors
/// Exit 2: a negative number or NaN.
pub fn tolerance(rtol: Option<f64>, atol: Option<f64>) -> Result<Tolerance, Failure> {
    let usual = Tolerance::default();
    let tolerance = Tolerance {
        rtol: rtol.unwrap_or(usual.rtol),
        atol: atol.unwrap_or(usual.atol),
    };
    if [tolerance.rtol, tolerance.atol]
        .iter()
        .all(|number| *number >= 0.0)
    {
        return Ok(tolerance);
    }
    Err(Failure::input(Problem::new(
        "tolerance.negative",
        "--rtol and --atol must be numbers from 0 on",
    )))
}

/// Checks the file and reports what was found.
///
/// # Errors
/// Exit 1, with all problems: the model is rejected.
pub fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let config = &context.config;
    let unreadable = |error: std::io::Error| {
        Failure::input(Problem::new(
            "model.unreadable",
            format!("cannot read {}: {error}", args.file.display()),
        ))
    };
    let model = std::path::absolute(&args.file).map_err(unreadable)?;
    if !std::fs::metadata(&model).map_err(unreadable)?.is_file() {
        let error = std::io::Error::other("not a regular file");
        return Err(unreadable(error));
    }
    std::fs::File::open(&model).map_err(unreadable)?;
    let entry = args.preprocess.entry(&model)?;
    let library = runtime::locate(config.onnxruntime.as_deref());
    let mut request = Request::new(model, library);
    request.feature_names = args.facts.feature_names()?;
    request.class_names.clone_from(&args.facts.classes);
    request.widths = args.facts.widths()?;
    request.golden = args.facts.golden_text()?;
    request.tolerance = args.facts.tolerance()?;
    request.accepts.clone_from(&args.facts.accept);
    request.artifacts =
        artifacts::to_admit(&args.facts.artifact_files()?).map_err(Failure::input)?;
    request.max_size = args.max_size.unwrap_or(config.max_model_mib as u64) << 20;
    let limits = Limits {
        time: config.admission_timeout,
        memory: (config.admission_memory_mib as u64) << 20,
        ..Limits::default()
    };
    let outcome = child::run(&request, &limits).map_err(Failure::system)?;
    match outcome.verdict() {
        Ok(admitted) => {
            let mut answer = accepted(&admitted);
            add_entry(&mut answer, entry);
            Ok(answer)
        }
        Err(problems) => Err(rejected(&args, problems)),
    }
}

fn rejected(args: &Args, mut problems: Vec<Problem>) -> Failure {
    if let Some(golden) = &args.facts.golden {
        model_files::name_file(&mut problems, golden);
    }
    Failure {
        exit: Exit::No,
        problems,
    }
}

/// Renders an admitted model, for `check`, `push` and `show`.
pub fn accepted(admitted: &Admitted) -> Answer {
    let found = FoundModel::from(admitted);
    let mut answer = Answer::new(json!(found), summary(&found));
    answer.warnings.clone_from(&admitted.warnings);
    answer
}

/// Renders what admission found as text.
pub fn summary(found: &FoundModel) -> String {
    let mut lines = vec![format!(
        "accepted: {} bytes, sha256 {}",
        found.size, found.sha256
    )];
    for input in &found.inputs {
        lines.push(format!(
            "input   {}: {}",
            printable(&input.name),
            shape(input.element, &input.dims)
        ));
    }
    for output in &found.outputs {
        lines.push(format!(
            "output  {}: {}{}",
            printable(&output.name),
            shape(output.element, &output.dims),
            columns(output)
        ));
    }
    for (name, artifact) in &found.artifacts {
        lines.push(format!(
            "artifact {name}: {}, {} bytes",
            artifact.kind.described(),
            artifact.size
        ));
    }
    if !found.feature_names.is_empty() {
        lines.push(format!("features {}", listed(&found.feature_names)));
    }
    let opsets: Vec<String> = found
        .opsets
        .iter()
        .map(|(domain, version)| format!("{} {version}", printable(domain)))
        .collect();
    lines.push(format!(
        "opsets  {}; IR version {}; tried with ONNX Runtime {}",
        opsets.join(", "),
        found.ir_version,
        found.runtime_version
    ));
    lines.join("\n")
}

fn shape(element: crate::domain::model::tensor::Element, dims: &[usize]) -> String {
    let dims: String = dims.iter().map(|dim| format!(", {dim}")).collect();
    format!("{} [N{dims}]", format!("{element:?}").to_lowercase())
}

fn columns(output: &FoundOutput) -> String {
    if output.dims.iter().product::<usize>() < 2 {
        return String::new();
    }
    let kind = if output.probabilities {
        "probabilities"
    } else {
        "scores"
    };
    let Some(classes) = &output.classes else {
        return match output.probabilities {
            true => format!(", {kind}"),
            false => String::new(),
        };
    };
    let from = match output.classes_source {
        None | Some(ClassSource::Index) => "the column index",
        Some(ClassSource::Manifest) => "the manifest",
        Some(ClassSource::PushOption) => "--classes",
        Some(ClassSource::MetadataProps) => "metadata helenus.classes",
        Some(ClassSource::Zipmap) => "ZipMap",
        Some(ClassSource::ClasslabelsAttribute) => "the classlabels attribute",
    };
    format!(", {kind} of {} (from {from})", listed(classes))
}

/// Joins names from inside the model with commas.
fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    names.join(", ")
}
