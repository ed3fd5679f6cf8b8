//! Forgetting, ended after each kind of statement: nothing is left, or nobody says it is done.

use scylla::value::{CqlTimeuuid, CqlValue};

use crate::{
    stage::{Stage, kill_at, wait_until},
    support::{block_on, cassandra::session, cli},
};

const ROWS: i32 = 40;

/// Every place on a forget's way, in order.
const PLACES: [&str; 14] = [
    "after_forget_open",
    "after_forget_insert",
    "after_forget_prediction",
    "after_forget_rejected",
    "after_forget_split",
    "after_forget_run",
    "after_forget_status",
    "after_forget_trigger",
    "after_forget_request",
    "after_forget_answer",
    "after_forget_hint",
    "after_forget_verify",
    "after_forget_finish",
    "after_forget_free",
];

/// What only a request does.
const PLACES_OF_REQUESTS: [&str; 2] = ["after_forget_own", "before_answer"];

/// Leaves traces of id 7 in every table that can have one, and takes its source row away.
fn leave_traces(stage: &Stage) {
    let keys = stage.sandbox.file("keys.csv", "id\n7\n8\n");
    let score = || {
        let command = stage.command(&["score", "visits", "--keys", keys.to_str().unwrap()]);
        cli::run(command).ok();
    };
    let cql = |statement: &str| stage.sandbox.cql(statement);
    // A rejected row of both versions, then predictions and samples.
    cql("INSERT INTO {data}.visits (id, x) VALUES (7, null)");
    score();
    cql("INSERT INTO {data}.visits (id, x) VALUES (7, 7.5)");
    score();
    cql("DELETE FROM {data}.visits WHERE id = 7");
    cql(
        "INSERT INTO {helenus}.changed_keys (job, day, at, key) VALUES ('visits', toDate(now()), now(), {'id': '7'})",
    );
    cql(
        "UPDATE {helenus}.job_status SET warnings = ['row id = 7 is odd'] WHERE job = 'visits' AND revision = 1",
    );
    cql(
        "INSERT INTO {helenus}.trigger_status (job, name, seq, state, last_reason, queued_keys) VALUES ('visits', 'gone', 5, 'removed', 'id = 7 was hinted at', [{'id': '7'}])",
    );
    // A request of ten days ago, and its answer.
    let day = chrono::Utc::now().date_naive() - chrono::Days::new(10);
    cql(&format!(
        "INSERT INTO {{helenus}}.run_requests (day, id, job, scope, keys) VALUES ('{day}', minTimeuuid('{day} 12:00+0000'), 'visits', 'keys', [{{'id': '7'}}])"
    ));
    cql(&format!(
        "INSERT INTO {{helenus}}.answers (day, id, answer, reason) VALUES ('{day}', minTimeuuid('{day} 12:00+0000'), 'refused', 'row id = 7 is odd')"
    ));
}

/// Every row that names id 7, in any table.
fn mentions(stage: &Stage) -> Vec<String> {
    let tables = stage.sandbox.rows(
        "SELECT keyspace_name, table_name FROM system_schema.tables WHERE keyspace_name IN ('{helenus}', '{data}')",
    );
    let mut found = Vec::new();
    for table in tables {
        let name = |column: &str| table[column].as_text().unwrap().clone();
        let (keyspace, table) = (name("keyspace_name"), name("table_name"));
        if table == "model_chunks" {
            continue;
        }
        for row in stage
            .sandbox
            .rows(&format!("SELECT * FROM \"{keyspace}\".\"{table}\""))
        {
            let text = format!("{row:?}");
            let is_its_row = row.get("id").is_some_and(|id| id.as_int() == Some(7));
            let is_sampled = row.get("sample").is_some_and(|sample| {
                let sample = sample.as_blob().unwrap();
                sample
                    .windows(8)
                    .any(|bytes| *bytes == [0, 0, 0, 4, 0, 0, 0, 7])
            });
            // Not the id of a table, which may begin with a 7.
            let is_said = text
                .split("id = 7")
                .skip(1)
                .any(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()));
            let is_named = is_said || text.contains("(Text(\"id\"), Text(\"7\"))");
            if is_its_row || is_sampled || is_named {
                found.push(format!("{table}: {text}"));
            }
        }
    }
    found
}

/// Asks by CQL; gives the request's id.
fn ask(stage: &Stage, keys: &str) -> CqlTimeuuid {
    let id = CqlTimeuuid::from(helenus::process::timeuuid());
    stage.sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.run_requests (day, id, action, job, keys, note) VALUES (toDate(now()), {id}, 'forget', 'visits', {keys}, 'case 12, id = 7')"
    ));
    id
}

/// The answer and its reason.
fn answer(stage: &Stage, id: CqlTimeuuid) -> Option<(String, String)> {
    let row = stage
        .sandbox
        .rows(&format!(
            "SELECT id, answer, reason FROM {{helenus}}.answers WHERE id = {id} ALLOW FILTERING"
        ))
        .into_iter()
        .next()?;
    let text = |column: &str| {
        row.get(column)
            .and_then(CqlValue::as_text)
            .cloned()
            .unwrap_or_default()
    };
    Some((text("answer"), text("reason")))
}

