//! Aliases: requests that anybody may write, answers that only the worker writes.

mod awkward;

use helenus::{
    control::aliases,
    domain::{answer::AnswerKind, model::alias::Change, run::run_id},
    process::timeuuid,
    store::{Store, registry::alias_requests::AliasRequest},
};

use crate::support::{Model, Sandbox, block_on};

/// A model with so many ready versions: the same bytes, which costs nothing to repeat.
fn ready(sandbox: &Sandbox, name: &str, versions: usize) {
    for _ in 0..versions {
        let arguments = Model::named("types_places").push_arguments(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        sandbox.json(&arguments).ok();
    }
}

async fn answer_all(store: &Store) -> usize {
    let round = aliases::run_once(store, &mut Default::default())
        .await
        .unwrap();
    assert!(!round.elsewhere);
    round.answered
}

fn champion(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    let listed = sandbox.json(&["model", "list", name]).ok().result();
    let versions = listed["versions"].as_array().unwrap().clone();
    let mut champions = versions.into_iter().filter(|version| {
        let aliases = version["aliases"].as_array().unwrap();
        aliases.contains(&"champion".into())
    });
    champions.next().map_or(serde_json::Value::Null, |version| {
        version["version"].clone()
    })
}

#[test]
fn promotion_rollback_and_history_agree() {
    let sandbox = Sandbox::shared("promote");
    let name = sandbox.name("promote");
    ready(&sandbox, &name, 3);
    for version in ["1", "2", "3"] {
        sandbox
            .json(&["model", "promote", &name, version, "--why", "because"])
            .ok();
    }
    let again = sandbox
        .json(&["model", "promote", &name, "3"])
        .ok()
        .result();
    assert!(
        again["reason"].as_str().unwrap().contains("already"),
        "{again}"
    );
    let refused = sandbox
        .json(&["model", "promote", &name, "1", "--expected", "2"])
        .code(4);
    assert_eq!(refused.error()["code"], "alias.refused");
    assert_eq!(
        sandbox.json(&["model", "rollback", &name]).ok().result()["version"],
        2
    );
    assert_eq!(
        sandbox
            .json(&["model", "show", &name, "previous"])
            .ok()
            .result()["version"],
        3
    );
    // A second rollback undoes the first.
    assert_eq!(
        sandbox.json(&["model", "rollback", &name]).ok().result()["version"],
        3
    );
    let history = sandbox.json(&["model", "history", &name]).ok().result();
    let moves: Vec<_> = history["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            (
                change["seq"].as_i64().unwrap(),
                change["from"].as_i64(),
                change["to"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        moves,
        [
            (5, Some(2), 3),
            (4, Some(3), 2),
            (3, Some(2), 3),
            (2, Some(1), 2),
            (1, None, 1)
        ]
    );
    let second = history["changes"][3]["changed_at"].as_str().unwrap();
    let then = sandbox
        .json(&["model", "history", &name, "--at", second])
        .ok()
        .result();
    assert_eq!(then["changes"][0]["to"], 2);
    sandbox
        .json(&["model", "history", &name, "--at", "2020-01-01T00:00:00Z"])
        .code(5);
    assert_eq!(
        sandbox
            .json(&["model", "history", &name, "--at", "yesterday"])
            .code(2)
            .error()["code"],
        "usage"
    );
    assert_eq!(
        sandbox
            .json(&["model", "promote", &name, "1", "--alias", "previous"])
            .code(2)
            .error()["code"],
        "alias.reserved"
    );
}

#[test]
fn promotions_at_once_happen_one_after_the_other() {
    let sandbox = Sandbox::shared("race");
    let name = sandbox.name("race");
    ready(&sandbox, &name, 4);
    let running: Vec<_> = ["1", "2", "3", "4"]
        .iter()
        .map(|version| sandbox.start(&["model", "promote", &name, version, "--output", "json"]))
        .collect();
    for promotion in running {
        promotion.finish().ok();
    }
    let history = sandbox.json(&["model", "history", &name]).ok().result();
    let changes = history["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 4);
    for (newer, older) in changes.iter().zip(&changes[1..]) {
        assert_eq!(
            newer["from"], older["to"],
            "each starts where the one before ended"
        );
        assert!(newer["changed_at"].as_str() > older["changed_at"].as_str());
    }
    assert_eq!(champion(&sandbox, &name), changes[0]["to"]);
}

#[test]
fn a_version_in_use_is_not_retired_and_a_retired_one_not_promoted() {
    let sandbox = Sandbox::shared("retire");
    let name = sandbox.name("retire");
    ready(&sandbox, &name, 2);
    sandbox.json(&["model", "promote", &name, "1"]).ok();
    sandbox
        .json(&["model", "promote", &name, "1", "--alias", "blessed"])
        .ok();
    let refused = sandbox.json(&["model", "retire", &name, "1"]).code(4);
    let message = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`blessed`, `champion`"), "{message}");
    sandbox
        .json(&["model", "retire", &name, "2", "--why", "old"])
        .ok();
    sandbox.json(&["model", "retire", &name, "2"]).ok();
    let refused = sandbox.json(&["model", "promote", &name, "2"]).code(4);
    assert_eq!(refused.error()["code"], "model.retired");
    let row = sandbox.row(&format!(
        "SELECT state, reason FROM {{helenus}}.admissions WHERE name = '{name}' AND version = 2"
    ));
    assert_eq!(
        (
            row["state"].as_text().unwrap().as_str(),
            row["reason"].as_text().unwrap().as_str()
        ),
        ("retired", "old")
    );
}

#[test]
fn nothing_is_rolled_back_to_what_may_not_score() {
    let sandbox = Sandbox::shared("no_way_back");
    let name = sandbox.name("no_way_back");
    ready(&sandbox, &name, 2);
    sandbox.json(&["model", "promote", &name, "1"]).ok();
    let refused = sandbox.json(&["model", "rollback", &name]).code(4);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("never pointed elsewhere"),
        "{refused:?}"
    );
    sandbox.json(&["model", "promote", &name, "2"]).ok();
    sandbox.json(&["model", "retire", &name, "1"]).ok();
    let refused = sandbox.json(&["model", "rollback", &name]).code(4);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("is retired"),
        "{refused:?}"
    );
}
