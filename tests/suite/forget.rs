//! Forgetting an entity: from every table, for good, and nobody else.

use serde_json::Value;

use crate::support::{Sandbox, cli};

/// Numbers scored by two versions of a model; 777 is rejected by one of them.
struct Numbers {
    sandbox: Sandbox,
}

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = [1, 2]
[source]
table = "{data}.numbers"
[features]
x = "x"
[rules]
max_rejected = 100
"#;

impl Numbers {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.numbers (name text, visit int, x float, PRIMARY KEY (name, visit))");
        for row in 0..60 {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.numbers (name, visit, x) VALUES ('patient-{}', {}, {row})",
                row / 3,
                row % 3
            ));
        }
        let numbers = Self { sandbox };
        numbers.push("identity");
        numbers.push("constant");
        numbers.create(MANIFEST);
        numbers
    }

    fn push(&self, model: &str) {
        let file = crate::admission::root().join(format!("tests/models/{model}.onnx"));
        self.sandbox
            .helenus(&["model", "push", "numbers", file.to_str().unwrap()])
            .ok();
    }

    fn create(&self, manifest: &str) {
        let file = self
            .sandbox
            .file("numbers.toml", self.sandbox.filled(manifest));
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    fn score(&self, options: &[&str]) -> Value {
        self.sandbox
            .json(&[&["score", "numbers"], options].concat())
            .ok()
            .result()
    }

    fn delete_row(&self) {
        self.sandbox
            .cql("DELETE FROM {data}.numbers WHERE name = 'patient-7' AND visit = 1");
    }

    fn forget(&self, options: &[&str]) -> cli::Output {
        let words = ["forget", "numbers", "name=patient-7", "visit=1"];
        self.sandbox.json(&[&words, options].concat())
    }

    fn predictions(&self, condition: &str) -> usize {
        self.sandbox
            .rows(&format!(
                "SELECT visit FROM {{data}}.numbers_predictions WHERE name = 'patient-7'{condition}"
            ))
            .len()
    }

    /// Every cell of every table of helenus's keyspace and of the user's that names the entity, as
    /// text or inside a blob.
    fn mentions(&self) -> Vec<String> {
        let tables = self.sandbox.rows(
            "SELECT keyspace_name, table_name FROM system_schema.tables WHERE keyspace_name IN ('{helenus}', '{data}')",
        );
        assert!(tables.len() > 10);
        let mut found = Vec::new();
        for table in tables {
            let name = format!(
                "{}.{}",
                table["keyspace_name"].as_text().unwrap(),
                table["table_name"].as_text().unwrap()
            );
            if name.ends_with(".model_chunks") {
                continue;
            }
            for row in self.sandbox.rows(&format!("SELECT * FROM {name}")) {
                let text = format!("{row:?}");
                let is_the_visit = match row.get("visit") {
                    Some(visit) => visit.as_int() == Some(1),
                    None => true,
                };
                // A sample's key: the name, then 1 as four bytes.
                let inside = row.values().any(|value| {
                    let needle = [&b"patient-7"[..], &[0, 0, 0, 4, 0, 0, 0, 1]].concat();
                    value.as_blob().is_some_and(|blob| {
                        blob.windows(needle.len()).any(|window| window == needle)
                    })
                });
                if inside || is_the_visit && text.contains("patient-7\"") {
                    found.push(format!("{name}: {text}"));
                }
            }
        }
        found
    }
}

/// Leaves traces in every table that can have one.
fn leave_traces(numbers: &Numbers) {
    let sandbox = &numbers.sandbox;
    let keys = sandbox.file("keys.csv", "name,visit\npatient-7,1\npatient-8,0\n");
    numbers.score(&["--keys", keys.to_str().unwrap()]);
    // Rejected by both versions.
    sandbox.cql("UPDATE {data}.numbers SET x = null WHERE name = 'patient-7' AND visit = 1");
    numbers.score(&[]);
    sandbox.cql("UPDATE {data}.numbers SET x = 5 WHERE name = 'patient-7' AND visit = 1");
    numbers.score(&[]);
    sandbox.cql("INSERT INTO {helenus}.changed_keys (job, day, at, key) VALUES ('numbers', toDate(now()), now(), {'name': 'patient-7', 'visit': '1'})");
    sandbox.cql("INSERT INTO {helenus}.changed_keys (job, day, at, key) VALUES ('numbers', toDate(now()), now(), {'name': 'patient-8', 'visit': '1'})");
    // By CQL, spelled otherwise, with a note, and refused for another key's sake.
    sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, scope, keys, note) VALUES (toDate(now()), now(), 'numbers', 'keys', [{'name': 'patient-7', 'visit': '01'}, {'name': 'patient-8'}], 'for name = patient-7, visit = 1')");
    sandbox.helenus(&["worker", "--once"]).ok();
}

