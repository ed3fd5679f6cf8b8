//! The folders of `tests/cases/`: models and rows made after public bug reports, with the training
//! library's own predictions.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use helenus::domain::csv;
use scylla::value::CqlValue;

use super::{
    cassandra::Named,
    model::{insert_json, is_close, rejection, spelled},
    sandbox::Sandbox,
};

/// The tolerances `(rtol, atol)` of the cases: float32 against the library's doubles.
pub const TOLERANCE: (f64, f64) = (1e-4, 1e-5);

/// The arguments of `model push` for a file with its feature names and golden rows.
pub fn push<'a>(model: &'a str, file: &'a str, features: &'a str, golden: &'a str) -> [&'a str; 8] {
    [
        "model",
        "push",
        model,
        file,
        "--features",
        features,
        "--golden",
        golden,
    ]
}

/// One folder of `tests/cases/`, its rows loaded into a sandbox.
pub struct Case {
    pub sandbox: Sandbox,
    folder: PathBuf,
    /// The keyspace that its files name: `bug` and the number of the case.
    keyspace: String,
}

impl Case {
    /// Makes what `table.cql` says, in the sandbox's keyspace, and inserts `rows.jsonl` into `table`.
    #[track_caller]
    pub fn load(folder: &str, table: &str) -> Self {
        let case = Self {
            sandbox: Sandbox::shared(&format!("case_{}", &folder[..2])),
            folder: PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("tests/cases")
                .join(folder),
            keyspace: format!("bug{}", &folder[..2]),
        };
        case.load_into("table.cql", "rows.jsonl", table);
        case
    }

    /// Makes another table of the case and inserts its rows.
    #[track_caller]
    pub fn load_into(&self, statements: &str, rows: &str, table: &str) {
        let statements = self.in_sandbox(&self.text(statements));
        for statement in statements.split(';').map(str::trim) {
            if !statement.is_empty() && !statement.starts_with("CREATE KEYSPACE") {
                self.sandbox.cql(statement);
            }
        }
        let rows: Vec<String> = self.text(rows).lines().map(str::to_owned).collect();
        assert!(!rows.is_empty(), "{} has no rows", self.folder.display());
        insert_json(&format!("\"{}\".\"{table}\"", self.sandbox.data), &rows);
    }

    /// A file of the folder as an argument.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file))
            .unwrap_or_else(|error| panic!("{}: {error}", self.path(file)))
    }

    /// What the case calls a model or a job, under a name that no other test uses.
    pub fn name(&self, stem: &str) -> String {
        self.sandbox.name(stem)
    }

    /// A manifest of the case for the sandbox: its keyspace, and [`Case::name`] of its job and model.
    pub fn manifest(&self, file: &str) -> PathBuf {
        self.manifest_text(file, &self.text(file))
    }

    /// The same for a manifest that the test wrote or changed.
    pub fn manifest_text(&self, file: &str, text: &str) -> PathBuf {
        let rename = |line: &str| match line.split_once('=') {
            Some((key @ ("job " | "model "), name)) => {
                format!("{key}= {:?}", self.name(name.trim().trim_matches('"')))
            }
            _ => line.to_owned(),
        };
        let text = self.in_sandbox(text);
        let lines: Vec<String> = text.lines().map(rename).collect();
        self.sandbox.file(file, lines.join("\n"))
    }

    /// Creates the manifest's job and scores `job` once.
    #[track_caller]
    pub fn create_and_score(&self, manifest: &Path, job: &str) {
        let manifest = manifest.display().to_string();
        self.sandbox.helenus(&["job", "create", &manifest]).ok();
        self.sandbox.helenus(&["score", job]).ok();
    }

    /// Fails the test with the first rows of a version in `job`'s predictions (a name of the case's
    /// files) that differ from `expected`, a CSV of the folder whose columns `key` name the row.
    #[track_caller]
    pub fn assert_predictions(&self, job: &str, version: i32, expected: &str, key: &[&str]) {
        let table = format!("{}_predictions", self.name(job));
        let differences = self.differences(&table, version, expected, key);
        assert!(
            differences.is_empty(),
            "{}: {} differences, the first: {:#?}",
            self.folder.display(),
            differences.len(),
            &differences[..differences.len().min(5)]
        );
    }

    /// What differs from `expected`, a line each. A column `rejected` holds the beginning of the reason.
    #[track_caller]
    pub fn differences(
        &self,
        table: &str,
        version: i32,
        expected: &str,
        key: &[&str],
    ) -> Vec<String> {
        let mut stored: BTreeMap<Vec<String>, Named> = self
            .sandbox
            .rows(&format!("SELECT * FROM \"{{data}}\".\"{table}\""))
            .into_iter()
            .filter(|row| row["model_version"] == CqlValue::Int(version))
            .map(|row| (key.iter().map(|name| spelled(&row[*name])).collect(), row))
            .collect();
        let text = self.text(expected);
        let reader = csv::Reader::new(&text).unwrap();
        let header = reader.header.clone();
        let mut differences = Vec::new();
        for record in reader {
            let fields = record.unwrap().fields.into_iter().map(|field| field.value);
            let wanted: BTreeMap<&str, Option<String>> =
                header.iter().map(String::as_str).zip(fields).collect();
            let id: Vec<String> = key
                .iter()
                .map(|name| wanted[name].clone().unwrap())
                .collect();
            let Some(row) = stored.remove(&id) else {
                differences.push(format!("{id:?}: no prediction"));
                continue;
            };
            for (name, value) in wanted.iter().filter(|(name, _)| !key.contains(name)) {
                let value = value.as_deref();
                let got = row.get(*name);
                let same = if *name == "rejected" {
                    match (rejection(&row), value) {
                        (None, None | Some("")) => true,
                        (Some(reason), Some(start)) => {
                            !start.is_empty() && reason.starts_with(start)
                        }
                        _ => false,
                    }
                } else {
                    is_close(got, value, TOLERANCE)
                };
                if !same {
                    let reason = rejection(&row);
                    differences.push(format!(
                        "{id:?}.{name}: {got:?} ({reason:?}), should be {value:?}"
                    ));
                }
            }
        }
        differences.extend(
            stored
                .keys()
                .map(|id| format!("{id:?}: a prediction of no expected row")),
        );
        differences
    }

    fn in_sandbox(&self, text: &str) -> String {
        text.replace(
            &format!("{}.", self.keyspace),
            &format!("{}.", self.sandbox.data),
        )
    }
}
