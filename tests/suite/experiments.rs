//! Experiments: who is served what, and what the numbers say about it.

use std::collections::BTreeMap;

use helenus::domain::evidence::experiment::allocation::bucket;
use serde_json::{Value, json};

use crate::support::{Served, biopsies::Biopsies};

mod verdicts;
mod visits;

use visits::{MANIFEST, ROWS, Visits};

/// The arm that the published function gives: halves, by the key or by a patient.
fn arm(salt: &str, unit: &[u8]) -> (i32, Option<String>) {
    let name = salt.split('/').next().unwrap();
    match bucket(salt, unit, &mut Vec::new()) < 5_000 {
        true => (1, Some(format!("{name}/a"))),
        false => (2, Some(format!("{name}/b"))),
    }
}

#[test]
fn current_http_explain_and_lineage_agree_and_follow_start_change_and_stop() {
    let visits = Visits::scored("experiment_served", MANIFEST);
    let started = visits.start("by_key", &[]).ok().result();
    assert_eq!(started["state"], "running", "{started}");
    assert_eq!(started["arms"]["b"], json!({"version": 2, "share": 0.5}));
    visits.worker();
    let current = visits.current();
    assert_eq!(current.len(), ROWS as usize);
    for (id, served) in &current {
        assert_eq!(*served, arm("by_key/1", &id.to_be_bytes()), "{id}");
    }
    let second = current.values().filter(|served| served.0 == 2).count();
    assert!((150..250).contains(&second), "{second}");
    visits.verify();

    // HTTP by key and by given rows, and explain.
    let served = Served::start(&visits.sandbox, &["visits"]);
    for id in 0..8 {
        let (version, arm) = &current[&id];
        let reply = served.get(&format!("/v1/jobs/visits/predictions/{id}"));
        let view = reply.status(200).json();
        assert_eq!(view["predictions"].as_array().unwrap().len(), 1, "{view}");
        let prediction = &view["predictions"][0];
        assert_eq!(prediction["version"], *version, "{view}");
        assert_eq!(prediction["lineage"]["arm"], json!(arm), "{view}");
        let explained = visits
            .sandbox
            .json(&["explain", "visits", &id.to_string()])
            .ok()
            .result();
        assert_eq!(explained["served"], json!({"version": version, "arm": arm}));
    }
    let rows: Vec<Value> = (0..8).map(|id| json!({"id": id, "x": 3})).collect();
    let rows = [rows, vec![json!({"x": 3})]].concat();
    let body = json!({"rows": rows});
    let reply = served.post("/v1/jobs/visits/score", &body);
    let answer = reply.status(200).json();
    for id in 0..8 {
        let prediction = &answer["rows"][id as usize]["predictions"][0];
        let (version, arm) = &current[&id];
        assert_eq!(prediction["version"], *version, "{answer}");
        assert_eq!(prediction["lineage"]["arm"], json!(arm), "{answer}");
    }
    let ids: Vec<_> = (0..8).collect();
    let input = |name: &str, data: &[i32]| json!({"name": name, "datatype": "INT32", "shape": [data.len()], "data": data});
    let infer = |ids: &[i32]| {
        let inputs = [input("id", ids), input("x", &vec![3; ids.len()])];
        let reply = served.post("/v2/models/job:visits/infer", &json!({"inputs": inputs}));
        reply.status(200).json()
    };
    let output = |answer: &Value, name: &str| {
        let mut outputs = answer["outputs"].as_array().unwrap().iter();
        outputs.find(|output| output["name"] == name).unwrap()["data"].clone()
    };
    let inferred = infer(&ids);
    let arms: Vec<_> = ids.iter().map(|id| current[id].1.clone()).collect();
    let versions: Vec<_> = ids.iter().map(|id| current[id].0).collect();
    assert_eq!(output(&inferred, "lineage.arm"), json!(arms), "{inferred}");
    assert_eq!(output(&inferred, "lineage.version"), json!(versions));
    assert_eq!(inferred.get("model_version"), None, "{inferred}");
    let second = versions.iter().position(|version| *version == 2).unwrap();
    let second = infer(&[ids[second]]);
    assert_eq!(second["model_version"], "2", "{second}");

    // Without its key a row is in no arm.
    let without = &answer["rows"][8]["predictions"][0];
    assert_eq!(
        (&without["version"], &without["lineage"]["arm"]),
        (&json!(1), &Value::Null)
    );

    // A row that is scored again keeps its arm; the prediction table names it, too.
    visits
        .sandbox
        .cql("UPDATE {data}.visits SET x = 100 WHERE id = 5");
    visits.sandbox.helenus(&["score", "visits"]).ok();
    assert_eq!(visits.current()[&5], current[&5]);
    let stored = visits
        .sandbox
        .rows("SELECT lineage.arm AS arm FROM {data}.visits_predictions WHERE id = 5");
    assert_eq!(stored.len(), 2);
    for row in stored {
        assert_eq!(row["arm"].as_text().cloned(), current[&5].1);
    }
    visits.verify();

    // A change is a new revision with other salts, here by patient.
    let running = visits.start("by_key", &[]).code(4).json();
    assert_eq!(running["error"]["code"], "experiment.running", "{running}");
    let changed = visits.start("by_key", &["--change", "--unit", "patient_id"]);
    assert_eq!(changed.ok().result()["revision"], 2);
    visits.worker();
    let current = visits.current();
    for (id, served) in &current {
        let patient = format!("p{}", id / 2);
        assert_eq!(*served, arm("by_key/2", patient.as_bytes()), "{id}");
    }
    visits.verify();
    let states = visits
        .sandbox
        .rows("SELECT revision, state FROM {helenus}.experiment_status");
    let states: Vec<_> = states
        .iter()
        .map(|row| {
            (
                row["revision"].as_int().unwrap(),
                row["state"].as_text().unwrap().clone(),
            )
        })
        .collect();
    let expected = [(2, "running"), (1, "superseded")];
    assert_eq!(
        states,
        expected.map(|(revision, state)| (revision, state.to_owned()))
    );

    // A promotion moves only the rows of no arm; stopping gives all rows to the champion.
    let stopped = visits
        .sandbox
        .json(&["experiment", "stop", "visits", "by_key"])
        .ok()
        .result();
    assert_eq!(stopped["state"], "stopped");
    visits.worker();
    assert!(visits.current().values().all(|served| *served == (1, None)));
    visits.verify();
    let over = visits
        .sandbox
        .json(&["experiment", "stop", "visits", "by_key"])
        .code(4)
        .json();
    assert_eq!(over["error"]["code"], "experiment.over");
    served.stop().ok();
}

