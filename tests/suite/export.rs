//! `helenus export`: what stands, and nothing else.

use std::{collections::BTreeMap, fs};

use helenus::domain::csv;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use serde_json::Value;

use crate::support::{Model, Sandbox, biopsies::Biopsies, cli};

/// Rows of a CSV text by column.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, Option<String>>> {
    let reader = csv::Reader::new(text).unwrap();
    let header = reader.header.clone();
    let records = reader.map(|record| record.unwrap().fields);
    let named = |fields: Vec<csv::Field>| {
        let values = fields.into_iter().map(|field| field.value);
        header.iter().cloned().zip(values).collect()
    };
    records.map(named).collect()
}

#[test]
fn what_is_exported_is_what_stands() {
    let biopsies = Biopsies::scored("export");
    let sandbox = &biopsies.sandbox;
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    biopsies.score();
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    let all = sandbox.helenus(&["export", "tumour"]).ok().stdout;
    let all = rows(&all);
    assert_eq!(all.len() as u64, 2 * (biopsies.rows + 1));
    let stands = sandbox.row("SELECT label, p_malignant, lineage.run_id AS run FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 1");
    let row = all.iter().find(|row| {
        row["id"].as_deref() == Some("42") && row["model_version"].as_deref() == Some("1")
    });
    let row = row.unwrap();
    assert_eq!(row["label"].as_ref(), stands["label"].as_text());
    let score: f32 = row["p_malignant"].as_ref().unwrap().parse().unwrap();
    assert_eq!(Some(score), stands["p_malignant"].as_float());
    let run = stands["run"].as_timeuuid().unwrap().to_string();
    assert_eq!(row["run_id"], Some(run.clone()));
    let rejected = all
        .iter()
        .find(|row| row["id"].as_deref() == Some("9001"))
        .unwrap();
    assert_eq!(rejected["p_malignant"], None);
    assert!(
        rejected["rejected"]
            .as_ref()
            .unwrap()
            .contains("mean texture")
    );
    // Of one version, of one run, by a condition, the largest.
    let file = sandbox.directory().join("out.jsonl");
    fs::write(&file, "what was there").unwrap();
    let path = file.to_str().unwrap();
    let words = [
        "export",
        "tumour",
        "--version",
        "champion",
        "--run",
        &run,
        "--where",
        "p_malignant >= 0.5 and label = malignant",
        "--format",
        "jsonl",
        "-o",
        path,
    ];
    let said = sandbox.json(&words).ok().result();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected: Vec<_> = all
        .iter()
        .filter(|row| row["model_version"].as_deref() == Some("2"))
        .filter(|row| row["label"].as_deref() == Some("malignant"))
        .filter(|row| row["p_malignant"].as_ref().unwrap().parse::<f64>().unwrap() >= 0.5)
        .collect();
    assert_eq!(lines.len(), expected.len());
    assert_eq!(said["written"], lines.len());
    assert_eq!(said["read"], biopsies.rows + 1);
    assert!(
        lines
            .iter()
            .all(|line| line["model_version"] == 2 && line["p_malignant"].as_f64().unwrap() >= 0.5)
    );
    let top = sandbox
        .helenus(&[
            "export",
            "tumour",
            "--version",
            "1",
            "--top",
            "5",
            "--by",
            "p_malignant",
        ])
        .ok()
        .stdout;
    let score = |row: &std::collections::BTreeMap<String, Option<String>>| {
        row["p_malignant"].as_ref()?.parse::<f64>().ok()
    };
    let mut largest: Vec<f64> = all
        .iter()
        .filter(|row| row["model_version"].as_deref() == Some("1"))
        .filter_map(score)
        .collect();
    largest.sort_by(|a, b| b.total_cmp(a));
    let top: Vec<f64> = rows(&top).iter().filter_map(score).collect();
    assert_eq!(top, largest[..5]);
    // Nothing is left beside the file.
    let left = fs::read_dir(sandbox.directory()).unwrap();
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".helenus")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn what_can_not_be_exported_leaves_no_file() {
    let biopsies = Biopsies::scored("export_refused");
    let sandbox = &biopsies.sandbox;
    let refused = |options: &[&str], code: i32, problem: &str| {
        let words = [&["export", "tumour", "-o", "out.csv"], options].concat();
        let said = sandbox.json(&words).code(code);
        assert_eq!(said.error()["code"], problem, "{said:?}");
        assert!(!sandbox.directory().join("out.csv").exists());
    };
    refused(&["--where", "p_malignant"], 2, "export.where");
    refused(&["--where", "p_malignent > 1"], 2, "export.where");
    refused(&["--where", "p_malignant > much"], 2, "export.where");
    refused(&["--top", "3", "--by", "run_id"], 2, "export.order");
    refused(&["--version", "champion"], 2, "job.unknown_alias");
    let stdout = sandbox.json(&["export", "tumour"]).code(2);
    assert_eq!(stdout.error()["code"], "export.stdout");
    let slow = sandbox.start(&["export", "tumour", "-o", "out.csv", "--max-rate", "20"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    slow.interrupt().code(130);
    assert_eq!(
        fs::read_dir(sandbox.directory())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with(".helenus") || name == "out.csv"
            })
            .count(),
        0
    );
    // A reader that has seen enough.
    let helenus = format!(
        "{} export tumour | head -n 1",
        env!("CARGO_BIN_EXE_helenus")
    );
    let command = sandbox.command(&[]);
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["-o", "pipefail", "-c", &helenus])
        .current_dir(sandbox.directory());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let said = cli::run(shell).ok();
    assert!(said.stdout.starts_with("id,model_version,"), "{said:?}");
}