#[test]
fn a_request_whose_worker_is_killed_anywhere_ends_with_nothing_left() {
    let stage = Stage::with_rules("forget_request", ROWS, "max_rejected = 10");
    for place in PLACES.into_iter().chain(PLACES_OF_REQUESTS) {
        leave_traces(&stage);
        let id = ask(&stage, "[{'id': '7'}]");
        stage.killed(&["worker", "--once"], &kill_at(place));
        assert_eq!(answer(&stage, id), None, "{place}");
        cli::run(stage.command(&["worker", "--once"])).ok();
        let (answered, reason) = answer(&stage, id).unwrap();
        assert_eq!(answered, "done", "{place}: {reason}");
        assert_eq!(mentions(&stage), Vec::<String>::new(), "{place}");
    }
    let runs = stage.runs("visits");
    assert!(runs.iter().all(|run| run.state.is_terminal()), "{runs:?}");
    stage.assert_succeeded(stage.score());
}

#[test]
fn a_command_that_is_killed_anywhere_is_finished_by_running_it_again() {
    let stage = Stage::with_rules("forget_command", ROWS, "max_rejected = 10");
    for place in PLACES {
        leave_traces(&stage);
        stage.killed(&["forget", "visits", "7"], &kill_at(place));
        let again = cli::run(stage.command(&["forget", "visits", "7"])).ok();
        assert!(again.result()["run_id"].is_string(), "{place}");
        assert_eq!(mentions(&stage), Vec::<String>::new(), "{place}");
    }
    stage.assert_succeeded(stage.score());
}

#[test]
fn a_request_that_names_nobody_is_not_done() {
    let stage = Stage::with_rules("forget_nobody", ROWS, "max_rejected = 10");
    for keys in ["[{}]", "[{}, {}]", "[]", "null", "[{'id': '7'}, {}]"] {
        let id = ask(&stage, keys);
        cli::run(stage.command(&["worker", "--once"])).ok();
        let (answered, reason) = answer(&stage, id).unwrap();
        assert_eq!(answered, "refused", "{keys}: {reason}");
        assert!(!reason.contains("erased 0"), "{reason}");
    }
    assert_eq!(stage.runs("visits").len(), 0);
}

#[test]
fn one_that_takes_long_is_not_held_for_dead_and_others_wait_for_it() {
    let stage = Stage::with_rules("forget_long", ROWS, "max_rejected = 10");
    leave_traces(&stage);
    // It stands still for three lease times, as with hundreds of thousands of hints.
    let forget = stage.start_with(&["forget", "visits", "7"], "after_forget_hint=wait");
    wait_until("it has begun", || {
        let newest = stage.newest();
        newest.trigger == "forget" && !newest.state.is_terminal()
    });
    let score = stage.assert_succeeded(stage.score());
    let forgotten = forget.finish().ok().result();
    assert_eq!(mentions(&stage), Vec::<String>::new());
    let runs = stage.runs("visits");
    let its = runs
        .iter()
        .find(|run| run.run_id.to_string() == forgotten["run_id"].as_str().unwrap())
        .unwrap();
    assert!(its.finished_at < score.started_at, "{its:?}, {score:?}");
}

#[test]
fn one_that_was_frozen_does_not_say_that_it_is_done() {
    let stage = Stage::with_rules("forget_frozen", ROWS, "max_rejected = 10");
    leave_traces(&stage);
    let frozen = stage.frozen(&["forget", "visits", "7"], "after_forget_rejected=stop");
    // Another planner waits for the lease time, and no longer.
    stage.assert_succeeded(stage.score());
    frozen.signal("CONT");
    let lost = frozen.finish().code(3);
    assert_eq!(lost.error()["code"], "forget.lost_place", "{lost:?}");
    // By request, another worker goes on in the meantime.
    leave_traces(&stage);
    let id = ask(&stage, "[{'id': '7'}]");
    let frozen = stage.frozen(&["worker", "--once"], "after_forget_rejected=stop");
    cli::run(stage.command(&["worker", "--once"])).ok();
    assert_eq!(answer(&stage, id).unwrap().0, "done");
    assert_eq!(mentions(&stage), Vec::<String>::new());
    frozen.signal("CONT");
    frozen.finish();
    assert_eq!(answer(&stage, id).unwrap().0, "done");
    assert_eq!(mentions(&stage), Vec::<String>::new());
}

#[test]
fn one_that_is_cancelled_says_so() {
    let stage = Stage::with_rules("forget_cancelled", ROWS, "max_rejected = 10");
    leave_traces(&stage);
    let frozen = stage.frozen(&["forget", "visits", "7"], "after_forget_rejected=stop");
    let run = stage.newest().run_id.to_string();
    cli::run(stage.command(&["run", "cancel", "visits", &run])).ok();
    frozen.signal("CONT");
    let cancelled = frozen.finish().code(4);
    assert_eq!(cancelled.error()["code"], "forget.cancelled");
    cli::run(stage.command(&["forget", "visits", "7"])).ok();
    assert_eq!(mentions(&stage), Vec::<String>::new());
}

/// Cassandra does not let a table be written for a while: as a time-out in the middle.
#[test]
fn a_statement_that_fails_leaves_the_request_with_its_keys() {
    let stage = Stage::with_rules("forget_times_out", ROWS, "max_rejected = 10");
    leave_traces(&stage);
    let id = ask(&stage, "[{'id': '7'}]");
    let keyspace = &stage.sandbox.keyspace;
    let alter = |how: &str| {
        let statement = format!("ALTER TABLE \"{keyspace}\".changed_keys {how}");
        block_on(async { session().query_unpaged(statement, ()).await.unwrap() });
    };
    alter("RENAME at TO at_what_time");
    cli::run(stage.command(&["worker", "--once"]));
    assert_eq!(answer(&stage, id), None);
    assert!(!mentions(&stage).is_empty());
    alter("RENAME at_what_time TO at");
    cli::run(stage.command(&["worker", "--once"])).ok();
    assert_eq!(answer(&stage, id).unwrap().0, "done");
    assert_eq!(mentions(&stage), Vec::<String>::new());
}