#[test]
fn every_table_forgets_the_entity_and_nobody_else() {
    let numbers = Numbers::new("forget");
    leave_traces(&numbers);
    numbers.delete_row();
    let before = numbers.mentions();
    for table in [
        "numbers_predictions",
        "runs",
        "rejected_rows",
        "run_requests",
        "changed_keys",
        "splits",
    ] {
        let named = |mention: &&String| mention.contains(&format!(".{table}: "));
        assert!(before.iter().any(|m| named(&m)), "{table}: {before:#?}");
    }
    let others = numbers
        .sandbox
        .rows("SELECT name FROM {data}.numbers_predictions")
        .len();
    let looked = numbers.forget(&["--dry-run"]).ok().result();
    assert_eq!(looked["run_id"], Value::Null);
    let forgotten = numbers.forget(&[]).ok().result();
    assert_eq!(looked["found"], forgotten["found"]);
    let table = format!("{}.numbers_predictions", numbers.sandbox.data);
    assert_eq!(forgotten["found"][&table], 2, "{forgotten}");
    assert_eq!(forgotten["versions"], serde_json::json!([1, 2]));
    assert_eq!(numbers.mentions(), Vec::<String>::new());
    assert_eq!(numbers.predictions(" AND visit = 1"), 0);
    // Two rows fewer, and no other.
    let left = numbers
        .sandbox
        .rows("SELECT name FROM {data}.numbers_predictions")
        .len();
    assert_eq!(left, others - 2);
    let hints = numbers
        .sandbox
        .rows("SELECT key FROM {helenus}.changed_keys");
    assert_eq!(hints.len(), 1);
    // The run says who, when and how many, and not whom.
    let run = forgotten["run_id"].as_str().unwrap();
    let row = numbers.sandbox.row(&format!(
        "SELECT trigger, state, scope FROM {{helenus}}.runs WHERE job = 'numbers' AND run_id = {run}"
    ));
    assert_eq!(row["trigger"].as_text().unwrap(), "forget");
    assert_eq!(row["state"].as_text().unwrap(), "succeeded");
    // Every run can still be read, and again there is nothing to forget.
    numbers.sandbox.json(&["run", "list", "numbers"]).ok();
    numbers.sandbox.json(&["run", "show", "numbers", run]).ok();
    let again = numbers.forget(&[]).ok().result();
    assert_eq!(again["found"], serde_json::json!({}));
    // Nothing of it comes back by itself, and everything of it when its row does.
    numbers.score(&["--scope", "all"]);
    assert_eq!(numbers.predictions(" AND visit = 1"), 0);
    numbers
        .sandbox
        .cql("INSERT INTO {data}.numbers (name, visit, x) VALUES ('patient-7', 1, 9)");
    numbers.score(&[]);
    assert_eq!(numbers.predictions(" AND visit = 1"), 2);
}

#[test]
fn a_row_that_still_stands_is_said_so() {
    let numbers = Numbers::new("forget_row");
    numbers.score(&[]);
    let refused = numbers.forget(&[]).code(4);
    assert_eq!(refused.error()["code"], "forget.source_row");
    assert_eq!(numbers.predictions(" AND visit = 1"), 2);
    let forced = numbers.forget(&["--force"]).ok().json();
    assert_eq!(numbers.predictions(" AND visit = 1"), 0);
    let warning = forced["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("the next run scores it again"),
        "{warning}"
    );
    // As said.
    numbers.score(&[]);
    assert_eq!(numbers.predictions(" AND visit = 1"), 2);
}