#[test]
fn rows_without_a_unit_or_outside_of_the_traffic_are_the_champions() {
    let visits = Visits::scored("experiment_outside", MANIFEST);
    visits
        .sandbox
        .cql("INSERT INTO {data}.visits (id, x) VALUES (1000, 1)");
    visits.sandbox.helenus(&["score", "visits"]).ok();
    let more = ["--unit", "patient_id", "--traffic", "0.4"];
    visits.start("some", &more).ok();
    visits.worker();
    let current = visits.current();
    assert_eq!(current[&1000], (1, None));
    for (id, served) in current.iter().filter(|(id, _)| **id < ROWS) {
        let patient = format!("p{}", id / 2);
        let takes_part = bucket("some/1/traffic", patient.as_bytes(), &mut Vec::new()) < 4_000;
        let expected = match takes_part {
            true => arm("some/1", patient.as_bytes()),
            false => (1, None),
        };
        assert_eq!(*served, expected, "{id}");
    }
    let look = visits.look("some");
    assert_eq!(look["without_unit"], 1, "{look}");
    let outside = current.values().filter(|served| served.1.is_none()).count() - 1;
    assert_eq!(look["outside"], outside, "{look}");
    // Units are counted, not rows.
    let assigned = &look["counts"]["assigned"];
    let units = assigned["a"].as_u64().unwrap() + assigned["b"].as_u64().unwrap();
    assert_eq!(units as usize * 2, ROWS as usize - outside, "{look}");
    let warnings = look["warnings"].to_string();
    assert!(warnings.contains("without_unit: 1 rows"), "{warnings}");
    visits.verify();
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let visits = Visits::scored("experiment_refused", MANIFEST);
    let refused = |more: &[&str]| {
        let json = visits.start("odd", more).code(2).json();
        json["error"].to_string()
    };
    let error = refused(&["--arm", "c=2@0.4"]);
    assert!(
        error.contains("the shares sum to 1.4; they must sum to 1"),
        "{error}"
    );
    let error = refused(&["--unit", "patients"]);
    assert!(error.contains("has no column `patients`"), "{error}");
    let error = refused(&["--label-time", "paid"]);
    assert!(error.contains("`paid` has type boolean"), "{error}");
    let error = refused(&["--covariate", "z"]);
    assert!(error.contains("there is no output column `z`"), "{error}");
    let labels = format!("{}.outcomes.y", visits.sandbox.data);
    let start = |arms: [&str; 2]| {
        let words = [
            &[
                "experiment",
                "start",
                "visits",
                "odd",
                "--arm",
                arms[0],
                "--arm",
                arms[1],
            ][..],
            &["--metric", "mean", "--labels", &labels, "--ends", "14d"],
        ];
        let json = visits.sandbox.json(&words.concat()).code(2).json();
        json["error"].to_string()
    };
    let error = start(["a=champion", "b=3"]);
    assert!(
        error.contains("arm `b`: job `visits` does not score version 3"),
        "{error}"
    );
    let error = start(["a=champion", "b=challenger"]);
    assert!(
        error.contains("no version of model `scores` is `challenger`"),
        "{error}"
    );
    // A shadow is scored, but neither served nor an arm.
    visits
        .create(&MANIFEST.replace("[\"champion\", 2]", "[\"champion\"]\nshadow = [2]"))
        .ok();
    visits.sandbox.helenus(&["score", "visits"]).ok();
    let error = start(["a=champion", "b=2"]);
    assert!(
        error.contains("version 2 is a shadow of job `visits`"),
        "{error}"
    );
    let rows = visits
        .sandbox
        .rows("SELECT id FROM {data}.visits_predictions WHERE model_version = 2 ALLOW FILTERING");
    assert_eq!(rows.len(), ROWS as usize);
    let served = Served::start(&visits.sandbox, &["visits"]);
    let reply = served
        .get("/v1/jobs/visits/predictions/1?version=2")
        .status(400)
        .json();
    assert!(reply.to_string().contains("does not score `2`"), "{reply}");
    served.stop().ok();
    // Rows by CQL get the same answers, and other experiments go on.
    visits.sandbox.cql("INSERT INTO {helenus}.experiments (job, name, revision, shares) VALUES ('visits', 'empty', 1, {'a': 1.0})");
    visits.worker();
    let row = visits.sandbox.row("SELECT state, reason FROM {helenus}.experiment_status WHERE job = 'visits' AND name = 'empty'");
    assert_eq!(row["state"].as_text().unwrap(), "refused");
    let reason = row["reason"].as_text().unwrap();
    for part in [
        "there is no arm `a`",
        "no metric is named",
        "no planned end",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let status = visits.sandbox.json(&["status"]).ok().json();
    assert!(
        status["warnings"]
            .to_string()
            .contains("experiment `empty` of job `visits` is refused")
    );
    // A version that an experiment uses is not retired.
    visits.create(MANIFEST).ok();
    visits.start("uses", &[]).ok();
    let retire = ["model", "retire", "scores", "2", "--why", "test"];
    let error = visits.sandbox.json(&retire).code(4).json()["error"].to_string();
    assert!(error.contains("arm `b` of experiment `uses`"), "{error}");
}

/// Both read a column that is no feature: neither may take the other's.
#[test]
fn a_segment_of_drift_and_the_unit_of_an_experiment_go_together() {
    let manifest = format!("{MANIFEST}[drift]\nsegment = \"ward\"\n");
    let visits = Visits::scored("experiment_segment", &manifest);
    visits.start("both", &["--unit", "patient_id"]).ok();
    // The first run gives the bins, the second counts its segments, the third compares them.
    for _ in 0..2 {
        visits
            .sandbox
            .helenus(&["score", "visits", "--scope", "all"])
            .ok();
    }
    visits.worker();
    for (id, served) in visits.current() {
        let patient = format!("p{}", id / 2);
        assert_eq!(served, arm("both/1", patient.as_bytes()), "{id}");
    }
    let report = visits.sandbox.json(&["drift", "visits"]).ok().result();
    let rows = report["features"].as_array().unwrap().iter();
    let counted = rows
        .filter(|row| row["feature"] == "x" && row["version"] == 1 && row["against"] == "previous");
    let counted: BTreeMap<String, Value> = counted
        .map(|row| {
            (
                row["segment"].as_str().unwrap_or("all").to_owned(),
                row["m"].clone(),
            )
        })
        .collect();
    let wards = [("all", ROWS), ("east", ROWS / 2), ("west", ROWS / 2)];
    let wards = wards.map(|(ward, rows)| (ward.to_owned(), json!(rows)));
    assert_eq!(counted, wards.into(), "{report:#}");
    visits.verify();
}
