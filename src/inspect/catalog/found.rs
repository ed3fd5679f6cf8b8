//! What admission finds in a model file.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::model::{
    Admitted, ClassSource, Input, Observed, Output, artifact::Artifact, tensor::Element,
};

/// A model that admission accepted.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FoundModel {
    /// Always true: a rejected model has problems instead.
    pub accepted: bool,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
    /// `{"name", "element", "dims"}` in the file's order; `dims` without the batch.
    #[schema(value_type = Vec<Object>)]
    pub inputs: Vec<Input>,
    /// In the file's order.
    pub outputs: Vec<FoundOutput>,
    /// A batch dimension that is fixed in the file.
    pub fixed_batch: Option<usize>,
    /// Names of the places of all wide inputs; empty if they are unknown.
    pub feature_names: Vec<String>,
    /// Opset of each domain that the file imports.
    pub opsets: BTreeMap<String, i64>,
    pub ir_version: i64,
    /// Version of ONNX Runtime that examined it.
    pub runtime_version: String,
    /// `{"sha256", "size", "kind": "tokenizer" | "labels" | "json", …}` by name.
    #[schema(value_type = Object)]
    pub artifacts: BTreeMap<String, Artifact>,
}

/// An output tensor.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FoundOutput {
    /// The public name.
    pub name: String,
    /// The name that is requested from ONNX Runtime.
    pub tensor: String,
    /// The element type.
    #[schema(value_type = String)]
    pub element: Element,
    /// Dimensions after the batch, as observed.
    pub dims: Vec<usize>,
    /// Whether all observed rows summed to 1.
    pub probabilities: bool,
    /// Classes of the columns, where known.
    pub classes: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    pub classes_source: Option<ClassSource>,
    /// Further observations of the trial rows.
    #[schema(value_type = Object)]
    pub observed: Observed,
}

impl From<&Output> for FoundOutput {
    fn from(output: &Output) -> Self {
        Self {
            name: output.public_name.clone(),
            tensor: output.name.clone(),
            element: output.element,
            dims: output.dims.clone(),
            probabilities: output.simplex,
            classes: output.classes.as_ref().map(|classes| classes.names.clone()),
            classes_source: output.classes.as_ref().map(|classes| classes.source),
            observed: output.observed.clone(),
        }
    }
}

impl From<&Admitted> for FoundModel {
    fn from(admitted: &Admitted) -> Self {
        let signature = &admitted.signature;
        Self {
            accepted: true,
            sha256: hex::encode(admitted.sha256),
            size: admitted.size,
            inputs: signature.inputs.clone(),
            outputs: signature.outputs.iter().map(FoundOutput::from).collect(),
            fixed_batch: signature.fixed_batch,
            feature_names: admitted.feature_names.clone(),
            opsets: admitted.opsets.clone(),
            ir_version: admitted.ir_version,
            runtime_version: admitted.runtime_version.clone(),
            artifacts: admitted.artifacts.clone(),
        }
    }
}
