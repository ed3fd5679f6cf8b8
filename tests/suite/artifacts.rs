//! Artifacts: files beside a model, through every way in and out.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Model, Sandbox, repository::Repository};

/// `model push` of `forty_classes` with a list of labels.
fn pushed(sandbox: &Sandbox, name: &str) -> Value {
    let model = Model::named("forty_classes");
    let labels: Vec<String> = (0..40).map(|class| format!("kind {class}")).collect();
    let file = sandbox.file("labels.txt", labels.join("\n"));
    let artifact = format!("kinds={}", file.display());
    let mut push = model.push_arguments(name);
    push.extend(["--artifact".to_owned(), artifact]);
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    sandbox.json(&push).ok().result()
}

fn hex_sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn an_artifact_is_shown_and_comes_back_byte_for_byte() {
    let sandbox = Sandbox::shared("artifacts");
    let name = sandbox.name("m");
    pushed(&sandbox, &name);
    let bytes = fs::read(sandbox.directory().join("labels.txt")).unwrap();
    let shown = sandbox.json(&["model", "show", &name, "1"]).ok().result();
    assert_eq!(
        shown["registered"]["artifacts"],
        json!({"kinds": hex_sha(&bytes)})
    );
    let found = &shown["admission"]["found"]["artifacts"]["kinds"];
    assert_eq!(
        (&found["kind"], &found["labels"]),
        (&"labels".into(), &40.into())
    );
    let text = sandbox
        .helenus(&["model", "show", &name, "1"])
        .ok()
        .stdout
        .clone();
    assert!(text.contains("artifact kinds: 40 labels"), "{text}");
    let pull = [
        "model",
        "pull",
        &name,
        "1",
        "--artifact",
        "kinds",
        "-o",
        "back.txt",
    ];
    let pulled = sandbox.json(&pull).ok().result();
    assert_eq!(pulled["sha256"], hex_sha(&bytes));
    assert_eq!(
        fs::read(sandbox.directory().join("back.txt")).unwrap(),
        bytes
    );
    let missing = ["model", "pull", &name, "1", "--artifact", "kind"];
    let missing = sandbox.json(&missing).code(5);
    assert_eq!(missing.error()["code"], "artifact.unknown");
}

#[test]
fn top_k_stores_the_best_classes_by_their_labels() {
    let sandbox = Sandbox::shared("top_k");
    let (name, job) = (sandbox.name("m"), sandbox.name("job"));
    pushed(&sandbox, &name);
    let model = Model::named("forty_classes");
    model.load(&sandbox);
    // All scores beside them, from the same rows, by another job.
    let plain = sandbox.name("plain");
    let manifest = model.manifest(&sandbox, &plain, &name);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", &plain]).ok();
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replace(&plain, &job) + "\n[outputs]\ntop_k = { k = 3, labels = \"kinds\" }\n";
    let manifest = sandbox.file("top.toml", text);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", &job]).ok();
    let rows = |job: &str| -> BTreeMap<i64, Value> {
        let rows = sandbox.rows(&format!("SELECT JSON * FROM {{data}}.{job}_predictions"));
        let parse = |row: &crate::support::cassandra::Named| -> Value {
            serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap()
        };
        let rows = rows.iter().map(parse);
        rows.map(|row| (row["id"].as_i64().unwrap(), row)).collect()
    };
    let (all, best) = (rows(&plain), rows(&job));
    assert_eq!(all.len(), best.len());
    for (id, best) in &best {
        let scores = all[id]["probabilities"].as_array().unwrap();
        let scores: Vec<f64> = scores.iter().map(|score| score.as_f64().unwrap()).collect();
        let mut order: Vec<usize> = (0..40).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        for (rank, class) in (1..=3).zip(order) {
            assert_eq!(
                best[format!("label_{rank}")],
                format!("kind {class}"),
                "{id}"
            );
            let score = best[format!("p_{rank}")].as_f64().unwrap();
            assert!((score - scores[class]).abs() <= 1e-6, "{id}: {score}");
        }
        assert!(best.get("label_4").is_none() && best.get("probabilities").is_none());
    }
    sandbox.json(&["verify", &job]).ok();
}

