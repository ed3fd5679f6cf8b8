//! Gates that act: the alias moves by itself, once, not too soon, on evidence that counts, and back
//! on two evaluations in a row.

use std::time::Duration;

use helenus::control::gates;
use serde_json::Value;

use crate::support::{Sandbox, biopsies::Biopsies, block_on};

/// Biopsies scored by two versions, and outcomes known long after: what version `right` says.
struct World(Biopsies);

impl World {
    fn new(test: &str, right: i32) -> Self {
        let biopsies = Biopsies::scored(test);
        let sandbox = &biopsies.sandbox;
        sandbox.cql(
            "CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)",
        );
        for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
            if row["model_version"].as_int() == Some(right) {
                let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
                sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
            }
        }
        sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
        Self(biopsies)
    }

    fn sandbox(&self) -> &Sandbox {
        &self.0.sandbox
    }

    fn labels(&self) -> String {
        self.sandbox().filled("{data}.outcomes.outcome")
    }

    fn gate(&self, options: &[&str]) -> Value {
        let labels = self.labels();
        let words = [
            "gate",
            "add",
            "tumour",
            "better",
            "--metric",
            "accuracy",
            "--labels",
            &labels,
            "--min-labelled-rows",
            "500",
        ];
        let said = self.sandbox().json(&[&words[..], options].concat());
        said.ok().result()
    }

    /// What it does next, in words.
    fn next(&self) -> String {
        let said = self.sandbox().json(&["gate", "show", "tumour", "better"]);
        said.json()["result"]["acts"]["next"].to_string()
    }

    fn evaluate(&self, versions: &str, options: &[&str]) -> String {
        let labels = self.labels();
        let words = [
            "evaluate",
            "tumour",
            "--versions",
            versions,
            "--labels",
            &labels,
        ];
        let told = self.sandbox().json(&[&words[..], options].concat());
        let told = told.ok().result();
        told["evaluation"].as_str().unwrap().to_owned()
    }

    fn checked(&self, versions: &str) -> String {
        self.evaluate(versions, &["--label-time", "known_at"])
    }

    fn worker(&self) {
        let said = self.sandbox().json(&["worker", "--once"]).ok().json();
        assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    }

    /// The champion's changes, the newest first: (to, who, evidence, request).
    fn history(&self) -> Vec<(i32, String, String, String)> {
        let rows = self.sandbox().rows("SELECT to_version, who, evidence, request_id FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion'");
        rows.iter()
            .map(|row| {
                let text = |name: &str| {
                    let text = row.get(name).and_then(|text| text.as_text().cloned());
                    text.unwrap_or_default()
                };
                (
                    row["to_version"].as_int().unwrap(),
                    text("who"),
                    text("evidence"),
                    row["request_id"].as_timeuuid().unwrap().to_string(),
                )
            })
            .collect()
    }

    fn champion(&self) -> i32 {
        self.history()[0].0
    }

    /// (action, version, answer) of all moves.
    fn moves(&self) -> Vec<(String, i32, Option<String>)> {
        let rows = self
            .sandbox()
            .rows("SELECT action, version, answer FROM {helenus}.gate_moves");
        rows.iter()
            .map(|row| {
                let answer = row
                    .get("answer")
                    .and_then(|answer| answer.as_text().cloned());
                (
                    row["action"].as_text().unwrap().clone(),
                    row["version"].as_int().unwrap(),
                    answer,
                )
            })
            .collect()
    }
}

const CHALLENGE: [&str; 6] = ["model", "promote", "tumour", "2", "--alias", "challenger"];
const DONE: &str = "done";

