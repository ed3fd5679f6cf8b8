//! `helenus stream` against a real broker: scores, source rows, routes, hints.

use std::collections::{BTreeMap, BTreeSet};

use scylla::value::CqlValue;
use serde_json::{Value, json};

use crate::support::{
    Served,
    kafka::{Message, shared},
    stems::{Stems, stem, stem_with, wait_until},
};

#[test]
fn a_score_on_the_topic_over_http_and_in_the_table_is_the_same() {
    let stems = Stems::upserting("stream_parity", shared(), 3);
    let rows: Vec<Value> = (0..40).map(stem).collect();
    let stream = stems.start(&[]);
    stems.write(&rows);
    let messages = stems.predictions(40);
    let served = Served::start(&stems.sandbox, &["stems"]);
    let body = json!({"rows": rows}).to_string();
    let json_header = [("content-type", "application/json")];
    let reply = served.request(
        "POST",
        "/v1/jobs/stems/score",
        &json_header,
        body.as_bytes(),
    );
    let over_http = reply.status(200).json();
    stems.sandbox.helenus(&["score", "stems"]).ok();
    let by_id: BTreeMap<i64, &Message> = messages
        .iter()
        .map(|message| (message.json()["key"]["id"].as_i64().unwrap(), message))
        .collect();
    assert_eq!(by_id.len(), 40);
    for (at, row) in rows.iter().enumerate() {
        let id = row["id"].as_i64().unwrap();
        let message = by_id[&id].json();
        let http = &over_http["rows"][at]["predictions"][0];
        assert_eq!(message["outputs"], http["outputs"], "{id}");
        for name in [
            "model_sha256",
            "input_hash",
            "source_hash",
            "job_revision",
            "arm",
        ] {
            assert_eq!(message["lineage"][name], http["lineage"][name], "{name}");
        }
        let explained = stems
            .sandbox
            .json(&["explain", "stems", "garden=g", &format!("id={id}")]);
        let stored = explained.ok().result().to_string();
        let hash = message["lineage"]["input_hash"].as_str().unwrap();
        assert!(stored.contains(hash), "{id}: {stored}");
        assert_eq!(by_id[&id].header("helenus-input-hash"), hash);
        assert_eq!(by_id[&id].header("helenus-version"), "1");
        assert_eq!(message["key"], json!({"garden": "g", "id": id}));
        assert_eq!(
            by_id[&id].key.as_deref(),
            Some(format!("{{\"garden\":\"g\",\"id\":{id}}}").as_str())
        );
        assert!(
            by_id[&id]
                .header("helenus-source")
                .starts_with(&stems.input)
        );
    }
    drop(served);
    stream.signal("TERM");
    assert_eq!(stream.finish().code, Some(0));
}

#[test]
fn each_message_is_scored_once_by_two_processes_and_across_a_restart() {
    let stems = Stems::upserting("stream_once", shared(), 4);
    let (first, second) = (stems.start(&[]), stems.start(&[]));
    stems.write(&(0..3_000).map(stem).collect::<Vec<_>>());
    // Until it reads, a signal would just kill it.
    wait_until("both read", || {
        let states = stems.states();
        states.len() == 2 && states.iter().all(|state| state == "running")
    });
    first.signal("TERM");
    assert_eq!(first.finish().code, Some(0));
    let third = stems.start(&[]);
    stems.write(&(3_000..4_000).map(stem).collect::<Vec<_>>());
    let messages = stems.predictions(4_000);
    let ids: BTreeSet<i64> = messages
        .iter()
        .map(|message| message.json()["key"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), 4_000);
    assert_eq!(stems.broker.read(&stems.output).len(), 4_000);
    let rows = stems
        .sandbox
        .rows("SELECT count(*) FROM {data}.stems WHERE garden = 'g'");
    assert_eq!(rows[0]["count"].as_bigint(), Some(4_000));
    wait_until("both read", || {
        stems
            .states()
            .iter()
            .filter(|state| *state == "running")
            .count()
            >= 2
    });
    wait_until("all is counted", || {
        stems.status()["today"]["received"] == 4_000
    });
    wait_until("no lag", || stems.status()["lag"] == 0);
    for stream in [second, third] {
        stream.signal("TERM");
        assert_eq!(stream.finish().code, Some(0));
    }
}

