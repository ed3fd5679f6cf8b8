//! The console in a real Chromium: each page, each action, live parts, without JavaScript, on a
//! telephone, by the keyboard alone. tests/console/drive.mjs is what the reader does.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Sandbox, Served, biopsies::Biopsies, cli::Running};

/// `name` with these rights, in the sandbox's file of tokens; returns the token.
pub fn token(sandbox: &Sandbox, name: &str, rights: &str, options: &[&str]) -> String {
    let file = sandbox.directory().join("tokens.toml");
    let file = file.to_str().unwrap();
    let new = ["token", "new", name, "--rights", rights, "--file", file];
    let made = sandbox.json(&[&new[..], options].concat()).ok().result();
    made["token"].as_str().unwrap().to_owned()
}

/// A server with a console that accepts the sandbox's tokens.
pub fn serve(sandbox: &Sandbox, options: &[&str]) -> Served {
    let file = sandbox.directory().join("tokens.toml");
    let first = ["--console", "--serve-tokens", file.to_str().unwrap()];
    Served::start(sandbox, &[&first[..], options].concat())
}

/// Labels known long after every prediction: version 2's opinion.
fn outcomes(sandbox: &Sandbox) {
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
        if row["model_version"].as_int() == Some(2) {
            let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
            sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
        }
    }
}

/// The biopsies with everything that a page can show.
fn whole(test: &str) -> Biopsies {
    let biopsies = Biopsies::scored(test);
    let sandbox = &biopsies.sandbox;
    outcomes(sandbox);
    let labels = format!("{}.outcomes.outcome", sandbox.data);
    for arguments in [
        &["model", "promote", "tumour", "1", "--why", "the first one"][..],
        &["model", "promote", "tumour", "2", "--alias", "challenger"],
        &[
            "gate",
            "add",
            "tumour",
            "better",
            "--metric",
            "accuracy",
            "--labels",
            &labels,
            "--min-labelled-rows",
            "500",
        ],
        &[
            "evaluate",
            "tumour",
            "--versions",
            "champion,challenger",
            "--labels",
            &labels,
            "--label-time",
            "known_at",
        ],
        &["compare", "tumour", "--versions", "1,2"],
        &[
            "trigger",
            "add",
            "tumour",
            "nightly",
            "--cron",
            "15 2 * * *",
        ],
    ] {
        sandbox.helenus(arguments).ok();
    }
    // What the last whole run read is what later ones are compared with.
    let listed = sandbox.json(&["run", "list", "tumour"]).ok().result();
    let run = listed[0]["run_id"].as_str().unwrap().to_owned();
    sandbox
        .helenus(&["drift", "baseline", "tumour", "--run", &run])
        .ok();
    sandbox.cql("INSERT INTO {data}.biopsies (id, mean_radius) VALUES (9001, 14.2)");
    sandbox.helenus(&["score", "tumour", "--scope", "all"]).ok();
    sandbox.helenus(&["worker", "--once"]).ok();
    // An alarm that stays: nothing that a worker looks at closes it.
    sandbox.cql("INSERT INTO {helenus}.experiments (job, name, revision, arms, shares, metric, labels) VALUES ('tumour', 'trial', 1, {'old': '1', 'new': '2'}, {'old': 0.5, 'new': 0.5}, 'accuracy', 'x.y.z')");
    biopsies
}

/// Whether the browser and its modules are here; where they must be, their absence is a failure.
fn modules() -> Option<String> {
    let home = concat!(env!("CARGO_MANIFEST_DIR"), "/.dev/console");
    let has_modules = std::path::Path::new(home).join("node_modules").is_dir();
    let has = |program: &str| {
        let told = Command::new(program).arg("--version").output();
        told.is_ok_and(|told| told.status.success())
    };
    let chromium = std::env::var("HELENUS_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    if has_modules && has("node") && has(&chromium) {
        return Some(home.to_owned());
    }
    let missing = "NO BROWSER: the console is NOT tested in one; it needs node, chromium and `scripts/setup --console`";
    assert!(
        std::env::var("HELENUS_TEST_BROWSER").as_deref() != Ok("required"),
        "{missing}"
    );
    eprintln!("WARNING: {missing}");
    None
}

/// Does what a plan says, in a browser; fails with what was not as it should be.
#[track_caller]
fn drive(plan: &Value) -> Option<Value> {
    let home = modules()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/drive.mjs");
    let mut node = Command::new("node")
        .arg(script)
        .env("HELENUS_TEST_CONSOLE_MODULES", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(plan.to_string().as_bytes()).unwrap();
    drop(stdin);
    let done = node.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout);
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert!(
        done.status.success(),
        "{}",
        serde_json::to_string_pretty(&told["problems"]).unwrap()
    );
    Some(told["found"].clone())
}

