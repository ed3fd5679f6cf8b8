//! Aliases: requests that anybody may write, answers that only the worker writes.

use helenus::{
    domain::{alias::Change, run_id},
    process::timeuuid,
    store::{Store, alias_requests::AliasRequest},
    worker::aliases,
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

#[test]
fn rows_that_lack_something_are_answered_and_never_guessed_at() {
    let sandbox = Sandbox::migrated("malformed");
    ready(&sandbox, "good", 1);
    let mut expected = Vec::new();
    let mut ask = |columns: &str, values: &str, answer: &'static str, reason: &'static str| {
        let id = timeuuid();
        sandbox.cql(&format!("INSERT INTO {{helenus}}.alias_requests (day, id{columns}) VALUES (toDate(now()), {id}{values})"));
        expected.push((id, answer, reason));
    };
    ask("", "", "refused", "`action` is null");
    ask(", action", ", 'promote'", "refused", "`model` is null");
    ask(
        ", action, model",
        ", 'promote', 'good'",
        "refused",
        "`alias` is null",
    );
    ask(
        ", action, model, alias",
        ", 'promote', 'good', 'champion'",
        "refused",
        "`version` is null",
    );
    ask(
        ", action, model, alias, version",
        ", 'demote', 'good', 'champion', 1",
        "refused",
        "`demote` is no action",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'bad', 'champion', 1",
        "refused",
        "there is no version 1 of model `bad`",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'good', 'champion', -7",
        "refused",
        "there is no version -7",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'Good''; DROP', 'champion', 1",
        "refused",
        "can't name a model",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'good', 'Champion!', 1",
        "refused",
        "can't name an alias",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'good', 'previous', 1",
        "refused",
        "not moved by itself",
    );
    ask(
        ", action, model, version",
        ", 'retire', 'good', 2",
        "refused",
        "there is no version 2",
    );
    ask(
        ", action, model, alias",
        ", 'rollback', 'good', 'champion'",
        "refused",
        "has no alias `champion`",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'good', 'champion', 1",
        "done",
        "champion is version 1",
    );
    let count = expected.len();
    block_on(async {
        let store = sandbox.store().await;
        assert_eq!(answer_all(&store).await, count);
        assert_eq!(answer_all(&store).await, 0, "answers are final");
    });
    for (id, answer, reason) in expected {
        let row = sandbox.row(&format!(
            "SELECT answer, reason FROM {{helenus}}.answers WHERE day = toDate(now()) AND id = {id}"
        ));
        assert_eq!(row["answer"].as_text().unwrap(), answer, "{row:?}");
        assert!(row["reason"].as_text().unwrap().contains(reason), "{row:?}");
    }
}

#[test]
fn what_was_asked_too_long_ago_or_under_another_day_is_not_done() {
    let sandbox = Sandbox::migrated("untimely");
    ready(&sandbox, "tumour", 1);
    let now = run_id::time_100ns(timeuuid()).unwrap();
    let hour = 36_000_000_000;
    let at = |hours: i64| run_id::derive("test", "untimely", now.wrapping_add_signed(hours * hour));
    let mut expected = Vec::new();
    for (id, day, answer) in [
        // As old as a request can be that is looked at every second.
        (at(-25), "toDate(now() - 1d)", "expired"),
        // A clock that runs ahead by an hour is believed, one that runs ahead by two days is not.
        (at(1), "toDate(now())", "done"),
        (at(72), "toDate(now())", "refused"),
    ] {
        let day = day.replace("now() - 1d", "currentTimestamp() - 1d");
        sandbox.cql(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version) VALUES ({day}, {id}, 'promote', 'tumour', 'champion', 1)"));
        expected.push((id, answer));
    }
    block_on(async { assert_eq!(answer_all(&sandbox.store().await).await, 3) });
    let answers = sandbox.rows("SELECT id, answer FROM {helenus}.answers");
    for (id, answer) in expected {
        let row = answers
            .iter()
            .find(|row| uuid::Uuid::from(row["id"].as_timeuuid().unwrap()) == id);
        assert_eq!(row.unwrap()["answer"].as_text().unwrap(), answer);
    }
}

#[test]
fn what_stands_under_any_day_is_answered_by_one_pass_of_a_worker() {
    let sandbox = Sandbox::migrated("any_day");
    ready(&sandbox, "tumour", 1);
    let now = run_id::time_100ns(timeuuid()).unwrap();
    let long_ago = run_id::derive("test", "any day", now - 20 * 24 * 36_000_000_000);
    for id in [long_ago, timeuuid()] {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version) VALUES (toDate(currentTimestamp() - 20d), {id}, 'promote', 'tumour', 'champion', 1)"));
    }
    let pass = sandbox.json(&["worker", "--once"]).ok().result();
    assert_eq!(pass["aliases"], 2);
    let mut answers: Vec<_> = sandbox
        .rows("SELECT answer FROM {helenus}.answers")
        .iter()
        .map(|row| row["answer"].as_text().unwrap().clone())
        .collect();
    answers.sort();
    assert_eq!(answers, ["expired", "refused"]);
    assert!(champion(&sandbox, "tumour").is_null());
}

