//! The long-running worker: rows in, rows out, until it is told to end.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Model, Sandbox,
    cassandra::Named,
    cli::{Output, Running},
};

/// Polls until `found` gives something.
#[track_caller]
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A job over the biopsies, in a keyspace of its own with short leases.
fn biopsies(test: &str) -> Sandbox {
    let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
    Model::named("breast_cancer_lr").load(&sandbox);
    let push = Model::named("breast_cancer_lr").push_arguments("tumour");
    let push: Vec<_> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    job(&sandbox, "tumour");
    sandbox
}

fn job(sandbox: &Sandbox, name: &str) {
    let manifest = format!(
        "job = \"{name}\"\nmodel = \"tumour\"\nversions = [1]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\ntable = \"{}.{name}_predictions\"\npositive = \"malignant\"\n[rules]\nmax_rejected = 5\n",
        sandbox.data, sandbox.data
    );
    let file = sandbox.file(&format!("{name}.toml"), manifest);
    sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
}

/// Asks by a row, as any CQL client may.
fn ask(sandbox: &Sandbox, columns: &str, values: &str) {
    sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.run_requests (day, id, {columns}) VALUES (toDate(now()), now(), {values})"
    ));
}

fn runs(sandbox: &Sandbox, job: &str) -> Vec<Value> {
    let listed = sandbox.json(&["run", "list", job]);
    // Not found: nobody has answered yet.
    match listed.code {
        Some(5) => Vec::new(),
        _ => listed.ok().result().as_array().unwrap().clone(),
    }
}

/// Waits for a run of the job that has ended, and gives it.
fn ended(sandbox: &Sandbox, job: &str) -> Value {
    wait_for("the end of the run", || {
        runs(sandbox, job)
            .into_iter()
            .find(|run| !run["finished_at"].is_null())
    })
}

fn working(sandbox: &Sandbox) -> usize {
    let rows = sandbox.rows("SELECT state FROM {helenus}.workers WHERE bucket = 'all'");
    let state = |row: &Named| row["state"].as_text().cloned();
    let working = rows
        .iter()
        .filter(|row| state(row).as_deref() == Some("working"));
    working.count()
}

fn wait_for_workers(sandbox: &Sandbox, count: usize) {
    wait_for("the workers", || (working(sandbox) == count).then_some(()));
}

fn terminate(worker: Running) -> Output {
    worker.signal("TERM");
    worker.finish()
}

/// The status code that a page is answered with.
fn status(address: std::net::SocketAddr, path: &str) -> String {
    let said = page(address, path);
    said.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The whole answer, its headers included.
fn page(address: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_row_asks_and_rows_come_and_sigterm_drains() {
    let sandbox = biopsies("worker_row");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let worker = sandbox.start(&["worker", "--listen", &address.to_string()]);
    wait_for_workers(&sandbox, 1);
    for path in ["live", "ready", "metrics"] {
        wait_for(path, || (status(address, path) == "200").then_some(()));
    }
    ask(&sandbox, "job, requested_by", "'tumour', 'an analyst'");
    let run = ended(&sandbox, "tumour");
    assert_eq!(run["state"], "succeeded");
    assert_eq!(run["requested_by"], "an analyst");
    assert_eq!(run["scored"]["1"], 569);
    let answer = sandbox.row("SELECT answer, run_id FROM {helenus}.answers");
    assert_eq!(answer["answer"].as_text().unwrap(), "accepted");
    // What it does is said with its next sign of life.
    wait_for("a worker that leads", || {
        let listed = sandbox.json(&["worker", "list"]).ok().result();
        assert_eq!(listed[0]["state"], "working", "{listed}");
        (listed[0]["doing"][0] == "leads").then_some(())
    });
    ask(&sandbox, "job, scope", "'tumour', 'all'");
    wait_for("two runs that found one load", || {
        let metrics = page(address, "metrics");
        let is_there = |line: &str| metrics.lines().any(|other| other == line);
        (is_there("helenus_model_loads_total{from=\"store\"} 1")
            && is_there("helenus_model_loads_total{from=\"memory\"} 1"))
        .then_some(())
    });
    wait_for("the second run's end", || {
        let runs = runs(&sandbox, "tumour");
        let well = runs.iter().filter(|run| run["state"] == "succeeded");
        (well.count() == 2).then_some(())
    });
    terminate(worker).ok();
    let row = sandbox.row("SELECT state FROM {helenus}.workers WHERE bucket = 'all'");
    assert_eq!(row["state"].as_text().unwrap(), "left");
    let lease = sandbox.row("SELECT * FROM {helenus}.leases WHERE name = 'scheduler'");
    assert!(!lease.contains_key("owner"), "given back: {lease:?}");
}

#[test]
fn what_was_asked_while_nobody_was_there_is_answered() {
    let sandbox = biopsies("worker_late");
    job(&sandbox, "other");
    ask(
        &sandbox,
        "job, deadline, priority",
        "'tumour', '2020-01-01', 7",
    );
    // Asked by a clock that is an hour ahead, and by one that is an hour behind.
    for hours in [-1, 1] {
        let at = chrono::Utc::now() + chrono::TimeDelta::hours(hours);
        let at = at.format("%Y-%m-%d %H:%M:%S+0000");
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id, job, note) VALUES (toDate(minTimeuuid('{at}')), minTimeuuid('{at}'), 'other', '{hours}') USING TIMESTAMP {}",
            chrono::Utc::now().timestamp_micros() + hours * 3_600_000_000
        ));
    }
    let worker = sandbox.start(&["worker"]);
    wait_for("three answers", || {
        (sandbox.rows("SELECT * FROM {helenus}.answers").len() == 3).then_some(())
    });
    for answer in sandbox.rows("SELECT answer, reason FROM {helenus}.answers") {
        let said = answer["answer"].as_text().unwrap();
        assert!(said == "accepted" || said == "joined", "{answer:?}");
    }
    let late = wait_for("the run past its deadline", || {
        let runs = runs(&sandbox, "tumour");
        let all_ended = runs.iter().all(|run| run["state"] == "succeeded");
        let late = runs.iter().find(|run| run["late"] == true).cloned();
        late.filter(|_| all_ended)
    });
    assert_eq!(late["priority"], 7);
    terminate(worker).ok();
}

