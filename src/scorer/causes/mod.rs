//! Properties of a graph that explain findings of trial rows: operators that read the whole batch,
//! trees after float arithmetic, operators without a double kernel.

use std::collections::{HashMap, HashSet};

use super::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue,
};

/// Properties of a graph that explain findings of trial rows.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// The first operator that reads the whole batch.
    pub(super) of_batch: Option<Cause>,
    /// A tree ensemble whose inputs are computed in float.
    pub(super) float_before_trees: Option<FloatBeforeTrees>,
    /// Whether there is a tree ensemble.
    pub(super) has_trees: bool,
    /// Whether an input has floats, so that double inputs may help.
    pub(super) takes_floats: bool,
    /// An operator that ONNX Runtime always computes in float.
    pub(super) no_double: Option<String>,
}

/// An operator that reads the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// The node with its name and operator, for people.
    pub(super) node: String,
    kind: CauseKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CauseKind {
    DynamicQuantisation,
    OverBatch,
    Training,
}

/// Arithmetic in float32 whose result is compared with the splits of trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FloatBeforeTrees {
    /// The arithmetic node, for people.
    pub(super) arithmetic: String,
    /// The tree node, for people.
    pub(super) trees: String,
}

impl Cause {
    /// Returns a remedy.
    pub(super) fn remedy(&self) -> &'static str {
        match self.kind {
            CauseKind::DynamicQuantisation => {
                "quantise statically (quantize_static, with calibration rows), or fix the batch at 1 (onnxruntime.tools.onnx_model_utils.make_dim_param_fixed): dynamic quantisation scales by the largest value of the whole batch"
            }
            CauseKind::OverBatch => {
                "apply this operator along the features (axis 1, or the last axis) and export again: axis 0 is the rows"
            }
            CauseKind::Training => {
                "export in evaluation mode (model.eval(), no training=TrainingMode.TRAINING): this layer uses the batch's own statistics"
            }
        }
    }
}

/// How to fix the batch dimension.
const FIXED: &str =
    "export with [1, k], or onnxruntime.tools.onnx_model_utils.make_dim_param_fixed";

impl Causes {
    pub(super) fn find(model: &ModelProto) -> Self {
        let Some(graph) = &model.graph else {
            return Self::default();
        };
        let mut all = Vec::new();
        collect(&graph.node, &mut all);
        for function in &model.functions {
            collect(&function.node, &mut all);
        }
        let opset = model.opset_import.iter();
        let opset = opset
            .filter(|opset| matches!(opset.domain.as_str(), "" | "ai.onnx"))
            .map(|opset| opset.version)
            .max()
            .unwrap_or_default();
        let no_double =
            |node: &&&NodeProto| matches!(node.op_type.as_str(), "SVMRegressor" | "SVMClassifier");
        Self {
            of_batch: of_batch(graph, &all, opset),
            float_before_trees: float_before_trees(graph),
            has_trees: all.iter().any(|node| is_trees(node)),
            takes_floats: inputs(graph).any(|(_, element)| {
                [DataType::Float as i32, DataType::Float16 as i32].contains(&element)
            }),
            no_double: all.iter().find(no_double).map(|node| node.op_type.clone()),
        }
    }

    /// Returns a remedy for insufficient precision.
    pub(super) fn precision_remedy(&self) -> String {
        match (&self.no_double, self.takes_floats) {
            (Some(operator), _) => {
                format!(
                    "scale the inputs of {operator} in training: ONNX Runtime computes it in float32 only"
                )
            }
            (None, true) => "export with double inputs (skl2onnx: DoubleTensorType)".to_owned(),
            (None, false) => "compute in double throughout".to_owned(),
        }
    }

    /// Returns a remedy for float rounding.
    pub(super) fn rounding_remedy(&self) -> String {
        let one = format!("fix the batch at 1 ({FIXED})");
        match (&self.no_double, self.takes_floats) {
            (Some(operator), _) => {
                format!(
                    "{one}: ONNX Runtime computes {operator} in float32 only, so double inputs do not help"
                )
            }
            (None, true) => {
                format!("export with double inputs (skl2onnx: DoubleTensorType), or {one}")
            }
            (None, false) => one,
        }
    }
}

/// Collects nodes, including those of subgraphs.
fn collect<'m>(nodes: &'m [NodeProto], all: &mut Vec<&'m NodeProto>) {
    for node in nodes {
        all.push(node);
        for attribute in &node.attribute {
            for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                collect(&graph.node, all);
            }
        }
    }
}

/// Returns the inputs that are not constants, with their element types.
fn inputs(graph: &GraphProto) -> impl Iterator<Item = (&str, i32)> {
    graph.input.iter().filter_map(|input| {
        let constant = graph
            .initializer
            .iter()
            .any(|tensor| tensor.name == input.name);
        match input.r#type.as_ref()?.value.as_ref()? {
            TypeValue::Tensor(tensor) if !constant => Some((input.name.as_str(), tensor.elem_type)),
            _ => None,
        }
    })
}

