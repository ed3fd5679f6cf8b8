//! `model.toml`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::read;
use crate::domain::{model::artifact::check_artifact_name, problem::Problem};

/// `model.toml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// The ONNX file, beside `model.toml`.
    pub file: Option<String>,
    /// The ONNX file outside of the folder; it goes with `sha256`.
    pub path: Option<String>,
    /// sha256 of the file, in hex.
    pub sha256: Option<String>,
    pub features: Option<FeatureNames>,
    #[serde(default)]
    pub classes: Vec<String>,
    /// CSV file of golden rows.
    pub golden: Option<String>,
    /// Training rows, CSV or Parquet.
    pub reference: Option<String>,
    pub rtol: Option<f64>,
    pub atol: Option<f64>,
    #[serde(default)]
    pub widths: BTreeMap<String, i32>,
    #[serde(default)]
    pub accept: BTreeSet<String>,
    /// Files beside the model, by name.
    #[serde(default)]
    pub artifacts: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    pub note: Option<String>,
}

/// `features` of `model.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "write a list of names, or the name of a file with one name per line"
)]
pub enum FeatureNames {
    Listed(Vec<String>),
    File(String),
}

/// Reads `model.toml`.
///
/// # Errors
/// All its mistakes.
pub fn model(text: &str) -> Result<ModelFile, Vec<Problem>> {
    let file: ModelFile = read(text).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    let mut wrong = |place: &str, message: String, help: &str| {
        problems.push(Problem::new("folder.model", message).at(place).help(help));
    };
    match (&file.file, &file.path, &file.sha256) {
        (Some(_), Some(_), _) => wrong(
            "path",
            "both `file` and `path` are given".to_owned(),
            "use `file` for a model in Git, `sha256` and `path` for one that is elsewhere",
        ),
        (None, _, None) => wrong(
            "file",
            "the model's file is missing".to_owned(),
            "write file = \"model.onnx\", or sha256 and path for a file that is not in Git",
        ),
        _ => {}
    }
    if let Some(sha256) = &file.sha256
        && !(sha256.len() == 64 && sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
    {
        let help = "write 64 lower-case hex digits, as `sha256sum` prints them";
        wrong("sha256", format!("invalid sha256 `{sha256}`"), help);
    }
    for (name, value) in [("rtol", file.rtol), ("atol", file.atol)] {
        if value.is_some_and(|value| !(value.is_finite() && value >= 0.0)) {
            wrong(name, "invalid tolerance".to_owned(), "write 0 or more");
        }
    }
    for (input, width) in &file.widths {
        if *width < 1 {
            wrong(
                "widths",
                format!("`{input}` has width {width}"),
                "write 1 or more",
            );
        }
    }
    for name in file.artifacts.keys() {
        if let Err(problem) = check_artifact_name(name) {
            let help = problem.help.unwrap_or_default();
            wrong("artifacts", problem.message, &help);
        }
    }
    for (name, value) in &file.metrics {
        if !value.is_finite() {
            wrong("metrics", format!("`{name}` is {value}"), "write a number");
        }
    }
    for tag in file.tags.keys().filter(|tag| tag.starts_with("git.")) {
        wrong(
            "tags",
            format!("tag `{tag}` is reserved"),
            "use another name: apply sets the tags that start with `git.`",
        );
    }
    match problems.is_empty() {
        true => Ok(file),
        false => Err(problems),
    }
}
