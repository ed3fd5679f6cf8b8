//! A Cassandra that a test may freeze and kill: started by it, wiped at the end.

use std::{path::Path, process::Command};

use scylla::client::{session::Session, session_builder::SessionBuilder};

use crate::{
    stage::IDENTITY,
    support::{
        block_on,
        cli::{self, Output},
    },
};

pub struct OwnCassandra {
    name: String,
    nodes: usize,
    /// Of the first node.
    pub contact: String,
    all: String,
    directory: tempfile::TempDir,
}

impl OwnCassandra {
    pub fn start(what: &str, nodes: usize) -> Self {
        let prefix = std::env::var("HELENUS_TEST_NAME")
            .unwrap_or_else(|_| format!("faults-{}", std::process::id()));
        let mut own = Self {
            name: format!("{prefix}-{what}"),
            nodes,
            contact: String::new(),
            all: String::new(),
            directory: tempfile::tempdir().unwrap(),
        };
        own.up(&["--nodes", &nodes.to_string(), "--port", "0"]);
        own
    }

    fn script(&self, arguments: &[&str]) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("scripts/cassandra"));
        command.args(arguments).args(["--name", &self.name]);
        command
    }

    fn up(&mut self, arguments: &[&str]) {
        // Longer than the patience of `cli::run` with a program.
        let up = self
            .script(&[&["up", "--fast"], arguments].concat())
            .output()
            .unwrap();
        assert!(
            up.status.success(),
            "{}",
            String::from_utf8_lossy(&up.stderr)
        );
        let said = String::from_utf8(up.stdout).unwrap();
        self.all = said.trim().lines().last().unwrap().to_owned();
        self.contact = self.all.split(',').next().unwrap().to_owned();
    }

    /// Starts the nodes that were killed, on their old ports.
    pub fn up_again(&mut self) {
        let port = self.contact.rsplit_once(':').unwrap().1.to_owned();
        self.up(&["--port", &port]);
    }

    /// Sends a signal (`STOP`, `CONT`, `KILL`) to a node, counted from 1.
    pub fn signal(&self, node: usize, signal: &str) {
        let root = env!("CARGO_MANIFEST_DIR");
        let file = format!("{root}/.dev/cassandra/{}/node{node}.pid", self.name);
        let pid = std::fs::read_to_string(file).unwrap();
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), pid.trim()])
            .status();
        assert!(kill.unwrap().success());
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let environment = [
            ("HELENUS_CONTACT_POINTS".to_owned(), self.all.clone()),
            ("HELENUS_REQUEST_TIMEOUT".to_owned(), "4s".to_owned()),
            ("HELENUS_BATCH_ROWS".to_owned(), "10".to_owned()),
        ];
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    pub fn helenus(&self, arguments: &[&str]) -> Output {
        cli::run(self.command(arguments))
    }

    pub fn session(&self) -> Session {
        let nodes: Vec<&str> = self.all.split(',').collect();
        block_on(SessionBuilder::new().known_nodes(&nodes).build()).unwrap()
    }

    /// Job `visits` with y = x over rows with x = id.
    pub fn stage(&self, rows: i32, lease_seconds: &str) {
        let replication = format!(
            "{{'class': 'SimpleStrategy', 'replication_factor': {}}}",
            self.nodes
        );
        self.helenus(&[
            "migrate",
            "--lease-seconds",
            lease_seconds,
            "--replication",
            &replication,
        ])
        .ok();
        let session = self.session();
        for statement in [
            &format!("CREATE KEYSPACE data WITH replication = {replication}"),
            "CREATE TABLE data.visits (id int PRIMARY KEY, x float)",
        ] {
            block_on(session.query_unpaged(statement, ())).unwrap();
        }
        for id in 0..rows {
            let insert = "INSERT INTO data.visits (id, x) VALUES (?, ?)";
            block_on(session.query_unpaged(insert, (id, id as f32))).unwrap();
        }
        self.helenus(&["model", "push", "identity", IDENTITY]).ok();
        let manifest = self.directory.path().join("visits.toml");
        std::fs::write(&manifest, "job = \"visits\"\nmodel = \"identity\"\nversions = [1]\n[source]\ntable = \"data.visits\"\n").unwrap();
        self.helenus(&["job", "create", manifest.to_str().unwrap()])
            .ok();
    }

    /// How many predictions were scored since, in milliseconds; 0 while nobody answers.
    pub fn scored_since(&self, session: &Session, since: i64) -> usize {
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
    }

    /// The invariants: keys, values, counts, splits.
    #[track_caller]
    pub fn assert_whole(&self, rows: i32, run: &serde_json::Value) {
        assert_eq!(run["state"], "succeeded", "{run}");
        assert_eq!(run["source_rows"], rows, "{run}");
        let session = self.session();
        // Nodes that were killed come back slowly: a look may time out, what it shows may not differ.
        let read = |select: &str| {
            let mut tries = 0..10;
            loop {
                match block_on(session.query_unpaged(select, ())) {
                    Ok(result) => break result.into_rows_result().unwrap(),
                    Err(error) => assert!(tries.next().is_some(), "{select}: {error}"),
                }
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        };
        let predictions = read("SELECT id, y, lineage.run_id FROM data.visits_predictions");
        let mut ids = Vec::new();
        let mut here = 0;
        for row in predictions
            .rows::<(i32, f32, scylla::value::CqlTimeuuid)>()
            .unwrap()
        {
            let (id, y, run_id) = row.unwrap();
            assert_eq!(id as f32, y);
            here +=
                u64::from(uuid::Uuid::from(run_id).to_string() == run["run_id"].as_str().unwrap());
            ids.push(id);
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..rows).collect::<Vec<_>>());
        assert_eq!(run["scored"]["1"], here, "{run}");
        let unfinished = read("SELECT state, epoch FROM helenus.splits");
        for row in unfinished.rows::<(String, i32)>().unwrap() {
            assert_eq!(row.unwrap().0, "done");
        }
    }
}

impl Drop for OwnCassandra {
    fn drop(&mut self) {
        let wiped = self.script(&["wipe"]).output();
        if !wiped.is_ok_and(|wiped| wiped.status.success()) {
            eprintln!("{} was not wiped", self.name);
        }
    }
}
