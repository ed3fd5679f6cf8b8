//! Rejects what must never reach ONNX Runtime, by reading the whole protobuf.
//!
//! While it *creates* a session, ONNX Runtime resolves external data against the current directory,
//! overflows its stack in deep functions and endlessly expands functions that call each other
//! twice. So every graph, subgraph, function, constant and declared shape is checked first.

use std::collections::HashMap;

use super::{
    content::{content, elements},
    onnx::{
        AttributeProto, DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto,
        SparseTensorProto, TensorProto, TypeProto, TypeValue, ValueInfoProto, too_deep,
    },
    shapes::element_of,
};
use crate::domain::problem::Problem;

/// Domains of the operators in this build of ONNX Runtime; others would require a library that the
/// file names.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];
/// Maximum depth of nested graphs (`If` in `Loop` in `Scan` …).
const MAX_GRAPH_DEPTH: usize = 16;
/// Maximum depth of function calls.
const MAX_CALL_DEPTH: usize = 32;
/// Maximum number of nodes after all function calls are expanded.
const MAX_NODES: u64 = 1_000_000;
/// Maximum size of a constant, from protobuf's own limit.
const MAX_BYTES: u64 = 2 << 30;
const MAX_PROBLEMS: usize = 20;

type FunctionKey<'a> = (&'a str, &'a str, &'a str);

/// Returns all problems of the file, at most 20.
pub(super) fn walk(model: &ModelProto) -> Vec<Problem> {
    let mut walk = Walk {
        functions: model
            .functions
            .iter()
            .map(|function| (key_of(function), function))
            .collect(),
        costs: HashMap::new(),
        problems: Vec::new(),
    };
    walk.model(model);
    walk.problems.truncate(MAX_PROBLEMS);
    walk.problems
}

struct Walk<'a> {
    functions: HashMap<FunctionKey<'a>, &'a FunctionProto>,
    /// `None` while it is being computed: finding it then is a recursion.
    costs: HashMap<FunctionKey<'a>, Option<Cost>>,
    problems: Vec<Problem>,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: u64,
    calls_deep: usize,
}

impl<'a> Walk<'a> {
    fn model(&mut self, model: &'a ModelProto) {
        let Some(graph) = &model.graph else {
            self.found(Problem::new("model.no_graph", "the file has no graph"));
            return;
        };
        if graph.output.is_empty() {
            self.found(Problem::new("model.no_outputs", "the graph has no outputs"));
        }
        if graph.input.is_empty() {
            self.found(Problem::new("model.no_inputs", "the graph has no inputs"));
        }
        let constants: Vec<&str> = constant_names(graph).collect();
        for input in &graph.input {
            if !constants.contains(&input.name.as_str()) {
                self.input_type(input);
            }
        }
        for output in &graph.output {
            self.output_type(output);
        }
        self.graph(graph, "graph", 0);
        for function in &model.functions {
            let place = format!("function {}", function.name);
            self.nodes(&function.node, &place, 0);
            self.attributes(&function.attribute_proto, &place, 0);
            self.value_infos(&function.value_info, &place);
        }
        for training in &model.training_info {
            for graph in training.initialization.iter().chain(&training.algorithm) {
                self.graph(graph, "training graph", 0);
            }
        }
        let mut total = self.cost_of_nodes(&graph.node, 0).nodes;
        for function in &model.functions {
            total = total.max(self.cost_of_function(key_of(function), 0).nodes);
        }
        if total > MAX_NODES {
            self.found(Problem::new(
                "model.too_large",
                format!(
                    "the graph has more than {MAX_NODES} nodes after its functions are expanded"
                ),
            ));
        }
    }