#[test]
fn the_lag_is_told_by_those_who_have_the_partitions() {
    let stems = Stems::upserting("stream_lag", shared(), 4);
    let rows = |from: i64| (from..from + 100).map(stem).collect::<Vec<_>>();
    let first = stems.start(&[]);
    stems.write(&rows(0));
    stems.predictions(100);
    // Some of the partitions that the first one has read go to this one.
    let second = stems.start(&[]);
    wait_until("both read", || {
        let states = stems.states();
        states.len() == 2 && states.iter().all(|state| state == "running")
    });
    for part in 1..4 {
        stems.write(&rows(part * 100));
        wait_until("all is counted", || {
            stems.status()["today"]["received"] == (part + 1) * 100
        });
        wait_until("no lag", || stems.status()["lag"] == 0);
        // Nor does anybody say otherwise with the next reports.
        let before = stems.beats();
        wait_until("two more reports of each", || {
            let now = stems.beats();
            before
                .iter()
                .all(|(member, beat)| now.get(member) >= Some(&(beat + 2)))
        });
        assert_eq!(stems.status()["lag"], 0);
    }
    stems.write(&rows(400));
    stems.predictions(500);
    // Each says how far it came before it leaves, although nothing more is to be read.
    for stream in [first, second] {
        stream.signal("TERM");
        assert_eq!(stream.finish().code, Some(0));
    }
    assert_eq!(stems.status()["lag"], 0);
}

