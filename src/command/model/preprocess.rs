//! `--preprocess` of `model check` and `model push`: what a training library does before the model,
//! as an entry of `[features]`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    domain::{job::preset::Preset, problem::Problem},
    failure::Failure,
    output::Answer,
    scorer::places,
};

/// Largest size of a preset's file.
const MAX_FILE: u64 = 1 << 20;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct PreprocessArgs {
    /// Print the [features] entry that prepares images as a training library does: torchvision,
    /// keras:caffe, keras:tf, timm:FILE (config.json), hf:FILE (preprocessor_config.json). Refused if the
    /// model takes another size or layout
    #[arg(long, value_name = "PRESET")]
    preprocess: Option<String>,
}

impl PreprocessArgs {
    /// Returns the entry for the model's only image input; `None` without the option.
    ///
    /// # Errors
    /// Exit 2: an unknown preset, a file that cannot be read, or a preset that does not fit.
    pub fn entry(&self, model: &Path) -> Result<Option<String>, Failure> {
        let Some(word) = &self.preprocess else {
            return Ok(None);
        };
        let at = |problem: Problem| Failure::input(problem.at("--preprocess"));
        let preset = preset(word).map_err(at)?;
        let file = std::fs::read(model).map_err(|error| at(unreadable(model, &error)))?;
        let inputs = places::declared_inputs(file).map_err(Failure::input)?;
        preset.entry(&inputs).map(Some).map_err(at)
    }
}

/// Adds the entry to an answer.
pub fn add_entry(answer: &mut Answer, entry: Option<String>) {
    let Some(entry) = entry else { return };
    answer.text.push_str(&format!(
        "\n\nfor the job's manifest:\n\n[features]\n{entry}"
    ));
    if let Some(result) = answer.result.as_object_mut() {
        result.insert("features_entry".to_owned(), Value::from(entry));
    }
}

fn preset(word: &str) -> Result<Preset, Problem> {
    let (name, rest) = word.split_once(':').unwrap_or((word, ""));
    Ok(match (name, rest) {
        ("torchvision", "") => Preset::Torchvision,
        ("keras", "caffe") => Preset::KerasCaffe,
        ("keras", "tf") => Preset::KerasTf,
        ("timm", file) if !file.is_empty() => Preset::Timm(json(file)?),
        ("hf", file) if !file.is_empty() => Preset::HuggingFace(json(file)?),
        _ => {
            return Err(
                Problem::new("usage", format!("unknown preset `{word}`")).help(
                    "use torchvision, keras:caffe, keras:tf, timm:config.json or hf:preprocessor_config.json",
                ),
            );
        }
    })
}

fn json(file: &str) -> Result<Value, Problem> {
    let path = PathBuf::from(file);
    let size = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
    if size.len() > MAX_FILE {
        let message = format!("{file} has {} bytes, more than {MAX_FILE}", size.len());
        return Err(Problem::new("preset.unreadable", message));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    serde_json::from_str(&text)
        .map_err(|error| Problem::new("preset.unreadable", format!("{file}: {error}")))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let message = format!("cannot read {}: {error}", path.display());
    Problem::new("preset.unreadable", message)
}
