//! A job with a history: every prediction ever made stays, and nothing that was not made stands
//! there.

use std::{thread, time::Duration};

use chrono::Utc;
use helenus::codec::ring::TokenRange;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    block_on, cli,
    numbers::{Numbers as Pushed, ROWS},
};

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = [1, 2]
[source]
table = "{data}.numbers"
[features]
x = "x"
[outputs]
history = true
[rules]
max_rejected = 100
"#;

struct Numbers(Pushed);

impl std::ops::Deref for Numbers {
    type Target = Pushed;

    fn deref(&self) -> &Pushed {
        &self.0
    }
}

impl Numbers {
    fn new(test: &str, manifest: &str) -> Self {
        let numbers = Pushed::pushed(test, "");
        numbers.create(manifest).ok();
        Self(numbers)
    }

    fn score(&self) -> Value {
        self.sandbox.json(&["score", "numbers"]).ok().result()
    }

    /// All rows of patient 7's visit 1: version, output, whether rejected; the newest of each
    /// version first.
    fn remembered(&self) -> Vec<(i32, Option<f32>, bool)> {
        let rows = self.sandbox.rows("SELECT model_version, y, lineage.rejected AS rejected FROM {data}.numbers_predictions_history WHERE name = 'patient-7' AND visit = 1");
        rows.iter()
            .map(|row| {
                (
                    row["model_version"].as_int().unwrap(),
                    row.get("y").and_then(|cell| cell.as_float()),
                    row.get("rejected")
                        .is_some_and(|cell| cell.as_text().is_some()),
                )
            })
            .collect()
    }

    fn count(&self, table: &str) -> usize {
        self.sandbox
            .rows(&format!("SELECT name FROM {{data}}.{table}"))
            .len()
    }

    fn explain_at(&self, at: &str) -> cli::Output {
        let words = [
            "explain",
            "numbers",
            "name=patient-7",
            "visit=1",
            "--at",
            at,
        ];
        self.sandbox.json(&words)
    }
}

fn now() -> String {
    // Times are told to the millisecond.
    thread::sleep(Duration::from_millis(5));
    let now = Utc::now().to_rfc3339();
    thread::sleep(Duration::from_millis(5));
    now
}

#[test]
fn a_prediction_that_was_replaced_is_still_known() {
    let numbers = Numbers::new("replaced", MANIFEST);
    let before = now();
    numbers.score();
    assert_eq!(numbers.count("numbers_predictions_history"), 2 * ROWS);
    let first = now();
    numbers
        .sandbox
        .helenus(&["model", "promote", "numbers", "1", "--why", "test"])
        .ok();
    numbers.set("1000");
    numbers.score();
    let second = now();
    numbers.set("null");
    numbers.score();
    let third = now();
    numbers
        .sandbox
        .helenus(&["model", "promote", "numbers", "2", "--why", "test"])
        .ok();
    // Of the others nothing was made anew.
    assert_eq!(numbers.count("numbers_predictions_history"), 2 * ROWS + 4);
    let told = numbers.remembered();
    let of_one: Vec<_> = told.iter().filter(|row| row.0 == 1).collect();
    assert_eq!(
        of_one,
        [
            &(1, None, true),
            &(1, Some(1000.0), false),
            &(1, Some(22.0), false)
        ]
    );
    // What stands has its row, whole.
    let stands = numbers.sandbox.rows("SELECT model_version, lineage FROM {data}.numbers_predictions WHERE name = 'patient-7' AND visit = 1");
    let kept = numbers.sandbox.rows("SELECT model_version, lineage FROM {data}.numbers_predictions_history WHERE name = 'patient-7' AND visit = 1 PER PARTITION LIMIT 1");
    assert_eq!(stands[0]["lineage"], kept[0]["lineage"]);
    let row = numbers.sandbox.row("SELECT scored_at, lineage.scored_at AS made, TTL(lineage) AS ttl FROM {data}.numbers_predictions_history LIMIT 1");
    assert_eq!(row["scored_at"], row["made"]);
    let ttl = row["ttl"].as_int().unwrap();
    assert!((364 * 86_400..=365 * 86_400).contains(&ttl), "{ttl}");

    let error = numbers.explain_at(&before).code(5).json();
    assert_eq!(error["error"]["code"], "explain.nothing_then", "{error}");
    let then = numbers.explain_at(&first).ok().result();
    assert_eq!(then["versions"]["1"]["outputs"], json!({"y": 22.0}));
    assert_eq!(then["aliases"], json!({}));
    let then = numbers.explain_at(&second).ok().result();
    assert_eq!(then["versions"]["1"]["outputs"], json!({"y": 1000.0}));
    assert_eq!(then["versions"]["1"]["aliases"], json!(["champion"]));
    assert_eq!(then["aliases"], json!({"champion": 1}));
    assert_eq!(then["key"], json!({"name": "patient-7", "visit": 1}));
    let then = numbers.explain_at(&third).ok().result();
    assert_eq!(then["versions"]["1"]["outputs"], json!({"y": null}));
    assert!(then["versions"]["1"]["lineage"]["rejected"].is_string());
    let text = numbers.sandbox.helenus(&[
        "explain",
        "numbers",
        "name=patient-7",
        "visit=1",
        "--at",
        &second,
    ]);
    let text = text.ok().stdout;
    assert!(text.contains("version 1 (champion then)"), "{text}");
    assert!(text.contains("1000"), "{text}");
    let wrong = numbers.explain_at("yesterday").code(2).json();
    assert_eq!(wrong["error"]["code"], "usage");
}

