//! A job on which faults are let loose, and what must hold after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};

use helenus::{
    codec::ring::{self, TokenRange},
    domain::run::{Counts, Run, RunState},
    engine::run::close::read_splits,
    store::runs::splits::SplitState,
};
use scylla::value::CqlValue;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    support::{
        Sandbox, block_on,
        cassandra::session,
        cli::{self, Output, Running},
        model::{insert_json, rejection},
    },
    trail::Trail,
};

/// y = x.
pub const IDENTITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");

/// Job `visits` over table `visits (id int PRIMARY KEY, x float)`; versions 1 and 2 of its model
/// give y = x, so every prediction's right value is known. The lease time is two seconds.
pub struct Stage {
    pub sandbox: Sandbox,
    trail: Trail,
}

impl Stage {
    /// With ids from 0 and x = id.
    pub fn new(test: &str, rows: i32) -> Self {
        Self::with_rules(test, rows, "")
    }

    /// With lines of the manifest's `[rules]`.
    pub fn with_rules(test: &str, rows: i32, rules: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, note text)");
        let stage = Self {
            trail: Trail::follow(&sandbox.keyspace),
            sandbox,
        };
        stage.insert(0..rows);
        for _ in 0..2 {
            stage
                .sandbox
                .helenus(&["model", "push", "identity", IDENTITY])
                .ok();
        }
        stage.create("visits", "[1, 2]", rules);
        stage
    }

    /// Inserts rows with x = id.
    pub fn insert(&self, ids: impl Iterator<Item = i32>) {
        self.set(ids.map(|id| (id, id as f32)));
    }

    /// Gives rows their values.
    pub fn set(&self, values: impl Iterator<Item = (i32, f32)>) {
        let rows: Vec<String> = values
            .map(|(id, x)| format!("{{\"id\": {id}, \"x\": {x}}}"))
            .collect();
        insert_json(&format!("\"{}\".visits", self.sandbox.data), &rows);
    }

    /// A job over `visits`, or its next revision.
    pub fn create(&self, job: &str, versions: &str, rules: &str) {
        let manifest = self.sandbox.file(
            &format!("{job}.toml"),
            format!(
                "job = \"{job}\"\nmodel = \"identity\"\nversions = {versions}\n[source]\ntable = \"{}.visits\"\n[rules]\n{rules}\n",
                self.sandbox.data
            ),
        );
        self.sandbox
            .helenus(&["job", "create", manifest.to_str().unwrap()])
            .ok();
    }

    /// helenus with small batches, so that a split is several writes.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command
            .args(["--output", "json"])
            .env("HELENUS_BATCH_ROWS", "10")
            .env("HELENUS_REQUEST_TIMEOUT", "5s");
        command
    }

    pub fn score(&self) -> Output {
        cli::run(self.command(&["score", "visits"]))
    }

    /// Starts a command that comes to a failpoint.
    pub fn start_with(&self, arguments: &[&str], failpoints: &str) -> Running {
        let mut command = self.command(arguments);
        command.env("HELENUS_FAILPOINTS", failpoints);
        Running::start(command)
    }

    /// Runs a command that a failpoint kills.
    #[track_caller]
    pub fn killed(&self, arguments: &[&str], failpoints: &str) {
        let output = self.start_with(arguments, failpoints).finish();
        assert_eq!(output.code, None, "{failpoints} was not met: {output:#?}");
        assert!(output.stderr.contains("failpoint "), "{output:#?}");
    }

    /// Starts a command and waits until a failpoint has frozen it.
    #[track_caller]
    pub fn frozen(&self, arguments: &[&str], failpoints: &str) -> Running {
        let mut running = self.start_with(arguments, failpoints);
        wait_until(&format!("frozen by {failpoints}"), || {
            assert!(running.is_running(), "{failpoints} was not met");
            is_stopped(running.pid())
        });
        running
    }

    pub fn runs(&self, job: &str) -> Vec<Run> {
        block_on(async { self.sandbox.store().await.runs(job, 1_000).await.unwrap() })
    }

    /// The newest run.
    pub fn newest(&self) -> Run {
        self.runs("visits").into_iter().next().unwrap()
    }

    /// Key → x of the source.
    pub fn source(&self) -> BTreeMap<i32, Option<f32>> {
        let rows = self.sandbox.rows("SELECT id, x FROM {data}.visits");
        rows.iter()
            .map(|row| {
                let x = row.get("x").map(|x| x.as_float().unwrap());
                (row["id"].as_int().unwrap(), x)
            })
            .collect()
    }

    pub fn predictions(&self, job: &str) -> Vec<Prediction> {
        // In parts, each of which Cassandra reads whatever has expired in it.
        let parts = ring::split(TokenRange::WHOLE, &[], 32);
        let rows = parts.into_iter().flat_map(|part| {
            self.sandbox.rows(&format!(
                "SELECT id, model_version, y, lineage FROM {{data}}.{job}_predictions WHERE token(id) > {} AND token(id) <= {}",
                part.after, part.up_to
            ))
        });
        rows.map(|row| Prediction {
            id: row["id"].as_int().unwrap(),
            version: row["model_version"].as_int().unwrap(),
            y: row.get("y").map(|y| y.as_float().unwrap()),
            run_id: run_of(&row["lineage"]),
            rejected: rejection(&row),
        })
        .collect()
    }

    /// How many predictions of `visits` there are; 0 while the table is on its way.
    pub fn try_predictions(&self) -> usize {
        let select = format!(
            "SELECT id FROM \"{}\".visits_predictions",
            self.sandbox.data
        );
        block_on(async {
            let result = session().query_unpaged(select, ()).await.ok()?;
            Some(result.into_rows_result().ok()?.rows_num())
        })
        .unwrap_or(0)
    }

    /// What a command that ended well says of its run, which must be whole.
    #[track_caller]
    pub fn assert_succeeded(&self, output: Output) -> Run {
        let result = output.ok().result();
        assert_eq!(result["state"], "succeeded", "{result}");
        let run = self.run("visits", &result);
        self.assert_whole(&run);
        run
    }

    /// The run that a command's result names.
    pub fn run(&self, job: &str, result: &Value) -> Run {
        let id: Uuid = result["run_id"].as_str().unwrap().parse().unwrap();
        let mut runs = self.runs(job).into_iter();
        runs.find(|run| run.run_id == id).unwrap()
    }

    /// The invariants, for the newest run of a job that nobody works on any more, whose source has
    /// not changed since.
    #[track_caller]
    pub fn assert_whole(&self, run: &Run) {
        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
        let source = self.source();
        self.assert_predictions_of(run, &source);
        let splits = block_on(async {
            let store = self.sandbox.store().await;
            read_splits(&store, run).await.unwrap()
        });
        assert_eq!(splits.len() as i32, run.splits_total, "{run:?}");
        assert_eq!(run.splits_done, run.splits_total, "{run:?}");
        let mut counts = Counts::default();
        for version in &run.versions {
            for map in [
                &mut counts.scored,
                &mut counts.unchanged,
                &mut counts.rejected,
            ] {
                map.insert(*version, 0);
            }
        }
        for split in splits {
            let split = split.expect("a split that nobody claimed");
            assert_eq!(split.state, SplitState::Done, "{split:?}");
            counts.add(&split.counts);
        }
        assert_eq!(counts, run.counts);
        self.trail.assert_orderly();
    }

    fn assert_predictions_of(&self, run: &Run, source: &BTreeMap<i32, Option<f32>>) {
        assert_eq!(run.counts.source_rows as usize, source.len(), "{run:?}");
        let predictions = self.predictions(&run.job);
        for version in &run.versions {
            let mine: Vec<_> = predictions
                .iter()
                .filter(|prediction| prediction.version == *version)
                .collect();
            let keys: BTreeSet<i32> = mine.iter().map(|prediction| prediction.id).collect();
            let missing: Vec<_> = source.keys().filter(|id| !keys.contains(id)).collect();
            assert!(missing.is_empty(), "no predictions of {missing:?}");
            let strange: Vec<_> = keys.iter().filter(|id| !source.contains_key(id)).collect();
            assert!(strange.is_empty(), "predictions of no row: {strange:?}");
            assert_eq!(keys.len(), mine.len(), "twice");
            for prediction in &mine {
                let x = source[&prediction.id];
                assert_eq!(prediction.y, x, "{prediction:?}");
                assert_eq!(prediction.rejected.is_some(), x.is_none(), "{prediction:?}");
            }
            let scored = mine.iter().filter(|p| p.y.is_some());
            let here = scored.clone().filter(|p| p.run_id == run.run_id).count();
            let rejected = mine.len() - scored.clone().count();
            let recount = (here, scored.count() - here, rejected);
            let of = |map: &BTreeMap<i32, u64>| map[version] as usize;
            let counted = (
                of(&run.counts.scored),
                of(&run.counts.unchanged),
                of(&run.counts.rejected),
            );
            assert_eq!(counted, recount, "version {version}: {run:?}");
        }
        let versions: BTreeSet<i32> = self
            .runs(&run.job)
            .into_iter()
            .flat_map(|run| run.versions)
            .collect();
        let strangers = predictions
            .iter()
            .find(|prediction| !versions.contains(&prediction.version));
        assert!(strangers.is_none(), "{strangers:?}");
    }
}

/// A row of the prediction table.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    pub id: i32,
    pub version: i32,
    pub y: Option<f32>,
    pub run_id: Uuid,
    pub rejected: Option<String>,
}

/// The failpoint that kills at a place, at its first visit unless the place says at which.
pub fn kill_at(place: &str) -> String {
    match place.contains('=') {
        true => place.to_owned(),
        false => format!("{place}=kill"),
    }
}

fn run_of(lineage: &CqlValue) -> Uuid {
    let CqlValue::UserDefinedType { fields, .. } = lineage else {
        panic!("no lineage: {lineage:?}");
    };
    let field = fields.iter().find(|(name, _)| name == "run_id").unwrap();
    field.1.as_ref().unwrap().as_timeuuid().unwrap().into()
}

/// Whether a process was stopped by a signal (proc(5), field 3 of stat).
pub fn is_stopped(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(')')?.1.trim_start().starts_with('T')))
        .unwrap_or(false)
}

/// Fails the test when it does not come about in a minute.
#[track_caller]
pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_for(Duration::from_secs(60), what, done);
}

/// As [`wait_until`], with another patience.
#[track_caller]
pub fn wait_for(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < until, "{what}: did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}
