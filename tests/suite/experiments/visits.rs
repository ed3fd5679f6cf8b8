//! A table of visits that an experiment runs on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Sandbox, cli};

pub const ROWS: i32 = 400;

/// Table `visits` with a patient for every two rows, and model `scores`: version 1 says x, version 2
/// always the same. Scored, with a table of current predictions; version 1 is the champion.
pub struct Visits {
    pub sandbox: Sandbox,
}

pub const MANIFEST: &str = r#"
job = "visits"
model = "scores"
versions = ["champion", 2]
[source]
table = "{data}.visits"
[features]
x = "x"
[outputs]
current = true
[rules]
max_rejected = "100%"
guard = false
"#;

impl Visits {
    pub fn scored(test: &str, manifest: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql(
            "CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, patient_id text, ward text)",
        );
        sandbox.cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, paid boolean, y double, known_at timestamp)");
        for id in 0..ROWS {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.visits (id, x, patient_id, ward) VALUES ({id}, {}, 'p{}', '{}')",
                id % 7,
                id / 2,
                if id % 2 == 0 { "east" } else { "west" }
            ));
        }
        for model in ["identity", "constant"] {
            let file = format!("{}/tests/models/{model}.onnx", env!("CARGO_MANIFEST_DIR"));
            sandbox.helenus(&["model", "push", "scores", &file]).ok();
        }
        let promote = ["model", "promote", "scores", "1", "--why", "test"];
        sandbox.helenus(&promote).ok();
        let visits = Self { sandbox };
        visits.create(manifest).ok();
        visits.sandbox.helenus(&["score", "visits"]).ok();
        visits
    }

    pub fn create(&self, manifest: &str) -> cli::Output {
        let file = self
            .sandbox
            .file("visits.toml", self.sandbox.filled(manifest));
        self.sandbox
            .json(&["job", "create", file.to_str().unwrap()])
    }

    pub fn start(&self, name: &str, more: &[&str]) -> cli::Output {
        let labels = format!("{}.outcomes.paid", self.sandbox.data);
        let words = [
            &[
                "experiment",
                "start",
                "visits",
                name,
                "--arm",
                "a=champion@0.5",
                "--arm",
                "b=2@0.5",
            ][..],
            &["--metric", "mean", "--labels", &labels, "--ends", "14d"],
            more,
        ];
        self.sandbox.json(&words.concat())
    }

    pub fn worker(&self) {
        let pass = self.sandbox.json(&["worker", "--once"]).ok().json();
        assert_eq!(pass["warnings"], json!([]), "{pass}");
    }

    /// Looks at an experiment now.
    pub fn look(&self, name: &str) -> Value {
        let words = ["experiment", "show", "visits", name, "--look"];
        let shown = self.sandbox.json(&words).ok().result();
        shown["look"].clone()
    }

    /// Entity → version and arm in the table of current predictions.
    pub fn current(&self) -> BTreeMap<i32, (i32, Option<String>)> {
        let rows = self
            .sandbox
            .rows("SELECT id, model_version, lineage.arm AS arm FROM {data}.visits_current");
        let versions = rows.iter().map(|row| {
            let arm = row.get("arm").and_then(|arm| arm.as_text()).cloned();
            let version = row["model_version"].as_int().unwrap();
            (row["id"].as_int().unwrap(), (version, arm))
        });
        versions.collect()
    }

    /// The current table is what verify expects of it.
    pub fn verify(&self) {
        let words = ["verify", "visits", "--coverage"];
        let verified = self.sandbox.json(&words).ok().result();
        let current = &verified["coverage"]["current"];
        for wrong in ["other_version", "differing", "extra", "missing"] {
            assert_eq!(current[wrong], 0, "{verified}");
        }
    }
}