#[test]
fn versions_that_no_revision_names_any_more_are_forgotten_too() {
    let numbers = Numbers::new("forget_versions");
    numbers.score(&[]);
    numbers.create(&MANIFEST.replace("[1, 2]", "[2]"));
    numbers.score(&[]);
    // A version that helenus does not even know.
    numbers.sandbox.cql("INSERT INTO {data}.numbers_predictions (name, visit, model_version, y) VALUES ('patient-7', 1, 99, 0.5)");
    numbers.delete_row();
    let forgotten = numbers.forget(&[]).ok().result();
    assert_eq!(forgotten["versions"], serde_json::json!([1, 2, 99]));
    assert_eq!(numbers.predictions(" AND visit = 1"), 0);
    assert_eq!(numbers.predictions(""), 2 * 3 - 2);
}

#[test]
fn another_open_run_is_a_conflict_with_its_id() {
    let numbers = Numbers::new("forget_open");
    numbers.delete_row();
    let slow = numbers
        .sandbox
        .start(&["score", "numbers", "--max-rate", "20"]);
    let mut open = String::new();
    while open.is_empty() {
        for row in numbers
            .sandbox
            .rows("SELECT run_id, state FROM {helenus}.runs")
        {
            if row["state"].as_text().unwrap() == "running" {
                open = row["run_id"].as_timeuuid().unwrap().to_string();
            }
        }
    }
    let refused = numbers.forget(&[]).code(4);
    assert_eq!(refused.error()["code"], "run.conflict");
    assert!(refused.stdout.contains(&open), "{refused:?}");
    slow.kill();
    numbers.score(&[]);
    numbers.forget(&[]).ok();
    assert_eq!(numbers.mentions(), Vec::<String>::new());
}

#[test]
fn a_late_writer_of_an_earlier_run_brings_nothing_back() {
    let numbers = Numbers::new("forget_late");
    let run = numbers.score(&[]);
    numbers.delete_row();
    let id = run["run_id"].as_str().unwrap();
    let base = numbers.sandbox.row(&format!(
        "SELECT run_base FROM {{helenus}}.runs WHERE job = 'numbers' AND run_id = {id}"
    ));
    let base = base["run_base"].as_bigint().unwrap();
    numbers.forget(&[]).ok();
    // As a process that was frozen before it sent them, at the last epoch there is.
    for version in [1, 2] {
        numbers.sandbox.cql(&format!(
            "INSERT INTO {{data}}.numbers_predictions (name, visit, model_version, y) VALUES ('patient-7', 1, {version}, 0.5) USING TIMESTAMP {}",
            base + 2_000
        ));
        numbers.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.rejected_rows (job, run_id, model_version, entity, key, reason) VALUES ('numbers', {id}, {version}, 'patient-7|1', {{'name': 'patient-7', 'visit': '1'}}, 'null') USING TIMESTAMP {base}"
        ));
    }
    assert_eq!(numbers.predictions(" AND visit = 1"), 0);
    assert_eq!(numbers.mentions(), Vec::<String>::new());
}

#[test]
fn killed_at_any_point_it_is_done_by_running_it_again() {
    let numbers = Numbers::new("forget_killed");
    leave_traces(&numbers);
    numbers.delete_row();
    // From before it connects to after it is done.
    for milliseconds in [20, 60, 100, 140, 180, 220, 300, 400] {
        let words = ["forget", "numbers", "name=patient-7", "visit=1"];
        let running = numbers.sandbox.start(&words);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        running.kill();
    }
    numbers.forget(&[]).ok();
    assert_eq!(numbers.mentions(), Vec::<String>::new());
    // No run is left open.
    let run = numbers.score(&[]);
    assert_eq!(run["state"], "succeeded");
    for row in numbers.sandbox.rows("SELECT state FROM {helenus}.runs") {
        assert!(["succeeded", "failed"].contains(&row["state"].as_text().unwrap().as_str()));
    }
}

