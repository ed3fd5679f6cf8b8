//! Rows of long texts: neither Cassandra's heap nor helenus's memory may grow with them.

use std::{path::Path, process::Command, time::Duration};

use futures::{StreamExt, TryStreamExt};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use serde_json::Value;

use crate::support::{
    block_on,
    cli::{self, Output, Running},
    required,
};

const RATING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/rating.onnx");
/// In one partition.
const ROWS: i32 = 5_000;
/// In each of eight others.
const FEW: i32 = 100;
const TEXT_BYTES: usize = 60_000;
/// What helenus may take at most, the library and its own code included.
const PEAK_KB: u64 = 300 * 1024;

/// A Cassandra with a small heap, of this test's own.
struct Small {
    name: String,
    contact: String,
    session: Session,
    directory: tempfile::TempDir,
}

impl Small {
    fn start() -> Self {
        let name = format!("{}-large", required("HELENUS_TEST_NAME"));
        let up = script(&name, &["up", "--fast", "--port", "0", "--heap", "768M"]).ok();
        let contact = up.stdout.trim().lines().last().unwrap().to_owned();
        let builder = SessionBuilder::new().known_node(&contact);
        Self {
            name,
            session: block_on(builder.build()).unwrap(),
            contact,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn cql(&self, statement: &str) {
        block_on(self.session.query_unpaged(statement, ()))
            .unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let environment = [("HELENUS_CONTACT_POINTS", self.contact.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    /// Runs a command to its end, whose memory must stay within bounds.
    fn bounded(&self, arguments: &[&str]) -> Value {
        let mut running = Running::start(self.command(arguments));
        let mut peak = 0;
        while running.is_running() {
            peak = peak_kb(running.pid()).unwrap_or(0).max(peak);
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = running.finish();
        println!("{arguments:?}: {} MiB", peak / 1024);
        assert!(peak > 0 && peak <= PEAK_KB, "{peak} kB: {output:?}");
        output.ok().result()
    }

    fn predictions(&self) -> Vec<i64> {
        let select = "SELECT rating FROM large.texts_predictions";
        let rows = block_on(async {
            let pages = self.session.query_iter(select, ()).await.unwrap();
            let rows = pages.rows_stream::<(i64,)>().unwrap();
            rows.try_collect::<Vec<_>>().await.unwrap()
        });
        rows.into_iter().map(|row| row.0).collect()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        script(&self.name, &["wipe"]);
    }
}

fn script(name: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/cassandra"));
    command.args(arguments).args(["--name", name]);
    cli::run(command)
}

/// The most memory that a process had so far.
pub fn peak_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_partition_of_long_texts_takes_down_neither_the_node_nor_the_memory() {
    let small = Small::start();
    small.cql("CREATE KEYSPACE large WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    small.cql("CREATE TABLE large.texts (p int, c int, sentence text, PRIMARY KEY (p, c))");
    let text = "the film was good and the music bad ".repeat(TEXT_BYTES / 36 + 1);
    let text = &text[..TEXT_BYTES];
    let large = (0..ROWS).map(|c| (1, c));
    let keys = large.chain((2..10).flat_map(|p| (0..FEW).map(move |c| (p, c))));
    block_on(async {
        let insert = "INSERT INTO large.texts (p, c, sentence) VALUES (?, ?, ?)";
        let insert = small.session.prepare(insert).await.unwrap();
        futures::stream::iter(keys)
            .map(|(p, c)| small.session.execute_unpaged(&insert, (p, c, text)))
            .buffer_unordered(4)
            .map_ok(drop)
            .try_collect::<()>()
            .await
            .unwrap();
    });
    let helenus = |arguments: &[&str]| cli::run(small.command(arguments)).ok();
    helenus(&["migrate"]);
    helenus(&["model", "push", "rating", RATING]);
    let manifest = small.directory.path().join("texts.toml");
    std::fs::write(
        &manifest,
        "job = \"texts\"\nmodel = \"rating\"\nversions = [1]\n[source]\ntable = \"large.texts\"\n[rules]\norphans = \"delete\"\n",
    )
    .unwrap();
    helenus(&["job", "create", manifest.to_str().unwrap()]);
    let all = u64::try_from(ROWS + 8 * FEW).unwrap();

    let run = small.bounded(&["score", "texts"]);
    assert_eq!(run["scored"]["1"], all, "{run}");
    assert_eq!(small.predictions(), vec![-1; all as usize]);
    let proof = small.bounded(&["verify", "texts"]);
    assert_eq!(proof["versions"]["1"]["matching"], all, "{proof}");
    let unchanged = small.bounded(&["score", "texts"]);
    assert_eq!(unchanged["unchanged"]["1"], all, "{unchanged}");

    small.cql("DELETE FROM large.texts WHERE p = 1");
    let run = small.bounded(&["score", "texts"]);
    assert_eq!(run["orphaned"], ROWS, "{run}");
    assert_eq!(small.predictions().len(), 8 * FEW as usize);
}
