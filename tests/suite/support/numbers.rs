//! Numbers and two models of them, for jobs with tables beside their predictions.

use super::{Sandbox, cli};

/// Rows of the source.
pub const ROWS: usize = 60;

/// Table `numbers` in partitions of three rows, `x` their number; version 1 of model `numbers` says
/// what it is given, version 2 always the same. The lease time is two seconds.
pub struct Numbers {
    pub sandbox: Sandbox,
}

impl Numbers {
    /// The table, with what follows its columns, and the models; no job yet.
    pub fn pushed(test: &str, with: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql(&format!("CREATE TABLE {{data}}.numbers (name text, visit int, x float, PRIMARY KEY (name, visit)) {with}"));
        for row in 0..ROWS {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.numbers (name, visit, x) VALUES ('patient-{}', {}, {row})",
                row / 3,
                row % 3
            ));
        }
        for model in ["identity", "constant"] {
            let file = format!("{}/tests/models/{model}.onnx", env!("CARGO_MANIFEST_DIR"));
            sandbox.helenus(&["model", "push", "numbers", &file]).ok();
        }
        Self { sandbox }
    }

    /// The job, or its next revision.
    pub fn create(&self, manifest: &str) -> cli::Output {
        let file = self
            .sandbox
            .file("numbers.toml", self.sandbox.filled(manifest));
        self.sandbox
            .json(&["job", "create", file.to_str().unwrap()])
    }

    /// Moves the champion.
    pub fn promote(&self, version: i32) {
        let version = version.to_string();
        let words = ["model", "promote", "numbers", &version, "--why", "test"];
        self.sandbox.helenus(&words).ok();
    }

    /// Gives patient 7's visit 1 another value.
    pub fn set(&self, x: &str) {
        self.sandbox.cql(&format!(
            "UPDATE {{data}}.numbers SET x = {x} WHERE name = 'patient-7' AND visit = 1"
        ));
    }
}
