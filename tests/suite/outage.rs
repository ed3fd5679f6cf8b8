//! Cassandra that freezes, and that dies and comes back, under a run. It needs a Cassandra of its
//! own, which it starts, and wipes at the end.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use scylla::client::{session::Session, session_builder::SessionBuilder};

use crate::support::{
    block_on,
    cli::{self, Output, Running},
};

const ROWS: i32 = 1_500;

struct OwnCassandra {
    name: String,
    contact: String,
    directory: tempfile::TempDir,
}

impl OwnCassandra {
    fn start() -> Self {
        let name = format!("outage-{}", std::process::id());
        let mut own = Self {
            name,
            contact: String::new(),
            directory: tempfile::tempdir().unwrap(),
        };
        own.up("0");
        own
    }

    fn script(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("scripts/cassandra"));
        command.args(arguments).args(["--name", &self.name]);
        cli::run(command)
    }

    fn up(&mut self, port: &str) {
        let up = self.script(&["up", "--fast", "--port", port]).ok();
        self.contact = up.stdout.trim().lines().last().unwrap().to_owned();
    }

    fn signal(&self, signal: &str) {
        let file = format!(
            "{}/.dev/cassandra/{}/node1.pid",
            env!("CARGO_MANIFEST_DIR"),
            self.name
        );
        let pid = std::fs::read_to_string(file).unwrap();
        let kill = Command::new("kill").args([signal, pid.trim()]).status();
        assert!(kill.unwrap().success());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let environment = [
            ("HELENUS_CONTACT_POINTS".to_owned(), self.contact.clone()),
            ("HELENUS_REQUEST_TIMEOUT".to_owned(), "2s".to_owned()),
        ];
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    fn helenus(&self, arguments: &[&str]) -> Output {
        cli::run(self.command(arguments))
    }

    fn session(&self) -> Session {
        block_on(SessionBuilder::new().known_node(&self.contact).build()).unwrap()
    }
}

impl Drop for OwnCassandra {
    fn drop(&mut self) {
        self.signal("-CONT");
        self.script(&["wipe"]);
    }
}

/// Waits until at least `rows` predictions carry the newest run.
fn wait_for_predictions(session: &Session, since: i64, rows: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    let written = || {
        let select = "SELECT toUnixTimestamp(lineage.scored_at) FROM data.visits_predictions";
        let result = block_on(session.query_unpaged(select, ()));
        let rows = result
            .ok()
            .and_then(|result| result.into_rows_result().ok());
        rows.map_or(0, |rows| {
            rows.rows::<(Option<i64>,)>()
                .unwrap()
                .filter(|row| row.as_ref().unwrap().0 >= Some(since))
                .count()
        })
    };
    while written() < rows {
        assert!(Instant::now() < until, "no predictions");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn assert_whole(own: &OwnCassandra, run: &serde_json::Value) {
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["source_rows"], ROWS, "{run}");
    let session = own.session();
    let select = "SELECT id, y FROM data.visits_predictions";
    let rows = block_on(session.query_unpaged(select, ()))
        .unwrap()
        .into_rows_result()
        .unwrap();
    let mut ids: Vec<i32> = rows
        .rows::<(i32, f32)>()
        .unwrap()
        .map(|row| row.unwrap())
        .inspect(|(id, y)| assert_eq!(*id as f32, *y))
        .map(|(id, _)| id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..ROWS).collect::<Vec<_>>());
}

#[test]
fn a_run_outlives_a_frozen_and_a_killed_cassandra() {
    let mut own = OwnCassandra::start();
    own.helenus(&["migrate", "--lease-seconds", "3"]).ok();
    let session = own.session();
    for statement in [
        "CREATE KEYSPACE data WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE data.visits (id int PRIMARY KEY, x float)",
    ] {
        block_on(session.query_unpaged(statement, ())).unwrap();
    }
    for id in 0..ROWS {
        let insert = "INSERT INTO data.visits (id, x) VALUES (?, ?)";
        block_on(session.query_unpaged(insert, (id, id as f32))).unwrap();
    }
    let identity = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");
    own.helenus(&["model", "push", "identity", identity]).ok();
    let manifest = own.directory.path().join("visits.toml");
    std::fs::write(&manifest, "job = \"visits\"\nmodel = \"identity\"\nversions = [1]\n[source]\ntable = \"data.visits\"\n").unwrap();
    own.helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();

    // Frozen for longer than the lease: the leases run out, the splits are claimed anew.
    let run = Running::start(own.command(&["score", "visits", "--max-rate", "300"]));
    wait_for_predictions(&session, 0, 200);
    own.signal("-STOP");
    std::thread::sleep(Duration::from_secs(6));
    own.signal("-CONT");
    assert_whole(&own, &run.finish().ok().result());

    // Killed and started again: the command waits, or says that the run stays open and goes on.
    let now = chrono::Utc::now().timestamp_millis();
    let run =
        Running::start(own.command(&["score", "visits", "--scope", "all", "--max-rate", "300"]));
    wait_for_predictions(&session, now, 200);
    own.signal("-KILL");
    let port = own.contact.rsplit_once(':').unwrap().1.to_owned();
    own.up(&port);
    let ended = run.finish();
    let ended = match ended.code {
        Some(3) => {
            let message = ended.error()["message"].as_str().unwrap().to_owned();
            assert!(
                message.contains("stays open") || message.contains("Cassandra"),
                "{message}"
            );
            own.helenus(&["score", "visits", "--scope", "all"])
        }
        _ => ended,
    };
    assert_whole(&own, &ended.ok().result());
}
