//! Alarms: opened once, closed when gone, sent until they arrive.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use chrono::Utc;
use helenus::control::alarms::AlarmWatch;
use serde_json::Value;

use crate::support::{Sandbox, biopsies::Biopsies, block_on, cli::Running, receiver::Receiver};

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < until, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A round in this process, as the worker that leads makes it.
fn look(sandbox: &Sandbox) {
    let round = block_on(async {
        let store = sandbox.store().await;
        let mut watch = AlarmWatch::default();
        watch.round(&store, Utc::now()).await.unwrap()
    });
    assert_eq!(round.errors, [""; 0]);
}

/// `kind/subject` of the open alarms.
fn open(sandbox: &Sandbox) -> BTreeSet<String> {
    let listed = sandbox.json(&["alarm", "list"]).ok().result();
    let alarms = listed["alarms"].as_array().unwrap().clone();
    let key = |alarm: &Value| {
        let text = |name: &str| alarm[name].as_str().unwrap();
        format!("{}/{}", text("kind"), text("subject"))
    };
    alarms.iter().map(key).collect()
}

/// A run that fails: one row in 570 has no features, and none may be rejected.
fn fail(biopsies: &Biopsies) {
    let sandbox = &biopsies.sandbox;
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    let manifest = format!(
        "job = \"tumour\"\nmodel = \"tumour\"\nversions = [1, 2]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n[rules]\nmax_rejected = 0\n",
        sandbox.data
    );
    let file = sandbox.file("strict.toml", manifest);
    sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
    sandbox.helenus(&["score", "tumour"]).code(1);
}

fn mend(biopsies: &Biopsies) {
    biopsies
        .sandbox
        .cql("DELETE FROM {data}.biopsies WHERE id = 9001");
    biopsies.score();
}