#[test]
fn a_row_by_hand_names_artifacts_and_altered_ones_are_refused() {
    let sandbox = Sandbox::migrated("artifacts_cql");
    pushed(&sandbox, "kinds");
    let columns = "name, version, format, sha256, size, chunks, feature_names, artifacts";
    let row = sandbox.row(&format!(
        "SELECT JSON {columns} FROM {{helenus}}.model_versions WHERE name = 'kinds' AND version = 1"
    ));
    let row: Value = serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap();
    let insert = |version: i32, artifacts: Value| {
        let mut row = row.clone();
        row["version"] = version.into();
        row["artifacts"] = artifacts;
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.model_versions JSON '{row}' IF NOT EXISTS"
        ));
    };
    let other = [7; 32];
    insert(2, row["artifacts"].clone());
    insert(3, json!({"kinds": format!("0x{}", hex::encode(other))}));
    insert(4, json!({"../kinds": row["artifacts"]["kinds"]}));
    sandbox.json(&["worker", "--once"]).ok();
    let state = |version: &str| {
        let shown = sandbox
            .json(&["model", "show", "kinds", version])
            .ok()
            .result();
        let reason = shown["admission"]["reason"].as_str().unwrap_or_default();
        (
            shown["state"].as_str().unwrap().to_owned(),
            reason.to_owned(),
        )
    };
    assert_eq!(state("2").0, "ready");
    let (rejected, reason) = state("3");
    assert_eq!(rejected, "rejected");
    assert!(
        reason.contains("chunk 0") && reason.contains("missing"),
        "{reason}"
    );
    assert_eq!(state("4").0, "rejected");
    // Other bytes under the sha that the row names.
    let sha = row["artifacts"]["kinds"].as_str().unwrap();
    let forged = b"one\ntwo\n";
    sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.model_chunks (sha256, chunk, data, checksum) VALUES ({sha}, 0, 0x{}, 0x{})",
        hex::encode(forged),
        hex_sha(forged)
    ));
    insert(5, row["artifacts"].clone());
    sandbox.json(&["worker", "--once"]).ok();
    assert_eq!(state("5").0, "rejected");
    // A version whose artifacts change after its admission.
    sandbox.cql(
        "UPDATE {helenus}.model_versions SET artifacts = {} WHERE name = 'kinds' AND version = 2",
    );
    assert_eq!(state("2").0, "tampered");
}

#[test]
fn hostile_artifacts_are_refused_with_the_model() {
    let sandbox = Sandbox::shared("artifacts_hostile");
    let deep = format!("{{\"model\": {}", "[".repeat(200_000));
    let regex = r#"{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, "added_tokens": [],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+(?=b)"}, "behavior": "Isolated", "invert": false}}"#;
    let model = Model::named("forty_classes");
    for (at, (content, code)) in [
        (deep.as_str(), "artifact.unknown"),
        (regex, "artifact.tokenizer"),
        ("a\n\nb", "artifact.labels"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = sandbox.name(&format!("m{at}"));
        let file = sandbox.file("artifact", content);
        let artifact = format!("bad={}", file.display());
        let onnx = model.path("model.onnx");
        let push = ["model", "push", &name, &onnx, "--artifact", &artifact];
        let rejected = sandbox.json(&push).code(1);
        let told = rejected.error().to_string();
        assert!(told.contains(code) || told.contains("artifact"), "{told}");
        let check = ["model", "check", &onnx, "--artifact", &artifact];
        let checked = sandbox.json(&check).code(1);
        assert_eq!(checked.error()["code"], code, "{checked:?}");
    }
    let push = [
        "model",
        "check",
        &model.path("model.onnx"),
        "--artifact",
        "../x=labels",
    ];
    assert_eq!(sandbox.json(&push).code(2).error()["code"], "artifact.name");
}

#[test]
fn a_folder_declares_artifacts_and_another_file_is_another_version() {
    let repository = Repository::whole("apply_artifacts");
    let file = repository.folder.join("models/identity/model.toml");
    let toml = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{toml}\n[artifacts]\nkinds = \"kinds.txt\"\n"),
    )
    .unwrap();
    repository.write("models/identity/kinds.txt", "one\ntwo\n");
    repository.commit();
    repository.apply(&[]).ok();
    let sandbox = &repository.sandbox;
    let shown = || sandbox.json(&["model", "show", "identity"]).ok().result();
    assert_eq!(
        shown()["registered"]["artifacts"]["kinds"],
        hex_sha(b"one\ntwo\n")
    );
    assert_eq!(repository.apply(&[]).ok().result()["changed"], 0);
    repository.write("models/identity/kinds.txt", "one\nthree\n");
    repository.commit();
    let applied = repository.apply(&[]).ok().result();
    assert!(applied["changed"].as_u64().unwrap() > 0, "{applied}");
    let shown = shown();
    assert_eq!(shown["version"], 2);
    assert_eq!(
        shown["registered"]["artifacts"]["kinds"],
        hex_sha(b"one\nthree\n")
    );
}
