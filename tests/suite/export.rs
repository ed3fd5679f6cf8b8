//! `helenus export`: what stands, and nothing else.

use std::fs;

use helenus::domain::csv;
use serde_json::Value;

use crate::support::{biopsies::Biopsies, cli};

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
                name.to_string_lossy().contains("export") || name == "out.csv"
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
