//! `MLmodel`, the file that describes a model in MLflow.

use std::collections::BTreeMap;

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::domain::problem::Problem;

/// What helenus uses of an `MLmodel` file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MlModel {
    /// Path of the ONNX file, relative to `MLmodel`.
    pub data: String,
    /// Names of the columns of a DataFrame's signature, in their order, which is that of training.
    /// `None`: the signature has no names.
    pub columns: Option<Vec<String>>,
    /// Why `columns` is `None`.
    pub unnamed: Option<&'static str>,
    /// `metadata` with the key `helenus.features`.
    pub features: Option<Vec<String>>,
    /// `metadata` with the key `helenus.classes`.
    pub classes: Option<Vec<String>>,
    pub run_id: Option<String>,
    pub model_id: Option<String>,
    pub mlflow_version: Option<String>,
}

impl MlModel {
    /// Reads the text of an `MLmodel` file.
    ///
    /// # Errors
    /// It is not YAML, or has no ONNX flavour.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let wrong = |message: String| Problem::new("mlflow.mlmodel", message).at("MLmodel");
        let documents = YamlLoader::load_from_str(text)
            .map_err(|error| wrong(format!("the file is not YAML: {error}")))?;
        let file = documents.into_iter().next().unwrap_or(Yaml::BadValue);
        let flavors = &file["flavors"];
        let onnx = &flavors["onnx"];
        let Some(data) = onnx["data"].as_str() else {
            let names: Vec<&str> = flavors
                .as_hash()
                .into_iter()
                .flatten()
                .filter_map(|(name, _)| name.as_str())
                .collect();
            let names = names.join(", ");
            let problem = wrong(format!("the model has no ONNX flavour; it has: {names}"));
            return Err(problem
                .help("convert it, log it with mlflow.onnx.log_model, and import that version"));
        };
        if data.starts_with('/') || data.split('/').any(|part| part == "..") {
            return Err(wrong(format!("`{data}` is outside of the model's folder")));
        }
        let text = |value: &Yaml| value.as_str().map(str::to_owned);
        let metadata = &file["metadata"];
        let list = |name: &str| {
            let names = metadata[name].as_vec()?.iter();
            names.map(plain).collect::<Option<Vec<String>>>()
        };
        let (columns, unnamed) = match names(file["signature"]["inputs"].as_str()) {
            Ok(names) => (Some(names), None),
            Err(why) => (None, Some(why)),
        };
        Ok(Self {
            data: data.to_owned(),
            columns,
            unnamed,
            features: list("helenus.features"),
            classes: list("helenus.classes"),
            run_id: text(&file["run_id"]),
            model_id: text(&file["model_id"]),
            mlflow_version: text(&file["mlflow_version"]),
        })
    }

    /// Returns the tags of a version with this model.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let tags = [
            ("mlflow.run_id", &self.run_id),
            ("mlflow.model_id", &self.model_id),
            ("mlflow.mlflow_version", &self.mlflow_version),
        ];
        let tags = tags
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        tags.collect()
    }
}

/// A class may be a number or a truth value in YAML.
fn plain(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Returns the names of a signature's inputs, or why there are none.
fn names(inputs: Option<&str>) -> Result<Vec<String>, &'static str> {
    let inputs = inputs.ok_or("it has no signature")?;
    let inputs: Value = serde_json::from_str(inputs).map_err(|_| "its signature cannot be read")?;
    let inputs = inputs.as_array().ok_or("its signature cannot be read")?;
    let is = |kind: &str| inputs.iter().any(|input| input["type"] == kind);
    if is("any") {
        return Err("its signature says `any`: MLflow could not infer it");
    }
    if is("tensor") {
        return Err("its signature is of tensors, which have no names of features");
    }
    let names = inputs
        .iter()
        .map(|input| input["name"].as_str().map(str::to_owned));
    let names: Option<Vec<String>> = names.collect();
    names
        .filter(|names| !names.is_empty())
        .ok_or("the columns of its signature have no names")
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str =
        "flavors:\n  onnx: {code: null, data: model.onnx}\n  python_function: {data: model.onnx}\n";

    fn parse(more: &str) -> MlModel {
        MlModel::parse(&format!("{START}{more}")).unwrap()
    }

    #[test]
    fn names_come_from_the_columns_of_a_signature() {
        let model = parse(
            "signature:\n  inputs: '[{\"type\": \"float\", \"name\": \"mean radius\", \"required\": true}, {\"type\":\n    \"long\", \"name\": \"n\", \"required\": true}]'\n  outputs: null\nrun_id: 379d\nmodel_id: m-2f\nmlflow_version: 3.17.2\nmetadata:\n  helenus.classes: [benign, 1, true]\n",
        );
        assert_eq!(model.columns.unwrap(), ["mean radius", "n"]);
        assert_eq!(model.classes.unwrap(), ["benign", "1", "true"]);
        assert_eq!(model.model_id.as_deref(), Some("m-2f"));
    }

    #[test]
    fn a_signature_without_names_says_why() {
        for (inputs, why) in [
            ("[{\"type\":\"any\"}]", "`any`"),
            (
                "[{\"type\":\"tensor\",\"tensor-spec\":{\"dtype\":\"float32\",\"shape\":[-1,30]}}]",
                "tensors",
            ),
            ("[{\"type\":\"float\"}]", "have no names"),
            ("what", "cannot be read"),
        ] {
            let model = parse(&format!("signature: {{inputs: '{inputs}'}}\n"));
            let said = model.unnamed.unwrap();
            assert!(model.columns.is_none() && said.contains(why), "{said}");
        }
        assert_eq!(parse("").unnamed, Some("it has no signature"));
    }

    #[test]
    fn only_onnx_within_its_folder_is_accepted() {
        let error = MlModel::parse("flavors:\n  sklearn: {}\n  python_function: {}\n").unwrap_err();
        assert!(
            error.message.ends_with("sklearn, python_function"),
            "{error}"
        );
        for data in ["/etc/passwd", "../model.onnx"] {
            let text = format!("flavors: {{onnx: {{data: {data}}}}}\n");
            assert!(MlModel::parse(&text).is_err(), "{data}");
        }
        assert!(MlModel::parse("a: [").is_err());
    }
}
