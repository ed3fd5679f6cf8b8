//! A gate that acts, when the worker that moves the alias dies: kill -9 before the move that it has
//! noted, and after it.

use crate::{
    stage::wait_until,
    support::{
        biopsies::Biopsies,
        cli::{self, Running},
    },
};

#[test]
fn a_move_is_made_once_wherever_its_worker_dies() {
    for (place, moved) in [("after_gate_move", false), ("after_promotion", true)] {
        let biopsies = Biopsies::scored(&format!("gate_{place}"));
        let sandbox = &biopsies.sandbox;
        sandbox.cql(
            "CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)",
        );
        // The outcomes are what version 2 says.
        for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
            if row["model_version"].as_int() == Some(2) {
                let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
                sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
            }
        }
        let labels = sandbox.filled("{data}.outcomes.outcome");
        let gate = "gate add tumour better --metric accuracy --min-labelled-rows 500 --auto --cooldown 1s --labels";
        let evaluate =
            "evaluate tumour --versions champion,challenger --label-time known_at --labels";
        for words in [
            "model promote tumour 1",
            "model promote tumour 2 --alias challenger",
            gate,
            evaluate,
        ] {
            let mut words: Vec<&str> = words.split(' ').collect();
            if words.last() == Some(&"--labels") {
                words.push(&labels);
            }
            sandbox.helenus(&words).ok();
        }
        wait_until("the cool-down's end", || {
            let shown = sandbox.json(&["gate", "show", "tumour", "better"]).ok();
            !shown.result()["acts"]["next"]
                .to_string()
                .contains("cool-down")
        });
        let changes = || {
            let rows = sandbox.rows("SELECT to_version, request_id FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion'");
            let version =
                |row: &crate::support::cassandra::Named| row["to_version"].as_int().unwrap();
            rows.iter().map(version).collect::<Vec<_>>()
        };
        let mut command = sandbox.command(&["worker", "--once"]);
        command.env("HELENUS_FAILPOINTS", format!("{place}=kill"));
        let killed = Running::start(command).finish();
        assert_eq!(killed.code, None, "{place} was not met: {killed:#?}");
        assert_eq!(changes().len(), 1 + usize::from(moved), "{place}");
        cli::run(sandbox.command(&["worker", "--once"])).ok();
        assert_eq!(changes(), [2, 1], "{place}");
        cli::run(sandbox.command(&["worker", "--once"])).ok();
        assert_eq!(changes(), [2, 1], "{place}");
        let moves = sandbox.rows("SELECT answer FROM {helenus}.gate_moves");
        let answers: Vec<_> = moves
            .iter()
            .map(|row| row["answer"].as_text().unwrap())
            .collect();
        assert_eq!(answers, ["done"], "{place}");
    }
}