#[test]
fn a_death_between_change_and_answer_does_not_change_twice() {
    let sandbox = Sandbox::migrated("death");
    ready(&sandbox, "tumour", 2);
    sandbox.json(&["model", "promote", "tumour", "1"]).ok();
    sandbox.json(&["model", "promote", "tumour", "2"]).ok();
    let request = AliasRequest {
        day: chrono::Utc::now().date_naive(),
        id: timeuuid(),
        action: Some("rollback".to_owned()),
        model: Some("tumour".to_owned()),
        alias: Some("champion".to_owned()),
        ..AliasRequest::default()
    };
    block_on(async {
        let store = sandbox.store().await;
        store.insert_alias_request(&request).await.unwrap();
        // What the dying process did, up to the answer.
        let last = store
            .alias_history("tumour", "champion", 1)
            .await
            .unwrap()
            .remove(0);
        let change = Change {
            changed_at: timeuuid(),
            seq: last.seq + 1,
            from: Some(2),
            to: 1,
            who: None,
            why: None,
            evidence: None,
            request_id: Some(request.id),
        };
        assert!(
            store
                .move_alias("tumour", "champion", &change)
                .await
                .unwrap()
                .yes()
        );
        assert_eq!(answer_all(&store).await, 1);
        let answer = store
            .answer(request.day, request.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.answer, "done");
        assert_eq!(store.alias("tumour", "champion").await.unwrap(), Some(1));
        assert_eq!(
            store
                .alias_history("tumour", "champion", 9)
                .await
                .unwrap()
                .len(),
            3
        );
    });
}

#[test]
fn a_clock_that_stepped_back_does_not_put_a_change_before_the_last() {
    let sandbox = Sandbox::migrated("clock");
    ready(&sandbox, "tumour", 2);
    block_on(async {
        let store = sandbox.store().await;
        let ahead = run_id::time_100ns(timeuuid()).unwrap() + 36_000_000_000;
        let first = Change {
            changed_at: run_id::derive("tumour", "ahead", ahead),
            seq: 1,
            from: None,
            to: 1,
            who: None,
            why: None,
            evidence: None,
            request_id: None,
        };
        assert!(
            store
                .move_alias("tumour", "champion", &first)
                .await
                .unwrap()
                .yes()
        );
    });
    sandbox.json(&["model", "promote", "tumour", "2"]).ok();
    assert_eq!(champion(&sandbox, "tumour"), 2);
    let history = sandbox.json(&["model", "history", "tumour"]).ok().result();
    assert_eq!(
        (&history["changes"][0]["to"], &history["changes"][1]["to"]),
        (&2.into(), &1.into())
    );
    assert!(
        history["changes"][0]["changed_at"].as_str() > history["changes"][1]["changed_at"].as_str()
    );
}

#[test]
fn a_stale_change_is_not_applied() {
    let sandbox = Sandbox::migrated("stale");
    block_on(async {
        let store = sandbox.store().await;
        let change = |seq: i32, to: i32| Change {
            changed_at: timeuuid(),
            seq,
            from: None,
            to,
            who: None,
            why: None,
            evidence: None,
            request_id: None,
        };
        assert!(
            store
                .move_alias("m", "champion", &change(1, 1))
                .await
                .unwrap()
                .yes()
        );
        assert!(
            !store
                .move_alias("m", "champion", &change(1, 2))
                .await
                .unwrap()
                .yes()
        );
        assert!(
            store
                .move_alias("m", "champion", &change(2, 2))
                .await
                .unwrap()
                .yes()
        );
        assert!(
            !store
                .move_alias("m", "champion", &change(2, 3))
                .await
                .unwrap()
                .yes()
        );
        assert_eq!(store.alias("m", "champion").await.unwrap(), Some(2));
        assert_eq!(
            store.alias_history("m", "champion", 9).await.unwrap().len(),
            2
        );
    });
}

#[test]
fn a_version_row_altered_after_admission_is_tampered_with() {
    let sandbox = Sandbox::migrated("altered");
    ready(&sandbox, "tumour", 2);
    sandbox.cql("UPDATE {helenus}.model_versions SET note = 'harmless' WHERE name = 'tumour' AND version = 1");
    assert_eq!(
        sandbox
            .json(&["model", "promote", "tumour", "1"])
            .code(4)
            .error()["code"],
        "model.tampered"
    );
    assert_eq!(
        sandbox
            .json(&["model", "pull", "tumour", "1"])
            .code(1)
            .error()["code"],
        "model.tampered"
    );
    assert_eq!(
        sandbox
            .json(&["model", "show", "tumour", "1"])
            .ok()
            .result()["state"],
        "tampered"
    );
    // Asked for by hand, it is refused and marked.
    sandbox.cql("INSERT INTO {helenus}.alias_requests (day, id, action, model, alias, version) VALUES (toDate(now()), now(), 'promote', 'tumour', 'champion', 1)");
    block_on(async { assert_eq!(answer_all(&sandbox.store().await).await, 1) });
    let row = sandbox.row("SELECT answer, reason FROM {helenus}.answers");
    assert_eq!(row["answer"].as_text().unwrap(), "refused");
    assert!(
        row["reason"]
            .as_text()
            .unwrap()
            .contains("not what was admitted")
    );
    let row =
        sandbox.row("SELECT state FROM {helenus}.admissions WHERE name = 'tumour' AND version = 1");
    assert_eq!(row["state"].as_text().unwrap(), "tampered");
}
