//! The folders of `models/`: their rows into a table, their predictions against what the library said.

use std::{collections::BTreeMap, fs, path::PathBuf};

use futures::{StreamExt, TryStreamExt};
use helenus::domain::csv;
use scylla::value::CqlValue;
use serde_json::{Value, json};

use super::{
    block_on,
    cassandra::{Named, session},
    sandbox::Sandbox,
};

/// One folder of `models/`.
pub struct Model {
    pub name: String,
    pub folder: PathBuf,
}

impl Model {
    pub fn named(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("models")
            .join(name);
        assert!(folder.is_dir(), "{} is missing", folder.display());
        Self {
            name: name.to_owned(),
            folder,
        }
    }

    /// The names of all folders.
    pub fn all() -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().join("model.onnx").is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A file of the folder as an argument.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    pub fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file))
            .unwrap_or_else(|error| panic!("{}: {error}", self.path(file)))
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).is_file()
    }

    /// `model push NAME FILE` with what the folder brings: features, golden rows, tolerances, and the
    /// options of `push.txt`.
    pub fn push_arguments(&self, model: &str) -> Vec<String> {
        let mut arguments = vec![
            "model".to_owned(),
            "push".to_owned(),
            model.to_owned(),
            self.path("model.onnx"),
        ];
        for (option, file) in [("--features", "features.txt"), ("--golden", "golden.csv")] {
            if self.has(file) {
                arguments.extend([option.to_owned(), self.path(file)]);
            }
        }
        if self.has("push.txt") {
            let lines = self.text("push.txt");
            let folder = self.folder.display().to_string();
            arguments.extend(lines.lines().map(|line| line.replace("{folder}", &folder)));
        }
        if self.has("tolerance.toml") {
            let (rtol, atol) = self.tolerance();
            arguments.extend([
                "--rtol".to_owned(),
                rtol.to_string(),
                "--atol".to_owned(),
                atol.to_string(),
            ]);
        }
        arguments
    }

    /// `(rtol, atol)`: the contract's, unless the folder says why not.
    pub fn tolerance(&self) -> (f64, f64) {
        if !self.has("tolerance.toml") {
            return (1e-5, 1e-6);
        }
        let table: toml::Table = self.text("tolerance.toml").parse().unwrap();
        let number = |key: &str| table[key].as_float().unwrap();
        (number("rtol"), number("atol"))
    }

    /// The job's manifest for the sandbox, `job` and `model` under these names, as a file.
    pub fn manifest(&self, sandbox: &Sandbox, job: &str, model: &str) -> PathBuf {
        let text = self.text("job.toml").replace("{keyspace}", &sandbox.data);
        let lines: Vec<String> = text
            .lines()
            .map(
                |line| match line.split_once('=').map(|(key, _)| key.trim()) {
                    Some("job") => format!("job = {job:?}"),
                    Some("model") => format!("model = {model:?}"),
                    _ => line.to_owned(),
                },
            )
            .collect();
        sandbox.file(&format!("{job}.toml"), lines.join("\n"))
    }

    /// Makes the source table and inserts all rows; gives their number.
    pub fn load(&self, sandbox: &Sandbox) -> usize {
        let statement = self.text("source.cql").replace("{keyspace}", &sandbox.data);
        sandbox.cql(&statement);
        let table = table_of(&statement);
        let types: BTreeMap<String, String> = sandbox
            .rows(&format!(
                "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = '{{data}}' AND table_name = '{table}'"
            ))
            .into_iter()
            .map(|row| (text_of(&row["column_name"]), text_of(&row["type"])))
            .collect();
        let csv = self.text("data.csv");
        let reader = csv::Reader::new(&csv).unwrap();
        let header = reader.header.clone();
        let rows: Vec<String> = reader
            .map(|record| {
                let record = record.unwrap();
                let row: serde_json::Map<String, Value> = header
                    .iter()
                    .zip(record.fields)
                    .map(|(name, field)| {
                        (format!("\"{name}\""), as_json(&types[name], field.value))
                    })
                    .collect();
                Value::Object(row).to_string()
            })
            .collect();
        insert_json(&format!("\"{}\".\"{table}\"", sandbox.data), &rows);
        rows.len()
    }

    /// Holds every row of `expected.csv` against the predictions of one version in `table` of the
    /// user's keyspace; fails the test with the first differences.
    #[track_caller]
    pub fn assert_predictions(&self, sandbox: &Sandbox, table: &str, version: i32) {
        let differences = self.differences(sandbox, table, version);
        assert!(
            differences.is_empty(),
            "{}: {} differences, the first: {:#?}",
            self.name,
            differences.len(),
            &differences[..differences.len().min(5)]
        );
    }

    /// What differs from `expected.csv`, one line each.
    pub fn differences(&self, sandbox: &Sandbox, table: &str, version: i32) -> Vec<String> {
        let csv = self.text("expected.csv");
        let reader = csv::Reader::new(&csv).unwrap();
        let header = reader.header.clone();
        let key: Vec<String> = sandbox
            .rows(&format!(
                "SELECT column_name, kind FROM system_schema.columns WHERE keyspace_name = '{{data}}' AND table_name = '{table}'"
            ))
            .into_iter()
            .filter(|row| matches!(text_of(&row["kind"]).as_str(), "partition_key" | "clustering"))
            .map(|row| text_of(&row["column_name"]))
            .filter(|name| name != "model_version")
            .collect();
        let mut stored: BTreeMap<Vec<String>, Named> = sandbox
            .rows(&format!("SELECT * FROM \"{{data}}\".\"{table}\""))
            .into_iter()
            .filter(|row| row["model_version"] == CqlValue::Int(version))
            .map(|row| (key.iter().map(|name| spelled(&row[name])).collect(), row))
            .collect();
        let mut differences = Vec::new();
        for record in reader {
            let record = record.unwrap();
            let expected: BTreeMap<&String, Option<String>> = header
                .iter()
                .zip(record.fields.into_iter().map(|field| field.value))
                .collect();
            let id: Vec<String> = key
                .iter()
                .map(|name| expected[name].clone().unwrap())
                .collect();
            let Some(row) = stored.remove(&id) else {
                differences.push(format!("{id:?}: no prediction"));
                continue;
            };
            let rejected = expected
                .get(&"rejected".to_owned())
                .is_some_and(|value| value.as_deref() == Some("true"));
            let reason = rejection(&row);
            if rejected != reason.is_some() {
                differences.push(format!(
                    "{id:?}: rejected should be {rejected}, is {reason:?}"
                ));
                continue;
            }
            for (name, value) in &expected {
                if name.as_str() == "rejected" || key.contains(name) {
                    continue;
                }
                let value = if rejected { None } else { value.as_deref() };
                if !is_close(row.get(*name), value, self.tolerance()) {
                    differences.push(format!(
                        "{id:?}.{name}: {:?}, should be {value:?}",
                        row.get(*name)
                    ));
                }
            }
        }
        differences.extend(
            stored
                .keys()
                .map(|id| format!("{id:?}: a prediction of no row")),
        );
        differences
    }
}

