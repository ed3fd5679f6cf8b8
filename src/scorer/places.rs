//! The features that a model file declares, read without loading the model.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    graph,
    onnx::{self, DataType, DimensionValue, TypeValue, ValueInfoProto},
};
use crate::domain::{
    evidence::drift::{ModelPlace, PREPARED},
    job::feature_places::place_labels,
    model::{Input, tensor::Element},
    problem::Problem,
};

/// Returns the features that a file's inputs take, in order. `names` are those given beside the file,
/// for the values of inputs of several; without any, the file's own count, and then
/// `<input>[0]`, `<input>[1]` …
///
/// # Errors
/// The file is not an ONNX model, the number of an input's values is unknown, or the names do not
/// fit.
pub fn model_places(file: Vec<u8>, names: &[String]) -> Result<Vec<ModelPlace>, Problem> {
    let model = onnx::decode(Bytes::from(file))?;
    let own = graph::list(&model, "helenus.features")?;
    let names = match names {
        [] => own,
        given => given.to_vec(),
    };
    let graph = model.graph.unwrap_or_default();
    let constants: BTreeSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let inputs = graph.input.iter();
    let mut inputs: Vec<DeclaredInput> = inputs
        .filter(|input| !constants.contains(input.name.as_str()))
        .map(declared)
        .collect();
    let known: usize = inputs.iter().filter_map(|input| input.width).sum();
    let mut open = inputs.iter_mut().filter(|input| input.width.is_none());
    if let (Some(only), None) = (open.next(), open.next()) {
        let single = known.min(names.len());
        only.width = Some(names.len() - single).filter(|width| *width > 0);
    }
    if let Some(open) = inputs.iter().find(|input| input.width.is_none()) {
        let message = format!(
            "input `{}` does not say how many values it takes",
            open.name
        );
        return Err(Problem::new("reference.width", message)
            .help(format!("give their names: --features FILE; {PREPARED}")));
    }
    let widths = |wide: bool| {
        let inputs = inputs.iter().filter_map(|input| input.width);
        inputs.filter(move |width| !wide || *width > 1).sum()
    };
    let of_wide = place_labels(&names, widths(true));
    let of_all = place_labels(&names, widths(false));
    if !names.is_empty() && of_wide.is_none() && of_all.is_none() {
        let message = format!(
            "{} feature names for inputs that take {} values",
            names.len(),
            widths(false)
        );
        return Err(Problem::new("reference.names", message).at("--features"));
    }
    let (mut labels, for_all) = match (of_wide, of_all) {
        (Some(labels), _) => (labels.into_iter(), false),
        (None, Some(labels)) => (labels.into_iter(), true),
        (None, None) => (Vec::new().into_iter(), false),
    };
    let mut places = Vec::new();
    for input in inputs {
        let width = input.width.unwrap_or(1);
        for value in 0..width {
            let label = match width > 1 || for_all {
                true => labels.next(),
                false => None,
            };
            places.push(ModelPlace {
                name: label.unwrap_or_else(|| match width {
                    1 => input.name.clone(),
                    _ => format!("{}[{value}]", input.name),
                }),
                element: input.element,
            });
        }
    }
    Ok(places)
}

/// Returns the inputs whose dimensions, but for that of rows, the file says.
///
/// # Errors
/// The file is not an ONNX model.
pub fn declared_inputs(file: Vec<u8>) -> Result<Vec<Input>, Problem> {
    let graph = onnx::decode(Bytes::from(file))?.graph.unwrap_or_default();
    let is_constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs = graph.input.iter().map(declared);
    Ok(inputs
        .filter(|input| !is_constant(&input.name))
        .filter_map(|input| {
            Some(Input {
                name: input.name,
                element: input.element,
                dims: input.dims?,
            })
        })
        .collect())
}

struct DeclaredInput {
    name: String,
    element: Element,
    /// Values per row; `None`: the file leaves it open.
    width: Option<usize>,
    /// The dimensions after that of rows, if the file says all.
    dims: Option<Vec<usize>>,
}

fn declared(input: &ValueInfoProto) -> DeclaredInput {
    let tensor = match input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => tensor.clone(),
        _ => Default::default(),
    };
    let shape = tensor.shape.unwrap_or_default();
    // The first dimension is that of rows.
    let dims = shape.dim.iter().skip(1);
    let dims: Option<Vec<usize>> = dims
        .map(|dim| match dim.value {
            Some(DimensionValue::Value(size)) => {
                usize::try_from(size).ok().filter(|size| *size > 0)
            }
            _ => None,
        })
        .collect();
    DeclaredInput {
        name: input.name.clone(),
        element: match DataType::try_from(tensor.elem_type) {
            Ok(DataType::Float16) => Element::Float16,
            Ok(DataType::Double) => Element::Double,
            Ok(DataType::Int32) => Element::Int32,
            Ok(DataType::Int64) => Element::Int64,
            Ok(DataType::Bool) => Element::Bool,
            Ok(DataType::String) => Element::String,
            // Admission refuses other types.
            _ => Element::Float,
        },
        width: dims.as_ref().map(|dims| dims.iter().product()),
        dims,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(model: &str, given: &[&str]) -> Vec<String> {
        let path = format!("{}/models/{model}/model.onnx", env!("CARGO_MANIFEST_DIR"));
        let given: Vec<String> = given.iter().map(|&name| name.to_owned()).collect();
        let places = model_places(std::fs::read(path).unwrap(), &given).unwrap();
        places.into_iter().map(|place| place.name).collect()
    }

    #[test]
    fn features_are_named_as_mappings_name_them() {
        let given = ["a", "b", "c", "d"];
        assert_eq!(names("iris_mlp", &given), given);
        // The file's own names, or none.
        assert_eq!(names("iris_mlp", &[])[3], "petal width");
        let unnamed = names("breast_cancer_lgbm", &[]);
        assert_eq!(unnamed.len(), 30);
        assert!(unnamed[29].ends_with("[29]"), "{unnamed:?}");
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let path = format!("{}/models/iris_mlp/model.onnx", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(path).unwrap();
        let problem = model_places(file, &["a".to_owned()]).unwrap_err();
        assert_eq!(problem.code, "reference.names");
    }
}
