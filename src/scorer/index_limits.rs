//! Limits of inputs whose values are indices into a table of the graph, such as an embedding.

use std::collections::BTreeMap;

use super::onnx::{GraphProto, NodeProto};
use crate::domain::job::prepare::TokenPart;

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

/// Returns the exclusive limit of the integers that an input is tried with, if one is known. `limits`
/// are those of [`find`].
pub(super) fn limit_of(limits: &BTreeMap<String, u64>, input: &str) -> Option<u64> {
    match TokenPart::of_input(input) {
        // A graph computes with a mask, and other numbers than 0 and 1 mean nothing.
        Some(TokenPart::Mask) => Some(2),
        _ => limits.get(input).copied(),
    }
}

/// Returns the first dimension of a constant tensor, which may be stored in fewer bits.
fn rows_of(graph: &GraphProto, table: &str) -> Option<u64> {
    let stored = graph
        .node
        .iter()
        .find(|node| node.output.iter().any(|output| output == table))
        .filter(|node| matches!(node.op_type.as_str(), "DequantizeLinear" | "Cast"))
        .and_then(|node| node.input.first());
    let name = stored.map_or(table, String::as_str);
    let mut initializers = graph.initializer.iter();
    let tensor = initializers.find(|tensor| tensor.name == name)?;
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
