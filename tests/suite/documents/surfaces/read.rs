//! What commands tell of cards that did not change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::cards::{BAD, CARDS, COLOURS, Card, REASONS, colour_of},
    CHANGED, GOOD, explain, key,
};
use crate::support::Sandbox;

pub fn assert_exported(sandbox: &Sandbox, stored: &BTreeMap<(i32, i64), Value>) {
    let export = |options: &[&str]| -> Vec<Value> {
        let words = [&["export", "cards", "--format", "jsonl"], options].concat();
        let lines = sandbox.helenus(&words).ok().stdout;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let rows = export(&["--version", "champion"]);
    assert_eq!(rows.len(), CARDS as usize);
    for row in &rows {
        let id = row["id"].as_i64().unwrap() as i32;
        let stored = &stored[&(id, 1)];
        let reason = REASONS.get(id as usize);
        match (reason, row["rejected"].as_str()) {
            (Some(reason), Some(told)) => {
                assert!(told.starts_with(reason), "{id}: {told}");
                assert!(
                    row["p_red"].is_null() && row["embedding"].is_null(),
                    "{row}"
                );
            }
            (None, None) => {
                let scores = COLOURS.map(|colour| row[format!("p_{colour}")].as_f64().unwrap());
                let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                assert_eq!(best, Some(colour_of(id)), "{row}");
                assert_eq!(row["embedding"], stored["embedding"], "{row}");
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    let red = export(&["--version", "2", "--where", "p_red > 0.4"]);
    let expected = (BAD..CARDS).filter(|id| colour_of(*id) == 0).count();
    assert_eq!(red.len(), expected);
    let parquet = [
        "export",
        "cards",
        "--format",
        "parquet",
        "-o",
        "cards.parquet",
    ];
    let written = sandbox.json(&parquet).ok().result();
    assert_eq!(written["written"], 2 * CARDS, "{written}");
}

pub fn assert_explained(sandbox: &Sandbox, cards: &[Card]) {
    let photo = cards[CHANGED as usize].photo.as_ref().unwrap();
    let beginning = format!("0x{}", hex::encode(&photo[..16]));
    let told = explain(sandbox, CHANGED, &[]);
    let cell = json!({"bytes": photo.len(), "first": beginning});
    assert_eq!(
        told["source"]["photo"],
        json!({"type": "blob", "value": cell})
    );
    assert_eq!(told["source"]["words"]["value"], "a blue card");
    for (version, name, shape) in [
        ("1", "photo", json!([3, 8, 8])),
        ("2", "thumbnail", json!([4, 4, 3])),
    ] {
        let version = &told["versions"][version];
        assert_eq!(version["verdict"], "matching", "{told}");
        let fed = version["fed"].as_array().unwrap();
        let picture = &fed[0];
        assert_eq!(
            (
                &picture["feature"],
                &picture["stored"],
                &picture["value"]["shape"]
            ),
            (&json!(name), &cell, &shape)
        );
        assert_eq!(
            fed[1]["value"]["tokens"],
            json!(["[UNK]", "blue", "[UNK]", "[PAD]", "[PAD]", "[PAD]"])
        );
        assert_eq!(
            fed[1]["stored"],
            json!({"bytes": 11, "first": "a blue card"})
        );
    }
    // A blob that is short is shown whole, and what is rejected says why.
    let told = explain(sandbox, 0, &[]);
    let photo = cards[0].photo.as_ref().unwrap();
    assert_eq!(told["source"]["photo"]["value"], hex::encode(photo));
    let version = &told["versions"]["1"];
    assert_eq!(version["verdict"], "rejected", "{told}");
    let reason = version["recomputed"]["rejected"].as_str().unwrap();
    assert!(reason.starts_with(REASONS[0]), "{told}");

    let [deck, id] = key(CHANGED);
    let text = sandbox
        .helenus(&["explain", "cards", &deck, &id])
        .ok()
        .stdout;
    let size = cards[CHANGED as usize].photo.as_ref().unwrap().len();
    for part in [
        format!("0x89504e47… ({size} bytes)"),
        "a blue card (11 bytes)".to_owned(),
        "matching, the stored values are what the model returns".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

/// Two versions that prepare the same picture differently agree on every card but `stale` ones.
pub fn assert_compared_and_evaluated(sandbox: &Sandbox, stale: i32) {
    let words = ["compare", "cards", "--versions", "champion,2"];
    let told = sandbox.json(&words).ok().result();
    let against = &told["against"][0];
    assert_eq!(against["compared"], GOOD - stale, "{told}");
    for version in ["1", "2"] {
        let version = &told["versions"][version];
        assert_eq!(
            (&version["stale"], &version["rejected"]),
            (&json!(stale), &json!(BAD))
        );
    }
    let largest = against["differences"]["largest"].as_f64();
    assert!(
        largest > Some(0.01),
        "the versions see different numbers: {told}"
    );

    let labels = format!("{}.cards.colour", sandbox.data);
    let words = [
        "evaluate",
        "cards",
        "--versions",
        "1,2",
        "--labels",
        &labels,
    ];
    let told = sandbox.json(&words).ok().result();
    assert_eq!(told["evaluated"], GOOD - stale, "{told}");
    for version in told["versions"].as_array().unwrap() {
        assert_eq!(version["metrics"]["accuracy"], 1.0, "{told}");
        assert_eq!(version["predictions"]["rejected"], BAD, "{told}");
        assert_eq!(version["predictions"]["stale"], stale, "{told}");
    }
}
