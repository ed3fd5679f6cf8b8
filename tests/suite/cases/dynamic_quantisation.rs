//! quantize_dynamic makes scores depend on the batch: refused, unless the batch is one row.

use crate::support::cases::Case;

#[test]
fn dynamic_quantisation_is_refused_with_its_cures_and_scores_with_a_batch_of_one() {
    let case = Case::load("11_dynamic_quantisation", "points");
    let (model, job) = (case.name("net_one"), case.name("quant_one"));
    let (dynamic, one) = (case.path("dynamic.onnx"), case.path("dynamic_one.onnx"));
    let features = case.path("features.txt");
    let refused = case
        .sandbox
        .helenus(&["model", "check", &dynamic, "--features", &features]);
    let said = refused.code(1).stderr;
    assert!(said.contains("DynamicQuantizeLinear"), "{said}");
    assert!(
        said.contains("quantise statically") && said.contains("batch at 1"),
        "{said}"
    );
    // No golden rows: how far int8 is from the library depends on the processor.
    let push = [
        "model",
        "push",
        &model,
        &one,
        "--features",
        &features,
        "--classes",
        "no,yes",
    ];
    case.sandbox.helenus(&push).ok();
    case.create_and_score(&case.manifest("manifest_one.toml"), &job);
    let verified = case
        .sandbox
        .json(&["verify", &job, "--coverage"])
        .ok()
        .result();
    assert_eq!(verified["versions"]["1"]["matching"], 200, "{verified:#}");
}
