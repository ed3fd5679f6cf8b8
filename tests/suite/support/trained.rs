//! A model that is trained again: the biopsies, their outcomes, and trainers with real scripts.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::{
    Sandbox,
    biopsies::Biopsies,
    cli::{self, Output, Running},
    required,
};

/// The biopsies, scored by version 1 (champion and challenger), with outcomes.
pub struct Trained {
    pub biopsies: Biopsies,
}

impl Trained {
    /// The outcomes are the true diagnoses: versions 1 and 2, which learned from a third of the
    /// rows, are good but not perfect.
    pub fn new(test: &str) -> Self {
        let biopsies = Biopsies::scored(test);
        let trained = Self { biopsies };
        let sandbox = trained.sandbox();
        sandbox.cql(
            "CREATE TABLE {data}.outcomes (id int PRIMARY KEY, diagnosis text, known_at timestamp)",
        );
        for row in sandbox.rows("SELECT id, diagnosis_truth FROM {data}.biopsies") {
            let (id, truth) = (
                row["id"].as_int().unwrap(),
                row["diagnosis_truth"].as_text().unwrap(),
            );
            sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, diagnosis, known_at) VALUES ({id}, '{truth}', '2026-01-01')"));
        }
        for alias in ["champion", "challenger"] {
            let promote = ["model", "promote", "tumour", "1", "--alias", alias];
            sandbox.helenus(&promote).ok();
        }
        trained.biopsies.create("[\"champion\", \"challenger\"]");
        trained
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.biopsies.sandbox
    }

    pub fn labels(&self) -> String {
        self.sandbox().filled("{data}.outcomes.diagnosis")
    }

    /// Adds the retraining `again` and asks for a training by hand.
    pub fn start(&self, trainer: &str, options: &[&str]) {
        let labels = self.labels();
        let words = [
            "retraining",
            "add",
            "tumour",
            "again",
            "--job",
            "tumour",
            "--trainer",
            trainer,
            "--labels",
            &labels,
        ];
        self.sandbox().helenus(&[&words[..], options].concat()).ok();
        self.sandbox()
            .helenus(&["retraining", "start", "tumour", "again"])
            .ok();
    }

    /// The settings of a trainer whose names stand for these commands (TOML).
    pub fn settings(&self, trainers: &[(&str, String)]) -> String {
        let sections = trainers
            .iter()
            .map(|(name, section)| format!("[trainers.{name}]\n{section}\n"));
        let text: String = sections.collect();
        let file = self.sandbox().file("trainer.toml", text);
        file.display().to_string()
    }

    pub fn trainer(&self, settings: &str, failpoints: &str) -> Command {
        let mut command = self.sandbox().command(&[
            "trainer", "--once", "--config", settings, "--output", "json",
        ]);
        command.env("HELENUS_FAILPOINTS", failpoints);
        command
    }

    /// A trainer's pass to its end.
    pub fn train(&self, settings: &str) -> Output {
        cli::run(self.trainer(settings, ""))
    }

    pub fn start_trainer(&self, settings: &str, failpoints: &str) -> Running {
        Running::start(self.trainer(settings, failpoints))
    }

    #[track_caller]
    pub fn worker(&self) {
        let said = self.sandbox().json(&["worker", "--once"]).ok().json();
        assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    }

    /// The newest request, as `retraining show` has it.
    pub fn request(&self) -> Value {
        let shown = self
            .sandbox()
            .json(&["retraining", "show", "tumour", "again"])
            .ok()
            .result();
        shown["requests"][0].clone()
    }

    /// The numbers of the model's versions.
    pub fn versions(&self) -> Vec<i32> {
        let rows = self
            .sandbox()
            .rows("SELECT version FROM {helenus}.model_versions WHERE name = 'tumour'");
        let mut versions: Vec<i32> = rows
            .iter()
            .map(|row| row["version"].as_int().unwrap())
            .collect();
        versions.sort_unstable();
        versions
    }

    /// The version that an alias points at.
    pub fn alias(&self, alias: &str) -> i32 {
        let row = self.sandbox().row(&format!("SELECT version FROM {{helenus}}.model_aliases WHERE model = 'tumour' AND alias = '{alias}' LIMIT 1"));
        row["version"].as_int().unwrap()
    }
}

/// A section of the settings that runs a script of `examples/trainer`.
pub fn example(script: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("examples/trainer").join(script);
    format!(
        "command = [\"{}\", \"{}\"]",
        required("HELENUS_TEST_EXAMPLES"),
        script.display()
    )
}

/// A section that runs a line of shell.
pub fn shell(line: &str) -> String {
    format!("command = [\"sh\", \"-c\", '''{line}''']")
}
