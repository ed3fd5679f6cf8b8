//! Columns of a job as inputs and outputs of a model.

use std::sync::Arc;

use crate::{
    codec::{cql_type::CqlType, schema::Column},
    domain::{
        job::CompiledJob,
        model::{ClassSource, Classes, Input, Observed, Output, tensor::Element},
    },
    serve::{
        arrow::{ARM, VERSION},
        residents::ServedVersion,
    },
};

/// What the names of the outputs begin with that tell what a prediction was made from. No column is
/// named so: `lineage` is one itself.
pub const LINEAGE: &str = "lineage.";

/// The outputs of lineage that are always there, named as the columns of an Arrow answer.
pub const LINEAGE_OUTPUTS: [(&str, Element); 4] = [
    (VERSION, Element::Int32),
    ("input_hash", Element::String),
    ("source_hash", Element::String),
    ("model_sha256", Element::String),
];

/// Returns the input of a source column, `[rows]`. Types without tensors of their own are `BYTES`.
pub fn input(column: &Column) -> Input {
    let element = match column.cql_type.thawed() {
        CqlType::Boolean => Element::Bool,
        CqlType::Tinyint | CqlType::Smallint | CqlType::Int => Element::Int32,
        CqlType::Bigint | CqlType::Counter => Element::Int64,
        CqlType::Float => Element::Float,
        CqlType::Double => Element::Double,
        _ => Element::String,
    };
    Input {
        name: column.name.clone(),
        element,
        dims: Vec::new(),
    }
}

/// Returns the indices of the output columns that all of these versions fill.
pub fn output_columns(job: &CompiledJob, versions: &[Arc<ServedVersion>]) -> Vec<usize> {
    let all = 0..job.target.outputs.len();
    all.filter(|at| {
        let mut versions = versions.iter();
        versions.all(|served| {
            served
                .version()
                .outputs
                .get(*at)
                .is_some_and(Option::is_some)
        })
    })
    .collect()
}

/// Returns the outputs of these versions: the job's columns, then the lineage.
pub fn outputs(job: &CompiledJob, versions: &[Arc<ServedVersion>]) -> Vec<Output> {
    let columns = output_columns(job, versions).into_iter().map(|at| {
        let column = &job.target.outputs[at];
        let (element, dims) = shape(&column.cql_type);
        let is_named = !dims.is_empty() && !column.classes.is_empty();
        Output {
            classes: is_named.then(|| Classes {
                names: column.classes.clone(),
                source: ClassSource::Manifest,
            }),
            ..output(column.name.clone(), element, dims)
        }
    });
    let arm = job.served.arms.as_ref().map(|_| (ARM, Element::String));
    let lineage = LINEAGE_OUTPUTS.into_iter().chain(arm);
    let lineage =
        lineage.map(|(name, element)| output(format!("{LINEAGE}{name}"), element, Vec::new()));
    columns.chain(lineage).collect()
}

/// Returns the element type of an output column and the dimensions after the rows.
fn shape(cql_type: &CqlType) -> (Element, Vec<usize>) {
    match cql_type.thawed() {
        CqlType::Float => (Element::Float, Vec::new()),
        CqlType::Double => (Element::Double, Vec::new()),
        CqlType::Int => (Element::Int32, Vec::new()),
        CqlType::Bigint => (Element::Int64, Vec::new()),
        CqlType::Boolean => (Element::Bool, Vec::new()),
        CqlType::Vector(element, width) if **element == CqlType::Float => {
            (Element::Float, vec![usize::from(*width)])
        }
        // Text, and what an Arrow answer writes as text.
        _ => (Element::String, Vec::new()),
    }
}

fn output(name: String, element: Element, dims: Vec<usize>) -> Output {
    Output {
        public_name: name.clone(),
        name,
        element,
        dims,
        simplex: false,
        classes: None,
        observed: Observed::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_tensor() {
        for (cql_type, element) in [
            ("boolean", Element::Bool),
            ("tinyint", Element::Int32),
            ("smallint", Element::Int32),
            ("int", Element::Int32),
            ("bigint", Element::Int64),
            ("counter", Element::Int64),
            ("float", Element::Float),
            ("double", Element::Double),
            ("text", Element::String),
            ("blob", Element::String),
            ("timestamp", Element::String),
            ("decimal", Element::String),
            ("frozen<list<float>>", Element::String),
        ] {
            let input = input(&Column {
                name: "x".to_owned(),
                cql_type: CqlType::parse(cql_type).unwrap(),
            });
            assert_eq!(
                (input.element, input.dims),
                (element, Vec::new()),
                "{cql_type}"
            );
        }
        let vector = CqlType::parse("vector<float, 3>").unwrap();
        assert_eq!(shape(&vector), (Element::Float, vec![3]));
        let vector = CqlType::parse("vector<bigint, 3>").unwrap();
        assert_eq!(shape(&vector), (Element::String, Vec::new()));
    }
}
