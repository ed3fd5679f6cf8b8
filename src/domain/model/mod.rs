//! Models, versions, and the results of admission.

pub mod agreement;
pub mod alias;
pub mod artifact;
pub mod golden;
pub mod mlmodel;
pub mod proof;
pub mod tensor;
pub mod texts;
pub mod tolerance;
pub mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::artifact::Artifact;
use super::problem::Problem;
use crate::domain::{model::tensor::Element, spelling::spelled};

/// One input tensor: the batch dimension, then `dims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Name in the file.
    pub name: String,
    pub element: Element,
    /// Dimensions after the batch: `[]` for `[N]`, `[1]` for `[N,1]`, `[30]` for a wide input.
    pub dims: Vec<usize>,
}

/// One output tensor, as the trial rows showed it (declared shapes may be wrong).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The name to request from ONNX Runtime. For a merged ZipMap: the name of ZipMap's input.
    pub name: String,
    /// The public name: for a merged ZipMap the ZipMap's output (`output_probability`).
    pub public_name: String,
    pub element: Element,
    /// Dimensions after the batch, observed: `[]` or `[k]`.
    pub dims: Vec<usize>,
    /// Whether all trial and golden rows were in [0, 1] and summed to 1 within 1e-3.
    pub simplex: bool,
    /// Class names for the `dims[0]` columns, where known.
    pub classes: Option<Classes>,
    /// Further observations of the trial rows.
    #[serde(default)]
    pub observed: Observed,
}

/// Observations of the trial rows. Empty for versions that were admitted by an older helenus.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// By column: how far float rounding alone moved a value in a batch of another size. Empty: by
    /// less than the default tolerance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounding: Vec<f64>,
    /// For a label: the scores that decide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidedBy>,
}

/// The scores that decide a label.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DecidedBy {
    /// Index of the output with the scores.
    pub output: usize,
    /// The value at which the only score changes the label; `None`: the largest score wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

impl Input {
    /// Returns the number of values per row: the product of `dims`.
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

impl Output {
    /// Returns the number of values per row: the product of `dims`.
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }

    /// Returns the maximum difference of two results of one row in this column by rounding alone:
    /// four times what admission observed, since it tried few rows and few batch sizes.
    pub fn rounding(&self, column: usize) -> f64 {
        4.0 * self.observed.rounding.get(column).unwrap_or(&0.0)
    }
}

/// Class names of an output's columns, and their source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// In column order.
    pub names: Vec<String>,
    pub source: ClassSource,
}

/// Source of class names, in order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassSource {
    Manifest,
    PushOption,
    MetadataProps,
    Zipmap,
    ClasslabelsAttribute,
    Index,
}

/// Inputs and outputs of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// In the file's order.
    pub inputs: Vec<Input>,
    /// In the file's order.
    pub outputs: Vec<Output>,
    /// A batch dimension fixed in the file: rows are scored in batches of this size, padded.
    pub fixed_batch: Option<usize>,
}

impl Signature {
    /// Returns the scores that decide the label at output `label`: as observed, otherwise those of
    /// the only output whose columns are classes.
    pub fn decided_by(&self, label: usize) -> Option<DecidedBy> {
        let shown = self.outputs.get(label)?.observed.decided_by;
        shown.or_else(|| {
            let outputs = self.outputs.iter().enumerate();
            let mut of_classes = outputs.filter(|(_, output)| output.classes.is_some());
            match (of_classes.next(), of_classes.next()) {
                (Some((output, _)), None) => Some(DecidedBy {
                    output,
                    threshold: None,
                }),
                _ => None,
            }
        })
    }
}

/// Results of admission, the basis of planning and scoring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// sha256 of the stored bytes.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Size of the stored bytes.
    pub size: u64,
    pub signature: Signature,
    /// Bytes appended in memory to the stored bytes before loading (the ZipMap merge); often empty.
    #[serde(with = "hex::serde")]
    pub merge: Vec<u8>,
    /// Names of the places of all wide inputs, concatenated in signature order; empty when unknown.
    pub feature_names: Vec<String>,
    /// `domain -> opset` of the file's imports.
    pub opsets: BTreeMap<String, i64>,
    /// The file's IR version.
    pub ir_version: i64,
    /// Lasting warnings such as `order_unproven: …`.
    pub warnings: Vec<String>,
    /// Version of ONNX Runtime that admitted the model.
    pub runtime_version: String,
    /// Files beside the model, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifacts: BTreeMap<String, Artifact>,
    /// Exclusive limit of the values of inputs that index a table of the graph, such as an
    /// embedding, by input name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub index_limits: BTreeMap<String, u64>,
}

/// A model version that is ready: the key of `admissions` and the result.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadyVersion {
    pub model: String,
    /// Version number: 1, 2, 3 …
    pub version: i32,
    /// The admission's result.
    pub admitted: Admitted,
}

/// `admissions.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionState {
    /// A worker is admitting it.
    Admitting,
    /// It may score.
    Ready,
    /// It must not score; the row has the reason.
    Rejected,
    /// It was ready; new runs must not use it.
    Retired,
    /// The version row or its chunks differ from what was admitted.
    Tampered,
}

spelled! {
    AdmissionState {
        Admitting => "admitting",
        Ready => "ready",
        Rejected => "rejected",
        Retired => "retired",
        Tampered => "tampered",
    }
}

impl std::fmt::Display for AdmissionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for AdmissionState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| format!("unknown admission state `{text}`"))
    }
}

impl std::fmt::Display for ClassSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::PushOption => "push_option",
            Self::MetadataProps => "metadata_props",
            Self::Zipmap => "zipmap",
            Self::ClasslabelsAttribute => "classlabels_attribute",
            Self::Index => "index",
        })
    }
}

/// Formats for people: `X float[N, 30] -> label string[N], probabilities float[N, 2]`.
impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = |name: &str, element: Element, dims: &[usize]| {
            let dims: String = dims.iter().map(|dim| format!(", {dim}")).collect();
            format!("{name} {}[N{dims}]", format!("{element:?}").to_lowercase())
        };
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|input| shape(&input.name, input.element, &input.dims))
            .collect();
        let outputs: Vec<_> = self
            .outputs
            .iter()
            .map(|output| shape(&output.public_name, output.element, &output.dims))
            .collect();
        write!(f, "{} -> {}", inputs.join(", "), outputs.join(", "))
    }
}

/// Checks the name of a model or an alias: `[a-z][a-z0-9_]*` of at most 48 characters.
///
/// # Errors
/// The name is invalid.
pub fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let mut characters = name.chars();
    let valid = characters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= 48;
    if valid {
        return Ok(());
    }
    Err(Problem::new(
        "model.name",
        format!("`{name}` is not a valid name for {what}"),
    )
    .help("use a lower-case letter, then lower-case letters, digits and `_`; 48 at most"))
}
