//! Texts beyond ASCII: tokens by Unicode letters, and lower case in the job.

use crate::support::cases::Case;

const FOLDER: &str = "17_text_accents";

#[test]
fn a_token_pattern_that_knows_ascii_only_is_warned_of_with_the_cure() {
    let case = Case::load(FOLDER, "reviews");
    let (file, golden) = (case.path("model_c.onnx"), case.path("golden_ascii.csv"));
    let check = ["model", "check", &file, "--golden", &golden];
    let warnings = case.sandbox.json(&check).ok().json()["warnings"].to_string();
    for part in [
        "ascii_tokens: ",
        "tokenexp",
        "ascii_lower: ",
        "text = \\\"lower\\\"",
    ] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let (file, golden) = (
        case.path("model_unicode.onnx"),
        case.path("golden_unicode.csv"),
    );
    let check = ["model", "check", &file, "--golden", &golden];
    let warnings = case.sandbox.json(&check).ok().json()["warnings"].to_string();
    assert!(!warnings.contains("ascii_"), "{warnings}");
}

#[test]
fn texts_are_lower_cased_by_the_job_as_python_does() {
    let case = Case::load(FOLDER, "reviews");
    let model = case.name("reviews2");
    let (file, golden) = (
        case.path("model_unicode.onnx"),
        case.path("golden_unicode.csv"),
    );
    case.sandbox
        .helenus(&["model", "push", &model, &file, "--golden", &golden])
        .ok();
    let text = case
        .text("manifest.toml")
        .replace("\"reviews\"", "\"reviews2\"");
    let text =
        format!("{text}\n[features]\nreview = {{ column = \"review\", text = \"lower\" }}\n");
    case.create_and_score(&case.manifest_text("lower.toml", &text), &model);
    case.assert_predictions("reviews2", 1, "expected_unicode.csv", &["id"]);
}
