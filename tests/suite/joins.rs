//! Requests for what an open run already does: the run may have passed rows that changed before.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Sandbox, cli::Running, model::insert_json};

const IDENTITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");
const ROWS: i32 = 2_400;

/// Job `visits` over ids from 0 with x = id; its model gives y = x.
struct Visits(Sandbox);

impl Visits {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float)");
        let rows: Vec<String> = (0..ROWS)
            .map(|id| format!("{{\"id\": {id}, \"x\": {id}}}"))
            .collect();
        insert_json(&format!("{}.visits", sandbox.data), &rows);
        sandbox
            .helenus(&["model", "push", "identity", IDENTITY])
            .ok();
        let manifest = format!(
            "job = \"visits\"\nmodel = \"identity\"\nversions = [1]\n[source]\ntable = \"{}.visits\"\n",
            sandbox.data
        );
        let file = sandbox.file("visits.toml", manifest);
        sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
        Self(sandbox)
    }

    /// A run that takes some seconds and has passed the row that is given back.
    fn passed(&self) -> (Running, i32) {
        let slow = ["score", "visits", "--scope", "all", "--max-rate", "200"];
        let slow = self.0.start(&slow);
        let mut passed = None;
        wait_until("a prediction", || {
            if self.runs().iter().any(|run| run["state"] == "running") {
                let rows = self.0.rows("SELECT id FROM {data}.visits_predictions");
                passed = rows.first().map(|row| row["id"].as_int().unwrap());
            }
            passed.is_some()
        });
        (slow, passed.unwrap())
    }

    fn change(&self, id: i32, x: f32) {
        self.0.cql(&format!(
            "UPDATE {{data}}.visits SET x = {x} WHERE id = {id}"
        ));
    }

    fn prediction(&self, id: i32) -> f32 {
        let rows = self.0.rows(&format!(
            "SELECT y FROM {{data}}.visits_predictions WHERE id = {id}"
        ));
        rows[0]["y"].as_float().unwrap()
    }

    /// A busy machine may keep an owner from its heartbeat: whoever takes its split over scores all of
    /// the split's rows again.
    fn rows_of_splits_taken_over(&self, run: &str) -> i64 {
        let splits = self
            .0
            .rows("SELECT run_id, epoch, source_rows FROM {helenus}.splits");
        splits
            .iter()
            .filter(|split| {
                let of = uuid::Uuid::from(split["run_id"].as_timeuuid().unwrap());
                of.to_string() == run && split["epoch"].as_int() > Some(1)
            })
            .map(|split| split["source_rows"].as_bigint().unwrap())
            .sum()
    }

    fn runs(&self) -> Vec<Value> {
        let runs = self.0.json(&["run", "list", "visits"]);
        match runs.code {
            Some(0) => runs.result().as_array().unwrap().clone(),
            // There is none yet.
            _ => Vec::new(),
        }
    }

    fn ask(&self, scope: &str) {
        self.0.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id, job, scope) VALUES (toDate(now()), now(), 'visits', '{scope}')"
        ));
    }

    /// Answer and run of each request that has one.
    fn answers(&self) -> Vec<(String, String)> {
        let rows = self.0.rows("SELECT answer, run_id FROM {helenus}.answers");
        rows.iter()
            .map(|row| {
                let run = uuid::Uuid::from(row["run_id"].as_timeuuid().unwrap());
                (row["answer"].as_text().unwrap().clone(), run.to_string())
            })
            .collect()
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_score_that_joins_scores_what_the_run_had_passed() {
    let visits = Visits::new("join_passed");
    let (slow, id) = visits.passed();
    visits.change(id, 1_000_000.0);
    let joining = visits.0.json(&["score", "visits", "--scope", "all"]).ok();
    slow.finish().ok();
    assert_eq!(visits.prediction(id), 1_000_000.0);
    let result = joining.result();
    let follow_up = &result["follow_up"];
    assert_eq!(result["state"], "succeeded", "{result}");
    assert_eq!(follow_up["state"], "succeeded", "{result}");
    assert_eq!(follow_up["scope"], "pending", "{result}");
    let scored = follow_up["scored"]["1"].as_i64().unwrap();
    let follow_up_id = follow_up["run_id"].as_str().unwrap();
    let rewritten = visits.rows_of_splits_taken_over(follow_up_id);
    assert!(scored <= 1 + rewritten, "{rewritten} rewritten: {result}");
    assert_ne!(follow_up["run_id"], result["run_id"]);
    assert!(joining.stderr.contains(follow_up_id), "{joining:?}");
    assert_eq!(visits.runs().len(), 2);
}

#[test]
fn requests_that_wait_for_a_run_share_the_one_after_it() {
    let visits = Visits::new("join_share");
    let (slow, id) = visits.passed();
    visits.change(id, 7_000.0);
    let worker = visits.0.start(&["worker"]);
    (0..3).for_each(|_| visits.ask("all"));
    // The command's own request is answered.
    let waiting = || {
        let status = visits.0.json(&["status"]).ok().result();
        status["waiting"].as_array().unwrap().clone()
    };
    wait_until("requests that wait", || waiting().len() == 3);
    let open = visits.runs()[0]["run_id"].clone();
    let all_told = waiting().iter().all(|request| request["behind"] == open);
    assert!(all_told, "{:?}", waiting());
    slow.finish().ok();
    wait_until("all answers", || visits.answers().len() == 4);
    wait_until("the end of the second run", || {
        visits.runs().iter().all(|run| run["state"] == "succeeded")
    });
    worker.signal("TERM");
    worker.finish().ok();
    assert_eq!(visits.prediction(id), 7_000.0);
    let mut answers = visits.answers();
    answers.retain(|(_, run)| open != run.as_str());
    answers.sort();
    let said: Vec<&str> = answers.iter().map(|answer| answer.0.as_str()).collect();
    assert_eq!(said, ["accepted", "joined", "joined"], "{answers:?}");
    assert!(answers.iter().all(|answer| answer.1 == answers[0].1));
    let runs = visits.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0]["scope"], "pending", "{runs:?}");
    let rewritten = visits.rows_of_splits_taken_over(runs[0]["run_id"].as_str().unwrap());
    let scored = runs[0]["scored"]["1"].as_i64().unwrap();
    assert!(scored <= 1 + rewritten, "{rewritten} rewritten: {runs:?}");
}

#[test]
fn a_request_that_waited_for_a_cancelled_run_ends_with_it() {
    let visits = Visits::new("join_cancelled");
    let (slow, _) = visits.passed();
    let joining = visits
        .0
        .start(&["score", "visits", "--scope", "all", "--output", "json"]);
    // It shows in `status` before its own command has looked at the open run.
    wait_until("a command that joins", || {
        joining.stderr_so_far().contains("joins run")
    });
    let status = visits.0.json(&["status"]).ok().result();
    assert_eq!(status["waiting"].as_array().unwrap().len(), 1, "{status}");
    let open = visits.runs()[0]["run_id"].as_str().unwrap().to_owned();
    visits.0.helenus(&["run", "cancel", "visits", &open]).ok();
    slow.finish().code(1);
    let joined = joining.finish().code(1);
    assert_eq!(joined.result()["state"], "cancelled", "{joined:?}");
    assert_eq!(visits.runs().len(), 1);
    let joined = ("joined".to_owned(), open);
    assert!(visits.answers().contains(&joined));
}
