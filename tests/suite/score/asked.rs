//! Runs that are asked for by rows, and scopes.

use super::*;

#[test]
fn one_insert_by_cqlsh_is_all_it_takes_to_ask_for_a_run() {
    let biopsies = Biopsies::new("insert");
    biopsies
        .sandbox
        .cqlsh("INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'tumour')")
        .ok();
    biopsies.sandbox.helenus(&["worker", "--once"]).ok();
    let answer = biopsies
        .sandbox
        .row("SELECT answer, run_id FROM {helenus}.answers LIMIT 10 ALLOW FILTERING");
    assert_eq!(answer["answer"].as_text().unwrap(), "accepted");
    assert_eq!(biopsies.runs()[0]["state"], "succeeded");
    assert_eq!(biopsies.predictions(), 2 * biopsies.rows);
}

#[test]
fn malformed_requests_are_answered_with_their_reason_and_hurt_nothing_else() {
    let biopsies = Biopsies::new("malformed");
    let insert = |columns: &str, values: &str| {
        biopsies.sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id, {columns}) VALUES (toDate(now()), now(), {values})"
        ));
    };
    insert("note", "'no job'");
    insert("job, action", "'tumour', 'dance'");
    insert("job, scope", "'tumour', 'keys'");
    insert("job, token_from", "'tumour', 5");
    insert("job", "'nobody'");
    insert("job, versions", "'tumour', {9}");
    insert("job, keys", "'tumour', [{'wrong': '1'}]");
    insert("job, action", "'tumour', 'cancel'");
    insert("job", "'tumour'");
    biopsies.sandbox.helenus(&["worker", "--once"]).ok();
    let answers = biopsies
        .sandbox
        .rows("SELECT answer, reason FROM {helenus}.answers");
    let accepted = answers
        .iter()
        .filter(|row| row["answer"].as_text().unwrap() == "accepted")
        .count();
    let refused: Vec<_> = answers
        .iter()
        .filter(|row| row["answer"].as_text().unwrap() == "refused")
        .map(|row| row["reason"].as_text().unwrap().clone())
        .collect();
    assert_eq!((accepted, refused.len()), (1, 8), "{answers:?}");
    for word in [
        "`job` is null",
        "dance",
        "keys",
        "token_to",
        "nobody",
        "9",
        "wrong",
        "`target_run` is null",
    ] {
        assert!(
            refused.iter().any(|reason| reason.contains(word)),
            "{word}: {refused:#?}"
        );
    }
    assert_eq!(biopsies.runs()[0]["state"], "succeeded");
}

#[test]
fn a_cancelled_run_leaves_what_it_wrote_and_the_next_one_goes_on() {
    let biopsies = Biopsies::new("cancel");
    let rows = biopsies.rows as u64;
    let slow =
        biopsies
            .sandbox
            .start(&["score", "tumour", "--max-rate", "300", "--output", "json"]);
    wait_until("some predictions", || {
        let table = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{data}' AND table_name = 'tumour_predictions'";
        !biopsies.sandbox.rows(table).is_empty() && biopsies.predictions() > 50
    });
    let run_id = biopsies.runs()[0]["run_id"].as_str().unwrap().to_owned();
    biopsies
        .sandbox
        .json(&["run", "cancel", "tumour", &run_id])
        .ok();
    let ended = slow.finish().code(1);
    assert_eq!(ended.result()["state"], "cancelled");
    let next = biopsies.score(&[]);
    assert_ne!(next["run_id"], run_id.as_str());
    let (scored, unchanged, rejected) = counts(&next, "1");
    assert_eq!((scored + unchanged, rejected), (rows, 0));
    assert_eq!(biopsies.predictions() as u64, 2 * rows);
}

#[test]
fn scopes_narrow_a_run_to_keys_ranges_and_versions() {
    let biopsies = Biopsies::new("scopes");
    let keys = biopsies.sandbox.file("keys.csv", "id\n7\n8\n8\n100000\n");
    let keys = keys.to_str().unwrap();
    let run = biopsies.score(&["--keys", keys, "--version", "2"]);
    assert_eq!(counts(&run, "2"), (2, 0, 0));
    assert_eq!(run["scope"], "keys");
    assert!(
        run["warnings"][0]
            .as_str()
            .unwrap()
            .contains("keys_missing: 1 of 3"),
        "{run}"
    );
    assert_eq!(biopsies.predictions(), 2);
    let low = biopsies.score(&["--token-range", "-9223372036854775808:0"]);
    let high = biopsies.score(&["--token-range", "0:9223372036854775807"]);
    let rows = low["source_rows"].as_u64().unwrap() + high["source_rows"].as_u64().unwrap();
    assert_eq!(rows as usize, biopsies.rows);
    assert_eq!(biopsies.predictions(), 2 * biopsies.rows);
    assert_eq!(counts(&biopsies.score(&[]), "1"), (0, rows, 0));
    let bad = biopsies.sandbox.file("bad.csv", "id\nseven\n");
    let refused = biopsies
        .sandbox
        .json(&["score", "tumour", "--keys", bad.to_str().unwrap()])
        .code(2);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("seven"),
        "{refused:?}"
    );
    biopsies
        .sandbox
        .json(&["score", "tumour", "--token-range", "5"])
        .code(2);
}
