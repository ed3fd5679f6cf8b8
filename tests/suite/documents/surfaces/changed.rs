//! Cards that change, are served by shares, are forgotten, drift, and cannot be read any more.

use serde_json::{Value, json};

use super::{
    super::cards::{BAD, CARDS, Card, insert, picture, png},
    ALTERED, CHANGED, GOOD, explain, key,
    read::assert_compared_and_evaluated,
    stored, verify,
};
use crate::support::{Sandbox, block_on, cassandra::session};

/// A changed pixel makes predictions stale, and a prediction that was altered differs.
pub fn assert_changes_are_seen(sandbox: &Sandbox, cards: &[Card]) {
    let mut changed = picture(CHANGED, 12);
    changed.get_pixel_mut(6, 6).0 = [255, 255, 255];
    let before = chrono::Utc::now().to_rfc3339();
    std::thread::sleep(std::time::Duration::from_millis(5));
    insert(
        sandbox,
        &[Card {
            photo: Some(png(&changed)),
            ..Card::new(CHANGED)
        }],
    );
    let proof = verify(sandbox, 0);
    for version in ["1", "2"] {
        let version = &proof["versions"][version];
        let counts = ["matching", "stale", "differing", "rejected"].map(|name| &version[name]);
        assert_eq!(
            counts,
            [&json!(GOOD - 1), &json!(1), &json!(0), &json!(BAD)],
            "{proof}"
        );
    }
    assert_eq!(
        explain(sandbox, CHANGED, &[])["versions"]["1"]["verdict"],
        "stale"
    );
    assert_compared_and_evaluated(sandbox, 1);
    let run = sandbox.json(&["score", "cards"]).ok().result();
    assert_eq!(run["scored"], json!({"1": 1, "2": 1}), "{run}");
    // The history has both predictions, and nothing new of any other card.
    let past = sandbox.rows("SELECT id FROM {data}.cards_predictions_history");
    assert_eq!(past.len(), 2 * CARDS as usize + 2);
    let then = explain(sandbox, CHANGED, &["--at", &before]);
    let now = explain(sandbox, CHANGED, &[]);
    for version in ["1", "2"] {
        let then = &then["versions"][version];
        let now = &now["versions"][version]["stored"];
        assert_ne!(then["lineage"]["input_hash"], now["lineage"]["input_hash"]);
        assert_ne!(
            then["outputs"], now["outputs"],
            "a pixel moves version {version}"
        );
    }

    let deck = cards[ALTERED as usize].deck();
    sandbox.cql(&format!("UPDATE {{data}}.cards_predictions SET p_red = 0.75 WHERE deck = '{deck}' AND id = {ALTERED} AND model_version = 1"));
    let proof = verify(sandbox, 1);
    assert_eq!(proof["versions"]["1"]["differing"], 1, "{proof}");
    assert_eq!(proof["versions"]["2"]["differing"], 0, "{proof}");
    let difference = &proof["differences"][0];
    assert_eq!(
        (&difference["column"], &difference["stored"]),
        (&json!("p_red"), &json!(0.75))
    );
    let told = explain(sandbox, ALTERED, &[]);
    assert_eq!(
        told["versions"]["1"]["differing"],
        json!(["p_red"]),
        "{told}"
    );
    sandbox.json(&["score", "cards", "--scope", "all"]).ok();
    assert_eq!(verify(sandbox, 0)["versions"]["1"]["matching"], GOOD);
}

/// An experiment serves some cards by the other version.
pub fn assert_shares_are_served(sandbox: &Sandbox) {
    let labels = format!("{}.cards.colour", sandbox.data);
    let words = [
        &[
            "experiment",
            "start",
            "cards",
            "halves",
            "--arm",
            "a=champion@0.5",
        ][..],
        &[
            "--arm", "b=2@0.5", "--metric", "accuracy", "--labels", &labels, "--ends", "14d",
        ],
    ];
    sandbox.json(&words.concat()).ok();
    sandbox.json(&["score", "cards"]).ok();
    let current =
        sandbox.rows("SELECT id, model_version, lineage.arm AS arm FROM {data}.cards_current");
    assert_eq!(current.len(), CARDS as usize);
    let of = |version: i32| {
        let rows = current.iter();
        rows.filter(|row| row["model_version"].as_int() == Some(version))
            .count()
    };
    assert!(of(1) > 60 && of(2) > 60, "{} and {}", of(1), of(2));
    for row in &current[..20] {
        let told = explain(sandbox, row["id"].as_int().unwrap(), &[]);
        assert_eq!(
            told["served"]["version"],
            row["model_version"].as_int().unwrap()
        );
        assert_eq!(
            told["served"]["arm"].as_str(),
            row.get("arm")
                .and_then(|arm| arm.as_text())
                .map(String::as_str)
        );
    }
    let look = ["experiment", "show", "cards", "halves", "--look"];
    let look = sandbox.json(&look).ok().result();
    let assigned = &look["look"]["counts"]["assigned"];
    assert!(assigned["a"].as_u64() > Some(60), "{look}");
    sandbox
        .json(&["experiment", "stop", "cards", "halves"])
        .ok();
    sandbox.json(&["score", "cards"]).ok();
    let current = &verify(sandbox, 0)["coverage"]["current"];
    assert_eq!(
        (&current["version"], &current["other_version"]),
        (&json!(1), &json!(0))
    );
}

