//! What a command leaves in its output directory.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{
    domain::{evidence::drift::Reference, model::golden::Golden, problem::Problem},
    engine::reference,
};

/// Largest size of the files beside the model.
const MAX_TEXT: u64 = 64 << 20;

/// The files that make a version.
#[derive(Debug)]
pub struct Artifacts {
    pub model: PathBuf,
    /// In the model's order.
    pub feature_names: Vec<String>,
    /// The golden rows, as CSV.
    pub golden: String,
    pub metrics: BTreeMap<String, f64>,
    /// The training rows that later ones are compared with, if the command left them.
    pub reference: Option<Reference>,
}

impl Artifacts {
    /// Reads `model.onnx`, `features.txt` and `golden.csv`, which must exist, `metrics.json` and
    /// `reference.parquet`.
    ///
    /// # Errors
    /// What is missing, too large or unreadable.
    pub fn read(directory: &Path, max_model_bytes: u64) -> Result<Self, Problem> {
        let model = directory.join("model.onnx");
        let size = size_of(&model)?;
        if size == 0 || size > max_model_bytes {
            let message =
                format!("model.onnx has {size} bytes; 1 to {max_model_bytes} are permitted");
            return Err(Problem::new("training.model", message));
        }
        let features = text(&directory.join("features.txt"))?;
        let feature_names: Vec<String> = features
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        if feature_names.is_empty() || feature_names.iter().any(String::is_empty) {
            let message = "features.txt must have one feature name in each line";
            return Err(Problem::new("training.features", message));
        }
        let golden = text(&directory.join("golden.csv"))?;
        Golden::parse(&golden).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(Problem::line).collect();
            Problem::new(
                "training.golden",
                format!("golden.csv: {}", lines.join("; ")),
            )
        })?;
        let reference = directory.join("reference.parquet");
        let reference = match reference.exists() {
            true => {
                let read = reference::read(&reference, &model, &feature_names);
                Some(read.map_err(|failure| {
                    let message = format!("reference.parquet: {failure}");
                    Problem::new("training.reference", message)
                })?)
            }
            false => None,
        };
        Ok(Self {
            reference,
            model,
            feature_names,
            golden,
            metrics: metrics(&directory.join("metrics.json"))?,
        })
    }
}

fn metrics(path: &Path) -> Result<BTreeMap<String, f64>, Problem> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    // JSON has neither NaN nor infinities.
    serde_json::from_str(&text(path)?).map_err(|error| {
        let message = format!("metrics.json must be an object of numbers: {error}");
        Problem::new("training.metrics", message)
    })
}

fn size_of(path: &Path) -> Result<u64, Problem> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        _ => Err(missing(path)),
    }
}

fn text(path: &Path) -> Result<String, Problem> {
    if size_of(path)? > MAX_TEXT {
        let message = format!("{} has more than 64 MiB", name(path));
        return Err(Problem::new("training.too_large", message));
    }
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| {
        let message = format!("{} cannot be read: {error}", name(path));
        Problem::new("training.unreadable", message)
    })?;
    Ok(text)
}

fn missing(path: &Path) -> Problem {
    let message = format!(
        "the command wrote no {} into its output directory",
        name(path)
    );
    Problem::new("training.missing", message)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let whole = [
            ("model.onnx", "x"),
            ("features.txt", "a\nb\n"),
            ("golden.csv", "in.a,in.b,out.y\n1,2,3\n"),
            ("metrics.json", "{\"auc\": 0.9}"),
        ];
        let read = |files: &[(&str, &str)]| Artifacts::read(directory(files).path(), 10);
        let artifacts = read(&whole).unwrap();
        assert_eq!(artifacts.feature_names, ["a", "b"]);
        assert_eq!(artifacts.metrics["auc"], 0.9);
        assert!(read(&whole[..3]).unwrap().metrics.is_empty());
        for missing in 0..3 {
            let rest = whole.iter().copied().enumerate();
            let rest = rest.filter(|(at, _)| *at != missing);
            let rest: Vec<_> = rest.map(|(_, file)| file).collect();
            let problem = read(&rest).unwrap_err();
            assert!(problem.message.contains(whole[missing].0), "{problem}");
        }
        for (at, content) in [
            (0, "more than ten bytes"),
            (1, "a\n\nb"),
            (2, "a,b\n1,2"),
            (3, "{\"auc\": \"high\"}"),
        ] {
            let mut files = whole;
            files[at].1 = content;
            assert!(read(&files).is_err(), "{at}");
        }
    }
}
