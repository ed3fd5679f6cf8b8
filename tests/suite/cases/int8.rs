//! A network quantised to int8 as a version of its float one's job.

use crate::support::cases::Case;

const FOLDER: &str = "11_dynamic_quantisation";

#[test]
fn the_static_version_fits_by_the_lines_that_the_message_gives() {
    let case = Case::load(FOLDER, "points");
    let model = case.name("net");
    let (features, golden) = (case.path("features.txt"), case.path("golden.csv"));
    for (file, rtol, atol) in [
        ("plain.onnx", "1e-5", "1e-6"),
        ("static.onnx", "0.2", "0.1"),
    ] {
        let file = case.path(file);
        let push = [
            "model",
            "push",
            &model,
            &file,
            "--features",
            &features,
            "--golden",
            &golden,
            "--rtol",
            rtol,
            "--atol",
            atol,
            "--classes",
            "no,yes",
        ];
        case.sandbox.helenus(&push).ok();
    }
    let text = case
        .text("manifest_quant_all.toml")
        .replace("[1,2,3]", "[1, 2]");
    let manifest = case.manifest_text("all.toml", &text).display().to_string();
    let error = case
        .sandbox
        .json(&["job", "create", &manifest])
        .code(2)
        .error();
    let problem = &error;
    assert_eq!(problem["code"], "job.version_does_not_fit", "{error}");
    let help = problem["help"].as_str().unwrap();
    let (_, lines) = help.split_once(":\n").unwrap();
    let text = format!("{text}\n{lines}\n");
    case.create_and_score(
        &case.manifest_text("named.toml", &text),
        &case.name("quant_all"),
    );
    case.assert_predictions("quant_all", 1, "expected.csv", &["id"]);
    // Under the names that the lines give.
    let renamed = case.text("expected_static.csv").replace("score_", "p_");
    let renamed = case.sandbox.file("expected_named.csv", renamed);
    case.assert_predictions("quant_all", 2, &renamed.display().to_string(), &["id"]);
}
