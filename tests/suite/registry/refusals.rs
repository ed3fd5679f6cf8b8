//! What cannot be registered, is rejected, or is not there.

use super::noise;
use crate::support::{Sandbox, cli};

#[test]
fn files_and_options_that_cannot_be_used() {
    let sandbox = Sandbox::shared("bad_files");
    let name = sandbox.name("bad");
    let empty = sandbox.file("empty.onnx", "");
    let small = sandbox.file("small.onnx", noise(10));
    let large = sandbox.file("large.onnx", noise((1 << 20) + 1));
    let golden = sandbox.file("golden.csv", "in.X[0],out.label\n1,\"2\n");
    let folder = sandbox.directory().to_str().unwrap().to_owned();
    let small = small.to_str().unwrap();
    let refused = |arguments: &[&str], code: &str| {
        let mut command =
            sandbox.command(&[&["model", "push"], arguments, &["--output", "json"]].concat());
        command.env("HELENUS_MAX_MODEL_MIB", "1");
        let output = cli::run(command).code(2);
        assert_eq!(output.error()["code"], code, "{output:?}");
        output
    };
    refused(&[&name, empty.to_str().unwrap()], "model.empty");
    refused(&[&name, "nowhere.onnx"], "model.unreadable");
    refused(&[&name, &folder], "model.unreadable");
    refused(&[&name, large.to_str().unwrap()], "model.too_big");
    refused(&["Tumour", small], "model.name");
    refused(&[&name, small, "--metric", "auc=high"], "usage");
    refused(&[&name, small, "--tag", "ward"], "usage");
    refused(&[&name, small, "--rtol=-1"], "tolerance.negative");
    let csv = refused(
        &[&name, small, "--golden", golden.to_str().unwrap()],
        "csv.quote",
    );
    assert!(
        csv.error()["where"]
            .as_str()
            .unwrap()
            .contains("golden.csv: line 2"),
        "{csv:?}"
    );
    assert!(
        sandbox
            .rows(&format!(
                "SELECT version FROM {{helenus}}.model_versions WHERE name = '{name}'"
            ))
            .is_empty()
    );
}

#[test]
fn a_rejected_version_is_registered_and_says_why() {
    let sandbox = Sandbox::shared("rejected");
    let name = sandbox.name("rejected");
    let file = sandbox.file("noise.onnx", noise(1000));
    let rejected = sandbox
        .json(&["model", "push", &name, file.to_str().unwrap()])
        .code(1);
    assert_eq!(rejected.error()["code"], "model.rejected");
    assert_eq!(rejected.result()["state"], "rejected");
    let refused = sandbox.json(&["model", "promote", &name, "1"]).code(4);
    assert_eq!(refused.error()["code"], "model.rejected");
}

#[test]
fn what_does_not_exist_is_not_found() {
    let sandbox = Sandbox::shared("nothing");
    let name = sandbox.name("nothing");
    for arguments in [
        ["model", "list", &name].as_slice(),
        &["model", "show", &name],
        &["model", "show", &name, "1"],
        &["model", "show", &name, "champion"],
        &["model", "pull", &name, "1"],
        &["model", "promote", &name, "1"],
        &["model", "promote", &name, "challenger"],
        &["model", "rollback", &name],
        &["model", "history", &name],
        &["model", "retire", &name, "1"],
    ] {
        let missing = sandbox.json(arguments).code(5);
        assert!(
            missing.error()["message"].as_str().unwrap().contains(&name),
            "{missing:?}"
        );
    }
}