/// Rows of a Parquet file by column, and its metadata.
fn parquet(file: &std::path::Path) -> (Vec<BTreeMap<String, Field>>, BTreeMap<String, String>) {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    let about = reader.metadata().file_metadata().key_value_metadata();
    let about = about.unwrap().iter();
    let about = about.map(|pair| (pair.key.clone(), pair.value.clone().unwrap()));
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let cells = row.get_column_iter();
        cells
            .map(|(name, field)| (name.clone(), field.clone()))
            .collect()
    });
    (rows.collect(), about.collect())
}

#[test]
fn parquet_holds_what_the_lines_hold_with_its_types() {
    let biopsies = Biopsies::scored("export_parquet");
    let sandbox = &biopsies.sandbox;
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    biopsies.score();
    let options = ["--version", "2"];
    let export = |form: &str, options: &[&str]| {
        let words = [&["export", "tumour", "-o", form, "--format", form], options].concat();
        sandbox.json(&words).ok();
        sandbox.directory().join(form)
    };
    let lines = fs::read_to_string(export("jsonl", &options)).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (rows, about) = parquet(&export("parquet", &options));
    assert_eq!(rows.len() as u64, biopsies.rows + 1);
    assert_eq!(about["helenus.job"], "tumour");
    assert_eq!(about["helenus.version"], "2");
    let mut rejected = 0;
    // Both go along the ring.
    for (row, line) in rows.iter().zip(&lines) {
        let text = |name: &str| match &row[name] {
            Field::Null => Value::Null,
            Field::Int(value) => (*value).into(),
            Field::Float(value) if *value == single(&line[name]) => line[name].clone(),
            Field::Str(value) => value.as_str().into(),
            Field::Bytes(value) if value.len() == 16 => uuid::Uuid::from_slice(value.data())
                .unwrap()
                .to_string()
                .into(),
            Field::Bytes(value) => hex::encode(value.data()).into(),
            other => panic!("{name}: {other:?}"),
        };
        for name in row.keys().filter(|name| *name != "scored_at") {
            assert_eq!(text(name), line[name], "{name} of {line}");
        }
        let Field::TimestampMillis(scored_at) = row["scored_at"] else {
            panic!("{row:?}");
        };
        let scored_at = chrono::DateTime::from_timestamp_millis(scored_at).unwrap();
        let said = line["scored_at"].as_str().unwrap();
        assert!(
            said.starts_with(&scored_at.format("%Y-%m-%d").to_string()),
            "{said}"
        );
        if row["p_malignant"] == Field::Null {
            assert!(matches!(&row["rejected"], Field::Str(_)));
            rejected += 1;
        }
    }
    assert_eq!(rejected, 1);
    let top = ["--top", "5", "--by", "p_malignant"];
    assert_eq!(parquet(&export("parquet", &top)).0.len(), 5);
    // None is wanted: a file that says so.
    let none = ["--where", "p_malignant > 2"];
    assert_eq!(parquet(&export("parquet", &none)).0.len(), 0);
    // A stream is whole, too.
    let stdout = sandbox
        .command(&["export", "tumour", "--format", "parquet"])
        .output()
        .unwrap();
    assert!(stdout.status.success() && stdout.stdout.ends_with(b"PAR1"));
}

/// A number of a line as the `float` that it is the shortest spelling of.
fn single(number: &Value) -> f32 {
    number.as_f64().unwrap() as f32
}

#[test]
fn vectors_are_lists_in_parquet() {
    let sandbox = Sandbox::migrated("export_vectors");
    let model = Model::named("forty_classes");
    let rows = model.load(&sandbox);
    sandbox.cql("INSERT INTO {data}.points (id, x0) VALUES (99999, 1.0)");
    let push = model.push_arguments("m");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    let manifest = model.manifest(&sandbox, "j", "m");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    // The row without inputs is rejected, which fails the run and leaves its predictions.
    sandbox.helenus(&["score", "j"]).code(1);
    let export = |form: &str| {
        sandbox
            .helenus(&["export", "j", "--format", form, "-o", form])
            .ok();
        sandbox.directory().join(form)
    };
    let lines = fs::read_to_string(export("jsonl")).unwrap();
    let (read, _) = parquet(&export("parquet"));
    assert_eq!(read.len(), rows + 1);
    let mut nulls = 0;
    for (row, line) in read.iter().zip(lines.lines()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["id"], Field::Int(line["id"].as_i64().unwrap() as i32));
        match &row["probabilities"] {
            Field::ListInternal(list) => {
                let read = list.elements().iter().map(|element| match element {
                    Field::Float(value) => *value,
                    other => panic!("{other:?}"),
                });
                let told = line["probabilities"].as_array().unwrap().iter();
                assert!(read.eq(told.map(single)), "{line}");
            }
            Field::Null => {
                assert!(line["probabilities"].is_null());
                nulls += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(nulls, 1);
}