    fn found(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn graph(&mut self, graph: &'a GraphProto, place: &str, depth: usize) {
        if depth > MAX_GRAPH_DEPTH {
            self.found(too_deep("graphs").at(place));
            return;
        }
        for tensor in &graph.initializer {
            self.tensor(tensor, place);
        }
        for tensor in &graph.sparse_initializer {
            self.sparse_tensor(tensor, place);
        }
        self.value_infos(&graph.input, place);
        self.value_infos(&graph.output, place);
        self.value_infos(&graph.value_info, place);
        self.nodes(&graph.node, place, depth);
    }

    fn nodes(&mut self, nodes: &'a [NodeProto], place: &str, depth: usize) {
        for node in nodes {
            let own = self.functions.contains_key(&call_of(node));
            if !own && !DOMAINS.contains(&node.domain.as_str()) {
                self.found(
                    Problem::new(
                        "model.unknown_domain",
                        format!("operator `{}` is of domain `{}`, which ONNX Runtime does not include", node.op_type, node.domain),
                    )
                    .at(place)
                    .help("export with standard operators: custom operator libraries are never loaded"),
                );
            }
            if node.op_type == "EPContext" {
                self.found(
                    Problem::new(
                        "model.precompiled",
                        "the graph has an `EPContext` node: a precompiled blob, possibly in another file",
                    )
                    .at(place)
                    .help("register the model from which it was compiled"),
                );
            }
            self.attributes(&node.attribute, place, depth);
        }
    }

    fn attributes(&mut self, attributes: &'a [AttributeProto], place: &str, depth: usize) {
        for attribute in attributes {
            for tensor in attribute.t.iter().chain(&attribute.tensors) {
                self.tensor(tensor, place);
            }
            for tensor in attribute
                .sparse_tensor
                .iter()
                .chain(&attribute.sparse_tensors)
            {
                self.sparse_tensor(tensor, place);
            }
            for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                self.graph(graph, &format!("{place}/{}", attribute.name), depth + 1);
            }
            for declared in attribute.tp.iter().chain(&attribute.type_protos) {
                self.declared_shape(declared, &attribute.name, place);
            }
        }
    }

