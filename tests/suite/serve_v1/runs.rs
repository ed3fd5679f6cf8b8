//! Runs on demand.

use serde_json::json;

use super::{Flowers, all_refused, location, no_body};

const RUNS: &str = "/v1/jobs/flowers/runs";

#[test]
fn a_run_on_demand_is_found_by_its_request_and_by_its_own_id() {
    let flowers = Flowers::served("v1_run");
    let body = json!({"scope": "all", "versions": [1], "priority": 2, "note": "once"});
    let place = flowers.ask(&body);
    let waiting = flowers.server.get(&place).status(200).json();
    assert_eq!(waiting["state"], "waiting", "{waiting:#}");
    assert_eq!(waiting["run_id"], json!(null));
    assert_eq!(waiting["id"], waiting["request_id"]);

    let _worker = flowers.worker();
    let run = flowers.in_state(&place, &["succeeded"]);
    assert_eq!(run["answer"]["kind"], "accepted");
    let progress = &run["progress"];
    assert_eq!(progress["counts"]["source_rows"], 150, "{run:#}");
    assert_eq!(progress["counts"]["scored"], json!({"1": 150}));
    assert_eq!(progress["splits_done"], progress["splits_total"]);
    let row = &run["run"];
    assert_eq!(row["requested_by"], "anyone@http");
    assert_eq!(
        (&row["note"], &row["priority"]),
        (&"once".into(), &2.into())
    );
    assert_eq!(
        (&row["scope"], &row["versions"]),
        (&"all".into(), &json!([1]))
    );

    let run_id = run["run_id"].as_str().unwrap();
    let by_run = flowers.server.get(&format!("{RUNS}/{run_id}"));
    let by_run = by_run.status(200).json();
    assert_eq!(by_run["request_id"], run["request_id"]);
    assert_eq!(by_run["run"], run["run"]);

    // Newest first, and no more than asked for.
    let again = flowers.ask(&no_body());
    flowers.in_state(&again, &["succeeded"]);
    let listed = |query: &str| {
        let reply = flowers.server.get(&format!("{RUNS}{query}"));
        reply.status(200).json()["runs"].as_array().unwrap().clone()
    };
    assert_eq!(listed("").len(), 2);
    let newest = listed("?limit=1");
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0]["scope"], "pending");
    assert_eq!(newest[0]["unchanged"], json!({"1": 150}));
}

