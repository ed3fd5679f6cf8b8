//! Documents as forms, sent by clients that people use.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::manifest;
use crate::{
    serve_oip::client,
    support::{Sandbox, Served, documents},
};

#[test]
fn a_form_has_the_hashes_and_numbers_of_json() {
    let sandbox = Sandbox::migrated("forms");
    let model = documents::folder().join("magika.onnx");
    let (job, name) = (sandbox.name("kinds"), sandbox.name("magika"));
    let push = ["model", "push", &name, model.to_str().unwrap()];
    sandbox.helenus(&push).ok();
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob, title text)");
    let feature = "bytes = { column = \"content\", as = \"bytes\", head = 1024, tail = 1024, strip = true, pad = 256 }";
    let path = sandbox.file("kinds.toml", manifest(&sandbox, &job, &name, feature));
    sandbox
        .helenus(&["job", "create", path.to_str().unwrap()])
        .ok();
    let served = Served::start(&sandbox, &[&job]);
    let url = format!("http://{}/v1/jobs/{job}/score", served.address);

    let mut files = documents::contents("files", "files.json");
    files.truncate(4);
    files.push(Vec::new());
    let paths: Vec<String> = (0..files.len())
        .map(|at| {
            let content = &files[at];
            let path = sandbox.directory().join(format!("{at}.bin"));
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        })
        .collect();
    let sent = client("form.py", &[vec![url], paths].concat());
    let sent: Vec<Value> = serde_json::from_str(&sent.stdout).unwrap();
    assert_eq!(sent.len(), 2 * files.len());
    for (file, answers) in files.iter().zip(sent.chunks(2)) {
        let row = json!({"content": {"b64": STANDARD.encode(file)}});
        let json = served.post(&format!("/v1/jobs/{job}/score"), &json!({"rows": [row]}));
        let json = comparable(json.status(200).json());
        let lineage = &json["rows"][0]["predictions"][0]["lineage"];
        assert_eq!(lineage["input_hash"].as_str().map(str::len), Some(32));
        for answer in answers {
            assert_eq!(answer["status"], 200, "{answer}");
            assert_eq!(comparable(answer["body"].clone()), json);
        }
    }

    let post = |versions: &str, body: &str| {
        let kind = [("Content-Type", "multipart/form-data; boundary=\"a-b\"")];
        let path = format!("/v1/jobs/{job}/score{versions}");
        let body = body.replace('\n', "\r\n");
        served.request("POST", &path, &kind, body.as_bytes())
    };
    let part =
        |name: &str| format!("--a-b\nContent-Disposition: form-data; name=\"{name}\"\n\ncontent\n");
    let (content, end) = (part("content"), "--a-b--\n");
    let of_one = post("?versions=1", &format!("{content}{end}"));
    assert_eq!(
        of_one.status(200).json()["rows"].as_array().unwrap().len(),
        1
    );
    for (versions, body, code, words) in [
        ("?versions=7", format!("{content}{end}"), "", "7"),
        (
            "",
            format!("{content}{content}{end}"),
            "row.repeated_column",
            "one row",
        ),
        (
            "",
            format!("{}{end}", part("contents")),
            "row.unknown_column",
            "did you mean",
        ),
        ("", content.clone(), "request.form", "not a form"),
    ] {
        let refused = post(versions, &body);
        let error = refused.status(400).json()["error"].to_string();
        assert!(error.contains(code) && error.contains(words), "{error}");
    }
    let large = format!("{}{}{end}", content, "x".repeat(9 << 20));
    let refused = post("", &large).status(413).json();
    assert_eq!(refused["error"]["code"], "request.too_large", "{refused}");
    served.stop().ok();
}

/// Removes what differs from request to request.
fn comparable(mut answer: Value) -> Value {
    for prediction in answer["rows"][0]["predictions"].as_array_mut().unwrap() {
        prediction["lineage"]["scored_at"].take();
    }
    answer
}