#[test]
fn a_request_by_cql_is_answered_and_keeps_no_key() {
    let numbers = Numbers::new("forget_cql");
    leave_traces(&numbers);
    let ask = || {
        numbers.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, action, job, keys) VALUES (toDate(now()), now(), 'forget', 'numbers', [{'name': 'patient-7', 'visit': '1'}])");
        numbers.sandbox.helenus(&["worker", "--once"]).ok();
        let requests = numbers.sandbox.rows(
            "SELECT id, day FROM {helenus}.run_requests WHERE action = 'forget' ALLOW FILTERING",
        );
        let newest = requests
            .iter()
            .max_by_key(|row| {
                let id = row["id"].as_timeuuid().unwrap();
                id.as_u128().rotate_left(64) >> 64
            })
            .unwrap();
        let id = newest["id"].as_timeuuid().unwrap();
        numbers.sandbox.row(&format!(
            "SELECT answer, reason, run_id FROM {{helenus}}.answers WHERE day = '{}' AND id = {id}",
            chrono::Utc::now().date_naive()
        ))
    };
    let refused = ask();
    assert_eq!(refused["answer"].as_text().unwrap(), "refused");
    assert!(
        refused["reason"]
            .as_text()
            .unwrap()
            .contains("still exists")
    );
    let requests = numbers
        .sandbox
        .rows("SELECT keys FROM {helenus}.run_requests WHERE action = 'forget' ALLOW FILTERING");
    assert!(
        requests
            .iter()
            .all(|row| !format!("{row:?}").contains("patient-7"))
    );
    numbers.delete_row();
    let answers: Vec<_> = (0..2).map(|_| ask()).collect();
    assert!(
        answers
            .iter()
            .any(|answer| answer["answer"].as_text().unwrap() == "done"),
        "{answers:?}"
    );
    assert_eq!(numbers.mentions(), Vec::<String>::new());
}

#[test]
fn jobs_that_score_these_predictions_are_named() {
    let numbers = Numbers::new("forget_chain");
    numbers.score(&[]);
    numbers.push("identity");
    numbers.create(
        "job = \"second\"\nmodel = \"numbers\"\nversions = [3]\n[source]\ntable = \"{data}.numbers_predictions\"\nversion = 1\n[features]\nx = \"y\"\n",
    );
    numbers.sandbox.json(&["score", "second"]).ok();
    numbers.delete_row();
    let forgotten = numbers.forget(&[]).ok().json();
    let warning = forgotten["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("downstream: ") && warning.ends_with("second"),
        "{warning}"
    );
    // There it is the source row that is gone now.
    let words = ["forget", "second", "name=patient-7", "visit=1"];
    let second = numbers.sandbox.json(&words).ok().result();
    assert_eq!(second["versions"], serde_json::json!([3]));
    assert_eq!(numbers.mentions(), Vec::<String>::new());
}

#[test]
fn wrong_words_are_told_and_nothing_happens() {
    let numbers = Numbers::new("forget_words");
    let sandbox = &numbers.sandbox;
    let unknown = sandbox
        .json(&["forget", "nmbers", "name=a", "visit=1"])
        .code(5);
    assert!(unknown.stdout.contains("numbers"), "{unknown:?}");
    sandbox.json(&["forget", "numbers", "name=a"]).code(2);
    let none = sandbox
        .json(&["forget", "numbers", "name=a", "visit=x"])
        .code(2);
    assert_eq!(none.error()["code"], "keys.not_a_value");
}

#[test]
fn the_request_that_asks_to_forget_is_emptied_last_and_its_note_kept_without_the_key() {
    let numbers = Numbers::new("forget_note");
    leave_traces(&numbers);
    numbers.delete_row();
    numbers.sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, action, job, keys, note) VALUES (toDate(now()), now(), 'forget', 'numbers', [{'name': 'patient-7', 'visit': '1'}], 'case 12 of patient-7')");
    numbers.sandbox.helenus(&["worker", "--once"]).ok();
    let request = numbers.sandbox.row(
        "SELECT keys, note FROM {helenus}.run_requests WHERE action = 'forget' ALLOW FILTERING",
    );
    assert_eq!(request["note"].as_text().unwrap(), "case 12 of [forgotten]");
    assert!(!format!("{request:?}").contains("patient-7"));
    let run = numbers.sandbox.row(
        "SELECT run_id, request_id FROM {helenus}.runs WHERE trigger = 'forget' ALLOW FILTERING",
    );
    assert!(run.contains_key("request_id"), "{run:?}");
    // One that is refused before it is looked at, for its day, keeps no key, either.
    let id = "cafe0000-c64f-11ef-8000-0123456789ab";
    numbers.sandbox.cql(&format!("INSERT INTO {{helenus}}.run_requests (day, id, action, job, keys) VALUES (toDate(now()), {id}, 'forget', 'numbers', [{{'name': 'patient-7', 'visit': '1'}}])"));
    numbers.sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(numbers.mentions(), Vec::<String>::new());
}