/// Whether a stored value equals the text of an expected one, floats within `(rtol, atol)`.
pub fn is_close(stored: Option<&CqlValue>, expected: Option<&str>, tolerance: (f64, f64)) -> bool {
    let (rtol, atol) = tolerance;
    let close = |a: f64, text: &str| {
        let b: f64 = text.trim().parse().unwrap();
        (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= atol + rtol * b.abs()
    };
    match (stored, expected) {
        (None, None) => true,
        (Some(value), Some(text)) => match value {
            CqlValue::Float(a) => close(f64::from(*a), text),
            CqlValue::Double(a) => close(*a, text),
            CqlValue::Vector(values) | CqlValue::List(values) => {
                let wanted: Vec<_> = text.trim_matches(['[', ']']).split(',').collect();
                values.len() == wanted.len()
                    && values
                        .iter()
                        .zip(wanted)
                        .all(|(a, b)| is_close(Some(a), Some(b.trim()), tolerance))
            }
            other => spelled(other) == text,
        },
        _ => false,
    }
}

/// `lineage.rejected` of a prediction.
pub fn rejection(row: &Named) -> Option<String> {
    let CqlValue::UserDefinedType { fields, .. } = row.get("lineage")? else {
        return None;
    };
    fields
        .iter()
        .find(|(name, _)| name == "rejected")
        .and_then(|(_, value)| value.as_ref())
        .map(text_of)
}

/// Inserts rows given as JSON objects, 64 at a time.
pub fn insert_json(table: &str, rows: &[String]) {
    block_on(async {
        let statement = format!("INSERT INTO {table} JSON ?");
        let mut insert = session().prepare(statement).await.unwrap();
        insert.set_is_idempotent(true);
        futures::stream::iter(rows)
            .map(|row| session().execute_unpaged(&insert, (row,)))
            .buffer_unordered(64)
            .map_ok(drop)
            .try_collect::<()>()
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
    });
}

/// The unquoted name of the table that a CREATE TABLE makes.
fn table_of(statement: &str) -> String {
    let name = statement
        .split('(')
        .next()
        .unwrap()
        .split_whitespace()
        .last()
        .unwrap();
    name.rsplit('.')
        .next()
        .unwrap()
        .trim_matches('"')
        .to_owned()
}

fn text_of(value: &CqlValue) -> String {
    match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

/// A field of `data.csv` as `INSERT … JSON` takes it for that type. Cassandra reads numbers,
/// dates and UUIDs from JSON strings too, which keeps every digit.
fn as_json(cql_type: &str, field: Option<String>) -> Value {
    let Some(text) = field else {
        return Value::Null;
    };
    let bare = cql_type.trim_start_matches("frozen<");
    if ["list<", "set<", "vector<"]
        .iter()
        .any(|kind| bare.starts_with(kind))
    {
        let items = text.trim_matches(['[', ']']);
        if items.trim().is_empty() {
            return json!([]);
        }
        return items.split(',').map(|item| json!(item.trim())).collect();
    }
    // JSON knows no infinity, and Cassandra reads Java's word for it.
    match text.as_str() {
        "inf" => json!("Infinity"),
        "-inf" => json!("-Infinity"),
        _ => json!(text),
    }
}

/// A value as `expected.csv` spells keys and labels.
pub fn spelled(value: &CqlValue) -> String {
    match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => text.clone(),
        CqlValue::Boolean(truth) => truth.to_string(),
        CqlValue::Int(number) => number.to_string(),
        CqlValue::BigInt(number) => number.to_string(),
        CqlValue::SmallInt(number) => number.to_string(),
        CqlValue::TinyInt(number) => number.to_string(),
        CqlValue::Uuid(id) => id.to_string(),
        CqlValue::Timeuuid(id) => uuid::Uuid::from(*id).to_string(),
        other => panic!("no spelling in expected.csv: {other:?}"),
    }
}