    fn value_infos(&mut self, values: &[ValueInfoProto], place: &str) {
        for value in values {
            if let Some(declared) = &value.r#type {
                self.declared_shape(declared, &value.name, place);
            }
        }
    }

    fn declared_shape(&mut self, declared: &TypeProto, name: &str, place: &str) {
        let Some(TypeValue::Tensor(tensor) | TypeValue::SparseTensor(tensor)) = &declared.value
        else {
            return;
        };
        let dims: Vec<i64> = tensor
            .shape
            .iter()
            .flat_map(|shape| &shape.dim)
            .filter_map(|dim| match dim.value {
                Some(DimensionValue::Value(value)) => Some(value),
                _ => None,
            })
            // Some exporters write "any" as 0 or -1.
            .filter(|dim| *dim > 0)
            .collect();
        if elements(&dims).is_none_or(|count| count > MAX_BYTES) {
            self.found(
                Problem::new(
                    "model.huge_shape",
                    format!(
                        "`{name}` has the declared shape {dims:?}, whose width exceeds any memory"
                    ),
                )
                .at(place),
            );
        }
    }

    fn tensor(&mut self, tensor: &TensorProto, place: &str) {
        if tensor.data_location != 0 || !tensor.external_data.is_empty() {
            self.found(
                Problem::new(
                    "model.external_data",
                    format!("the values of `{}` are in another file", tensor.name),
                )
                .at(place)
                .help("save the model as one file: onnx.save(model, path, save_as_external_data=False)"),
            );
            return;
        }
        if let Err(why) = content(tensor) {
            self.found(
                Problem::new(
                    "model.bad_tensor",
                    format!("constant `{}`: {why}", tensor.name),
                )
                .at(place),
            );
        }
    }

    fn sparse_tensor(&mut self, sparse: &SparseTensorProto, place: &str) {
        for tensor in sparse.values.iter().chain(&sparse.indices) {
            self.tensor(tensor, place);
        }
        // ONNX Runtime makes it dense.
        let name = sparse.values.as_ref().map_or("", |values| &values.name);
        if elements(&sparse.dims).is_none_or(|count| count > MAX_BYTES / 8) {
            self.found(
                Problem::new(
                    "model.huge_shape",
                    format!("sparse constant `{name}` has the shape {:?}", sparse.dims),
                )
                .at(place),
            );
        }
    }

    fn input_type(&mut self, input: &ValueInfoProto) {
        let Some(kind) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return;
        };
        let refused = match kind {
            TypeValue::Tensor(tensor) => element_of(tensor.elem_type).err(),
            other => Some(kind_name(other).to_owned()),
        };
        if let Some(kind) = refused {
            self.found(unsupported("input", &input.name, &kind));
        }
    }

    fn output_type(&mut self, output: &ValueInfoProto) {
        let Some(kind) = output.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
            return;
        };
        let refused = match kind {
            TypeValue::Tensor(tensor) => element_of(tensor.elem_type).err(),
            // Possibly of a ZipMap or of tensors: `graph` checks.
            TypeValue::Sequence(_) => None,
            other => Some(kind_name(other).to_owned()),
        };
        if let Some(kind) = refused {
            self.found(unsupported("output", &output.name, &kind));
        }
    }

    fn cost_of_nodes(&mut self, nodes: &'a [NodeProto], depth: usize) -> Cost {
        let mut total = Cost::default();
        for node in nodes {
            total.nodes = total.nodes.saturating_add(1);
            for attribute in &node.attribute {
                for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
                    let cost = self.cost_of_nodes(&graph.node, depth);
                    total.nodes = total.nodes.saturating_add(cost.nodes);
                    total.calls_deep = total.calls_deep.max(cost.calls_deep);
                }
            }
            if self.functions.contains_key(&call_of(node)) {
                let cost = self.cost_of_function(call_of(node), depth + 1);
                total.nodes = total.nodes.saturating_add(cost.nodes);
                total.calls_deep = total.calls_deep.max(cost.calls_deep + 1);
            }
        }
        total
    }

    fn cost_of_function(&mut self, key: FunctionKey<'a>, depth: usize) -> Cost {
        let place = || format!("function {}", key.1);
        if let Some(known) = self.costs.get(&key) {
            let Some(cost) = *known else {
                self.found(
                    Problem::new("model.recursive_function", "a function calls itself").at(place()),
                );
                return Cost::default();
            };
            if depth + cost.calls_deep > MAX_CALL_DEPTH {
                self.found(too_deep("functions").at(place()));
            }
            return cost;
        }
        if depth > MAX_CALL_DEPTH {
            self.found(too_deep("functions").at(place()));
            return Cost::default();
        }
        let Some(function) = self.functions.get(&key).copied() else {
            return Cost::default();
        };
        self.costs.insert(key, None);
        let cost = self.cost_of_nodes(&function.node, depth);
        self.costs.insert(key, Some(cost));
        cost
    }
}

fn key_of(function: &FunctionProto) -> FunctionKey<'_> {
    (domain(&function.domain), &function.name, &function.overload)
}

fn call_of(node: &NodeProto) -> FunctionKey<'_> {
    (domain(&node.domain), &node.op_type, &node.overload)
}

/// Returns the domain; the default domain has two names.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Returns the names of constants, which IR version 3 also lists as inputs.
pub(super) fn constant_names(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let dense = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    let sparse = graph.sparse_initializer.iter();
    dense.chain(sparse.filter_map(|tensor| Some(tensor.values.as_ref()?.name.as_str())))
}

/// An input or output of an unsupported type.
pub(super) fn unsupported(what: &str, name: &str, kind: &str) -> Problem {
    Problem::new(
        "model.unsupported_type",
        format!("{what} `{name}` is of type {kind}"),
    )
    .help("convert it to a tensor [N, k] before the export; helenus supports tensors of float16, float, double, int32, int64, bool and string, also as input of a ZipMap or SequenceConstruct")
}

fn kind_name(kind: &TypeValue) -> &'static str {
    match kind {
        TypeValue::Tensor(_) => "tensor",
        TypeValue::Sequence(_) => "sequence",
        TypeValue::Map(_) => "map",
        TypeValue::Opaque(_) => "opaque",
        TypeValue::SparseTensor(_) => "sparse tensor",
        TypeValue::Optional(_) => "optional",
    }
}

#[cfg(test)]
mod tests;