struct Stage {
    biopsies: Biopsies,
    served: Served,
    tokens: Value,
    _worker: Running,
}

fn stage(test: &str) -> Stage {
    let biopsies = whole(test);
    let sandbox = &biopsies.sandbox;
    let tokens = json!({
        "all": token(sandbox, "anna", "score,read,run,promote,approve", &[]),
        "other": token(sandbox, "bert", "read,run,promote", &[]),
        "reader": token(sandbox, "carla", "read", &[]),
    });
    let served = serve(sandbox, &[]);
    let worker = sandbox.start(&["worker"]);
    Stage {
        served,
        tokens,
        _worker: worker,
        biopsies,
    }
}

impl Stage {
    fn plan(&self, acts: &[&str], more: &Value) -> Value {
        let mut plan = json!({
            "url": format!("http://{}", self.served.address),
            "tokens": self.tokens,
            "names": {"all": "anna"},
            "acts": acts,
            "pages": [],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            plan[name] = value.clone();
        }
        plan
    }

    fn newest_run(&self) -> String {
        let listed = self.biopsies.sandbox.json(&["run", "list", "tumour"]);
        let listed = listed.ok().result();
        listed[0]["run_id"].as_str().unwrap().to_owned()
    }

    fn pages(&self) -> Value {
        let run = self.newest_run();
        json!([
            "/",
            "/jobs/tumour",
            format!("/jobs/tumour/runs/{run}"),
            "/jobs/tumour/triggers",
            "/jobs/tumour/drift",
            "/jobs/tumour/drift/mean%20radius",
            "/jobs/tumour/comparisons",
            "/jobs/tumour/stream",
            "/jobs/tumour/entities",
            "/jobs/tumour/entities/172",
            "/jobs/tumour/entities/9001",
            "/models",
            "/models/tumour",
            "/models/tumour/versions/2",
            "/models/tumour/aliases",
            "/models/tumour/evaluations",
            "/models/tumour/gates",
            "/models/tumour/retrainings",
            "/experiments",
            "/experiments/tumour/trial",
            "/alarms",
            "/alarms?all=yes",
            "/requests",
            "/streams",
            "/workers",
            "/jobs/tumour/run",
            "/jobs/tumour/pause",
            "/models/tumour/promote?version=2",
            "/models/tumour/gates/better/approve",
        ])
    }
}

#[test]
fn every_page_is_accessible_in_both_themes_and_on_a_telephone() {
    let stage = stage("console_pages");
    let pages = stage.pages();
    drive(&stage.plan(&["pages", "read_only"], &json!({"pages": pages})));
}

/// 500 jobs, 10,000 runs of one, 200 versions, 400 features; names with quotes, accents, markup and
/// text from right to left. Nobody waits for a worker here: the rows are not those of a real world.
#[test]
fn pages_with_more_of_everything_than_people_look_at_stay_readable() {
    let sandbox = Sandbox::migrated("console_large");
    let anna = token(&sandbox, "anna", "read,run,promote,approve", &[]);
    let served = serve(&sandbox, &[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/fill.py");
    let contact = crate::support::cassandra::contact();
    let program = "import runpy\nscript = sys.argv.pop(1)\nrunpy.run_path(script)";
    let filled = sandbox
        .python(program, &[script, &contact, &sandbox.keyspace])
        .ok();
    let filled: Value = serde_json::from_str(filled.stdout.lines().last().unwrap()).unwrap();
    let run = filled["run"].as_str().unwrap();
    let markup = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let pages = json!([
        "/",
        "/jobs/job_000",
        format!("/jobs/{markup}"),
        "/jobs/%D8%B3%D8%AC%D9%84%20%D8%A7%D9%84%D9%85%D8%B1%D8%B6%D9%89",
        format!("/jobs/job_000/runs/{run}"),
        "/jobs/job_000/drift",
        "/jobs/job_003/stream",
        "/models/large",
        "/models/large/aliases",
        "/models/large/evaluations",
        "/alarms",
        "/requests",
        "/streams",
        "/workers",
    ]);
    let plan = json!({
        "url": format!("http://{}", served.address),
        "tokens": {"all": anna},
        "acts": ["pages", "large"],
        "pages": pages,
    });
    drive(&plan);
}

#[test]
fn everything_works_without_javascript_and_by_the_keyboard_alone() {
    let stage = stage("console_plain");
    let pages = stage.pages();
    let acts = ["without_javascript", "keyboard"];
    drive(&stage.plan(&acts, &json!({"pages": pages})));
    let sandbox = &stage.biopsies.sandbox;
    if modules().is_some() {
        let row = sandbox.row("SELECT paused, paused_by, paused_note FROM {helenus}.jobs WHERE job = 'tumour' LIMIT 1");
        assert_eq!(row["paused"].as_boolean(), Some(false));
        assert_eq!(row["paused_by"].as_text().unwrap(), "anna@console");
        assert_eq!(row["paused_note"].as_text().unwrap(), "and back");
    }
}

#[test]
fn each_action_writes_its_row_and_shows_the_answer() {
    let stage = stage("console_acts");
    let sandbox = &stage.biopsies.sandbox;
    sandbox.cql("INSERT INTO {helenus}.alarms (job, id, kind, subject, what, since, seen) VALUES ('tumour', now(), 'stale_labels', 'by hand', 'labels are old', toTimestamp(now()), 1)");
    sandbox.cql("INSERT INTO {helenus}.streams (job, member, host, state, reason, started_at, beat_at) VALUES ('tumour', uuid(), 'here', 'paused', '9 of 10 messages were rejected', toTimestamp(now()), toTimestamp(now()))");
    sandbox.cql("INSERT INTO {helenus}.stream_events (job, id, kind, what, since) VALUES ('tumour', now(), 'paused', '9 of 10 messages were rejected', toTimestamp(now()))");
    let acts = [
        "live",
        "acknowledge",
        "resume_stream",
        "approve",
        "rollback",
        "two_people",
    ];
    if drive(&stage.plan(&acts, &json!({}))).is_none() {
        return;
    }
    let asked =
        sandbox.rows("SELECT action, job, scope, requested_by, note FROM {helenus}.run_requests");
    let asked = asked.iter().find(|row| {
        row.get("note")
            .and_then(|note| note.as_text())
            .is_some_and(|note| note == "to watch it")
    });
    let asked = asked.expect("the request");
    assert_eq!(asked["scope"].as_text().unwrap(), "all");
    assert_eq!(asked["requested_by"].as_text().unwrap(), "anna@console");
    let ack =
        sandbox.row("SELECT acknowledged_by, note FROM {helenus}.alarm_acks WHERE job = 'tumour'");
    assert_eq!(ack["acknowledged_by"].as_text().unwrap(), "anna@console");
    let ack =
        sandbox.row("SELECT acknowledged_by, note FROM {helenus}.stream_acks WHERE job = 'tumour'");
    assert_eq!(ack["acknowledged_by"].as_text().unwrap(), "anna@console");
    assert_eq!(ack["note"].as_text().unwrap(), "the sensor is replaced");
    let history = sandbox.rows("SELECT from_version, to_version, who, why FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion'");
    let moves: Vec<(Option<i32>, i32, &str)> = history
        .iter()
        .map(|row| {
            let from = row.get("from_version").and_then(|from| from.as_int());
            let why = row["why"].as_text().map_or("", |why| why.as_str());
            (from, row["to_version"].as_int().unwrap(), why)
        })
        .collect();
    assert_eq!(
        moves,
        [
            (Some(1), 2, "the first of two"),
            (Some(2), 1, "worse than before"),
            (Some(1), 2, "agreed on Monday"),
            (None, 1, "the first one"),
        ],
        "the second of two moved nothing"
    );
    assert_eq!(history[0]["who"].as_text().unwrap(), "anna@console");
}

#[test]
fn a_run_under_way_is_cancelled_from_its_page() {
    let stage = stage("console_cancel");
    let sandbox = &stage.biopsies.sandbox;
    sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, scope, max_rows_per_s) VALUES (toDate(now()), now(), 'tumour', 'all', 20)");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let run = loop {
        let listed = sandbox.json(&["run", "list", "tumour"]).ok().result();
        if listed[0]["state"] == "running" {
            break listed[0]["run_id"].as_str().unwrap().to_owned();
        }
        assert!(std::time::Instant::now() < until, "never ran: {listed}");
    };
    let cancel = format!("/jobs/tumour/runs/{run}");
    if drive(&stage.plan(&["cancel"], &json!({"cancel": cancel}))).is_some() {
        let asked = sandbox.rows("SELECT action, requested_by, note FROM {helenus}.run_requests");
        let cancelled = asked.iter().find(|row| {
            row.get("action")
                .and_then(|it| it.as_text())
                .is_some_and(|it| it == "cancel")
        });
        let cancelled = cancelled.unwrap();
        assert_eq!(cancelled["requested_by"].as_text().unwrap(), "anna@console");
        assert_eq!(cancelled["note"].as_text().unwrap(), "it was a mistake");
    }
}
