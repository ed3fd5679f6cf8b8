//! Control characters of data reach no terminal, and are kept exactly where machines read.

use serde_json::Value;

use crate::support::{cli::Output, numbers::Numbers};

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = [1]
[source]
table = "{data}.numbers"
[features]
x = "x"
[rules]
max_rejected = 100
"#;

/// Sets the title, clears the screen (C0 and C1), rings, goes back over the line, turns the text.
const HOSTILE: &str = "a\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2J\r\nerror: b\u{202e}c\u{7f}";

#[track_caller]
fn is_harmless(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let wrong = text
            .chars()
            .find(|c| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}'));
        assert_eq!(wrong, None, "{output:#?}");
        assert!(!text.contains("\nerror: b"), "{output:#?}");
    }
}

#[test]
fn what_a_row_holds_never_acts_on_a_terminal() {
    let numbers = Numbers::pushed("terminal", "");
    let sandbox = &numbers.sandbox;
    numbers.create(MANIFEST).ok();
    // One is rejected, one is scored.
    sandbox.cql(&format!(
        "INSERT INTO {{data}}.numbers (name, visit, x) VALUES ('{HOSTILE}', 1, null)"
    ));
    sandbox.cql(&format!(
        "INSERT INTO {{data}}.numbers (name, visit, x) VALUES ('{HOSTILE}', 2, 7)"
    ));
    let name = format!("name={HOSTILE}");
    sandbox.helenus(&["score", "numbers"]).ok();
    // What stands is altered, so that `verify` lists it.
    sandbox.cql(&format!(
        "UPDATE {{data}}.numbers_predictions SET y = 9 WHERE name = '{HOSTILE}' AND visit = 2 AND model_version = 1"
    ));
    let words: [&[&str]; 7] = [
        &["run", "rejected", "numbers"],
        &["explain", "numbers", &name, "visit=1"],
        &["explain", "numbers", &name, "visit=2"],
        &["explain", "numbers", &name, "visit=3"],
        &["verify", "numbers"],
        &["job", "plan", "numbers", "--sample", "1000"],
        &["export", "numbers", "--where", &format!("{HOSTILE} = 1")],
    ];
    for words in words {
        let said = sandbox.helenus(words);
        is_harmless(&said);
        let shown = [said.stdout.as_str(), said.stderr.as_str()].concat();
        assert!(shown.contains("\\u{1b}]0;owned"), "{said:#?}");
        // JSON says the same exactly, and is harmless, too.
        if words[0] != "export" {
            let said = sandbox.json(words);
            is_harmless(&said);
            let object = said.json();
            assert!(holds(&object, HOSTILE), "{object:#}");
        }
    }
    let exported = sandbox
        .helenus(&[
            "export",
            "numbers",
            "--format",
            "jsonl",
            "--where",
            "visit = 2",
        ])
        .ok()
        .stdout;
    let mut rows = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(rows.any(|row| row["name"] == HOSTILE));
    let exported = sandbox.helenus(&["export", "numbers"]).ok().stdout;
    assert!(exported.contains(HOSTILE), "CSV is exact");
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(held) => held.contains(text),
        Value::Array(values) => values.iter().any(|value| holds(value, text)),
        Value::Object(fields) => fields.values().any(|value| holds(value, text)),
        _ => false,
    }
}
