//! Forgetting by keys that have several spellings, or share a text with others'.

use crate::support::Sandbox;

/// A job over a table with such a key and these rows, which were rejected: they have no `x`.
fn rejected_rows_of(test: &str, key: &str, values: &[&str]) -> Sandbox {
    let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
    sandbox.cql(&format!("CREATE TABLE {{data}}.visits (x float, {key})"));
    for values in values {
        sandbox.cql(&format!("INSERT INTO {{data}}.visits {values}"));
    }
    let file = crate::admission::root().join("tests/models/identity.onnx");
    sandbox
        .helenus(&["model", "push", "numbers", file.to_str().unwrap()])
        .ok();
    let manifest = sandbox.file(
        "visits.toml",
        sandbox.filled("job = \"visits\"\nmodel = \"numbers\"\nversions = [1]\n[source]\ntable = \"{data}.visits\"\n[features]\nx = \"x\"\n[rules]\nmax_rejected = \"100%\"\n"),
    );
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    sandbox.json(&["score", "visits"]).ok();
    sandbox
}

fn labels(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.rows("SELECT entity FROM {helenus}.rejected_rows");
    let mut labels: Vec<_> = rows
        .iter()
        .map(|row| row["entity"].as_text().unwrap().clone())
        .collect();
    labels.sort();
    labels
}

#[test]
fn a_key_is_found_however_it_is_spelled() {
    let sandbox = rejected_rows_of(
        "forget_spelled",
        "k int, amount decimal, id uuid, PRIMARY KEY (k, amount, id)",
        &[
            "(k, amount, id) VALUES (1, 1.50, 6FA459EA-EE8A-3CA4-894E-DB77E160355E)",
            "(k, amount, id) VALUES (1, 100.0, 6FA459EA-EE8A-3CA4-894E-DB77E160355E)",
        ],
    );
    let id = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
    assert_eq!(
        labels(&sandbox),
        [format!("1|1.5|{id}"), format!("1|100|{id}")]
    );
    // As an older version listed it: another label, and the same key.
    let run = sandbox.row("SELECT run_id FROM {helenus}.runs");
    let run = run["run_id"].as_timeuuid().unwrap();
    sandbox.cql(&format!("INSERT INTO {{helenus}}.rejected_rows (job, run_id, model_version, entity, key, reason) VALUES ('visits', {run}, 1, '1|1.500|{id}', {{'k': '1', 'amount': '1.500', 'id': '{id}'}}, 'null') USING TIMESTAMP 1"));
    // By others, and by people, in their own spelling; once of another entity.
    for amount in ["1.5", "15E-1", "1.51"] {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.changed_keys (job, day, at, key) VALUES ('visits', toDate(now()), now(), {{'k': '01', 'amount': '{amount}', 'id': '{}'}})", id.to_uppercase()));
        sandbox.cql(&format!("INSERT INTO {{helenus}}.run_requests (day, id, job, scope, keys, note) VALUES (toDate(now()), now(), 'visits', 'keys', [{{'k': '1', 'amount': '{amount}', 'id': '{id}'}}], 'k = 1, amount = {amount}, id = {id}')"));
    }
    sandbox.cql("DELETE FROM {data}.visits WHERE k = 1 AND amount = 1.5");
    let key = ["k=1", "amount=1.5000", &format!("id={}", id.to_uppercase())].map(str::to_owned);
    let words = ["forget", "visits", &key[0], &key[1], &key[2]];
    let found = sandbox.json(&words).ok().result()["found"].clone();
    assert_eq!(found["rejected_rows"], 2, "{found}");
    assert_eq!(found["changed_keys"], 2, "{found}");
    assert_eq!(found["run_requests"], 2, "{found}");
    assert_eq!(labels(&sandbox), [format!("1|100|{id}")]);
    let hints = sandbox.rows("SELECT key FROM {helenus}.changed_keys");
    assert!(
        hints.len() == 1 && format!("{hints:?}").contains("1.51"),
        "{hints:?}"
    );
    let requests = format!(
        "{:?}",
        sandbox.rows("SELECT keys, note FROM {helenus}.run_requests")
    );
    assert!(requests.contains("1.51"), "{requests}");
    assert!(
        !requests.contains("1.5\"") && !requests.contains("15E-1"),
        "{requests}"
    );
    let nothing = sandbox.json(&words).ok().result();
    assert_eq!(nothing["found"], serde_json::json!({}));
}

#[test]
fn two_entities_never_share_a_rejected_row() {
    let sandbox = rejected_rows_of(
        "forget_joined",
        "p text, q text, PRIMARY KEY (p, q)",
        &["(p, q) VALUES ('a|b', 'c')", "(p, q) VALUES ('a', 'b|c')"],
    );
    assert_eq!(labels(&sandbox), ["a\\|b|c", "a|b\\|c"]);
    // A row from an older version, under the label that both would have had.
    let run = sandbox.row("SELECT run_id FROM {helenus}.runs");
    let run = run["run_id"].as_timeuuid().unwrap();
    sandbox.cql(&format!("INSERT INTO {{helenus}}.rejected_rows (job, run_id, model_version, entity, key, reason) VALUES ('visits', {run}, 1, 'a|b|c', {{'p': 'a|b', 'q': 'c'}}, 'null') USING TIMESTAMP 1"));
    sandbox.cql("DELETE FROM {data}.visits WHERE p = 'a' AND q = 'b|c'");
    sandbox.json(&["forget", "visits", "p=a", "q=b|c"]).ok();
    assert_eq!(
        labels(&sandbox),
        ["a\\|b|c", "a|b|c"],
        "the other entity's stand"
    );
    sandbox.cql("DELETE FROM {data}.visits WHERE p = 'a|b' AND q = 'c'");
    sandbox.json(&["forget", "visits", "p=a|b", "q=c"]).ok();
    assert_eq!(labels(&sandbox), Vec::<String>::new());
}

#[test]
fn a_decimal_in_the_partition_key_is_said_to_be_exact() {
    let sandbox = rejected_rows_of(
        "forget_exact",
        "amount decimal PRIMARY KEY",
        &["(amount) VALUES (1.5)", "(amount) VALUES (1.50)"],
    );
    sandbox.cql("DELETE FROM {data}.visits WHERE amount = 1.5");
    let forgotten = sandbox.json(&["forget", "visits", "1.5"]).ok();
    let warning = forgotten.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.starts_with("exact_key: `amount`"), "{warning}");
    assert_eq!(labels(&sandbox), ["1.50"], "another row, to Cassandra");
}
