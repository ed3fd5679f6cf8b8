//! Pictures and words as messages: blobs in both spellings, routed by the best class.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cards::{BAD, COLOURS, Card, REASONS, colour_of, create, pushed};
use crate::support::{
    Served,
    cli::Running,
    kafka::{Message, shared},
    stems::wait_until,
};

#[test]
fn cards_of_a_topic_are_scored_routed_and_stored_as_runs_and_http_do() {
    let sandbox = pushed("cards_stream");
    let broker = shared();
    let (input, dead) = (broker.topic("cards", 2), broker.topic("cards.dead", 1));
    let prefix = broker.topic("cards.of", 1);
    for colour in COLOURS {
        broker.create_topic(&format!("{prefix}.{colour}"), 1);
    }
    let job = |outputs: &str, column: &str| {
        let more = format!(
            "{outputs}[rules]\nmax_rejected = \"100%\"\n[stream.in]\ntopic = \"{input}\"\nupsert = true\nmax_rejected = 100\n[stream.out]\ntopic = \"{prefix}.{{{column}}}\"\ndead_letters = \"{dead}\"\n"
        );
        create(&sandbox, "[\"champion\"]", &more)
    };
    // The model gives scores of named classes, and no label.
    let refused = job("", "label").code(2).error();
    assert_eq!(refused["code"], "job.unknown_column", "{refused}");
    let help = refused["help"].as_str().unwrap();
    assert!(
        help.contains("top_k = { k = 1 }") && help.contains("{label_1}"),
        "{help}"
    );
    job(
        "[outputs]\ntop_k = { k = 1, output = \"probabilities\" }\nomit = [\"embedding\"]\n",
        "label_1",
    )
    .ok();

    let cards: Vec<Card> = (0..20).map(Card::new).collect();
    let mut messages: Vec<Value> = cards
        .iter()
        .map(|card| json!({"key": card.id.to_string(), "json": card.json()}))
        .collect();
    // A blob that is neither, and two that are not what they say.
    for (id, photo) in [
        (100, json!("iVBORw0KGgo=")),
        (101, json!({"b64": "iVBOR"})),
        (102, json!("0x123")),
    ] {
        let row = json!({"deck": "deck-0", "id": id, "photo": photo, "words": "a card"});
        messages.push(json!({"key": id.to_string(), "json": row}));
    }
    broker.write(&input, &messages);
    let mut command = sandbox.command(&["stream", "cards"]);
    command.env("HELENUS_KAFKA_BROKERS", &broker.bootstrap);
    let stream = Running::start(command);
    let letters = broker.read_count(&dead, BAD as usize + 3);
    let mut predictions: Vec<Message> = Vec::new();
    wait_until("all are routed", || {
        let topics = COLOURS.map(|colour| format!("{prefix}.{colour}"));
        predictions = topics.iter().flat_map(|topic| broker.read(topic)).collect();
        predictions.len() == cards.len() - BAD as usize
    });
    stream.signal("TERM");
    assert_eq!(stream.finish().code, Some(0));

    let rows: Vec<Value> = cards.iter().map(Card::json).collect();
    let served = Served::start(&sandbox, &["cards"]);
    let over_http = served.post("/v1/jobs/cards/score", &json!({"rows": rows}));
    let over_http = over_http.status(200).json();
    served.stop().ok();
    // Rows that the model rejects are in the table, too; the run finds those that messages wrote.
    let run = sandbox.json(&["score", "cards"]).ok().result();
    assert_eq!(run["scored"]["1"], cards.len() - BAD as usize, "{run}");
    assert_eq!(run["rejected"]["1"], BAD, "{run}");
    let stored =
        sandbox.rows("SELECT JSON id, label_1, p_1, lineage FROM {data}.cards_predictions");
    let stored: BTreeMap<i64, Value> = stored
        .iter()
        .map(|row| serde_json::from_str::<Value>(row["[json]"].as_text().unwrap()).unwrap())
        .map(|row| (row["id"].as_i64().unwrap(), row))
        .collect();
    let hash = |row: &Value| {
        let hash = row["lineage"]["input_hash"].as_str().unwrap();
        json!(hash.trim_start_matches("0x"))
    };
    for message in &predictions {
        let message = message.json();
        let id = message["key"]["id"].as_i64().unwrap();
        let colour = COLOURS[colour_of(id as i32)];
        let http = &over_http["rows"][id as usize]["predictions"][0];
        let stored = &stored[&id];
        assert_eq!(message["lineage"]["input_hash"], hash(stored), "{id}");
        assert_eq!(http["lineage"]["input_hash"], hash(stored), "{id}");
        assert_eq!(
            message["lineage"]["source_hash"], http["lineage"]["source_hash"],
            "{id}"
        );
        assert_eq!(message["outputs"], http["outputs"], "{id}");
        assert_eq!(message["outputs"]["label_1"], colour, "{id}");
        assert_eq!(stored["label_1"], colour, "{id}");
    }
    for letter in &letters {
        let told = letter.header("helenus-error");
        let id = letter.json()["id"].as_i64().unwrap();
        let Some(reason) = REASONS.get(id as usize) else {
            assert_eq!(
                letter.header("helenus-error-code"),
                "row.not_a_value",
                "{told}"
            );
            assert!(
                told.contains("`photo`") && !stored.contains_key(&id),
                "{told}"
            );
            continue;
        };
        assert_eq!(
            letter.header("helenus-error-code"),
            "row.rejected",
            "{told}"
        );
        let rejected = stored[&id]["lineage"]["rejected"].as_str().unwrap();
        assert!(
            rejected.starts_with(reason) && told.ends_with(rejected),
            "{told}: {rejected}"
        );
        let http = &over_http["rows"][id as usize]["predictions"][0];
        assert_eq!(http["rejected"], rejected);
    }
}