/// A card that was scored and one that was rejected are forgotten everywhere.
pub fn assert_forgotten(sandbox: &Sandbox) {
    for id in [CHANGED, 0] {
        let [deck, number] = key(id);
        let name = Card::new(id).deck();
        sandbox.cql(&format!(
            "DELETE FROM {{data}}.cards WHERE deck = '{name}' AND id = {id}"
        ));
        let forgotten = sandbox
            .json(&["forget", "cards", &deck, &number])
            .ok()
            .result();
        let table = |name: &str| format!("{}.{name}", sandbox.data);
        let found = &forgotten["found"];
        assert_eq!(found[table("cards_predictions")], 2, "{forgotten}");
        assert!(
            found[table("cards_predictions_history")].as_u64() >= Some(2),
            "{forgotten}"
        );
        assert_eq!(found[table("cards_current")], 1, "{forgotten}");
        assert_eq!(
            found["rejected_rows"].is_null(),
            id == CHANGED,
            "{forgotten}"
        );
        for table in [
            "cards_predictions",
            "cards_predictions_history",
            "cards_current",
        ] {
            let select =
                format!("SELECT id FROM {{data}}.{table} WHERE deck = '{name}' AND id = {id}");
            assert_eq!(sandbox.rows(&select).len(), 0, "{table}");
        }
    }
}

/// Larger pictures and longer texts drift, measured without decoding.
pub fn assert_drifted(sandbox: &Sandbox) {
    let of = |report: &Value, feature: &str| {
        let rows = report["features"].as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["feature"] == feature && row["against"] == "previous");
        let row = rows
            .next()
            .unwrap_or_else(|| panic!("{feature}: {report:#}"));
        row["verdict"].as_str().unwrap().to_owned()
    };
    let report = sandbox.json(&["drift", "cards"]).ok().result();
    for feature in [
        "photo[bytes]",
        "photo[width]",
        "photo[height]",
        "text[tokens]",
    ] {
        assert_ne!(of(&report, feature), "drifted", "{report:#}");
    }
    let larger: Vec<Card> = (BAD..CARDS)
        .filter(|id| *id != CHANGED)
        .map(|id| Card {
            photo: Some(png(&picture(id, 14 + id as u32 % 2))),
            words: Some("a card of all the colours".to_owned()),
            id,
        })
        .collect();
    insert(sandbox, &larger);
    let run = sandbox.json(&["score", "cards"]).ok().result();
    assert_eq!(run["scored"]["2"], larger.len(), "{run}");
    let report = sandbox.json(&["drift", "cards"]).ok().result();
    for feature in [
        "photo[bytes]",
        "photo[width]",
        "text[tokens]",
        "thumbnail[height]",
    ] {
        let verdict = of(&report, feature);
        let has_drifted = ["drifted", "constant", "new_category"].contains(&verdict.as_str());
        assert!(has_drifted, "{feature}: {report:#}");
    }
    sandbox.json(&["drift", "cards", "--scan"]).ok();
    // At push nobody knows what a job will prepare.
    let rows = format!("photo[width]\n{}", "12\n".repeat(200));
    let file = sandbox.file("reference.csv", rows);
    let words = ["model", "reference", "cards", "1", file.to_str().unwrap()];
    let refused = sandbox.json(&words).code(2).error();
    assert!(
        refused["help"]
            .as_str()
            .unwrap()
            .contains("helenus drift baseline"),
        "{refused}"
    );
}

/// Pictures that cannot be decoded stop a run before it has written anything, and open an alarm.
pub fn assert_guarded(sandbox: &Sandbox) {
    let update = format!(
        "UPDATE \"{}\".cards SET photo = ? WHERE deck = ? AND id = ?",
        sandbox.data
    );
    block_on(async {
        let update = session().prepare(update).await.unwrap();
        for id in BAD..CARDS {
            if id != CHANGED {
                let row = (&b"not an image"[..], Card::new(id).deck(), id);
                session().execute_unpaged(&update, row).await.unwrap();
            }
        }
    });
    let run = sandbox.json(&["score", "cards"]).code(1).result();
    let reason = run["reason"].as_str().unwrap();
    for part in ["guard: version 1", "image: feature `photo`", "not an image"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(run["source_rows"], 0, "{run}");
    let rejected = stored(sandbox, "cards_predictions");
    let rejected = rejected
        .values()
        .filter(|row| !row["lineage"]["rejected"].is_null());
    assert_eq!(rejected.count(), 2 * (BAD as usize - 1));
}
