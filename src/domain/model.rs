//! Models, versions, and what admission found out about them.

use serde::{Deserialize, Serialize};

use super::{problem::Problem, tensor::Element};

/// One input tensor: batch first, then `dims`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The tensor's name in the file.
    pub name: String,
    /// Its element type.
    pub element: Element,
    /// Dimensions after the batch: `[]` for `[N]`, `[1]` for `[N,1]`, `[30]` for a wide input.
    pub dims: Vec<usize>,
}

/// One output tensor, as the trial rows showed it (declared shapes lie).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The name to ask ONNX Runtime for. For a merged ZipMap: the name of ZipMap's input.
    pub name: String,
    /// The name a person knows: for a merged ZipMap the ZipMap's output (`output_probability`).
    pub public_name: String,
    /// Its element type.
    pub element: Element,
    /// Dimensions after the batch, observed: `[]` or `[k]`.
    pub dims: Vec<usize>,
    /// Whether all trial and golden rows lay in [0, 1] and summed to 1 within 1e-3.
    pub simplex: bool,
    /// Class names for the `dims[0]` columns, where known.
    pub classes: Option<Classes>,
}

impl Input {
    /// Values a row: the product of `dims`.
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

impl Output {
    /// Values a row: the product of `dims`.
    pub fn width(&self) -> usize {
        self.dims.iter().product()
    }
}

/// Class names of an output's columns, and where they were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// In column order.
    pub names: Vec<String>,
    /// Who said so.
    pub source: ClassSource,
}

/// Where class names come from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ClassSource {
    Manifest,
    PushOption,
    MetadataProps,
    Zipmap,
    ClasslabelsAttribute,
    Index,
}

/// What a version takes and gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// In the file's order.
    pub inputs: Vec<Input>,
    /// In the file's order.
    pub outputs: Vec<Output>,
    /// A batch dimension fixed in the file: scored in batches of this size, padded.
    pub fixed_batch: Option<usize>,
}

/// All that admission found out; what planning and scoring trust.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// sha256 of the stored bytes.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Size of the stored bytes.
    pub size: u64,
    /// Inputs and outputs.
    pub signature: Signature,
    /// Bytes to append in memory to the stored bytes before loading (the ZipMap merge); often empty.
    #[serde(with = "hex::serde")]
    pub merge: Vec<u8>,
    /// Names of the places of all wide inputs, concatenated in signature order; empty when unknown.
    pub feature_names: Vec<String>,
    /// `domain -> opset` as imported by the file.
    pub opsets: std::collections::BTreeMap<String, i64>,
    /// The file's IR version.
    pub ir_version: i64,
    /// Lasting warnings such as `order_unproven: …`.
    pub warnings: Vec<String>,
    /// ONNX Runtime's version that admitted it.
    pub runtime_version: String,
}

/// A model version that may score: the key of `admissions` and what was admitted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadyVersion {
    /// The model's name.
    pub model: String,
    /// 1, 2, 3 …
    pub version: i32,
    /// The admission's result.
    pub admitted: Admitted,
}

/// `admissions.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionState {
    /// A worker is looking at it.
    Admitting,
    /// May score.
    Ready,
    /// May not; the reason stands beside it.
    Rejected,
    /// Was ready; no new run may use it.
    Retired,
    /// The version row or its chunks differ from what was admitted.
    Tampered,
}

/// The states and their spelling in `admissions.state`.
const STATES: [(AdmissionState, &str); 5] = [
    (AdmissionState::Admitting, "admitting"),
    (AdmissionState::Ready, "ready"),
    (AdmissionState::Rejected, "rejected"),
    (AdmissionState::Retired, "retired"),
    (AdmissionState::Tampered, "tampered"),
];

impl std::fmt::Display for AdmissionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            STATES
                .iter()
                .find(|(state, _)| state == self)
                .map_or("", |(_, text)| text),
        )
    }
}

impl std::str::FromStr for AdmissionState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        STATES
            .iter()
            .find(|(_, known)| *known == text)
            .map(|(state, _)| *state)
            .ok_or_else(|| format!("unknown admission state `{text}`"))
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

/// For people: `X float[N, 30] -> label string[N], probabilities float[N, 2]`.
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

/// What a model's name must look like; also an alias's.
///
/// # Errors
/// What is wrong with it: `[a-z][a-z0-9_]*` of at most 48 characters is wanted.
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
    Err(
        Problem::new("model.name", format!("`{name}` can't name {what}"))
            .help("a lower-case letter, then lower-case letters, digits and `_`; 48 at most"),
    )
}
