//! An experiment whose starter dies right after the change of what is served.

use std::collections::BTreeMap;

use crate::support::{
    Sandbox,
    cli::{self, Running},
    numbers::{Numbers, ROWS},
};

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = ["champion", 2]
[source]
table = "{data}.numbers"
[features]
x = "x"
[outputs]
current = true
"#;

/// Arm → rows that are served by it.
fn served(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    let rows = sandbox.rows("SELECT model_version, lineage.arm AS arm FROM {data}.numbers_current");
    for row in rows {
        let arm = row.get("arm").and_then(|arm| arm.as_text());
        let arm = arm.map_or_else(|| "-".to_owned(), Clone::clone);
        let version = row["model_version"].as_int().unwrap();
        *served.entry(format!("{arm} {version}")).or_default() += 1;
    }
    served
}

#[test]
fn a_start_and_a_change_are_followed_though_their_process_dies() {
    let numbers = Numbers::pushed("experiment_killed", "");
    let sandbox = &numbers.sandbox;
    numbers.promote(1);
    numbers.create(MANIFEST).ok();
    sandbox.cql("CREATE TABLE {data}.outcomes (name text, visit int, paid boolean, PRIMARY KEY (name, visit))");
    sandbox.helenus(&["score", "numbers"]).ok();
    let labels = sandbox.filled("{data}.outcomes.paid");
    let start = [
        "experiment",
        "start",
        "numbers",
        "halves",
        "--arm",
        "a=champion",
        "--arm",
        "b=2",
        "--metric",
        "mean",
        "--ends",
        "1d",
        "--labels",
        &labels,
    ];
    let killed = |words: &[&str]| {
        let mut command = sandbox.command(words);
        command.env("HELENUS_FAILPOINTS", "after_allocation=kill");
        let killed = Running::start(command).finish();
        assert_eq!(killed.code, None, "{killed:#?}");
    };
    let states = || {
        let rows = sandbox.rows("SELECT revision, state FROM {helenus}.experiment_status");
        let state = |row: &crate::support::cassandra::Named| {
            let state = row["state"].as_text().unwrap();
            format!("{} {state}", row["revision"].as_int().unwrap())
        };
        rows.iter().map(state).collect::<Vec<_>>()
    };
    killed(&start);
    assert_eq!(states(), ["1 running"]);
    cli::run(sandbox.command(&["worker", "--once"])).ok();
    let first = served(sandbox);
    assert_eq!(first.values().sum::<usize>(), ROWS, "{first:?}");
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["halves/a 1", "halves/b 2"],
        "{first:?}"
    );
    killed(&[&start[..], &["--change"]].concat());
    assert_eq!(states(), ["2 running", "1 running"]);
    cli::run(sandbox.command(&["worker", "--once"])).ok();
    assert_eq!(states(), ["2 running", "1 superseded"]);
    assert_eq!(served(sandbox).values().sum::<usize>(), ROWS);
    let verified = sandbox
        .json(&["verify", "numbers", "--coverage"])
        .ok()
        .result();
    assert_eq!(
        verified["coverage"]["current"]["other_version"], 0,
        "{verified}"
    );
    killed(&["experiment", "stop", "numbers", "halves"]);
    cli::run(sandbox.command(&["worker", "--once"])).ok();
    assert_eq!(served(sandbox), BTreeMap::from([("- 1".to_owned(), ROWS)]));
}
