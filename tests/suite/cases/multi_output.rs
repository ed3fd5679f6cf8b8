//! Several targets at once: labels `[N, 3]`, and a sequence of three tensors of probabilities.

use crate::support::cases::{Case, push};

const FOLDER: &str = "12_multioutput_classifier";
const HEAD: &str = "job = \"targets\"\nmodel = \"targets\"\nversions = [1, 2]\n\n[source]\ntable = \"bug12.clients\"\n";

#[test]
fn a_multi_output_classifier_is_scored_as_exported() {
    let case = Case::load(FOLDER, "clients");
    let model = case.name("targets");
    let (features, golden) = (case.path("features.txt"), case.path("golden.csv"));
    // As its users cut it, too: both fill the same columns.
    for file in ["multi.onnx", "cut.onnx"] {
        let file = case.path(file);
        let push = push(&model, &file, &features, &golden);
        case.sandbox.helenus(&push).ok();
    }
    case.create_and_score(&case.manifest_text("usual.toml", HEAD), &model);
    let row = case.sandbox.row(&format!(
        "SELECT * FROM \"{{data}}\".\"{model}_predictions\" WHERE id = 0 AND model_version = 1"
    ));
    let columns: Vec<_> = row.keys().filter(|name| name.starts_with("p_")).collect();
    assert_eq!(
        columns,
        [
            "p_probabilities1_0",
            "p_probabilities1_1",
            "p_probabilities2_0",
            "p_probabilities2_1",
            "p_probabilities3_0",
            "p_probabilities3_1",
        ]
    );
    // The names that the manifest gives, and nothing else: 200 of 200 right.
    let wanted = case.text("manifest_wanted.toml").replace("[1]", "[1, 2]");
    let wanted = wanted.replace(
        "[outputs.columns]",
        "[outputs]\nomit_classes = [\"0\"]\n[outputs.columns]",
    );
    let wanted = wanted.replace("\"targets\"\nmodel", "\"wanted\"\nmodel");
    case.create_and_score(
        &case.manifest_text("wanted.toml", &wanted),
        &case.name("wanted"),
    );
    for version in [1, 2] {
        case.assert_predictions("wanted", version, "expected.csv", &["id"]);
    }
    let row = case.sandbox.row(&format!(
        "SELECT * FROM \"{{data}}\".\"{}_predictions\" WHERE id = 0 AND model_version = 1",
        case.name("wanted")
    ));
    let columns: Vec<_> = row.keys().map(String::as_str).collect();
    assert_eq!(
        columns,
        [
            "call",
            "churn",
            "id",
            "label",
            "lineage",
            "model_version",
            "upsell"
        ]
    );
}

#[test]
fn a_forest_of_several_targets_is_refused_with_the_way_out() {
    let case = Case::load(FOLDER, "clients");
    let (file, features) = (case.path("forest.onnx"), case.path("features.txt"));
    let check = ["model", "check", &file, "--features", &features];
    let error = case.sandbox.json(&check).code(1).error();
    let code = error["code"].as_str().unwrap();
    assert!(
        ["model.output_rank", "model.not_by_row"].contains(&code),
        "{error}"
    );
}