#[test]
fn a_challenger_that_passes_is_promoted_once_and_not_before_the_cooldown() {
    let world = World::new("gates_auto", 2);
    let sandbox = world.sandbox();
    let refused = sandbox.json(&[
        "gate",
        "add",
        "tumour",
        "better",
        "--metric",
        "accuracy",
        "--labels",
        &world.labels(),
        "--min-labelled-rows",
        "500",
        "--auto",
        "--cooldown",
        "soon",
    ]);
    assert_eq!(refused.code(2).error()["code"], "gate.invalid");
    world.gate(&["--auto", "--cooldown", "1d"]);
    sandbox.helenus(&CHALLENGE).ok();
    // Leaky evidence, and then good evidence too soon.
    world.evaluate("champion,challenger", &[]);
    world.worker();
    assert_eq!((world.champion(), world.next().as_str()), (1, "null"));
    let evaluation = world.checked("champion,challenger");
    world.worker();
    assert_eq!(world.champion(), 1);
    assert!(world.next().contains("cool-down is 1d"), "{}", world.next());
    assert!(world.moves().is_empty());

    world.gate(&["--auto", "--cooldown", "1s"]);
    std::thread::sleep(Duration::from_millis(1_100));
    let two = [0, 1].map(|_| sandbox.start(&["worker", "--once"]));
    for worker in two {
        worker.finish().ok();
    }
    world.worker();
    let history = world.history();
    assert_eq!(history.len(), 2, "{history:?}");
    let (version, who, evidence, _) = &history[0];
    assert_eq!((*version, who.as_str()), (2, "gate better"));
    assert!(
        evidence.contains(&evaluation) && evidence.contains("gate better"),
        "{evidence}"
    );
    let promoted = ("promote".to_owned(), 2, Some(DONE.to_owned()));
    let moves = vec![promoted];
    assert_eq!(world.moves(), moves);

    // What somebody took back does not come back by itself, whatever is shown anew.
    sandbox.helenus(&["model", "rollback", "tumour"]).ok();
    world.checked("champion,challenger");
    std::thread::sleep(Duration::from_millis(1_100));
    world.worker();
    assert_eq!(world.champion(), 1);
    assert!(
        world.next().contains("needs an approval"),
        "{}",
        world.next()
    );
    assert_eq!(world.moves(), moves);
    let approve = ["gate", "approve", "tumour", "better"];
    sandbox.helenus(&approve).ok();
    assert_eq!(world.champion(), 2);
    sandbox
        .helenus(&["gate", "remove", "tumour", "better"])
        .ok();
    assert_eq!(
        sandbox.json(&approve).code(5).error()["code"],
        "gate.unknown"
    );
    sandbox
        .json(&["gate", "remove", "tumour", "better"])
        .code(5);
}

#[test]
fn a_move_outlives_whoever_began_it_and_waits_for_coverage() {
    let world = World::new("gates_died", 2);
    let sandbox = world.sandbox();
    // Readers by the champion, whom version 2 never scored for.
    let manifest = sandbox.filled("job = 'readers'\nmodel = 'tumour'\nversions = ['champion']\n[source]\ntable = '{data}.biopsies'\n[outputs]\npositive = 'malignant'\ntable = '{data}.readers'\n");
    let manifest = sandbox.file("readers.toml", manifest);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "readers"]).ok();
    world.gate(&["--auto", "--cooldown", "1s"]);
    sandbox.helenus(&CHALLENGE).ok();
    world.checked("champion,challenger");
    std::thread::sleep(Duration::from_millis(1_100));

    // Dead between the wish and the move.
    let asked = block_on(async {
        let store = sandbox.store().await;
        let judged = gates::run_once(&store, None).await.unwrap();
        let gates::Step::Moves(wanted) = gates::step(&store, &judged[0]).await.unwrap() else {
            panic!("{judged:?}");
        };
        let asked = store.ask_gate_move(&wanted).await.unwrap();
        // Another one that leads at once asks for the same.
        let again = gates::step(&store, &judged[0]).await.unwrap();
        assert_eq!(again, gates::Step::Moves(asked.clone()));
        asked
    });
    // The next one opens the run that is lacking, and goes no further.
    block_on(async {
        let store = sandbox.store().await;
        let mut watches = Default::default();
        let round = Box::pin(gates::judge_and_move(&store, &mut watches))
            .await
            .unwrap();
        assert_eq!((round.under_way, round.settled), (1, 0), "{round:?}");
        let round = Box::pin(gates::judge_and_move(&store, &mut watches))
            .await
            .unwrap();
        assert_eq!((round.under_way, round.settled), (1, 0), "{round:?}");
    });
    assert_eq!(world.champion(), 1);
    let runs = || sandbox.rows("SELECT run_id FROM {helenus}.runs WHERE job = 'readers'");
    assert_eq!(runs().len(), 2);
    world.worker();
    assert_eq!(runs().len(), 2);
    let history = world.history();
    assert_eq!(history[0].0, 2, "{history:?}");
    assert_eq!(history[0].3, asked.request_id.to_string());
    assert!(history[0].2.contains("covered by run"), "{history:?}");

    // Dead between the move and its answer.
    sandbox.cql(&format!("UPDATE {{helenus}}.gate_moves SET answer = null WHERE model = 'tumour' AND gate = 'better' AND last_seq = {} AND evaluation = {}", asked.last_seq, asked.evaluation));
    world.worker();
    assert_eq!(world.history(), history);
    let promoted = ("promote".to_owned(), 2, Some(DONE.to_owned()));
    assert_eq!(world.moves(), [promoted]);
}