fn named(node: &NodeProto) -> String {
    match node.name.as_str() {
        "" => format!(
            "the {} node that computes `{}`",
            node.op_type,
            node.output.first().map_or("", String::as_str)
        ),
        name => format!("node `{name}` ({})", node.op_type),
    }
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

fn is_trees(node: &NodeProto) -> bool {
    node.op_type.starts_with("TreeEnsemble")
}

fn of_batch(graph: &GraphProto, all: &[&NodeProto], opset: i64) -> Option<Cause> {
    let anywhere = all.iter().find_map(|node| {
        let kind = match node.op_type.as_str() {
            "BatchNormalization" if integer(node, "training_mode") == Some(1) => {
                CauseKind::Training
            }
            name if name.starts_with("DynamicQuantize") => CauseKind::DynamicQuantisation,
            _ => return None,
        };
        Some(Cause {
            node: named(node),
            kind,
        })
    });
    anywhere.or_else(|| {
        let constants = constants(graph);
        // Only values that are computed from the rows: the same operators also compute shapes.
        let mut rows: HashSet<&str> = inputs(graph).map(|(name, _)| name).collect();
        let mut found = None;
        for node in &graph.node {
            let reads_rows = node.input.iter().any(|input| rows.contains(input.as_str()));
            if !reads_rows || matches!(node.op_type.as_str(), "Shape" | "Size") {
                continue;
            }
            if found.is_none() && is_over_batch(node, &constants, opset) {
                found = Some(Cause {
                    node: named(node),
                    kind: CauseKind::OverBatch,
                });
            }
            rows.extend(node.output.iter().map(String::as_str));
        }
        found
    })
}

/// Returns the constants by tensor name.
fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let initializers = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor));
    let nodes = graph.node.iter().filter(|node| node.op_type == "Constant");
    let nodes = nodes.filter_map(|node| {
        Some((
            node.output.first()?.as_str(),
            attribute(node, "value")?.t.as_ref()?,
        ))
    });
    initializers.chain(nodes).collect()
}

fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    let raw = tensor.raw_data.chunks_exact(8);
    let raw = raw.filter_map(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)));
    tensor.int64_data.iter().copied().chain(raw).collect()
}

fn is_over_batch(node: &NodeProto, constants: &HashMap<&str, &TensorProto>, opset: i64) -> bool {
    let axis = |default: i64| integer(node, "axis").unwrap_or(default) == 0;
    let by_input = |at: usize| {
        let name = node.input.get(at)?;
        Some(integers(constants.get(name.as_str())?))
    };
    match node.op_type.as_str() {
        "Softmax" | "LogSoftmax" | "Hardmax" => axis(if opset < 13 { 1 } else { -1 }),
        "LayerNormalization" | "LpNormalization" | "TopK" => axis(-1),
        "ArgMax" | "ArgMin" => axis(0),
        "CumSum" => by_input(1).is_some_and(|axes| axes.contains(&0)),
        "MeanVarianceNormalization" => {
            attribute(node, "axes").is_none_or(|axes| axes.ints.contains(&0))
        }
        name if name.starts_with("Reduce") => {
            let given = attribute(node, "axes").map(|axes| axes.ints.clone());
            match given.or_else(|| by_input(1)) {
                Some(axes) if !axes.is_empty() => axes.contains(&0),
                // No axes: all of them, unless the node is a no-op then.
                _ => {
                    node.input.get(1).is_none_or(String::is_empty)
                        && integer(node, "noop_with_empty_axes") != Some(1)
                }
            }
        }
        _ => false,
    }
}

/// Operators that round; those that only move, compare or replace values do not.
const ARITHMETIC: [&str; 22] = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
    "Sum",
    "Mean",
    "MatMul",
    "Gemm",
    "Tanh",
    "Sigmoid",
    "Softmax",
    "BatchNormalization",
    "LayerNormalization",
    "LpNormalization",
    "LinearRegressor",
    "LinearClassifier",
    "TfIdfVectorizer",
];
/// Operators that always compute in float.
const FLOAT: [&str; 2] = ["Scaler", "Normalizer"];

/// Finds float arithmetic between an input and a tree ensemble.
fn float_before_trees(graph: &GraphProto) -> Option<FloatBeforeTrees> {
    let (float, double) = (DataType::Float as i32, DataType::Double as i32);
    let mut elements: HashMap<&str, i32> = inputs(graph).collect();
    elements.extend(
        constants(graph)
            .iter()
            .map(|(name, tensor)| (*name, tensor.data_type)),
    );
    let mut rows: HashSet<&str> = inputs(graph).map(|(name, _)| name).collect();
    // The node whose float arithmetic computes a tensor.
    let mut computed: HashMap<&str, &NodeProto> = HashMap::new();
    for node in &graph.node {
        let operator = node.op_type.as_str();
        let mut read = node.input.iter().map(String::as_str);
        if !read.clone().any(|input| rows.contains(input)) {
            continue;
        }
        let from = read.clone().find_map(|input| computed.get(input).copied());
        if is_trees(node)
            && let Some(arithmetic) = from
        {
            return Some(FloatBeforeTrees {
                arithmetic: named(arithmetic),
                trees: named(node),
            });
        }
        let element = match operator {
            "Cast" => integer(node, "to").map_or(float, |to| to as i32),
            _ if FLOAT.contains(&operator)
                || node.domain == "ai.onnx.ml" && !keeps_type(operator) =>
            {
                float
            }
            _ => match read.any(|input| elements.get(input) == Some(&double)) {
                true => double,
                false => node
                    .input
                    .iter()
                    .find_map(|input| elements.get(input.as_str()).copied())
                    .unwrap_or(float),
            },
        };
        let computes = FLOAT.contains(&operator)
            || (ARITHMETIC.contains(&operator) || operator.starts_with("Reduce"))
                && element == float;
        for output in node.output.iter().map(String::as_str) {
            rows.insert(output);
            elements.insert(output, element);
            if let Some(node) = from.or(computes.then_some(node)) {
                computed.insert(output, node);
            }
        }
    }
    None
}

/// Returns whether an `ai.onnx.ml` operator keeps its input's type; the others return floats.
fn keeps_type(operator: &str) -> bool {
    matches!(operator, "Imputer" | "ArrayFeatureExtractor" | "Binarizer")
}

#[cfg(test)]
mod tests;
