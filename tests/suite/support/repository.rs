//! A folder of Git over the table `visits`, as `helenus apply` takes it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use super::{
    Sandbox,
    cli::{self, Output},
};

/// y = x.
const IDENTITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");

/// A repository in the sandbox's directory, and the table `visits (id int PRIMARY KEY, x float)`.
pub struct Repository {
    pub sandbox: Sandbox,
    pub folder: PathBuf,
}

impl Repository {
    /// With 20 visits, and no file yet.
    pub fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, note text)");
        for id in 0..20 {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.visits (id, x) VALUES ({id}, {id}.5)"
            ));
        }
        let folder = sandbox.directory().join("ml");
        fs::create_dir(&folder).unwrap();
        let repository = Self { sandbox, folder };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.git(&["config", "user.email", "tests@example.org"]);
        repository.git(&["config", "user.name", "Tests"]);
        repository
    }

    /// With a model, its champion, a job, a trigger, a gate; committed.
    pub fn whole(test: &str) -> Self {
        let repository = Self::new(test);
        repository.model("identity", 0);
        repository.job("visits", "");
        repository.write(
            "aliases.toml",
            "[identity.champion]\nversion = \"folder\"\nmoved_by = \"git\"\n",
        );
        repository.write(
            "triggers.toml",
            "[visits.nightly]\ncron = \"30 2 * * *\"\noverlap = \"skip\"\n",
        );
        repository.write(
            "gates.toml",
            "[identity.better]\nmetric = \"mae\"\nlabels = \"clinic.outcomes.y\"\nmin_labelled_rows = 500\n",
        );
        repository.commit();
        repository
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.filled(content)).unwrap();
    }

    fn filled(&self, content: impl AsRef<[u8]>) -> Vec<u8> {
        match std::str::from_utf8(content.as_ref()) {
            Ok(text) => self.sandbox.filled(text).into_bytes(),
            Err(_) => content.as_ref().to_owned(),
        }
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    /// The identity with a metadata entry, so that each `revision` has bytes of its own.
    pub fn model(&self, name: &str, revision: u8) {
        let mut bytes = fs::read(IDENTITY).unwrap();
        // ModelProto.metadata_props = {key: "r", value: <revision>}.
        bytes.extend([0x72, 6, 0x0a, 1, b'r', 0x12, 1, b'0' + revision]);
        let file = self.folder.join(format!("models/{name}/model.onnx"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
        self.write(
            &format!("models/{name}/model.toml"),
            "file = \"model.onnx\"\n[tags]\nteam = \"clinic\"\n",
        );
    }

    /// A job over the visits that the champion scores, with lines of its own at the end.
    pub fn job(&self, name: &str, lines: &str) {
        self.write(
            &format!("jobs/{name}.toml"),
            format!(
                "job = \"{name}\"\nmodel = \"identity\"\nversions = [\"champion\"]\n[source]\ntable = \"{{data}}.visits\"\n{lines}"
            ),
        );
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.folder, arguments)
    }

    /// Commits everything; gives the commit.
    pub fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--message",
            "A change",
        ]);
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// `helenus plan` or `helenus apply` of the folder.
    pub fn command(&self, name: &str, options: &[&str]) -> Command {
        let arguments = [&[name, "ml", "--output", "json"], options].concat();
        self.sandbox.command(&arguments)
    }

    pub fn plan(&self, options: &[&str]) -> Output {
        cli::run(self.command("plan", options))
    }

    pub fn apply(&self, options: &[&str]) -> Output {
        cli::run(self.command("apply", options))
    }

    /// `kind name: action` of all steps of an answer but those that keep something.
    pub fn steps(&self, answer: &Value) -> Vec<String> {
        let steps = answer["steps"].as_array().unwrap();
        let text = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
        steps
            .iter()
            .map(|step| {
                let (kind, name) = (text(step, "kind"), text(step, "name"));
                format!("{kind} {name}: {}", text(step, "action"))
            })
            .filter(|step| !step.ends_with(": keep"))
            .collect()
    }

    /// All lines of the details of a step.
    pub fn details(&self, answer: &Value, kind: &str) -> String {
        let steps = answer["steps"].as_array().unwrap();
        let of_kind = steps.iter().filter(|step| step["kind"] == kind);
        let details = of_kind.flat_map(|step| step["details"].as_array().unwrap());
        let lines: Vec<&str> = details.map(|line| line.as_str().unwrap()).collect();
        lines.join("\n")
    }

    /// How many rows each of the tables that people write has.
    pub fn counts(&self) -> Vec<(String, i64)> {
        let tables = [
            "model_versions",
            "jobs",
            "triggers",
            "gates",
            "experiments",
            "alias_requests",
        ];
        let count = |table: &str| {
            let row = self
                .sandbox
                .row(&format!("SELECT count(*) AS n FROM {{helenus}}.{table}"));
            (table.to_owned(), row["n"].as_bigint().unwrap())
        };
        tables.map(count).into()
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        // Settings of the person who runs the tests must not matter.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