fn worker(sandbox: &Sandbox, settings: &[(&'static str, String)]) -> Running {
    let mut command: Command = sandbox.command(&["worker"]);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    Running::start(command)
}

#[test]
fn each_alarm_arrives_signed_whatever_the_receiver_did_before() {
    let biopsies = Biopsies::scored("alarms_webhook");
    let sandbox = &biopsies.sandbox;
    let mut receiver = Receiver::down(sandbox);
    let got = sandbox.directory().join("got");
    let script = sandbox.file("page", format!("#!/bin/sh\ncat >> {}\n", got.display()));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = receiver.settings().to_vec();
    settings.push(("HELENUS_ALARMS_COMMAND", script.display().to_string()));
    let leader = worker(sandbox, &settings);
    fail(&biopsies);
    let delivery = |event: &str, sink: &str| {
        let rows = sandbox.rows(&format!("SELECT attempts, error, delivered_at FROM {{helenus}}.alarm_deliveries WHERE bucket = 'all' AND event = '{event}' AND sink = '{sink}' ALLOW FILTERING"));
        rows.first().map(|row| {
            let error = row.get("error").and_then(|error| error.as_text().cloned());
            (
                row["attempts"].as_int().unwrap(),
                error.unwrap_or_default(),
                row.contains_key("delivered_at"),
            )
        })
    };
    let failed_with = |what: &str| {
        wait_until(what, || {
            delivery("opened", "webhook").is_some_and(|(_, error, _)| error.contains(what))
        });
    };
    failed_with("cannot connect");
    assert_eq!(
        open(sandbox),
        BTreeSet::from(["run_failed/request".to_owned()])
    );
    // The others did not wait for it.
    wait_until("the command", || {
        delivery("opened", "command").is_some_and(|(.., delivered)| delivered)
    });
    receiver.mode("hang");
    failed_with("no answer within 1000 ms");
    // Runs go on.
    let began = Instant::now();
    sandbox
        .cql("INSERT INTO {helenus}.run_requests (day, id, job, scope, keys) VALUES (toDate(now()), now(), 'tumour', 'keys', [{'id': '42'}])");
    wait_until("a run meanwhile", || {
        let runs = sandbox.rows("SELECT state FROM {helenus}.runs WHERE job = 'tumour' LIMIT 1");
        runs[0]["state"].as_text().unwrap() == "succeeded"
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    receiver.mode("500");
    failed_with("it answered 500");
    // Whoever leads next goes on.
    leader.kill();
    let next = worker(sandbox, &settings);
    receiver.mode("ok");
    wait_until("the webhook", || receiver.accepted() == ["alarm.opened"]);
    let shown = sandbox.json(&["alarm", "list"]).ok().result();
    let alarm = &shown["alarms"][0];
    let message = receiver.received().pop().unwrap();
    assert_eq!(message["path"], "/alarms?team=ml");
    assert_eq!(message["type"], "application/json");
    let data = &message["message"]["data"];
    for name in ["job", "kind", "subject", "what", "evidence"] {
        assert_eq!(data[name], alarm[name], "{name}");
    }
    assert_eq!(data["alarm"], alarm["id"]);
    mend(&biopsies);
    wait_until("the end", || {
        receiver.accepted() == ["alarm.opened", "alarm.closed"]
    });
    assert_eq!(open(sandbox), BTreeSet::new());
    // Whatever arrived twice has one id.
    let ids: BTreeSet<String> = receiver
        .received()
        .iter()
        .map(|request| request["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 2);
    wait_until("the command", || {
        fs::read_to_string(&got).unwrap_or_default().lines().count() >= 2
    });
    let lines = fs::read_to_string(&got).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["type"], "alarm.opened");
    let stderr = next.kill().stderr;
    assert!(stderr.contains("alarm closed: run "), "{stderr}");
}

#[test]
fn a_webhook_over_https_is_sent_only_to_whom_the_authority_signed() {
    let biopsies = Biopsies::scored("alarms_https");
    let sandbox = &biopsies.sandbox;
    let mut receiver = Receiver::down_with_tls(sandbox, "node");
    receiver.mode("ok");
    let trusting = |authority: &str| {
        let ca = format!("{}/tests/tls/{authority}.pem", env!("CARGO_MANIFEST_DIR"));
        let mut settings = receiver.settings().to_vec();
        settings.push(("HELENUS_ALARMS_WEBHOOK_CA", ca));
        worker(sandbox, &settings)
    };
    let leader = trusting("stranger");
    fail(&biopsies);
    wait_until("the refusal", || {
        let rows = sandbox.rows("SELECT error FROM {helenus}.alarm_deliveries WHERE bucket = 'all' AND sink = 'webhook' ALLOW FILTERING");
        let error = rows
            .first()
            .and_then(|row| row.get("error")?.as_text().cloned());
        error.is_some_and(|error| error.contains("certificate"))
    });
    assert_eq!(receiver.received(), [Value::Null; 0]);
    leader.kill();
    let leader = trusting("ca");
    wait_until("the webhook", || receiver.accepted() == ["alarm.opened"]);
    leader.kill();
}

#[test]
fn however_many_lead_an_alarm_is_opened_and_closed_once() {
    let biopsies = Biopsies::scored("alarms_once");
    let sandbox = &biopsies.sandbox;
    fail(&biopsies);
    let all = |count: usize| {
        let rounds = block_on(async {
            let store = sandbox.store().await;
            let looks = (0..count).map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut watch = AlarmWatch::default();
                    watch.round(&store, Utc::now()).await.unwrap()
                })
            });
            futures::future::join_all(looks.collect::<Vec<_>>()).await
        });
        let rounds: Vec<_> = rounds.into_iter().map(Result::unwrap).collect();
        let opened: usize = rounds.iter().map(|round| round.opened).sum();
        let closed: usize = rounds.iter().map(|round| round.closed).sum();
        (opened, closed)
    };
    let count = |what: &str| {
        let rows = sandbox.rows("SELECT id, closed_at FROM {helenus}.alarms WHERE job = 'tumour'");
        let closed = rows.iter().filter(|row| row.contains_key("closed_at"));
        (rows.len(), closed.count(), what.to_owned())
    };
    assert_eq!(all(6), (1, 0));
    assert_eq!(count("opened"), (1, 0, "opened".to_owned()));
    assert_eq!(all(6), (0, 0));
    // The same condition in another run is no second alarm.
    sandbox.helenus(&["score", "tumour"]).code(1);
    assert_eq!(all(6), (0, 0));
    let listed = sandbox.json(&["alarm", "list", "tumour"]).ok().result();
    assert_eq!(listed["alarms"][0]["runs_seen"], 2, "{listed}");
    mend(&biopsies);
    assert_eq!(all(6), (0, 1));
    assert_eq!(count("closed"), (1, 1, "closed".to_owned()));
    fail(&biopsies);
    assert_eq!(all(6), (1, 0));
    assert_eq!(count("again"), (2, 1, "again".to_owned()));
}

#[test]
fn an_acknowledgement_is_a_row_and_quietens_status() {
    let biopsies = Biopsies::scored("alarms_ack");
    let sandbox = &biopsies.sandbox;
    fail(&biopsies);
    look(sandbox);
    let warns = || {
        let status = sandbox.json(&["status"]).ok().json();
        assert_eq!(status["result"]["alarms"].as_array().unwrap().len(), 1);
        let warnings = status["warnings"].as_array().unwrap().clone();
        let warnings = warnings.iter().filter_map(Value::as_str);
        warnings.filter(|text| text.starts_with("alarm ")).count()
    };
    assert_eq!(warns(), 1);
    let alarm = sandbox.row("SELECT id FROM {helenus}.alarms WHERE job = 'tumour'");
    let id = alarm["id"].as_timeuuid().unwrap().to_string();
    let acknowledged = sandbox.json(&["alarm", "ack", &id, "--note", "the lab knows"]);
    let ack = acknowledged.ok().result()["acknowledged"].clone();
    assert_eq!(ack["note"], "the lab knows");
    assert_eq!(warns(), 0);
    look(sandbox);
    let shown = sandbox.json(&["alarm", "show", &id]).ok().result();
    assert_eq!(shown["kind"], "run_failed");
    assert_eq!(shown["closed_at"], Value::Null);
    assert_eq!(shown["deliveries"][0]["sink"], "log", "{shown}");
    let text = sandbox.helenus(&["alarm", "show", &id]).ok().stdout;
    assert!(text.contains("the lab knows"), "{text}");
    let none = ["alarm", "show", "4e1e5305-c64f-11f0-8000-0123456789ab"];
    let unknown = sandbox.json(&none).code(5).error();
    assert_eq!(unknown["code"], "alarm.unknown");
    sandbox.json(&["alarm", "show", "x"]).code(2);
    sandbox.json(&["alarm", "ack", none[2]]).code(5);
    // Closed, it is listed with --all only.
    mend(&biopsies);
    look(sandbox);
    assert_eq!(open(sandbox), BTreeSet::new());
    let all = sandbox.json(&["alarm", "list", "--all"]).ok().result();
    assert_eq!(all["alarms"].as_array().unwrap().len(), 1);
    assert!(all["alarms"][0]["closed_at"].is_string());
}

#[test]
fn each_kind_follows_from_rows_and_ends_with_them() {
    let biopsies = Biopsies::scored("alarms_kinds");
    let sandbox = &biopsies.sandbox;
    look(sandbox);
    assert_eq!(open(sandbox), BTreeSet::new());
    // A run as the worker writes it: late, with many rejected rows and odd outputs.
    let run = |number: u32, columns: &str, values: &str| {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.runs (job, run_id, trigger, versions, state, finished_at{columns}) VALUES ('tumour', minTimeuuid('2031-01-01 00:00:{number:02}+0000'), 'nightly', {{1}}, 'succeeded', '2031-01-01 00:00:{number:02}+0000'{values})"));
    };
    run(
        1,
        ", late, deadline, scored, rejected, warnings",
        ", true, '2030-12-31', {1: 500}, {1: 20}, ['constant_output: version 1: `label` is `benign` for all 500 rows scored', 'label_share_moved: version 1: `label` = `benign` changed from 60 % to 100 % of the scored rows since the last run', 'order_unproven: version 1']",
    );
    let drift = |number: u32, verdict: &str| {
        sandbox.cql(&format!("INSERT INTO {{helenus}}.drift (job, run_id, version, feature, against, segment, verdict, psi, n, m) VALUES ('tumour', minTimeuuid('2031-01-01 00:00:{number:02}+0000'), 1, 'mean radius', 'reference', '', '{verdict}', 0.31, 500, 500)"));
    };
    drift(1, "drifted");
    sandbox.cql("INSERT INTO {helenus}.triggers (job, name, every) VALUES ('tumour', 'odd', '5 fortnights')");
    sandbox.helenus(&["worker", "--once"]);
    look(sandbox);
    let expected = [
        "constant_output/version 1: label",
        "drift/version 1",
        "moved_output/version 1: label",
        "rejected_share/version 1",
        "run_late/nightly",
        "trigger_not_fired/odd",
    ];
    assert_eq!(open(sandbox), expected.map(str::to_owned).into());
    run(2, ", late, scored", ", false, {1: 500}");
    drift(2, "stable");
    sandbox
        .cql("UPDATE {helenus}.triggers SET removed = true WHERE job = 'tumour' AND name = 'odd'");
    look(sandbox);
    assert_eq!(open(sandbox), BTreeSet::new());
    // Of a deleted job nothing is alarming.
    run(3, ", late, scored", ", true, {1: 500}");
    look(sandbox);
    assert_eq!(open(sandbox).len(), 1);
    sandbox.helenus(&["job", "delete", "tumour"]).ok();
    look(sandbox);
    assert_eq!(open(sandbox), BTreeSet::new());
}

#[test]
fn demotions_and_labels_that_no_longer_arrive_alarm() {
    let sandbox = Sandbox::migrated("alarms_gates");
    sandbox.cql("INSERT INTO {helenus}.jobs (job, revision, manifest) VALUES ('tumour', 1, '')");
    sandbox.cql("INSERT INTO {helenus}.gates (model, name, metric, labels, min_labelled_rows, max_age) VALUES ('tumour', 'better', 'accuracy', 'a.b.c', 10, '2d')");
    sandbox.cql("INSERT INTO {helenus}.model_aliases (model, alias, changed_at, seq, from_version, to_version, request_id, version, last_seq) VALUES ('tumour', 'champion', minTimeuuid('2026-01-03'), 3, 2, 1, 00000000-0000-1000-8000-000000000007, 1, 3)");
    sandbox.cql("INSERT INTO {helenus}.gate_moves (model, gate, last_seq, evaluation, request_id, action, alias, version, from_version, answer) VALUES ('tumour', 'better', 2, 00000000-0000-1000-8000-000000000009, 00000000-0000-1000-8000-000000000007, 'rollback', 'champion', 1, 2, 'done')");
    let evaluation = |id: u32, hours: i64, labelled: i64| {
        let at = (Utc::now() - chrono::TimeDelta::hours(hours)).timestamp_millis();
        sandbox.cql(&format!("INSERT INTO {{helenus}}.evaluations (model, version, evaluation, job, labels, labelled, evaluated_at) VALUES ('tumour', 1, 00000000-0000-1000-8000-0000000000{id:02}, 'tumour', 'a.b.c', {labelled}, {at})"));
    };
    evaluation(9, 60, 500);
    look(&sandbox);
    let expected = ["gate_demotion/tumour/better", "stale_labels/tumour/better"];
    assert_eq!(open(&sandbox), expected.map(str::to_owned).into());
    // Evaluated again, but with the same labels.
    evaluation(10, 1, 500);
    look(&sandbox);
    assert_eq!(open(&sandbox), expected.map(str::to_owned).into());
    evaluation(11, 0, 520);
    sandbox.cql("INSERT INTO {helenus}.model_aliases (model, alias, changed_at, seq, from_version, to_version, version, last_seq) VALUES ('tumour', 'champion', minTimeuuid('2026-01-04'), 4, 1, 1, 1, 4)");
    look(&sandbox);
    assert_eq!(open(&sandbox), BTreeSet::new());
}

#[test]
fn settings_that_cannot_send_are_refused() {
    let sandbox = Sandbox::empty("alarms_settings");
    let config = |text: &str| {
        let file = sandbox.file("alarms.toml", text).display().to_string();
        sandbox.json(&["config", "--config", &file])
    };
    let short = sandbox.file("short", "secret").display().to_string();
    for (text, message) in [
        (
            "webhook = 'https://x.example/'",
            "alarms.webhook_secret_file",
        ),
        ("webhook_ca = 'ca.pem'", "`alarms.webhook` is not"),
        ("webhook = 'ftp://x.example/'", "invalid URL"),
        ("timeout = '0s'", "above zero"),
        ("max_rejected = '2'", "invalid share"),
        ("pager = true", "unknown setting `alarms.pager`"),
    ] {
        let error = config(&format!("[alarms]\n{text}\n")).code(2).error();
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
    }
    let shown = config(&format!(
        "[alarms]\nwebhook = 'https://x.example/t0ken'\nwebhook_secret_file = '{short}'\n"
    ));
    let settings = shown.ok().result()["settings"].clone();
    assert_eq!(
        settings["alarms.webhook"]["value"],
        "https://x.example/********"
    );
    // A file that helenus finds by itself chooses neither programs nor receivers.
    for text in ["command = 'true'", "webhook = 'https://x.example/'"] {
        let here = sandbox.file("helenus.toml", format!("[alarms]\n{text}\n"));
        fs::set_permissions(&here, fs::Permissions::from_mode(0o644)).unwrap();
        let error = sandbox.json(&["config"]).code(2).error();
        assert_eq!(error["code"], "config.untrusted", "{error}");
        fs::remove_file(here).unwrap();
    }
    // A worker that could not sign does not start.
    let mut command = sandbox.command(&["worker", "--output", "json"]);
    command.args([
        "--config",
        sandbox.directory().join("alarms.toml").to_str().unwrap(),
    ]);
    let error = crate::support::cli::run(command).code(2).error();
    assert_eq!(error["code"], "alarms.secret", "{error}");
}
