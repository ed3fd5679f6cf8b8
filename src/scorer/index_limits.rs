//! Limits of inputs whose values are indices into a table of the graph, such as an embedding.

use std::collections::BTreeMap;

use super::onnx::{GraphProto, NodeProto};

/// Operators that pass on their first input's values.
const PASSING: [&str; 6] = [
    "Cast",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
];

/// Returns the number of rows of the smallest table that each input indexes, by name. An index that
/// the graph computes from an input in another way is not found.
pub(super) fn find(graph: &GraphProto) -> BTreeMap<String, u64> {
    let mut limits = BTreeMap::new();
    for node in graph.node.iter().filter(|node| node.op_type == "Gather") {
        let is_first_axis = !node
            .attribute
            .iter()
            .any(|it| it.name == "axis" && it.i != 0);
        let rows = node.input.first().and_then(|table| rows_of(graph, table));
        let input = node.input.get(1).and_then(|index| input_of(graph, index));
        if let (true, Some(rows), Some(input)) = (is_first_axis, rows, input) {
            let limit = limits.entry(input.to_owned()).or_insert(rows);
            *limit = rows.min(*limit);
        }
    }
    limits
}

/// Returns the first dimension of a constant tensor.
fn rows_of(graph: &GraphProto, table: &str) -> Option<u64> {
    let mut initializers = graph.initializer.iter();
    let tensor = initializers.find(|tensor| tensor.name == table)?;
    tensor
        .dims
        .first()
        .and_then(|rows| u64::try_from(*rows).ok())
}

/// Returns the graph input whose values a tensor has.
fn input_of<'a>(graph: &'a GraphProto, tensor: &'a str) -> Option<&'a str> {
    let mut name = tensor;
    // A valid graph has no cycles; one that is not must not hang this.
    for _ in 0..=PASSING.len() {
        if graph.input.iter().any(|input| input.name == name) {
            return Some(name);
        }
        let makes = |node: &&NodeProto| node.output.first().is_some_and(|output| output == name);
        let maker = graph.node.iter().find(makes)?;
        if !PASSING.contains(&maker.op_type.as_str()) {
            return None;
        }
        name = maker.input.first()?;
    }
    None
}
