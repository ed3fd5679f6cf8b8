//! Reads the versions of models: `model.toml` and the files that it names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::FolderReader;
use crate::{
    domain::{
        folder::{
            DesiredVersion, VersionFacts,
            files::{self, FeatureNames, ModelFile},
        },
        model::check_name,
        problem::Problem,
    },
    engine::model_files,
    scorer::image::fingerprint,
};

impl FolderReader {
    pub(super) fn models(&mut self) {
        for (model, path) in self.entries(&self.root.join("models")) {
            if !path.is_dir() {
                continue;
            }
            let place = self.name(&path);
            if let Err(problem) = check_name("a model", &model) {
                self.problems.push(problem.at(place));
                continue;
            }
            let numbered = self.entries(&path);
            let mut numbered: Vec<(i32, PathBuf)> = numbered
                .into_iter()
                .filter(|(_, path)| path.join("model.toml").is_file())
                .filter_map(|(name, path)| Some((name.parse().ok()?, path)))
                .filter(|(number, _)| *number > 0)
                .collect();
            numbered.sort();
            match (path.join("model.toml").is_file(), numbered.is_empty()) {
                (true, true) => self.version(&model, None, &path),
                (false, false) => {
                    for (number, path) in numbered {
                        self.version(&model, Some(number), &path);
                    }
                }
                (true, false) => self.problems.push(
                    Problem::new("folder.model", "model.toml is beside folders with numbers")
                        .at(place)
                        .help("use one model.toml that changes, or a folder for each version"),
                ),
                (false, true) => self.problems.push(
                    Problem::new("folder.model", "model.toml is missing")
                        .at(place)
                        .help("add it here, or in a folder for each version: 1/model.toml"),
                ),
            }
        }
    }

    fn version(&mut self, model: &str, number: Option<i32>, path: &Path) {
        let file = path.join("model.toml");
        let place = self.name(&file);
        let Some(text) = self.text(&file) else {
            return;
        };
        let known = self.problems.len();
        match files::model(&text) {
            Err(problems) => self.add(&place, problems),
            Ok(file) => {
                let mut version = self.version_of(path, &place, file);
                version.model = model.to_owned();
                version.number = number;
                // Without its problems: an incomplete version would only cause more.
                if self.problems.len() == known {
                    self.desired.versions.push(version);
                }
            }
        }
    }

    fn version_of(&mut self, directory: &Path, place: &str, file: ModelFile) -> DesiredVersion {
        let features = match &file.features {
            None => Vec::new(),
            Some(FeatureNames::Listed(names)) => names.clone(),
            Some(FeatureNames::File(name)) => {
                let path = self.beside(directory, place, "features", name);
                let names = path.map(|path| {
                    self.text(&path);
                    model_files::feature_names(&path)
                });
                match names {
                    None => Vec::new(),
                    Some(Ok(names)) => names,
                    Some(Err(failure)) => {
                        self.add_failure(place, failure);
                        Vec::new()
                    }
                }
            }
        };
        let golden = file.golden.as_ref().and_then(|name| {
            let path = self.beside(directory, place, "golden", name)?;
            match model_files::golden_text(&path) {
                Ok(text) => Some(text),
                Err(failure) => {
                    self.add_failure(place, failure);
                    None
                }
            }
        });
        let reference = file.reference.as_ref().and_then(|name| {
            let path = self.beside(directory, place, "reference", name)?;
            let sha256 = self.sha256(&path, place, "reference")?;
            Some((path, sha256))
        });
        let mut artifacts = BTreeMap::new();
        let mut artifact_shas = BTreeMap::new();
        for (name, beside) in &file.artifacts {
            let key = format!("artifacts.{name}");
            if let Some(path) = self.beside(directory, place, &key, beside)
                && let Some(sha256) = self.sha256(&path, place, &key)
            {
                artifact_shas.insert(name.clone(), sha256);
                artifacts.insert(name.clone(), path);
            }
        }
        let (bytes, sha256) = self.bytes(directory, place, &file);
        if let Some(text) = &golden {
            let name = format!("{place}: golden");
            let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
            self.hashes.insert(name, sha256);
        }
        self.hashes.insert(format!("{place}: file"), sha256.clone());
        DesiredVersion {
            place: place.to_owned(),
            facts: VersionFacts {
                sha256,
                feature_names: features,
                class_names: file.classes,
                golden_sha256: (golden.as_ref())
                    .map(|text| hex::encode(Sha256::digest(text.as_bytes()))),
                rtol: file.rtol,
                atol: file.atol,
                widths: file.widths,
                accepts: file.accept,
                artifacts: artifact_shas,
                reference_sha256: reference.as_ref().map(|(_, sha256)| sha256.clone()),
            },
            file: bytes,
            golden,
            artifacts,
            reference: reference.map(|(path, _)| path),
            tags: file.tags,
            metrics: file.metrics,
            note: file.note,
            ..DesiredVersion::default()
        }
    }

    /// Returns a file's sha256, in hex.
    fn sha256(&mut self, path: &Path, place: &str, key: &str) -> Option<String> {
        match fingerprint(path) {
            Ok((sha256, _)) => {
                let sha256 = hex::encode(sha256);
                self.hashes.insert(self.name(path), sha256.clone());
                Some(sha256)
            }
            Err(problem) => {
                self.problems.push(problem.at(format!("{place}: {key}")));
                None
            }
        }
    }

    /// Returns the model's file, if it is here, and its sha256.
    fn bytes(
        &mut self,
        directory: &Path,
        place: &str,
        file: &ModelFile,
    ) -> (Option<PathBuf>, String) {
        let wanted = file.sha256.clone().unwrap_or_default();
        let (key, path) = match (&file.file, &file.path) {
            (Some(name), _) => ("file", self.beside(directory, place, "file", name)),
            (None, Some(path)) => {
                let path = directory.join(path);
                ("path", path.is_file().then_some(path))
            }
            (None, None) => ("path", None),
        };
        let Some(path) = path else {
            return (None, wanted);
        };
        let Some(sha256) = self.sha256(&path, place, key) else {
            return (None, wanted);
        };
        if !wanted.is_empty() && wanted != sha256 {
            let message = format!("the file has sha256 {sha256}");
            self.problems.push(
                Problem::new("folder.sha256", message)
                    .at(format!("{place}: sha256"))
                    .help("write this sha256 if the file is the one that you mean"),
            );
        }
        (Some(path), sha256)
    }
}
