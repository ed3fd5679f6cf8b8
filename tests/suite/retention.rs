//! Old runs go, and nothing that anybody still needs.

use std::collections::BTreeSet;

use chrono::{TimeDelta, Utc};
use helenus::control::retention::{self, Removed};

use crate::support::{Model, Sandbox, block_on};

struct Runs {
    sandbox: Sandbox,
}

impl Runs {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        Model::named("breast_cancer_lr").load(&sandbox);
        let push = Model::named("breast_cancer_lr").push_arguments("tumour");
        sandbox
            .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
        let manifest = format!(
            "job = \"tumour\"\nmodel = \"tumour\"\nversions = [1]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n",
            sandbox.data
        );
        let file = sandbox.file("tumour.toml", manifest);
        sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
        Self { sandbox }
    }

    fn score(&self, options: &[&str]) -> String {
        let run = self
            .sandbox
            .json(&[&["score", "tumour"], options].concat())
            .ok()
            .result();
        run["run_id"].as_str().unwrap().to_owned()
    }

    /// A pass so many days from now.
    fn pass(&self, days: i64) -> Removed {
        block_on(async {
            let store = self.sandbox.store().await;
            retention::run_once(&store, Utc::now() + TimeDelta::days(days))
                .await
                .unwrap()
        })
    }

    fn ids(&self, table: &str) -> BTreeSet<String> {
        let rows = self
            .sandbox
            .rows(&format!("SELECT run_id FROM {{helenus}}.{table}"));
        let ids = rows
            .iter()
            .map(|row| row["run_id"].as_timeuuid().unwrap().to_string());
        ids.collect()
    }
}

#[test]
fn old_runs_go_with_their_splits_and_what_is_needed_stays() {
    let runs = Runs::new("retention");
    let whole = runs.score(&[]);
    let key = runs.sandbox.file("key.csv", "id\n42\n");
    let key = key.to_str().unwrap().to_owned();
    let first_key = runs.score(&["--keys", &key]);
    let keys: Vec<String> = (0..9).map(|_| runs.score(&["--keys", &key])).collect();
    // An open run, as a process that died leaves it.
    runs.sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 42");
    let slow = runs
        .sandbox
        .start(&["score", "tumour", "--scope", "all", "--max-rate", "50"]);
    let mut open = String::new();
    while open.is_empty() {
        let rows = runs
            .sandbox
            .rows("SELECT run_id, state FROM {helenus}.runs WHERE job = 'tumour'");
        for row in rows {
            if row["state"].as_text().unwrap() == "running" {
                open = row["run_id"].as_timeuuid().unwrap().to_string();
            }
        }
    }
    slow.kill();
    let all = runs.ids("runs");
    assert_eq!(all.len(), 12);
    assert_eq!(runs.pass(89), Removed::default());
    // Twelve runs: the newest ten stay, of the other two the last success over the whole ring.
    let removed = runs.pass(91);
    assert_eq!(removed.runs, 1);
    let left = runs.ids("runs");
    let gone: Vec<_> = all.difference(&left).cloned().collect();
    assert_eq!(gone, std::slice::from_ref(&first_key));
    assert!(left.contains(&whole) && left.contains(&open));
    assert!(keys.iter().all(|run| left.contains(run)));
    assert_eq!(removed.splits, 1);
    assert!(!runs.ids("splits").contains(&first_key));
    assert!(runs.ids("splits").contains(&whole));
    // Nothing is left to do, and the run that was open goes on.
    assert_eq!(runs.pass(91), Removed::default());
    let resumed = runs.score(&["--scope", "all"]);
    assert_eq!(resumed, open);
    // What changed since it was opened was scored by a second one.
    assert_eq!(runs.ids("runs").len(), 12);
    // A newer success over the whole ring makes the older one dispensable, and of the keys' runs the
    // oldest is beyond the ten.
    let removed = runs.pass(91);
    assert_eq!(removed.runs, 2);
    assert!(!runs.ids("runs").contains(&keys[0]));
    assert!(!runs.ids("runs").contains(&whole));
    assert!(!runs.ids("splits").contains(&whole));
}

#[test]
fn a_pass_that_dies_half_way_is_taken_up_by_the_next() {
    let runs = Runs::new("half_kept");
    let whole = runs.score(&[]);
    for _ in 0..11 {
        runs.score(&[]);
    }
    // Some of its splits went, its row did not.
    runs.sandbox.cql(&format!(
        "DELETE FROM {{helenus}}.splits WHERE job = 'tumour' AND run_id = {whole} AND split = 0 IF EXISTS"
    ));
    let removed = runs.pass(91);
    assert_eq!(removed.runs, 2);
    assert!(!runs.ids("runs").contains(&whole));
    assert!(!runs.ids("splits").contains(&whole));
    assert_eq!(runs.ids("runs").len(), 10);
    // The next one finds it done, from a worker's pass, too.
    runs.sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(runs.ids("runs").len(), 10);
}
