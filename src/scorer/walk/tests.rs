use super::*;
use crate::scorer::onnx::{
    DataType, DimensionProto, StringStringEntryProto, TensorShapeProto, TensorTypeProto,
};

fn tensor_type(elem_type: i32, dims: &[i64]) -> TypeProto {
    let dim = dims
        .iter()
        .map(|dim| DimensionProto {
            value: Some(DimensionValue::Value(*dim)),
        })
        .collect();
    TypeProto {
        value: Some(TypeValue::Tensor(TensorTypeProto {
            elem_type,
            shape: Some(TensorShapeProto { dim }),
        })),
    }
}

fn value(name: &str, kind: TypeProto) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(kind),
    }
}

fn node(domain: &str, op_type: &str) -> NodeProto {
    NodeProto {
        domain: domain.to_owned(),
        op_type: op_type.to_owned(),
        ..NodeProto::default()
    }
}

fn model(nodes: Vec<NodeProto>) -> ModelProto {
    ModelProto {
        graph: Some(GraphProto {
            node: nodes,
            input: vec![value("X", tensor_type(1, &[0, 3]))],
            output: vec![value("Y", tensor_type(1, &[0, 3]))],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

fn codes(model: &ModelProto) -> Vec<String> {
    walk(model)
        .into_iter()
        .map(|problem| problem.code)
        .collect()
}

fn function(name: &str, calls: &[&str]) -> FunctionProto {
    FunctionProto {
        domain: "own".to_owned(),
        name: name.to_owned(),
        node: calls.iter().map(|call| node("own", call)).collect(),
        ..FunctionProto::default()
    }
}

fn branch(graph: GraphProto) -> NodeProto {
    let mut node = node("", "If");
    node.attribute.push(AttributeProto {
        name: "then_branch".to_owned(),
        g: Some(Box::new(graph)),
        ..AttributeProto::default()
    });
    node
}

#[test]
fn an_ordinary_graph_has_no_problems() {
    assert_eq!(
        codes(&model(vec![
            node("", "Abs"),
            node("ai.onnx.ml", "Scaler"),
            node("com.microsoft", "Tokenizer")
        ])),
        Vec::<String>::new()
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let mut all = model(vec![node("evil", "A"), node("evil", "B")]);
    if let Some(graph) = &mut all.graph {
        graph.output.clear();
    }
    assert_eq!(
        codes(&all),
        [
            "model.no_outputs",
            "model.unknown_domain",
            "model.unknown_domain"
        ]
    );
}

#[test]
fn a_domain_of_the_files_own_functions_is_known_but_only_those_functions() {
    let mut own = model(vec![node("own", "f")]);
    own.functions.push(function("f", &[]));
    assert_eq!(codes(&own), Vec::<String>::new());
    own.functions.push(function("g", &["missing"]));
    assert_eq!(codes(&own), ["model.unknown_domain"]);
}

#[test]
fn external_data_is_found_wherever_it_hides() {
    let outside = TensorProto {
        name: "w".to_owned(),
        data_type: 1,
        dims: vec![1],
        external_data: vec![StringStringEntryProto {
            key: "location".to_owned(),
            value: "/etc/passwd".to_owned(),
        }],
        ..TensorProto::default()
    };
    let attribute = AttributeProto {
        tensors: vec![outside.clone()],
        ..AttributeProto::default()
    };
    let sparse = AttributeProto {
        sparse_tensor: Some(SparseTensorProto {
            indices: Some(outside.clone()),
            ..SparseTensorProto::default()
        }),
        ..AttributeProto::default()
    };
    let hidden = GraphProto {
        initializer: vec![TensorProto {
            external_data: Vec::new(),
            data_location: 1,
            ..outside
        }],
        ..GraphProto::default()
    };
    for attribute in [attribute, sparse] {
        let mut inner = node("", "Constant");
        inner.attribute.push(attribute);
        let mut in_function = model(vec![node("own", "f")]);
        in_function.functions.push(function("f", &[]));
        in_function.functions[0].node.push(inner.clone());
        assert_eq!(codes(&in_function), ["model.external_data"]);
        assert_eq!(codes(&model(vec![inner])), ["model.external_data"]);
    }
    let nested = GraphProto {
        node: vec![branch(hidden)],
        ..GraphProto::default()
    };
    assert_eq!(codes(&model(vec![branch(nested)])), ["model.external_data"]);
}

#[test]
fn graphs_may_be_nested_sixteen_deep() {
    let nested = |deep: usize| {
        let graph = (1..deep).fold(GraphProto::default(), |inner, _| GraphProto {
            node: vec![branch(inner)],
            ..GraphProto::default()
        });
        codes(&model(vec![branch(graph)]))
    };
    assert_eq!(nested(16), Vec::<String>::new());
    assert_eq!(nested(17), ["model.too_deep"]);
}

#[test]
fn functions_that_double_are_counted_not_followed() {
    let mut doubling = model(vec![node("own", "f0")]);
    for i in 0..30 {
        let next = format!("f{}", i + 1);
        doubling
            .functions
            .push(function(&format!("f{i}"), &[&next, &next]));
    }
    doubling.functions.push(function("f30", &[]));
    assert_eq!(codes(&doubling), ["model.too_large"]);
}

#[test]
fn long_chains_of_functions_are_refused_in_whatever_order_they_stand() {
    let chain = |names: Vec<usize>| {
        let mut chain = model(vec![node("own", "f0")]);
        for i in names {
            let next = format!("f{}", i + 1);
            chain.functions.push(function(&format!("f{i}"), &[&next]));
        }
        chain.functions.push(function("f5000", &[]));
        codes(&chain)
    };
    assert!(chain((0..5000).collect()).contains(&"model.too_deep".to_owned()));
    assert!(chain((0..5000).rev().collect()).contains(&"model.too_deep".to_owned()));
}

#[test]
fn functions_that_call_themselves_through_others_are_refused() {
    let mut recursive = model(vec![node("", "Abs")]);
    recursive.functions.push(function("f", &["g"]));
    recursive.functions.push(function("g", &["f"]));
    assert_eq!(codes(&recursive), ["model.recursive_function"]);
}

#[test]
fn constants_must_hold_what_their_shape_says() {
    let holds = |tensor: TensorProto| {
        let mut constant = model(vec![node("", "Abs")]);
        if let Some(graph) = &mut constant.graph {
            graph.initializer.push(tensor);
        }
        codes(&constant).is_empty()
    };
    let float = |dims: &[i64]| TensorProto {
        data_type: 1,
        dims: dims.to_vec(),
        ..TensorProto::default()
    };
    let raw = |dims: &[i64], bytes: usize| TensorProto {
        raw_data: vec![0; bytes].into(),
        ..float(dims)
    };
    assert!(holds(raw(&[2, 3], 24)) && holds(float(&[0])));
    assert!(holds(TensorProto {
        float_data: vec![1.0],
        ..float(&[])
    }));
    assert!(!holds(raw(&[2, 3], 23)));
    assert!(!holds(float(&[1])));
    assert!(!holds(float(&[-1])));
    assert!(!holds(raw(&[1 << 32, 1 << 32], 8)));
    let int4 = |values: usize| TensorProto {
        data_type: DataType::Int4.into(),
        dims: vec![3],
        int32_data: vec![0; values],
        ..TensorProto::default()
    };
    assert!(holds(int4(2)) && !holds(int4(3)));
}

#[test]
fn inputs_of_unusual_types_are_refused_by_name() {
    for (data_type, name) in [(16, "bfloat16"), (14, "complex64"), (3, "int8")] {
        let mut odd = model(vec![node("", "Abs")]);
        if let Some(graph) = &mut odd.graph {
            graph.input[0] = value("X", tensor_type(data_type, &[]));
        }
        let problems = walk(&odd);
        assert_eq!(problems[0].code, "model.unsupported_type");
        assert!(
            problems[0].message.contains(name),
            "{}",
            problems[0].message
        );
    }
}
