//! Models of MLflow: a folder with `MLmodel`, or a version of a registry over REST.

mod rest;
mod source;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use rest::MlflowServer;
pub use source::MlflowSource;
use tempfile::TempDir;

use crate::{
    domain::{model::mlmodel::MlModel, problem::Problem},
    failure::Failure,
};

/// The files that a trainer may put beside the model: feature names, golden rows, training rows.
const BESIDE: [&str; 4] = [
    "features.txt",
    "golden.csv",
    "reference.parquet",
    "reference.csv",
];

/// A model as it is in MLflow, with its files on this machine.
#[derive(Debug)]
pub struct MlflowModel {
    pub description: MlModel,
    /// The folder with the model's files.
    pub folder: PathBuf,
    /// Files beside the model that helenus uses, by name.
    pub files: BTreeMap<String, PathBuf>,
    pub tags: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, f64>,
    /// Name of the registered model.
    pub name: Option<String>,
    /// Deletes the folder when it is dropped, if it was downloaded.
    _downloaded: Option<TempDir>,
}

impl MlflowModel {
    /// Returns the ONNX file.
    pub fn file(&self) -> PathBuf {
        self.folder.join(&self.description.data)
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// Exit 2: there is no `MLmodel`, or no ONNX flavour.
    pub fn in_folder(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("MLmodel");
        let place = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let message = format!("cannot be read: {error}");
            let problem = Problem::new("mlflow.mlmodel", message).at(place.clone());
            Failure::input(problem.help("name the folder that has the file MLmodel"))
        })?;
        let description = MlModel::parse(&text);
        let description = description.map_err(|problem| Failure::input(problem.at(place)))?;
        let files = BESIDE
            .into_iter()
            .map(|name| (name.to_owned(), folder.join(name)))
            .filter(|(_, path)| path.is_file())
            .collect();
        Ok(Self {
            tags: description.tags(),
            description,
            folder: folder.to_owned(),
            files,
            metrics: BTreeMap::new(),
            name: None,
            _downloaded: None,
        })
    }
}
