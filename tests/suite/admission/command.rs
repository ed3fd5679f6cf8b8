//! The command line: exit codes, and exactly one JSON object.

use std::process::{Command, Output};

use super::*;

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_helenus"))
        .current_dir(root())
        .args(["model", "check"])
        .args(arguments)
        .env("HELENUS_ONNXRUNTIME", library())
        .output()
        .expect("helenus")
}

#[track_caller]
fn json(arguments: &[&str], exit: i32) -> serde_json::Value {
    let output = check(&[arguments, &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(exit), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

const MODEL: &str = "models/breast_cancer_lr/model.onnx";

#[test]
fn names_inside_a_model_do_not_reach_the_terminal_as_they_are() {
    let output = check(&["tests/models/escapes.onnx"]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("UTF-8");
    assert!(said.contains("\\u{1b}]0;owned\\u{7}"), "{said:?}");
    assert!(said.contains("y\\n\\u{202e}accepted"), "{said:?}");
    let is_safe = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    assert!(said.chars().all(is_safe), "{said:?}");
}

#[test]
fn tells_the_signature_of_an_accepted_model() {
    let said = json(
        &[
            MODEL,
            "--features",
            "models/breast_cancer_lr/features.txt",
            "--golden",
            "models/breast_cancer_lr/golden.csv",
        ],
        0,
    );
    assert_eq!(
        (&said["ok"], &said["command"]),
        (&true.into(), &"model check".into())
    );
    assert_eq!(
        said["result"]["outputs"][1]["classes"],
        serde_json::json!(["benign", "malignant"])
    );
    assert_eq!(said["result"]["outputs"][1]["classes_source"], "zipmap");
    assert_eq!(
        said["result"]["feature_names"].as_array().map(Vec::len),
        Some(30)
    );
    assert_eq!(said["warnings"], serde_json::json!([]));
    let text = check(&[MODEL]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("probabilities of benign, malignant (from ZipMap)"),
        "{text}"
    );
}

#[test]
fn answers_no_for_a_rejected_model_with_all_reasons() {
    let said = json(&["tests/hostile/external_data.onnx"], 1);
    assert_eq!(said["error"]["code"], "model.external_data");
    assert!(
        said["error"]["help"]
            .as_str()
            .is_some_and(|help| help.contains("one file"))
    );
}

#[test]
fn files_and_options_that_cannot_be_used_are_wrong_input() {
    for (arguments, code) in [
        (vec!["no/such/file.onnx"], "model.unreadable"),
        (vec!["models"], "model.unreadable"),
        (vec![MODEL, "--features", "no/such/file"], "file.unreadable"),
        (vec![MODEL, "--golden", MODEL], "csv.encoding"),
        (vec![MODEL, "--rtol=-1"], "tolerance.negative"),
    ] {
        assert_eq!(json(&arguments, 2)["error"]["code"], code, "{arguments:?}");
    }
}

#[test]
fn malformed_golden_rows_are_placed_in_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("golden.csv");
    std::fs::write(&path, "in.X[0],out.output_label\n1,benign\n1\n").expect("written");
    let path = path.to_str().expect("UTF-8");
    let said = json(&[MODEL, "--golden", path], 2);
    assert_eq!(said["error"]["code"], "csv.field_count");
    assert_eq!(said["error"]["where"], format!("{path}: line 3, column 1"));
}
