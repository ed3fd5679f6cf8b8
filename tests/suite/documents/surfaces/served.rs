//! The same cards through a pipe and over HTTP.

use std::{collections::BTreeMap, io::Write, process::Stdio, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, Int32Array, RecordBatch, StringArray, cast::AsArray, types::Int32Type,
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};

use super::{
    super::cards::{CARDS, Card, REASONS},
    CHANGED, hash,
};
use crate::support::{Sandbox, Served};

/// A bundle has the tokenizer, and a pipe gives what the run has stored.
pub fn assert_piped(sandbox: &Sandbox, cards: &[Card], stored: &BTreeMap<(i32, i64), Value>) {
    sandbox.json(&["bundle", "cards", "cards.bundle"]).ok();
    let schema = Arc::new(Schema::new(vec![
        Field::new("deck", DataType::Utf8, false),
        Field::new("id", DataType::Int32, false),
        Field::new("words", DataType::Utf8, true),
        Field::new("photo", DataType::Binary, true),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(cards.iter().map(Card::deck))),
        Arc::new(Int32Array::from_iter_values(
            cards.iter().map(|card| card.id),
        )),
        Arc::new(StringArray::from_iter(
            cards.iter().map(|card| card.words.as_ref()),
        )),
        Arc::new(BinaryArray::from_iter(
            cards.iter().map(|card| card.photo.as_ref()),
        )),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    writer.write(&batch).unwrap();
    let stream = writer.into_inner().unwrap();
    let mut command = sandbox.command(&["pipe", "cards.bundle"]);
    command
        .env("HELENUS_CONTACT_POINTS", "127.0.0.1:9")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || stdin.write_all(&stream).unwrap());
    let ended = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(ended.status.success());
    let mut seen = 0;
    for batch in StreamReader::try_new(&ended.stdout[..], None).unwrap() {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let text = |name: &str| -> &StringArray { column(name).as_string::<i32>() };
        let ids = column("id").as_primitive::<Int32Type>();
        let versions = column("version").as_primitive::<Int32Type>();
        for row in 0..batch.num_rows() {
            let stored = &stored[&(ids.value(row), versions.value(row).into())];
            assert_eq!(text("input_hash").value(row), hash(stored));
            let rejected = Some(text("rejected").value(row)).filter(|reason| !reason.is_empty());
            assert_eq!(rejected, stored["lineage"]["rejected"].as_str());
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * CARDS);
}

/// Rows over HTTP have the stored hashes and reasons, and find their nearest.
pub fn assert_served(sandbox: &Sandbox, cards: &[Card], stored: &BTreeMap<(i32, i64), Value>) {
    let served = Served::start(sandbox, &["cards"]);
    let some = &cards[..12];
    let rows: Vec<Value> = some.iter().map(Card::json).collect();
    let body = json!({"rows": rows, "versions": [1, 2]});
    let answer = served
        .post("/v1/jobs/cards/score", &body)
        .status(200)
        .json();
    for (card, row) in some.iter().zip(answer["rows"].as_array().unwrap()) {
        let predictions = row["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 2, "{row}");
        for prediction in predictions {
            let stored = &stored[&(card.id, prediction["version"].as_i64().unwrap())];
            assert_eq!(prediction["lineage"]["input_hash"], hash(stored), "{row}");
            assert_eq!(
                prediction["rejected"], stored["lineage"]["rejected"],
                "{row}"
            );
        }
    }
    let similar = |body: &Value| served.post("/v1/jobs/cards/similar", body);
    let own = &cards[CHANGED as usize];
    let found = similar(&json!({"row": own.json(), "top": 5}))
        .status(200)
        .json();
    let found = found["rows"].as_array().unwrap();
    // Cards of one colour are nearly alike.
    assert!(found[0]["similarity"].as_f64() > Some(0.9999), "{found:?}");
    assert!(
        found
            .iter()
            .all(|row| row["key"]["id"].as_i64().unwrap() as i32 % 3 == own.id % 3)
    );
    let stored = similar(&json!({"key": {"deck": own.deck(), "id": own.id}, "top": 5}));
    assert_eq!(
        stored.status(200).json()["rows"].as_array().unwrap().len(),
        5
    );
    // Words alone make no card, and of these two neither can be prepared.
    for (request, reason) in [
        (json!({"text": "a blue card"}), REASONS[4]),
        (json!({"row": cards[0].json()}), REASONS[0]),
        (json!({"row": cards[3].json()}), REASONS[3]),
    ] {
        let reply = similar(&request).status(409);
        assert_eq!(reply.code(), "similar.rejected");
        assert!(reply.text().contains(reason), "{reason}: {}", reply.text());
    }
    served.stop().ok();
}
