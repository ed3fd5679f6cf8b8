//! Predictions by key are always those of the row as it is now.

use serde_json::{Value, json};

use crate::support::{Sandbox, Served};

const IDENTITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");

/// Job `visits`: y = x by versions 1 (champion) and 2; rows 0 to 9 with x = id are scored.
fn visits(test: &str) -> Sandbox {
    let sandbox = Sandbox::migrated(test);
    sandbox.cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, note text)");
    for id in 0..10 {
        sandbox.cql(&format!(
            "INSERT INTO {{data}}.visits (id, x) VALUES ({id}, {id})"
        ));
    }
    for _ in 0..2 {
        sandbox
            .helenus(&["model", "push", "identity", IDENTITY])
            .ok();
    }
    sandbox.helenus(&["model", "promote", "identity", "1"]).ok();
    let manifest = sandbox.file(
        "visits.toml",
        format!(
            "job = \"visits\"\nmodel = \"identity\"\nversions = [\"champion\", 2]\n[source]\ntable = \"{}.visits\"\n[rules]\nmax_rejected = 50\n",
            sandbox.data
        ),
    );
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "visits"]).ok();
    sandbox
}

#[track_caller]
fn prediction(served: &Served, path: &str) -> Value {
    let reply = served.get(&format!("/v1/jobs/visits/predictions/{path}"));
    reply.status(200).json()["predictions"][0].clone()
}

#[test]
fn a_stored_prediction_is_answered_only_while_it_is_current() {
    let sandbox = visits("serve_current");
    let served = Served::start(&sandbox, &["visits"]);
    let before = prediction(&served, "7");
    assert_eq!(before["from"], "stored", "{before}");
    assert_eq!(before["outputs"]["y"], 7.0, "{before}");
    assert_eq!(before["aliases"], json!(["champion"]), "{before}");
    assert!(!before["lineage"]["run_id"].is_null(), "{before}");

    // A column that the job does not read changes nothing.
    sandbox.cql("UPDATE {data}.visits SET note = 'seen' WHERE id = 7");
    assert_eq!(prediction(&served, "7"), before);

    sandbox.cql("UPDATE {data}.visits SET x = 70 WHERE id = 7");
    let changed = prediction(&served, "7");
    assert_eq!(changed["from"], "scored", "{changed}");
    assert_eq!(changed["outputs"]["y"], 70.0, "{changed}");
    assert!(changed["lineage"]["run_id"].is_null(), "{changed}");
    assert_ne!(
        changed["lineage"]["input_hash"],
        before["lineage"]["input_hash"]
    );

    // Reading stores nothing; a run stores the same.
    let stored = "SELECT y FROM {data}.visits_predictions WHERE id = 7 AND model_version = 1";
    assert_eq!(sandbox.rows(stored)[0]["y"].as_float(), Some(7.0));
    sandbox.helenus(&["score", "visits"]).ok();
    let again = prediction(&served, "7");
    assert_eq!(again["from"], "stored", "{again}");
    assert_eq!(again["outputs"], changed["outputs"]);
    assert_eq!(
        again["lineage"]["input_hash"],
        changed["lineage"]["input_hash"]
    );
    assert_eq!(
        again["lineage"]["source_hash"],
        changed["lineage"]["source_hash"]
    );

    // Back to the old value: the stored one is not current.
    sandbox.cql("UPDATE {data}.visits SET x = 7 WHERE id = 7");
    let back = prediction(&served, "7");
    assert_eq!(back["from"], "scored", "{back}");
    assert_eq!(
        back["lineage"]["input_hash"],
        before["lineage"]["input_hash"]
    );
    served.stop().ok();
}

#[test]
fn rows_that_are_new_gone_or_rejected_are_answered_as_such() {
    let sandbox = visits("serve_rows");
    let served = Served::start(&sandbox, &["visits"]);
    sandbox.cql("INSERT INTO {data}.visits (id, x) VALUES (100, 0.5)");
    assert_eq!(prediction(&served, "100")["from"], "scored");

    sandbox.cql("DELETE FROM {data}.visits WHERE id = 3");
    let gone = served.get("/v1/jobs/visits/predictions/3").status(404);
    assert_eq!(gone.code(), "row.unknown");

    sandbox.cql("INSERT INTO {data}.visits (id, note) VALUES (101, 'no x')");
    let rejected = prediction(&served, "101");
    assert!(rejected["outputs"].is_null(), "{rejected}");
    let reason = rejected["rejected"].as_str().unwrap().to_owned();
    sandbox.json(&["score", "visits"]).code(0);
    let stored = prediction(&served, "101");
    assert_eq!(stored["from"], "stored", "{stored}");
    assert_eq!(stored["rejected"], reason);

    let body = json!({"keys": [{"id": 1}, {"id": "3"}, {"id": 100}], "versions": ["champion", 2]});
    let answer = served
        .post("/v1/jobs/visits/predictions", &body)
        .status(200)
        .json();
    let found: Vec<&Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["found"])
        .collect();
    assert_eq!(found, [true, false, true], "{answer}");
    assert_eq!(
        answer["rows"][0]["predictions"].as_array().unwrap().len(),
        2
    );
    assert_eq!(answer["rows"][1]["predictions"], json!([]));
    served.stop().ok();
}

#[test]
fn another_version_and_what_is_wrong_are_said() {
    let sandbox = visits("serve_versions");
    let served = Served::start(&sandbox, &[]);
    let second = prediction(&served, "7?version=2");
    assert_eq!(second["version"], 2, "{second}");
    assert_eq!(second["aliases"], json!([]), "{second}");
    let predictions = "/v1/jobs/visits/predictions";
    for (path, status, code) in [
        (
            format!("{predictions}/7?version=9"),
            400,
            "job.unknown_version",
        ),
        (format!("{predictions}/7?versoin=2"), 400, "request.query"),
        (format!("{predictions}/seven"), 400, "keys.not_a_value"),
        (format!("{predictions}/id%3D7"), 200, ""),
        (
            "/v1/jobs/vists/predictions/7".to_owned(),
            404,
            "job.unknown",
        ),
        ("/v1/nothing".to_owned(), 404, "request.unknown_path"),
    ] {
        let reply = served.get(&path).status(status);
        if status != 200 {
            assert_eq!(reply.code(), code, "{path}");
        }
    }
    let near = served.get("/v1/jobs/vists/predictions/7").text();
    assert!(near.contains("did you mean `visits`?"), "{near}");
    served.stop().ok();
}