#[test]
fn rows_that_are_only_written_again_are_no_new_predictions() {
    let numbers = Numbers::new("again", MANIFEST);
    numbers.score();
    let stands = "SELECT lineage.run_id AS run, lineage.scored_at AS made FROM {data}.numbers_predictions WHERE name = 'patient-7' AND visit = 1 AND model_version = 1";
    let before = numbers.sandbox.row(stands);
    numbers.set("1000");
    // What a run leaves that ended while all its splits were claimed: the next one writes all rows
    // again, lest a late write of its owners win.
    let store = block_on(numbers.sandbox.store());
    let id = Uuid::now_v1(&[7; 6]);
    block_on(async {
        store.open_run("numbers", &[1, 2].into(), id).await.unwrap();
        let base = store.open_runs("numbers").await.unwrap()[0].written_at;
        let unfinished = [(1, vec![TokenRange::WHOLE]), (2, vec![TokenRange::WHOLE])];
        store
            .free_open_run("numbers", id, base, &unfinished)
            .await
            .unwrap();
    });
    let run = numbers.score();
    assert_eq!(run["scored"]["1"], ROWS, "{run}");
    let other = stands.replace("visit = 1", "visit = 0");
    let runs = |select: &str| numbers.sandbox.row(select)["run"].clone();
    assert_eq!(runs(&other), runs(stands), "all were written again");
    assert_ne!(before["run"], runs(stands));
    // One row's values had changed, and it has two rows of each version.
    assert_eq!(numbers.count("numbers_predictions_history"), 2 * ROWS + 2);
    let kept = numbers.sandbox.row("SELECT scored_at, lineage.scored_at AS made, lineage.run_id AS run FROM {data}.numbers_predictions_history WHERE name = 'patient-7' AND visit = 0 AND model_version = 1");
    assert_eq!(kept["scored_at"], before["made"]);
    assert_eq!(kept["run"], runs(&other));
    let made = &numbers.sandbox.row(&other)["made"];
    assert_eq!(*made, before["made"]);
    // Asked for anew, all are made anew.
    let all = ["score", "numbers", "--scope", "all"];
    numbers.sandbox.helenus(&all).ok();
    assert_eq!(numbers.count("numbers_predictions_history"), 4 * ROWS + 2);
    assert_ne!(numbers.sandbox.row(&other)["made"], before["made"]);
}