#[test]
fn two_bad_evaluations_in_a_row_roll_back_and_one_does_not() {
    let world = World::new("gates_demote", 1);
    let sandbox = world.sandbox();
    // From before the promotion: it does not count.
    world.checked("1,2");
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    world.gate(&["--auto", "--cooldown", "1d", "--demote"]);
    for _ in 0..2 {
        world.evaluate("previous,champion", &[]);
    }
    world.worker();
    assert_eq!((world.champion(), world.next().as_str()), (2, "null"));
    let older = world.checked("previous,champion");
    world.worker();
    assert_eq!(world.champion(), 2);
    assert!(world.next().contains("one evaluation"), "{}", world.next());

    // An approval by a person goes by the same.
    sandbox.cql(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, gate, evaluation) VALUES (toDate(now()), now(), 'rollback', 'tumour', 'champion', 'better', {older})"));
    world.worker();
    assert_eq!(world.champion(), 2);

    // A row for each version, whichever is the baseline. The cool-down is for promotions.
    let newer = world.checked("champion,previous");
    world.worker();
    let history = world.history();
    let (version, who, evidence, _) = &history[0];
    assert_eq!((*version, who.as_str()), (1, "gate better"), "{history:?}");
    assert!(
        evidence.contains(&newer) && evidence.contains(&older),
        "{evidence}"
    );
    // Nothing more happens on the same evidence.
    world.worker();
    assert_eq!(world.history(), history);
    assert_eq!(
        world.moves(),
        [("rollback".to_owned(), 1, Some(DONE.to_owned()))]
    );
}

#[test]
fn gates_are_looked_at_when_there_may_be_something_new() {
    let world = World::new("gates_watch", 2);
    let sandbox = world.sandbox();
    let said = std::cell::Cell::new(tokio::time::Instant::now());
    let store = block_on(sandbox.store());
    let mut watch = gates::Watch::default();
    let mut judged = |later: u64| {
        said.set(said.get() + Duration::from_secs(later));
        block_on(watch.round(&store, said.get())).unwrap().gates
    };
    assert_eq!(judged(0), 0);
    world.gate(&["--auto", "--cooldown", "1d"]);
    assert_eq!((judged(15), judged(15), judged(15)), (1, 0, 0));
    sandbox.helenus(&CHALLENGE).ok();
    assert_eq!((judged(15), judged(15)), (1, 0));
    world.checked("champion,challenger");
    assert_eq!((judged(15), judged(15)), (1, 0));
    sandbox.cql(
        "UPDATE {helenus}.gates SET cooldown = '2d' WHERE model = 'tumour' AND name = 'better'",
    );
    assert_eq!((judged(15), judged(15)), (1, 0));
    // What only time changes.
    assert_eq!((judged(300), judged(15)), (1, 0));
    sandbox
        .helenus(&["gate", "remove", "tumour", "better"])
        .ok();
    assert_eq!((judged(15), judged(300)), (0, 0));
}

#[test]
fn a_good_evaluation_between_two_bad_ones_keeps_the_version() {
    let world = World::new("gates_kept", 1);
    let sandbox = world.sandbox();
    sandbox.helenus(&["model", "promote", "tumour", "2"]).ok();
    world.gate(&["--auto", "--cooldown", "1s", "--demote"]);
    world.checked("previous,champion");
    let label = |version: i32| {
        for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
            if row["model_version"].as_int() == Some(version) {
                let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
                sandbox.cql(&format!(
                    "UPDATE {{data}}.outcomes SET outcome = '{label}' WHERE id = {id}"
                ));
            }
        }
    };
    label(2);
    world.checked("previous,champion");
    label(1);
    world.checked("previous,champion");
    world.worker();
    assert_eq!(world.champion(), 2);
    // The third bad one makes two in a row.
    world.checked("previous,champion");
    world.worker();
    assert_eq!(world.champion(), 1);
}
