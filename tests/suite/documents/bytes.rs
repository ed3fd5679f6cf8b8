//! `as = "bytes"` and magika, which tells the kind of a file.

use super::{assert_served_alike, manifest, prepared, rejected};
use crate::support::{Sandbox, block_on, cassandra::session, documents};
use helenus::domain::model::tensor::TensorData;

const OPTIONS: &str = "as = \"bytes\", head = 1024, tail = 1024, strip = true, pad = 256";

#[test]
fn bytes_are_prepared_as_magikas_own_library_does() {
    let entry = format!("{{ column = \"c\", {OPTIONS} }}");
    let expected = documents::words("features.bin", i32::from_le_bytes);
    let files = documents::contents("files", "files.json");
    assert_eq!(files.len() * 2048, expected.len());
    for (at, (content, expected)) in files.iter().zip(expected.chunks(2048)).enumerate() {
        let made = prepared(&entry, content, TensorData::Int32(Vec::new()));
        assert!(
            made == Ok(TensorData::Int32(expected.to_vec())),
            "file {at}"
        );
    }
}

#[test]
fn magika_scores_blobs_as_its_own_library_does() {
    let sandbox = Sandbox::migrated("magika");
    let model = documents::folder().join("magika.onnx");
    let (job, name) = (sandbox.name("kinds"), sandbox.name("magika"));
    let push = ["model", "push", &name, model.to_str().unwrap()];
    let pushed = sandbox.json(&push).ok().json()["warnings"].to_string();
    assert!(!pushed.contains("order_unproven"), "{pushed}");
    assert!(pushed.contains("no_golden_rows"), "{pushed}");
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob)");
    let mut files = documents::contents("files", "files.json");
    let count = files.len();
    files.push(Vec::new());
    documents::insert(&sandbox, "files", &files);
    sandbox.cql("INSERT INTO {data}.files (id, content) VALUES (1000, null)");
    let feature = format!("bytes = {{ column = \"content\", {OPTIONS} }}");
    let expected = documents::words("scores.bin", f32::from_le_bytes);
    let text = manifest(&sandbox, &job, &name, &feature);
    let text = format!("{text}[expect]\nfiles = \"golden.csv\"\nrtol = 1e-3\natol = 1e-5\n");
    let path = sandbox.file("kinds.toml", text);
    let path = path.to_str().unwrap();
    // The library's scores of other files than those named, then of these.
    sandbox.file("golden.csv", golden(&expected, [1, 0, 2]));
    let refused = sandbox.json(&["job", "create", path]).code(2).error();
    assert!(refused.to_string().contains("files/001"), "{refused}");
    sandbox.file("golden.csv", golden(&expected, [0, 1, 2]));
    sandbox.helenus(&["job", "create", path]).ok();
    let plan = sandbox.json(&["job", "plan", &job]).ok().result();
    let place = &plan["versions"][0]["inputs"][0]["places"][0];
    assert_eq!(
        (&place["as"], &place["width"]),
        (&"bytes".into(), &2048.into())
    );

    let run = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(run["scored"]["1"], count, "{run}");
    let table = format!("{job}_predictions");
    let reasons = rejected(&sandbox, &table);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[&(count as i32)].starts_with("empty: feature `bytes`"));
    assert!(reasons[&1000].starts_with("null: feature `bytes`"));
    let rows = sandbox.rows(&format!("SELECT * FROM {{data}}.{table}"));
    let mut worst = 0.0_f32;
    for row in rows {
        let id = row["id"].as_int().unwrap() as usize;
        if id >= count {
            continue;
        }
        let scores = row.values().find_map(|value| value.as_vector()).unwrap();
        for (got, expected) in scores.iter().zip(&expected[id * 214..(id + 1) * 214]) {
            let got = got.as_float().unwrap();
            worst = worst.max((got - expected).abs() / (1e-5 + 1e-3 * expected.abs()));
        }
    }
    assert!(worst <= 1.0, "{worst} times the tolerance");

    let again = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(again["unchanged"]["1"], count, "{again}");
    assert_eq!(again["rejected"]["1"], 2, "{again}");
    block_on(async {
        let update = format!(
            "UPDATE \"{}\".files SET content = ? WHERE id = 3",
            sandbox.data
        );
        let content = b"#!/bin/sh\nset -eu\necho a changed file\n".repeat(9);
        session().query_unpaged(update, (content,)).await.unwrap();
    });
    let changed = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(changed["scored"]["1"], 1, "{changed}");
    let proof = sandbox.json(&["verify", &job]).ok().result();
    assert_eq!(proof["versions"]["1"]["matching"], count, "{proof}");
    assert_served_alike(&sandbox, &job, &files[..3], (b"", "empty: feature `bytes`"));
}

/// Golden files: the first three, with the scores of these.
fn golden(scores: &[f32], of: [usize; 3]) -> String {
    let mut csv = "file,target_label\n".to_owned();
    for (at, of) in of.into_iter().enumerate() {
        let file = documents::folder().join(format!("files/{at:03}"));
        let scores: Vec<String> = scores[of * 214..(of + 1) * 214]
            .iter()
            .map(f32::to_string)
            .collect();
        csv.push_str(&format!("{},\"[{}]\"\n", file.display(), scores.join(", ")));
    }
    csv
}
