//! Small signatures and versions for the domain's own tests.

use super::{
    job::{
        Cast, CompiledVersion, Conversion, InputMapping, NanOutput, NullRule, Place, Rule, TextRule,
    },
    model::{Admitted, Input, Output, ReadyVersion, Signature},
};
use crate::{
    codec::{
        cql_type::CqlType,
        schema::{Column, TableSchema},
    },
    domain::model::tensor::Element,
};

pub fn input(name: &str, element: Element, dims: &[usize]) -> Input {
    Input {
        name: name.into(),
        element,
        dims: dims.to_vec(),
    }
}

pub fn output(name: &str, element: Element, dims: &[usize]) -> Output {
    Output {
        name: name.into(),
        public_name: name.into(),
        element,
        dims: dims.to_vec(),
        simplex: false,
        classes: None,
        observed: Default::default(),
    }
}

pub fn ready(version: i32, inputs: Vec<Input>, outputs: Vec<Output>) -> ReadyVersion {
    ReadyVersion {
        model: "m".into(),
        version,
        admitted: Admitted {
            sha256: [version as u8; 32],
            size: 1,
            signature: Signature {
                inputs,
                outputs,
                fixed_batch: None,
            },
            merge: Vec::new(),
            feature_names: Vec::new(),
            opsets: Default::default(),
            ir_version: 10,
            warnings: Vec::new(),
            runtime_version: "1.31.1".into(),
        },
    }
}

pub fn place(feature: &str, column: usize, cql_type: &str, element: Element) -> Place {
    Place {
        feature: feature.into(),
        column,
        width: 1,
        conversion: Conversion::Cell(Rule {
            element,
            cql_type: CqlType::parse(cql_type).unwrap(),
            cast: Cast::Exact,
            epoch: None,
            null: NullRule::Reject,
            pad: NullRule::Reject,
            text: TextRule::default(),
            reject_nonfinite: false,
        }),
    }
}

/// Returns a version with a wide float input of two places and a string input.
pub fn version() -> CompiledVersion {
    CompiledVersion {
        ready: ready(
            1,
            vec![
                input("X", Element::Float, &[2]),
                input("city", Element::String, &[]),
            ],
            vec![],
        ),
        inputs: vec![
            InputMapping {
                places: vec![
                    place("a", 0, "float", Element::Float),
                    place("b", 1, "int", Element::Float),
                ],
            },
            InputMapping {
                places: vec![place("city", 2, "text", Element::String)],
            },
        ],
        ordered_by_manifest: vec![],
        outputs: vec![],
        nan_output: NanOutput::Reject,
        hash_prefix: [7; 16],
    }
}

/// Returns `k.t (id int PRIMARY KEY, …)` with these columns as `name type`.
pub fn table(name: &str, columns: &[&str]) -> TableSchema {
    let column = |text: &&str| {
        let (name, cql_type) = text.rsplit_once(": ").unwrap();
        Column {
            name: name.into(),
            cql_type: CqlType::parse(cql_type).unwrap(),
        }
    };
    TableSchema {
        keyspace: "k".into(),
        table: name.into(),
        id: uuid::Uuid::nil(),
        partition_key: vec![column(&"id: int")],
        clustering: vec![],
        statics: vec![],
        regulars: columns.iter().map(column).collect(),
    }
}