#[test]
fn when_the_leader_is_killed_another_worker_leads() {
    let sandbox = biopsies("worker_killed");
    let first = sandbox.start(&["worker"]);
    wait_for_workers(&sandbox, 1);
    let second = sandbox.start(&["worker"]);
    wait_for_workers(&sandbox, 2);
    first.kill();
    ask(&sandbox, "job", "'tumour'");
    assert_eq!(ended(&sandbox, "tumour")["state"], "succeeded");
    terminate(second).ok();
}

#[test]
fn a_small_run_is_not_held_up_by_a_large_one_and_a_row_cancels_that() {
    let sandbox = biopsies("worker_share");
    job(&sandbox, "other");
    let worker = sandbox.start(&["worker"]);
    ask(&sandbox, "job, max_rows_per_s", "'tumour', 5");
    wait_for("the slow run", || {
        runs(&sandbox, "tumour")
            .iter()
            .any(|run| run["state"] == "running")
            .then_some(())
    });
    ask(
        &sandbox,
        "job, scope, keys",
        "'other', 'keys', [{'id': '1'}]",
    );
    assert_eq!(ended(&sandbox, "other")["state"], "succeeded");
    let slow = runs(&sandbox, "tumour").remove(0);
    assert_eq!(slow["state"], "running");
    let id = slow["run_id"].as_str().unwrap();
    ask(
        &sandbox,
        "action, job, target_run",
        &format!("'cancel', 'tumour', {id}"),
    );
    assert_eq!(ended(&sandbox, "tumour")["state"], "cancelled");
    terminate(worker).ok();
}

#[test]
fn told_to_end_in_the_middle_of_a_run_it_gives_its_splits_back() {
    let sandbox = biopsies("worker_drain");
    let worker = sandbox.start(&["worker", "--drain-timeout", "1s"]);
    ask(&sandbox, "job, max_rows_per_s", "'tumour', 60");
    wait_for("predictions", || {
        (!sandbox
            .rows("SELECT id FROM {data}.tumour_predictions LIMIT 1")
            .is_empty())
        .then_some(())
    });
    terminate(worker).ok();
    let held = sandbox.rows("SELECT state FROM {helenus}.splits");
    assert!(!held.is_empty());
    for split in held {
        assert_ne!(split["state"].as_text().unwrap(), "claimed");
    }
    assert_eq!(runs(&sandbox, "tumour")[0]["state"], "running");
    let next = sandbox.start(&["worker"]);
    let twice = sandbox.start(&["worker"]);
    wait_for_workers(&sandbox, 2);
    assert_eq!(ended(&sandbox, "tumour")["state"], "succeeded");
    twice.signal("TERM");
    twice.signal("TERM");
    let code = twice.finish().code;
    assert!(code == Some(130) || code == Some(0), "{code:?}");
    terminate(next).ok();
}

#[test]
fn the_same_wish_twice_is_one_run() {
    let sandbox = biopsies("worker_dedupe");
    for _ in 0..3 {
        ask(&sandbox, "job, dedupe_key", "'tumour', 'nightly load 17'");
    }
    let worker = sandbox.start(&["worker"]);
    wait_for("three answers", || {
        (sandbox.rows("SELECT * FROM {helenus}.answers").len() == 3).then_some(())
    });
    ended(&sandbox, "tumour");
    assert_eq!(runs(&sandbox, "tumour").len(), 1);
    terminate(worker).ok();
}

#[test]
fn a_trigger_fires_by_itself_and_another_follows_it() {
    let sandbox = biopsies("worker_trigger");
    job(&sandbox, "other");
    let worker = sandbox.start(&["worker"]);
    sandbox
        .cql("INSERT INTO {helenus}.triggers (job, name, every) VALUES ('tumour', 'often', '2s')");
    sandbox.cql(
        "INSERT INTO {helenus}.triggers (job, name, after_job) VALUES ('other', 'then', 'tumour')",
    );
    let followed = ended(&sandbox, "other");
    assert_eq!(followed["trigger"], "then");
    assert_eq!(followed["state"], "succeeded");
    let first = ended(&sandbox, "tumour");
    assert_eq!(first["trigger"], "often");
    terminate(worker).ok();
}
