//! Every command that reads predictions or their source, over pictures and words.

mod changed;
mod read;
mod served;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cards::{BAD, CARDS, Card, create, insert, pushed};
use crate::support::Sandbox;

const GOOD: i32 = CARDS - BAD;

/// A card that is changed, and one whose stored prediction is.
const CHANGED: i32 = 47;

const ALTERED: i32 = 53;

const JOB: &str = r#"
[outputs]
history = true
current = true
[outputs.columns]
embedding = { output = "embedding", index = "cosine" }
[rules]
max_rejected = "20%"
"#;

#[test]
fn every_command_works_with_pictures_and_words() {
    let sandbox = pushed("cards");
    let cards: Vec<Card> = (0..CARDS).map(Card::new).collect();
    insert(&sandbox, &cards);
    create(&sandbox, "[\"champion\", 2]", JOB).ok();
    let run = sandbox.json(&["score", "cards"]).ok().result();
    assert_eq!(run["scored"], json!({"1": GOOD, "2": GOOD}), "{run}");
    assert_eq!(run["rejected"], json!({"1": BAD, "2": BAD}), "{run}");
    let again = sandbox.json(&["score", "cards"]).ok().result();
    assert_eq!(again["unchanged"], json!({"1": GOOD, "2": GOOD}), "{again}");

    let stored = stored(&sandbox, "cards_predictions");
    read::assert_exported(&sandbox, &stored);
    read::assert_explained(&sandbox, &cards);
    served::assert_piped(&sandbox, &cards, &stored);
    read::assert_compared_and_evaluated(&sandbox, 0);
    served::assert_served(&sandbox, &cards, &stored);
    changed::assert_changes_are_seen(&sandbox, &cards);
    changed::assert_shares_are_served(&sandbox);
    changed::assert_forgotten(&sandbox);
    changed::assert_drifted(&sandbox);
    changed::assert_guarded(&sandbox);
}

/// The stored rows as JSON, by id and version.
fn stored(sandbox: &Sandbox, table: &str) -> BTreeMap<(i32, i64), Value> {
    let rows = sandbox.rows(&format!("SELECT JSON * FROM {{data}}.{table}"));
    let parsed = rows.iter().map(|row| {
        let row: Value = serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap();
        let id = row["id"].as_i64().unwrap() as i32;
        ((id, row["model_version"].as_i64().unwrap()), row)
    });
    parsed.collect()
}

fn hash(row: &Value) -> &str {
    let hash = row["lineage"]["input_hash"].as_str().unwrap();
    hash.trim_start_matches("0x")
}

fn key(id: i32) -> [String; 2] {
    [format!("deck={}", Card::new(id).deck()), format!("id={id}")]
}

fn explain(sandbox: &Sandbox, id: i32, more: &[&str]) -> Value {
    let [deck, id] = key(id);
    let words = [&["explain", "cards", &deck, &id], more].concat();
    sandbox.json(&words).ok().result()
}

fn verify(sandbox: &Sandbox, code: i32) -> Value {
    let verified = sandbox.json(&["verify", "cards", "--coverage"]);
    verified.code(code).result()
}