#[test]
fn requests_with_the_same_key_are_one_run() {
    let flowers = Flowers::served("v1_idempotency");
    let ask = |key: &str, body: &str| {
        let headers = [("Idempotency-Key", key)];
        flowers
            .server
            .request("POST", RUNS, &headers, body.as_bytes())
    };
    let places: Vec<_> = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| location(&ask("once", r#"{"scope": "all"}"#).status(202))))
            .collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    let other = location(&ask("twice", r#"{"scope": "all"}"#).status(202));
    assert_ne!(other, places[0]);
    all_refused([
        (ask("once", "{}"), 422, "request.idempotency_key"),
        (ask("", "{}"), 400, "request.idempotency_key"),
        (ask(&"x".repeat(256), "{}"), 400, "request.idempotency_key"),
    ]);
    let rows = flowers
        .sandbox()
        .rows("SELECT id, dedupe_key FROM {helenus}.run_requests");
    assert_eq!(rows.len(), 2, "{rows:?}");

    let _worker = flowers.worker();
    let run = flowers.in_state(&places[0], &["succeeded"]);
    // Also when the run has ended, and asked by another server.
    let another = crate::support::served::Served::start(flowers.sandbox(), &["flowers"]);
    let headers = [("Idempotency-Key", "once")];
    let again = another.request("POST", RUNS, &headers, br#"{"scope": "all"}"#);
    let again = again.status(202);
    assert_eq!(location(&again), places[0]);
    assert_eq!(again.json()["run_id"], run["run_id"]);
}

#[test]
fn a_run_is_cancelled_by_its_request() {
    let flowers = Flowers::served("v1_cancel");
    let cancel = |place: &str| flowers.server.request("DELETE", place, &[], b"");
    let place = flowers.ask(&json!({"scope": "all", "max_rows_per_s": 1}));
    all_refused([(cancel(&place), 409, "run.not_open")]);

    let _worker = flowers.worker();
    flowers.in_state(&place, &["running"]);
    let reply = cancel(&place).status(202);
    assert_eq!(reply.json()["action"], "cancel");
    let request = location(&reply);
    let run = flowers.in_state(&place, &["cancelled"]);
    assert_eq!(run["run"]["cancel_requested"], true);
    let answered = flowers.server.get(&request).status(200).json();
    assert_eq!(answered["answer"]["kind"], "accepted", "{answered:#}");
    assert_eq!(answered["run_id"], run["run_id"]);
    assert_eq!(answered["requested_by"], "anyone@http");
    all_refused([(cancel(&place), 409, "run.ended")]);
}

#[test]
fn a_request_that_cannot_be_served_says_why() {
    let flowers = Flowers::served("v1_refused");
    let server = &flowers.server;
    let post = |body: &str| server.request("POST", RUNS, &[], body.as_bytes());
    let unknown = "00000000-0000-1000-8000-000000000000";
    all_refused([
        (post("{\n  \"scope\": \"some\"}"), 400, "request.json"),
        (post(r#"{"rows": 7}"#), 400, "request.json"),
        (post("[]"), 400, "request.json"),
        (post(r#"{"scope": "keys"}"#), 400, "request.scope"),
        (post(r#"{"token_from": 1}"#), 400, "request.scope"),
        (
            post(r#"{"token_from": "2", "token_to": "1"}"#),
            400,
            "request.scope",
        ),
        (post(r#"{"keys": []}"#), 400, "request.no_rows"),
        (post(r#"{"keys": [{"id": null}]}"#), 400, "keys.not_a_value"),
        (
            post(r#"{"max_rows_per_s": 0}"#),
            400,
            "request.max_rows_per_s",
        ),
        (server.get(&format!("{RUNS}?limit=0")), 400, "request.limit"),
        (server.get(&format!("{RUNS}?limit=x")), 400, "request.query"),
        (server.get(&format!("{RUNS}?most=1")), 400, "request.query"),
        (server.get(&format!("{RUNS}/7")), 400, "request.id"),
        (server.get(&format!("{RUNS}/{unknown}")), 404, "run.unknown"),
        (
            server.get(&format!("{RUNS}/{unknown}/events")),
            404,
            "run.unknown",
        ),
        (
            server.post("/v1/jobs/flower/runs", &no_body()),
            404,
            "job.unknown",
        ),
        (server.request("PUT", RUNS, &[], b""), 405, "request.method"),
        (server.get("/v1/runs"), 404, "request.unknown_path"),
    ]);
    let said = post("{\n  \"scope\": \"some\"}").json();
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("line 2 column"), "{message}");
    let typed = post(r#"{"keys": [{"id": "x"}]}"#).status(400).json();
    assert_eq!(typed["error"]["where"], "key 1", "{typed}");
    let written = flowers
        .sandbox()
        .rows("SELECT id FROM {helenus}.run_requests");
    assert!(written.is_empty(), "{written:?}");

    // What only a worker can know.
    let _worker = flowers.worker();
    let place = flowers.ask(&json!({"versions": [9]}));
    let refused = flowers.in_state(&place, &["refused"]);
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains('9'), "{reason}");
    assert_eq!(refused["answer"]["kind"], "refused");
    let cancel = server.request("DELETE", &place, &[], b"");
    all_refused([(cancel, 409, "run.none")]);
}

#[test]
fn tokens_and_keys_reach_the_row_exactly() {
    let flowers = Flowers::served("v1_tokens");
    flowers.ask(&json!({"token_from": i64::MIN, "token_to": "9223372036854775807"}));
    flowers.ask(&json!({"keys": [{"id": 7}, {"id": "8"}], "deadline": "2030-01-02T03:04:05.678Z"}));
    let rows = flowers
        .sandbox()
        .rows("SELECT scope, token_from, token_to, keys, deadline FROM {helenus}.run_requests");
    let of_scope = |scope: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|row| row["scope"].as_text().unwrap() == scope);
        row.unwrap()
    };
    let range = of_scope("range");
    assert_eq!(range["token_from"].as_bigint(), Some(i64::MIN));
    assert_eq!(range["token_to"].as_bigint(), Some(i64::MAX));
    let keys = of_scope("keys");
    let texts = format!("{:?}", keys["keys"]);
    assert!(
        texts.contains("\"7\"") && texts.contains("\"8\""),
        "{texts}"
    );
    let deadline = keys["deadline"].as_cql_timestamp().unwrap().0;
    assert_eq!(deadline, 1_893_553_445_678);
}
