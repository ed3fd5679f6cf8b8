//! A job with a table of current predictions: one row an entity, the champion's, whatever moves.

mod begin;

use std::{collections::BTreeMap, time::Duration};

use helenus::control::current::Watch;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    block_on,
    numbers::{Numbers as Pushed, ROWS},
};

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = [1, 2, "champion"]
[source]
table = "{data}.numbers"
[features]
x = "x"
[outputs]
current = true
[rules]
max_rejected = 100
"#;

struct Numbers(Pushed);

/// What an analyst reads of an entity: version, output, lineage and whether it is a rejection.
type Row = (Option<i64>, Option<String>, String);

impl std::ops::Deref for Numbers {
    type Target = Pushed;

    fn deref(&self) -> &Pushed {
        &self.0
    }
}

impl Numbers {
    fn new(test: &str, manifest: &str) -> Self {
        let numbers = Pushed::pushed(test, "WITH CLUSTERING ORDER BY (visit DESC)");
        numbers.promote(1);
        numbers.create(manifest).ok();
        Self(numbers)
    }

    fn score(&self, more: &[&str]) -> Value {
        let words = [&["score", "numbers"], more].concat();
        self.sandbox.json(&words).ok().result()
    }

    /// Runs that one pass of a worker worked on.
    fn worker(&self) -> Vec<Value> {
        let pass = self.sandbox.json(&["worker", "--once"]).ok().json();
        assert_eq!(pass["warnings"], json!([]), "{pass}");
        let runs = pass["result"]["runs"].as_array().unwrap().clone();
        let show = |run: &Value| {
            let words = ["run", "show", "numbers", run.as_str().unwrap()];
            self.sandbox.json(&words).ok().result()
        };
        runs.iter().map(show).collect()
    }

    fn table(&self, of: &str) -> BTreeMap<String, Row> {
        let rows = self
            .sandbox
            .rows(&format!("SELECT * FROM {{data}}.numbers_{of}"));
        let told = rows.into_iter().map(|row| {
            let cell = |name: &str| row.get(name).map(|cell| format!("{cell:?}"));
            (
                format!("{:?} {:?}", cell("name"), cell("visit")),
                (
                    row["model_version"].as_int().map(i64::from),
                    row.get("y")
                        .and_then(|y| y.as_float())
                        .map(|y| y.to_string()),
                    cell("lineage").unwrap_or_default(),
                ),
            )
        });
        told.collect()
    }

    /// The table of current predictions is the prediction table's rows of that version, bit by bit.
    fn assert_current(&self, version: i32) {
        let current = self.table("current");
        let stands = self.table(&format!(
            "predictions WHERE model_version = {version} ALLOW FILTERING"
        ));
        assert_eq!(current.len(), stands.len());
        for (key, row) in &stands {
            assert_eq!(current.get(key), Some(row), "{key}");
        }
    }

    /// Version, and the number of the champion's move, that the table is noted to hold.
    fn noted(&self) -> (i32, i32) {
        let row = self
            .sandbox
            .row("SELECT version, last_seq, refreshed_at FROM {helenus}.current_tables");
        assert!(row["refreshed_at"].as_cql_timestamp().is_some());
        (
            row["version"].as_int().unwrap(),
            row["last_seq"].as_int().unwrap(),
        )
    }
}

#[test]
fn each_entity_has_the_champions_prediction_whatever_moves() {
    let numbers = Numbers::new("moves", MANIFEST);
    let run = numbers.score(&[]);
    assert_eq!(run["current_version"], 1);
    assert_eq!(numbers.table("current").len(), ROWS);
    numbers.assert_current(1);
    numbers.set("1000");
    numbers.score(&[]);
    numbers.assert_current(1);
    // Of both versions: a rejection is no prediction of either.
    numbers
        .sandbox
        .cql("UPDATE {data}.numbers SET x = null WHERE name = 'patient-8' AND visit = 1");
    numbers.score(&[]);
    numbers.assert_current(1);
    let rejected = numbers.sandbox.row("SELECT y, lineage.rejected AS why FROM {data}.numbers_current WHERE name = 'patient-8' AND visit = 1");
    assert!(rejected.get("y").is_none_or(|y| y.as_float().is_none()));
    assert!(rejected["why"].as_text().is_some());

    numbers.worker();
    assert_eq!(numbers.noted(), (1, 1));
    numbers.promote(2);
    let runs = numbers.worker();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = &runs[0];
    assert_eq!(
        (&run["scope"], &run["trigger"]),
        (&json!("current"), &json!("current"))
    );
    assert_eq!(run["versions"], json!([2]));
    // Copied, not scored.
    assert_eq!(run["scored"], json!({"2": 0}));
    assert_eq!(run["unchanged"], json!({"2": ROWS - 1}));
    numbers.assert_current(2);
    assert_eq!(numbers.noted(), (2, 2));
    let shown = numbers
        .sandbox
        .json(&["job", "show", "numbers"])
        .ok()
        .result();
    assert_eq!(shown["current"]["version"], 2, "{shown}");
    assert_eq!(shown["current"]["run_id"], run["run_id"]);
    assert_eq!(numbers.worker().len(), 0);
    // What the old champion is asked to score stays out.
    numbers.set("2000");
    let run = numbers.score(&["--version", "1"]);
    assert_eq!(run["current_version"], Value::Null);
    numbers.assert_current(2);
    let words = ["model", "rollback", "numbers", "--why", "test"];
    numbers.sandbox.helenus(&words).ok();
    assert_eq!(numbers.worker().len(), 1);
    numbers.assert_current(1);
    assert_eq!(numbers.noted(), (1, 3));
    let back = numbers
        .sandbox
        .row("SELECT y FROM {data}.numbers_current WHERE name = 'patient-7' AND visit = 1");
    assert_eq!(back["y"].as_float(), Some(2000.0));
}

