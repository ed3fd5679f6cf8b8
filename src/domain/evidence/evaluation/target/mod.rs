//! The evaluated task, and the output columns that hold each version's predictions.

mod columns;
mod reading;
mod several;

pub use reading::Reading;

use super::labels::Meaning;
use crate::domain::{job::CompiledJob, problem::Problem};
use columns::Columns;

/// Options of an evaluation's target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// The class that is evaluated; `None`: the manifest's, if it names one.
    pub positive: Option<String>,
    /// The output column with the number or score, if it is ambiguous.
    pub column: Option<String>,
    /// Decision thresholds, the headline's first.
    pub thresholds: Vec<f64>,
}

/// The evaluated task, version by version.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Kind of the labels.
    pub meaning: Meaning,
    /// In the order of the request.
    pub versions: Vec<Reading>,
}

impl Target {
    /// Determines the task and columns of these versions.
    ///
    /// # Errors
    /// No column or several columns are suitable, or the versions' tasks differ.
    pub fn resolve(
        job: &CompiledJob,
        versions: &[i32],
        question: &Question,
    ) -> Result<Self, Problem> {
        let mut found: Vec<(Meaning, Reading)> = Vec::new();
        for number in versions {
            let versions = job.versions.iter();
            for version in versions.filter(|version| version.ready.version == *number) {
                found.push(Columns { job, version }.reading(question)?);
            }
        }
        let mut found = found.into_iter();
        let Some((meaning, first)) = found.next() else {
            return Err(Problem::new("evaluate.no_version", "no version is named"));
        };
        let mut readings = vec![first];
        for ((other, reading), number) in found.zip(versions.iter().skip(1)) {
            if other != meaning {
                let message = format!(
                    "version {number} predicts {}, but version {} predicts {}",
                    describe(&other),
                    versions[0],
                    describe(&meaning)
                );
                return Err(Problem::new("evaluate.other_outputs", message)
                    .at("versions")
                    .help("evaluate the versions separately"));
            }
            readings.push(reading);
        }
        Ok(Self {
            meaning,
            versions: readings,
        })
    }
}

/// Returns the names of the classes by number; empty if there are no classes.
pub fn class_names(target: &Target) -> Vec<String> {
    match &target.meaning {
        Meaning::Classes(names) => names.clone(),
        Meaning::Positive { .. } | Meaning::Number => Vec::new(),
    }
}

fn describe(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Positive { positive, classes } => {
            format!("class `{positive}` among {}", classes.join(", "))
        }
        Meaning::Classes(classes) => format!("the classes {}", classes.join(", ")),
        Meaning::Number => "a number".to_owned(),
    }
}
