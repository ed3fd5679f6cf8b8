//! Requests that are incomplete, late or half done, and clocks that step back.

use super::*;

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
        "unknown action `demote`",
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
        "is not a valid name for a model",
    );
    ask(
        ", action, model, alias, version",
        ", 'promote', 'good', 'Champion!', 1",
        "refused",
        "is not a valid name for an alias",
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
        );
        assert_eq!(answer_all(&store).await, 1);
        let answer = store
            .answer(request.day, request.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.kind, AnswerKind::Done);
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
        );
        assert!(
            !store
                .move_alias("m", "champion", &change(1, 2))
                .await
                .unwrap()
        );
        assert!(
            store
                .move_alias("m", "champion", &change(2, 2))
                .await
                .unwrap()
        );
        assert!(
            !store
                .move_alias("m", "champion", &change(2, 3))
                .await
                .unwrap()
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
