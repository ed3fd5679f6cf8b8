//! `tests/exporters/`: exports that are silently wrong, each beside the one that is right. Golden rows
//! tell them apart; docs/models.md says what to do.

use crate::{admission::root, support::sandbox::Sandbox};

#[test]
fn golden_rows_tell_a_wrong_export_from_a_right_one() {
    let sandbox = Sandbox::shared("exporters");
    for (name, is_right) in [
        ("hist_categories", false),
        ("hist_one_hot", true),
        ("xgboost_sparse", false),
        ("xgboost_dense", true),
        ("forest_targets", true),
    ] {
        let path = |file: &str| {
            root()
                .join("tests/exporters")
                .join(file)
                .display()
                .to_string()
        };
        let (model, golden) = (path(&format!("{name}.onnx")), path(&format!("{name}.csv")));
        let features = path("features.txt");
        let check = [
            "model",
            "check",
            &model,
            "--features",
            &features,
            "--golden",
            &golden,
        ];
        if is_right {
            sandbox.json(&check).ok();
        } else {
            let error = sandbox.json(&check).code(1).error();
            assert!(
                error.to_string().contains("golden.differs"),
                "{name}: {error}"
            );
        }
    }
}
