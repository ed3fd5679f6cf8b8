//! An exporter that declares one target a row and loses the other two.

use crate::support::cases::Case;

const FOLDER: &str = "05_xgb_multioutput";

#[test]
fn a_row_wider_than_declared_is_refused_unless_golden_rows_show_all_of_it_or_it_is_asked_for() {
    let case = Case::load(FOLDER, "sites");
    let model = case.name("multi");
    let file = case.path("multi.onnx");
    let refused = case.sandbox.json(&["model", "check", &file]).code(1);
    let error = refused.error();
    assert_eq!(error["code"], "model.shape_differs");
    let said = error.to_string();
    for word in ["{N,1}", "{N,3}", "--golden", "--accept shape_differs"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    case.sandbox.json(&["model", "push", &model, &file]).code(1);

    // Golden rows of all three show that the values are wrong, which says more.
    let (golden, features) = (case.path("multi_golden.csv"), case.path("features.txt"));
    let check = ["model", "check", &file, "--features", &features, "--golden"];
    let refused = case
        .sandbox
        .json(&[&check[..], &[&golden]].concat())
        .code(1);
    assert_eq!(refused.error()["code"], "golden.differs");

    let push = ["model", "push", &model, &file, "--accept", "shape_differs"];
    let accepted = case.sandbox.json(&push).ok();
    let warnings = accepted.json()["warnings"].to_string();
    assert!(
        warnings.contains("model.shape_differs: output"),
        "{warnings}"
    );
    let shown = case.sandbox.json(&["model", "show", &model, "2"]).ok();
    assert_eq!(shown.result()["registered"]["accepts"][0], "shape_differs");

    // As declared, and wrong: another defect of the same exporter.
    let (file, golden) = (case.path("rate.onnx"), case.path("rate_golden.csv"));
    let check = [
        "model",
        "check",
        &file,
        "--features",
        &features,
        "--golden",
        &golden,
    ];
    let refused = case.sandbox.json(&check).code(1);
    assert_eq!(refused.error()["code"], "golden.differs");
    assert!(!refused.json().to_string().contains("shape_differs"));
}