#[test]
fn the_next_run_through_the_whole_source_copies_too() {
    let numbers = Numbers::new("ordinary", MANIFEST);
    numbers.score(&[]);
    numbers.promote(2);
    let some = ["--token-range", "-9223372036854775807:0"];
    let run = numbers.score(&some);
    assert_eq!(
        (&run["current_version"], &run["current_copied"]),
        (&json!(2), &json!(false))
    );
    numbers.assert_current(1);
    // As cron or a trigger makes it.
    let run = numbers.score(&[]);
    assert_eq!(
        (&run["current_version"], &run["current_copied"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(run["scored"], json!({"1": 0, "2": 0}), "{run}");
    numbers.assert_current(2);
    assert_eq!(numbers.noted(), (2, 2));
    assert_eq!(numbers.worker().len(), 0);
    let run = numbers.score(&[]);
    assert_eq!(run["current_copied"], false);
}

#[test]
fn a_champion_that_lacks_predictions_gets_them_on_the_way() {
    let numbers = Numbers::new("lacks", &MANIFEST.replace("[1, 2, ", "["));
    numbers.score(&[]);
    numbers.assert_current(1);
    numbers.worker();
    let move_now = ["model", "promote", "numbers", "2", "--why", "test", "--now"];
    numbers.sandbox.helenus(&move_now).ok();
    let pass = numbers.worker();
    let current: Vec<_> = pass
        .iter()
        .filter(|run| run["versions"] == json!([2]))
        .collect();
    assert!(!current.is_empty(), "{pass:?}");
    // One of several runs, or the only one.
    numbers.worker();
    assert_eq!(numbers.table("current").len(), ROWS);
    numbers.assert_current(2);
    assert_eq!(numbers.noted(), (2, 2));
}

#[test]
fn what_somebody_damaged_is_mended_when_asked_for() {
    let numbers = Numbers::new(
        "damaged",
        &MANIFEST.replace("[rules]", "[rules]\nttl = \"10d\""),
    );
    numbers.score(&[]);
    let ttl = |of: &str| {
        let row = numbers.sandbox.row(&format!(
            "SELECT TTL(lineage) AS ttl FROM {{data}}.numbers_{of} WHERE name = 'patient-7' AND visit = 1 LIMIT 1"
        ));
        row["ttl"].as_int().unwrap()
    };
    assert!((863_000..=864_000).contains(&ttl("current")));
    numbers.sandbox.cql("TRUNCATE {data}.numbers_current");
    // Nothing is pending, so nothing is written there.
    numbers.score(&[]);
    assert_eq!(numbers.table("current").len(), 0);
    numbers.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, scope) VALUES (toDate(now()), now(), 'numbers', 'current')");
    numbers.worker();
    numbers.assert_current(1);
    // A copy lives no longer than what it is a copy of.
    assert!(ttl("current") <= ttl("predictions") + 1);
    numbers.sandbox.cql("TRUNCATE {data}.numbers_current");
    let would = numbers.score(&["--scope", "current", "--dry-run"]);
    assert_eq!(would["unchanged"], json!({"1": ROWS}), "{would}");
    let run = numbers.score(&["--scope", "current"]);
    assert_eq!(run["versions"], json!([1]), "{run}");
    numbers.assert_current(1);
}

#[test]
fn verify_compares_it_with_the_champions_predictions() {
    let numbers = Numbers::new("compared", MANIFEST);
    numbers.score(&[]);
    let sandbox = &numbers.sandbox;
    let found = |code: i32| {
        let said = sandbox
            .json(&["verify", "numbers", "--coverage"])
            .code(code);
        let answer = said.json();
        if code == 1 {
            assert_eq!(
                answer["error"]["code"], "verify.current_differs",
                "{answer}"
            );
        }
        answer["result"]["coverage"]["current"].clone()
    };
    let counts = |found: &Value| {
        ["other_version", "differing", "extra", "missing"]
            .map(|count| found[count].as_u64().unwrap())
    };
    let whole = found(0);
    assert_eq!(counts(&whole), [0; 4], "{whole}");
    assert_eq!(
        (&whole["rows"], &whole["version"]),
        (&json!(ROWS), &json!(1))
    );
    let row = "name = 'patient-7' AND visit = 1";
    // The defect: an entity has the old champion's prediction.
    sandbox.cql(&format!(
        "UPDATE {{data}}.numbers_current SET model_version = 2 WHERE {row}"
    ));
    let other = found(1);
    assert_eq!(counts(&other), [1, 0, 0, 0], "{other}");
    assert_eq!(
        other["findings"],
        json!([{"key": {"name": "patient-7", "visit": "1"}, "finding": "other_version", "version": 2}])
    );
    sandbox.cql(&format!(
        "UPDATE {{data}}.numbers_current SET model_version = 1, y = 5 WHERE {row}"
    ));
    assert_eq!(counts(&found(1)), [0, 1, 0, 0]);
    sandbox.cql(&format!("DELETE FROM {{data}}.numbers_current WHERE {row}"));
    assert_eq!(counts(&found(1)), [0, 0, 0, 1]);
    sandbox.cql("INSERT INTO {data}.numbers_current (name, visit, model_version, y) VALUES ('nobody', 1, 1, 5)");
    assert_eq!(counts(&found(1)), [0, 0, 1, 1]);
    // What is said to help does.
    sandbox.cql("DELETE FROM {data}.numbers_current WHERE name = 'nobody'");
    numbers.score(&["--scope", "current"]);
    assert_eq!(counts(&found(0)), [0; 4]);
    // The champion is not asked about.
    let second = ["verify", "numbers", "--coverage", "--version", "2"];
    let second = sandbox.json(&second).ok().result();
    assert_eq!(second["coverage"]["current"], Value::Null, "{second}");
}

#[test]
fn an_entity_that_is_gone_has_no_current_prediction() {
    let manifest = MANIFEST.replace("[rules]", "[rules]\norphans = \"delete\"");
    let numbers = Numbers::new("gone", &manifest);
    numbers.score(&[]);
    numbers
        .sandbox
        .cql("DELETE FROM {data}.numbers WHERE name = 'patient-8' AND visit = 1");
    numbers.score(&[]);
    assert_eq!(numbers.table("current").len(), ROWS - 1);
    numbers.assert_current(1);
    numbers
        .sandbox
        .cql("DELETE FROM {data}.numbers WHERE name = 'patient-7' AND visit = 1");
    let words = ["forget", "numbers", "name=patient-7", "visit=1"];
    let told = numbers.sandbox.json(&words).ok().result();
    let table = format!("{}.numbers_current", numbers.sandbox.data);
    assert_eq!(told["found"][&table], 1, "{told}");
    assert_eq!(numbers.table("current").len(), ROWS - 2);
}

#[test]
fn a_paused_job_is_left_alone_and_brought_up_to_date_afterwards() {
    let numbers = Numbers::new("paused", MANIFEST);
    numbers.score(&[]);
    numbers.worker();
    numbers.sandbox.helenus(&["job", "pause", "numbers"]).ok();
    numbers.promote(2);
    assert_eq!(numbers.worker().len(), 0);
    numbers.assert_current(1);
    numbers.sandbox.helenus(&["job", "resume", "numbers"]).ok();
    assert_eq!(numbers.worker().len(), 1);
    numbers.assert_current(2);
}

#[test]
fn a_run_that_fails_is_repeated_later_and_another_champion_followed_at_once() {
    let manifest = MANIFEST.replace("max_rejected = 100", "max_rejected = 0");
    let numbers = Numbers::new("repeated", &manifest);
    let sandbox = &numbers.sandbox;
    numbers.score(&[]);
    numbers.worker();
    numbers.promote(2);
    sandbox.cql("UPDATE {data}.numbers SET x = null WHERE name = 'patient-8' AND visit = 1");
    let began = Instant::now();
    let mut watch = Watch::default();
    let mut planned = |seconds| {
        let now = began + Duration::from_secs(seconds);
        let round = block_on(async { watch.round(&sandbox.store().await, now).await.unwrap() });
        assert!(round.troubles.is_empty(), "{:?}", round.troubles);
        let versions = |run: &helenus::domain::run::Run| run.versions.iter().copied().collect();
        round
            .planned
            .iter()
            .map(versions)
            .collect::<Vec<Vec<i32>>>()
    };
    assert_eq!(planned(0), [[2]]);
    let failed = numbers.worker();
    assert_eq!(failed[0]["state"], "failed", "{failed:?}");
    assert_eq!(planned(1), [[0; 0]; 0]);
    assert_eq!(planned(59), [[0; 0]; 0]);
    assert_eq!(planned(62), [[2]]);
    numbers.worker();
    assert_eq!(planned(63), [[0; 0]; 0]);
    assert_eq!(planned(130), [[0; 0]; 0]);
    let words = ["model", "rollback", "numbers", "--why", "test", "--now"];
    sandbox.helenus(&words).ok();
    assert_eq!(planned(131), [[1]]);
}
