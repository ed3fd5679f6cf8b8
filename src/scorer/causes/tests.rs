//! Graphs by hand: what they are found to hold.

use super::*;
use crate::scorer::onnx::{OperatorSetIdProto, TensorTypeProto, TypeProto, ValueInfoProto};

const FLOAT: i32 = DataType::Float as i32;
const DOUBLE: i32 = DataType::Double as i32;

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: format!("the_{operator}"),
        op_type: operator.to_owned(),
        ..NodeProto::default()
    }
}

fn with(mut node: NodeProto, name: &str, i: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        i,
        ..AttributeProto::default()
    });
    node
}

fn ml(mut node: NodeProto) -> NodeProto {
    node.domain = "ai.onnx.ml".to_owned();
    node
}

/// A graph over the input `X`, with the constant `axes` = [0].
fn causes(element: i32, nodes: Vec<NodeProto>) -> Causes {
    let input = ValueInfoProto {
        name: "X".to_owned(),
        r#type: Some(TypeProto {
            value: Some(TypeValue::Tensor(TensorTypeProto {
                elem_type: element,
                shape: None,
            })),
        }),
    };
    let axes = TensorProto {
        name: "axes".to_owned(),
        data_type: DataType::Int64 as i32,
        dims: vec![1],
        int64_data: vec![0],
        ..TensorProto::default()
    };
    Causes::find(&ModelProto {
        graph: Some(GraphProto {
            node: nodes,
            input: vec![input],
            initializer: vec![axes],
            ..GraphProto::default()
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 18,
        }],
        ..ModelProto::default()
    })
}

fn of_batch(nodes: Vec<NodeProto>) -> Option<(String, CauseKind)> {
    let cause = causes(FLOAT, nodes).of_batch?;
    Some((cause.node, cause.kind))
}

#[test]
fn what_reads_the_batch_is_named_with_its_kind() {
    let found = |operator: &str, kind| Some((format!("node `the_{operator}` ({operator})"), kind));
    assert_eq!(
        of_batch(vec![with(node("Softmax", &["X"], "Y"), "axis", 0)]),
        found("Softmax", CauseKind::OverBatch)
    );
    assert_eq!(
        of_batch(vec![node("ReduceMean", &["X", "axes"], "Y")]),
        found("ReduceMean", CauseKind::OverBatch)
    );
    assert_eq!(
        of_batch(vec![node("DynamicQuantizeLinear", &["X"], "Y")]),
        found("DynamicQuantizeLinear", CauseKind::DynamicQuantisation)
    );
    let batch = with(node("BatchNormalization", &["X"], "Y"), "training_mode", 1);
    assert_eq!(
        of_batch(vec![batch]),
        found("BatchNormalization", CauseKind::Training)
    );
}

#[test]
fn what_works_within_a_row_or_on_shapes_is_no_cause() {
    assert_eq!(
        of_batch(vec![with(node("Softmax", &["X"], "Y"), "axis", 1)]),
        None
    );
    assert_eq!(of_batch(vec![node("Softmax", &["X"], "Y")]), None);
    assert_eq!(
        of_batch(vec![node("BatchNormalization", &["X"], "Y")]),
        None
    );
    // A product over the shape is no product over the rows.
    let shape = vec![
        node("Shape", &["X"], "S"),
        node("ReduceProd", &["S", "axes"], "Y"),
    ];
    assert_eq!(of_batch(shape), None);
}

fn before_trees(element: i32, nodes: Vec<NodeProto>) -> Option<String> {
    let found = causes(element, nodes).float_before_trees?;
    Some(found.arithmetic)
}

#[test]
fn trees_behind_float_arithmetic_are_found() {
    let trees = |input: &str| ml(node("TreeEnsembleRegressor", &[input], "Y"));
    let scaler = ml(node("Scaler", &["X"], "S"));
    let named = Some("node `the_Scaler` (Scaler)".to_owned());
    assert_eq!(before_trees(FLOAT, vec![scaler.clone(), trees("S")]), named);
    // A Scaler computes in float whatever it is fed.
    assert_eq!(
        before_trees(DOUBLE, vec![scaler.clone(), trees("S")]),
        named
    );
    let moved = node("Identity", &["S"], "T");
    assert_eq!(before_trees(FLOAT, vec![scaler, moved, trees("T")]), named);
    let product = node("MatMul", &["X", "W"], "P");
    assert!(before_trees(FLOAT, vec![product, trees("P")]).is_some());
}

#[test]
fn trees_that_are_fed_as_training_fed_them_are_not() {
    let trees = |input: &str| ml(node("TreeEnsembleRegressor", &[input], "Y"));
    assert_eq!(before_trees(FLOAT, vec![trees("X")]), None);
    let imputed = ml(node("Imputer", &["X"], "I"));
    assert_eq!(before_trees(FLOAT, vec![imputed, trees("I")]), None);
    let remedy = vec![
        node("Sub", &["X", "mean"], "C"),
        node("Div", &["C", "deviation"], "D"),
        with(node("Cast", &["D"], "F"), "to", FLOAT.into()),
        trees("F"),
    ];
    assert_eq!(before_trees(DOUBLE, remedy.clone()), None);
    assert!(before_trees(FLOAT, remedy).is_some());
    // Averages over trees, as forests have them, come after.
    let after = vec![trees("X"), node("Div", &["Y", "number"], "Z")];
    assert_eq!(before_trees(FLOAT, after), None);
}