#[test]
fn the_newest_message_wins_a_missing_field_keeps_its_column_and_null_deletes() {
    let stems = Stems::upserting("stream_upsert", shared(), 1);
    let at = 1_700_000_000_000_i64;
    let message = |ms: i64, row: &Value| json!({"key": "k", "json": row, "timestamp": ms});
    stems.broker.write(
        &stems.input,
        &[
            message(at, &stem_with(1, json!({"note": "old", "serial": 9_007_199_254_740_993_i64, "weight": "12345678901234567890.10"}))),
            // Late, by its time: it must not win.
            message(at - 5, &stem_with(1, json!({"note": "older", "serial": 1}))),
            // The same millisecond: the later offset wins.
            message(at, &stem_with(2, json!({"note": "a"}))),
            message(at, &stem_with(2, json!({"note": "b"}))),
            message(at, &stem_with(2, json!({"note": "c"}))),
            // A part of a row, and an explicit null.
            message(at + 1, &json!({"garden": "g", "id": 1, "weight": null, "sepal_length": 9.5})),
            message(at, &stem_with(3, json!({"tags": ["x", "y"], "seen": "2026-03-01T00:00:00Z"}))),
            json!({"key": "{\"garden\": \"g\", \"id\": 3}", "value": null, "timestamp": at + 2}),
            message(at, &stem_with(4, json!({"tags": ["x"]}))),
        ],
    );
    let stream = stems.start(&[]);
    // The part of a row lacks features, which the model cannot do without.
    let dead = stems.dead_letters(1);
    assert_eq!(dead[0].header("helenus-error-code"), "row.rejected");
    stems.predictions(7);
    let row = |id: i64| {
        let rows = stems.sandbox.rows(&format!("SELECT note, serial, weight, sepal_length, writetime(note) AS written, tags FROM {{data}}.stems WHERE garden = 'g' AND id = {id}"));
        rows.into_iter().next()
    };
    let one = row(1).unwrap();
    assert_eq!(one["note"], CqlValue::Text("old".to_owned()));
    assert_eq!(one["serial"], CqlValue::BigInt(9_007_199_254_740_993));
    assert!(!one.contains_key("weight"), "{one:?}");
    assert_eq!(one["sepal_length"], CqlValue::Float(9.5));
    assert_eq!(one["written"], CqlValue::BigInt(at * 1_000));
    let two = row(2).unwrap();
    assert_eq!(two["note"], CqlValue::Text("c".to_owned()));
    assert!(row(3).is_none());
    assert!(row(4).is_some());
    // A person's newer row wins over an older message.
    stems
        .sandbox
        .cql("UPDATE {data}.stems SET note = 'mine' WHERE garden = 'g' AND id = 4");
    stems.broker.write(
        &stems.input,
        &[message(at + 9, &stem_with(4, json!({"note": "theirs"})))],
    );
    stems.predictions(8);
    assert_eq!(row(4).unwrap()["note"], CqlValue::Text("mine".to_owned()));
    wait_until("the next report counts them", || {
        let today = &stems.status()["today"];
        (&today["deleted"], &today["rejected"]) == (&json!(1), &json!(1))
    });
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn predictions_are_routed_by_their_label() {
    let stems = Stems::new("stream_route", shared(), 2);
    let prefix = stems.output.clone();
    for label in ["0", "1", "2"] {
        stems.broker.create_topic(&format!("{prefix}.{label}"), 1);
    }
    stems.job("", &format!("topic = \"{prefix}.{{label}}\""));
    let rows = [
        json!({"garden": "g", "id": 1, "sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}),
        json!({"garden": "g", "id": 2, "sepal_length": 4.9, "sepal_width": 3.0, "petal_length": 1.4, "petal_width": 0.2}),
        json!({"garden": "g", "id": 3, "sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}),
        json!({"garden": "g", "id": 4, "sepal_length": 7.9, "sepal_width": 3.8, "petal_length": 6.4, "petal_width": 2.0}),
        json!({"garden": "g", "id": 5, "sepal_length": 5.5, "sepal_width": 2.4, "petal_length": 3.8, "petal_width": 1.1}),
    ];
    let stream = stems.start(&[]);
    stems.write(&rows);
    let routed = || -> Vec<Message> {
        ["0", "1", "2"]
            .iter()
            .flat_map(|label| {
                let messages = stems.broker.read(&format!("{prefix}.{label}"));
                for message in &messages {
                    assert_eq!(message.json()["outputs"]["label"].to_string(), *label);
                }
                messages
            })
            .collect()
    };
    wait_until("all are somewhere", || {
        routed().len() + stems.broker.read(&stems.dead).len() == rows.len()
    });
    // Label 3 has no topic: nothing is lost.
    for letter in stems.broker.read(&stems.dead) {
        assert_eq!(letter.header("helenus-error-code"), "message.unknown_topic");
        assert!(
            letter
                .header("helenus-error")
                .contains(&format!("{prefix}.3"))
        );
        assert!(letter.json()["id"].is_i64());
    }
    assert!(!routed().is_empty());
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn triggers_hear_which_rows_changed() {
    let stems = Stems::upserting("stream_hints", shared(), 1);
    stems.sandbox.cql("INSERT INTO {helenus}.triggers (job, name, pending_rows, use_hints) VALUES ('stems', 'soon', 1, true)");
    let stream = stems.start(&[]);
    stems.write(&[stem(1), stem(2), stem(1)]);
    stems.predictions(3);
    let hints = stems.sandbox.rows("SELECT key FROM {helenus}.changed_keys WHERE job = 'stems' AND day = toDate(now()) ALLOW FILTERING");
    let keys: BTreeSet<String> = hints
        .iter()
        .map(|hint| format!("{:?}", hint["key"]))
        .collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert!(keys.iter().all(|key| key.contains("garden")), "{keys:?}");
    stream.signal("TERM");
    stream.finish();
}