#[test]
fn a_history_that_begins_later_or_never_tells_what_still_stands() {
    let without = MANIFEST.replace("history = true", "");
    let numbers = Numbers::new("later", &without);
    numbers.score();
    let first = now();
    let then = numbers.explain_at(&first).ok().json();
    assert_eq!(
        then["result"]["versions"]["1"]["outputs"],
        json!({"y": 22.0})
    );
    assert_eq!(then["result"]["history"], Value::Null);
    assert!(
        then["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("no_history")
    );
    let created = numbers.create(MANIFEST).ok().result();
    assert!(
        created.to_string().contains("numbers_predictions_history"),
        "{created}"
    );
    // A history alone makes no row pending.
    assert_eq!(numbers.score()["unchanged"]["1"], ROWS);
    assert_eq!(numbers.count("numbers_predictions_history"), 0);
    let then = numbers.explain_at(&first).ok().result();
    assert_eq!(then["versions"]["1"]["outputs"], json!({"y": 22.0}));
    numbers.set("1000");
    numbers.score();
    assert_eq!(numbers.count("numbers_predictions_history"), 2);
    // A new output is a new column of both.
    let more = MANIFEST.replace(
        "history = true",
        "history = true\nhistory_ttl = \"0s\"\n[outputs.columns]\nalso = { output = \"y\" }",
    );
    numbers.create(&more).ok();
    numbers.score();
    let row = numbers.sandbox.row("SELECT also, TTL(lineage) AS ttl FROM {data}.numbers_predictions_history WHERE name = 'patient-7' AND visit = 1 AND model_version = 1 LIMIT 1");
    assert_eq!(row["also"].as_float(), Some(1000.0));
    assert!(row.get("ttl").is_none_or(|ttl| ttl.as_int().is_none()));
}

#[test]
fn what_is_forgotten_is_gone_from_the_history() {
    let numbers = Numbers::new("forgotten", MANIFEST);
    numbers.score();
    numbers.set("1000");
    numbers.score();
    assert_eq!(numbers.remembered().len(), 4);
    numbers
        .sandbox
        .cql("DELETE FROM {data}.numbers WHERE name = 'patient-7' AND visit = 1");
    let words = ["forget", "numbers", "name=patient-7", "visit=1"];
    let told = numbers
        .sandbox
        .json(&[&words[..], &["--dry-run"]].concat())
        .ok()
        .result();
    let history = format!("{}.numbers_predictions_history", numbers.sandbox.data);
    assert_eq!(told["found"][&history], 4, "{told}");
    numbers.sandbox.helenus(&words).ok();
    assert_eq!(numbers.remembered(), []);
    assert_eq!(numbers.count("numbers_predictions_history"), 2 * ROWS - 2);
    // An orphan that is deleted leaves its history.
    let deletes = MANIFEST.replace("[rules]", "[rules]\norphans = \"delete\"");
    numbers.create(&deletes).ok();
    numbers
        .sandbox
        .cql("DELETE FROM {data}.numbers WHERE name = 'patient-8' AND visit = 1");
    numbers.score();
    assert_eq!(numbers.count("numbers_predictions"), 2 * ROWS - 4);
    assert_eq!(numbers.count("numbers_predictions_history"), 2 * ROWS - 2);
}

/// Labels come, and then the rows change and are scored again: what stands has seen the outcome.
#[test]
fn an_evaluation_takes_the_last_prediction_before_the_label() {
    let numbers = Numbers::new("evaluated", MANIFEST);
    let sandbox = &numbers.sandbox;
    numbers.score();
    let known_at = now();
    sandbox.cql("CREATE TABLE {data}.outcomes (name text, visit int, y float, known_at timestamp, PRIMARY KEY (name, visit))");
    for row in 0..ROWS {
        let (name, visit) = (row / 3, row % 3);
        // Off by one, of which nothing is left once the row says so itself.
        let y = row + 1;
        sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (name, visit, y, known_at) VALUES ('patient-{name}', {visit}, {y}, '{known_at}')"));
        if row > 0 {
            sandbox.cql(&format!("UPDATE {{data}}.numbers SET x = {y} WHERE name = 'patient-{name}' AND visit = {visit}"));
        }
    }
    // One had been predicted twice by then, and one was rejected.
    sandbox.cql(
        "UPDATE {data}.outcomes SET known_at = '2099-01-01' WHERE name = 'patient-7' AND visit = 1",
    );
    sandbox.cql("UPDATE {data}.numbers SET x = null WHERE name = 'patient-8' AND visit = 1");
    numbers.score();
    sandbox.cql(
        "UPDATE {data}.outcomes SET known_at = '2099-01-01' WHERE name = 'patient-8' AND visit = 1",
    );
    // One is known to have been predicted too late only.
    sandbox.cql(
        "UPDATE {data}.outcomes SET known_at = '2001-01-01' WHERE name = 'patient-9' AND visit = 1",
    );
    let labels = format!("{}.outcomes.y", sandbox.data);
    let words = [
        "evaluate",
        "numbers",
        "--versions",
        "1",
        "--labels",
        &labels,
    ];
    let timed = [&words[..], &["--label-time", "known_at"]].concat();
    let told = sandbox.json(&timed).ok().result();
    assert_eq!(told["leakage"], "checked");
    let of = |what: &str| told["versions"][0]["predictions"][what].clone();
    assert_eq!(
        (of("leaked"), of("rejected"), of("stale")),
        (1.into(), 1.into(), 0.into())
    );
    assert_eq!(told["evaluated"], ROWS - 2);
    // All are off by one, but the one that was predicted again before its label came.
    let mae = told["versions"][0]["metrics"]["mae"].as_f64().unwrap();
    let wanted = (ROWS - 3) as f64 / (ROWS - 2) as f64;
    assert!((mae - wanted).abs() < 1e-9, "{mae} is not {wanted}");
    let options = sandbox.row("SELECT options FROM {helenus}.evaluations LIMIT 1");
    let options = format!("{:?}", options["options"]);
    assert!(options.contains("numbers_predictions_history"), "{options}");
    // What stands would have been believed.
    let told = sandbox.json(&words).ok().result();
    let mae = told["versions"][0]["metrics"]["mae"].as_f64().unwrap();
    assert!(mae < 0.1, "{mae}");
}

#[test]
fn a_history_takes_no_name_that_is_somebody_elses() {
    let without = MANIFEST.replace("history = true", "");
    let numbers = Numbers::new("names", &without);
    let refused = |manifest: &str| {
        let said = numbers.create(manifest).code(2).json();
        said["error"]["code"].as_str().unwrap().to_owned()
    };
    numbers
        .sandbox
        .cql("CREATE TABLE {data}.numbers_predictions_history (id int PRIMARY KEY)");
    assert_eq!(refused(MANIFEST), "job.target_taken");
    numbers
        .sandbox
        .cql("DROP TABLE {data}.numbers_predictions_history");
    let named = |name: &str| {
        MANIFEST.replace(
            "history = true",
            &format!("history = true\n[outputs.columns]\n{name} = {{ output = \"y\" }}"),
        )
    };
    assert_eq!(refused(&named("scored_at")), "job.name_collision");
    let long = "n".repeat(41);
    let long = MANIFEST.replace(
        "history = true",
        &format!("table = \"{{data}}.{long}\"\nhistory = true"),
    );
    assert_eq!(refused(&long), "job.table_name");
    let idle = MANIFEST.replace("history = true", "history_ttl = \"1d\"");
    assert_eq!(refused(&idle), "job.manifest");
    let wrong = MANIFEST.replace("history = true", "history = true\nhistory_ttl = \"1 year\"");
    assert_eq!(refused(&wrong), "job.manifest");
}
