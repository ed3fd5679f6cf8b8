//! The shortest export there is, in double: what ONNX Runtime refuses of it, and whose scores the
//! rest are.

use crate::support::cases::{Case, push};

const FOLDER: &str = "25_double_default_export";

#[test]
fn doubles_that_onnx_runtime_refuses_are_answered_with_the_cure() {
    let case = Case::load(FOLDER, "t");
    let features = case.path("features.txt");
    for (file, cures) in [
        ("default.onnx", ["\"zipmap\": False", "FloatTensorType"]),
        ("trees.onnx", ["FloatTensorType", "Cast to float"]),
    ] {
        let file = case.path(file);
        let check = ["model", "check", &file, "--features", &features];
        let error = case.sandbox.json(&check).code(1).error();
        let problem = &error;
        assert_eq!(problem["code"], "model.runtime_refused", "{error}");
        for cure in cures {
            let help = problem["help"].as_str().unwrap_or_default();
            assert!(help.contains(cure), "{error}");
        }
    }
}

#[test]
fn scores_beside_labels_of_text_are_named_or_asked_for() {
    let case = Case::load(FOLDER, "t");
    let model = case.name("updown");
    let (file, golden) = (case.path("nozip.onnx"), case.path("golden.csv"));
    let features = case.path("features.txt");
    let push = push(&model, &file, &features, &golden);
    let warnings = case.sandbox.json(&push).ok().json()["warnings"].to_string();
    for part in ["classes_unnamed: ", "--classes", "down", "up"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let push = [&push[..], &["--classes", "down,up"]].concat();
    let warnings = case.sandbox.json(&push).ok().json()["warnings"].to_string();
    assert!(!warnings.contains("classes_unnamed"), "{warnings}");
    case.create_and_score(&case.manifest("manifest_2.toml"), &model);
    case.assert_predictions("updown", 2, "expected.csv", &["id"]);
}
