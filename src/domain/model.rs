//! Models, versions, and what admission found out about them.

use serde::{Deserialize, Serialize};

use super::tensor::Element;

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
