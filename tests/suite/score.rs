//! Runs: what is pending, what is written, what resumes, what is refused.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Model, Sandbox, cli, model::rejection};

mod asked;

/// A job over the biopsies, both versions of the demo's model, in a keyspace of its own.
struct Biopsies {
    sandbox: Sandbox,
    rows: usize,
}

impl Biopsies {
    fn new(test: &str) -> Self {
        Self::with_rules(test, "max_rejected = 5")
    }

    fn with_rules(test: &str, rules: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        let rows = Model::named("breast_cancer_lr").load(&sandbox);
        for name in ["breast_cancer_lr", "breast_cancer_lgbm"] {
            let push = Model::named(name).push_arguments("tumour");
            sandbox
                .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
                .ok();
        }
        let biopsies = Self { sandbox, rows };
        biopsies.create("[1, 2]", rules);
        biopsies
    }

    /// Another revision of the job.
    fn create(&self, versions: &str, rules: &str) {
        let manifest = format!(
            "job = \"tumour\"\nmodel = \"tumour\"\nversions = {versions}\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n[rules]\n{rules}\n",
            self.sandbox.data
        );
        let file = self.sandbox.file("tumour.toml", manifest);
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    fn score(&self, options: &[&str]) -> Value {
        self.sandbox
            .json(&[&["score", "tumour"], options].concat())
            .ok()
            .result()
    }

    fn predictions(&self) -> usize {
        self.sandbox
            .rows("SELECT id, model_version, label FROM {data}.tumour_predictions")
            .len()
    }

    fn runs(&self) -> Value {
        self.sandbox.json(&["run", "list", "tumour"]).ok().result()
    }
}

/// What a run counted for a version.
fn counts(run: &Value, version: &str) -> (u64, u64, u64) {
    let of = |outcome: &str| run[outcome][version].as_u64().unwrap_or(0);
    (of("scored"), of("unchanged"), of("rejected"))
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < until, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn only_rows_whose_values_changed_are_scored_again() {
    let biopsies = Biopsies::new("changed");
    let rows = biopsies.rows as u64;
    let first = biopsies.score(&[]);
    assert_eq!(first["state"], "succeeded");
    assert_eq!(counts(&first, "1"), (rows, 0, 0));
    assert_eq!(counts(&first, "2"), (rows, 0, 0));
    let shares = ["reading", "decoding", "scoring", "writing"].map(|of| first["time"][of].as_f64());
    let sum: f64 = shares.map(Option::unwrap).iter().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
    assert_eq!(biopsies.predictions() as u64, 2 * rows);
    let second = biopsies.score(&[]);
    assert_eq!(counts(&second, "1"), (0, rows, 0));
    biopsies
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 42");
    // A column that the job does not read makes nothing pending.
    biopsies
        .sandbox
        .cql("UPDATE {data}.biopsies SET diagnosis_truth = '?' WHERE id = 43");
    // The same value again makes nothing pending.
    biopsies
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 11.5 WHERE id = 42");
    let pending = biopsies.score(&["--dry-run"]);
    assert_eq!(pending["pending"]["1"], 1);
    assert_eq!(pending["unchanged"]["1"], rows - 1);
    let third = biopsies.score(&[]);
    assert_eq!(counts(&third, "1"), (1, rows - 1, 0));
    assert_eq!(counts(&third, "2"), (1, rows - 1, 0));
    let all = biopsies.score(&["--scope", "all"]);
    assert_eq!(counts(&all, "1"), (rows, 0, 0));
}

#[test]
fn one_write_in_flight_is_enough() {
    let biopsies = Biopsies::new("narrow");
    let mut command = biopsies
        .sandbox
        .command(&["score", "tumour", "--output", "json"]);
    command.env("HELENUS_CONCURRENCY", "1");
    let run = cli::run(command).ok().result();
    assert_eq!(counts(&run, "2"), (biopsies.rows as u64, 0, 0));
}

#[test]
fn a_killed_run_goes_on_under_the_same_command_with_exact_counts() {
    let biopsies = Biopsies::new("killed");
    let rows = biopsies.rows as u64;
    let slow = biopsies
        .sandbox
        .start(&["score", "tumour", "--max-rate", "400"]);
    wait_until("half of the predictions", || {
        biopsies.predictions() as u64 > rows / 2
    });
    slow.kill();
    let open = &biopsies.runs()[0];
    assert_eq!(open["state"], "running");
    let resumed = biopsies.score(&[]);
    assert_eq!(resumed["run_id"], open["run_id"]);
    assert_eq!(resumed["state"], "succeeded");
    assert_eq!(resumed["source_rows"], rows);
    assert_eq!(counts(&resumed, "1"), (rows, 0, 0));
    assert_eq!(biopsies.predictions() as u64, 2 * rows);
    let model = Model::named("breast_cancer_lr");
    model.assert_predictions(&biopsies.sandbox, "tumour_predictions", 1);
}

#[test]
fn ctrl_c_ends_in_order_and_says_how_to_resume() {
    let biopsies = Biopsies::new("interrupt");
    let rows = biopsies.rows as u64;
    let slow = biopsies
        .sandbox
        .start(&["score", "tumour", "--max-rate", "300"]);
    wait_until("some predictions", || biopsies.predictions() > 50);
    let ended = slow.interrupt().code(130);
    assert!(ended.stderr.contains("helenus score tumour"), "{ended:?}");
    let resumed = biopsies.score(&[]);
    assert_eq!(resumed["state"], "succeeded");
    assert_eq!(counts(&resumed, "2"), (rows, 0, 0));
    // What changed since that run began would be pending.
    assert_eq!(counts(&resumed["follow_up"], "2"), (0, rows, 0));
    assert_eq!(biopsies.runs().as_array().unwrap().len(), 2);
}

#[test]
fn a_second_score_joins_the_same_scope_and_conflicts_with_another() {
    let biopsies = Biopsies::new("second");
    let first =
        biopsies
            .sandbox
            .start(&["score", "tumour", "--max-rate", "100", "--output", "json"]);
    wait_until("an open run", || {
        let runs = biopsies.sandbox.json(&["run", "list", "tumour"]);
        runs.code == Some(0) && runs.result()[0]["state"] == "running"
    });
    let other = biopsies
        .sandbox
        .json(&["score", "tumour", "--scope", "all"])
        .code(4);
    let run_id = biopsies.runs()[0]["run_id"].as_str().unwrap().to_owned();
    assert!(
        other.error()["message"].as_str().unwrap().contains(&run_id),
        "{other:?}"
    );
    let joined = biopsies.score(&[]);
    assert_eq!(joined["run_id"], run_id.as_str());
    let first = first.finish().ok().result();
    assert_eq!(first["run_id"], run_id.as_str());
    assert_eq!(first["state"], "succeeded");
    assert_eq!(joined["follow_up"]["state"], "succeeded");
    assert_eq!(biopsies.runs().as_array().unwrap().len(), 2);
    assert_eq!(biopsies.predictions(), 2 * biopsies.rows);
}

#[test]
fn a_poison_row_loses_its_prediction_and_is_listed_with_its_reason() {
    let biopsies = Biopsies::new("poison");
    let rows = biopsies.rows as u64;
    biopsies.score(&[]);
    biopsies
        .sandbox
        .cql("DELETE mean_radius FROM {data}.biopsies WHERE id = 42");
    let run = biopsies.score(&[]);
    assert_eq!(run["state"], "succeeded");
    assert_eq!(counts(&run, "1"), (0, rows - 1, 1));
    let row = biopsies
        .sandbox
        .row("SELECT * FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 1");
    assert!(
        !row.contains_key("label") && !row.contains_key("p_malignant"),
        "{row:?}"
    );
    assert!(rejection(&row).unwrap().contains("mean radius"), "{row:?}");
    let listed = biopsies
        .sandbox
        .json(&["run", "rejected", "tumour"])
        .ok()
        .result();
    assert_eq!(listed[0]["key"]["id"], "42");
    // Unchanged, it stays rejected without being written again.
    let again = biopsies.score(&[]);
    assert_eq!(counts(&again, "1"), (0, rows - 1, 1));
    biopsies
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_radius = 12 WHERE id = 42");
    let healed = biopsies.score(&[]);
    assert_eq!(counts(&healed, "1"), (1, rows - 1, 0));
    let row = biopsies
        .sandbox
        .row("SELECT * FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 1");
    assert!(
        row.contains_key("label") && rejection(&row).is_none(),
        "{row:?}"
    );
}

#[test]
fn more_rejected_rows_than_the_rules_allow_fail_the_run() {
    let biopsies = Biopsies::with_rules("budget", "max_rejected = 2");
    for id in [1, 2] {
        biopsies.sandbox.cql(&format!(
            "DELETE mean_area FROM {{data}}.biopsies WHERE id = {id}"
        ));
    }
    assert_eq!(biopsies.score(&[])["state"], "succeeded");
    biopsies
        .sandbox
        .cql("DELETE mean_area FROM {data}.biopsies WHERE id = 3");
    let failed = biopsies.sandbox.json(&["score", "tumour"]).code(1);
    assert_eq!(failed.result()["state"], "failed");
    assert!(
        failed.error()["message"]
            .as_str()
            .unwrap()
            .contains("too_many_rejected"),
        "{failed:?}"
    );
    // The next run is not held up by it.
    biopsies
        .sandbox
        .cql("UPDATE {data}.biopsies SET mean_area = 800 WHERE id = 3");
    assert_eq!(biopsies.score(&[])["state"], "succeeded");
}

#[test]
fn predictions_without_a_source_row_are_counted_or_deleted() {
    let biopsies = Biopsies::new("orphans");
    biopsies.score(&[]);
    biopsies
        .sandbox
        .cql("DELETE FROM {data}.biopsies WHERE id = 42");
    assert_eq!(biopsies.score(&[])["orphaned"], 2);
    assert_eq!(biopsies.predictions(), 2 * biopsies.rows);
    biopsies.create("[1, 2]", "orphans = \"delete\"");
    assert_eq!(biopsies.score(&[])["orphaned"], 2);
    assert_eq!(biopsies.predictions(), 2 * (biopsies.rows - 1));
    assert_eq!(biopsies.score(&[])["orphaned"], 0);
}

#[test]
fn a_prediction_deleted_by_hand_comes_back() {
    let biopsies = Biopsies::new("healed");
    let rows = biopsies.rows as u64;
    biopsies.score(&[]);
    biopsies
        .sandbox
        .cql("DELETE FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 2");
    let run = biopsies.score(&[]);
    assert_eq!(counts(&run, "1"), (0, rows, 0));
    assert_eq!(counts(&run, "2"), (1, rows - 1, 0));
    assert_eq!(biopsies.predictions() as u64, 2 * rows);
}

#[test]
fn a_run_whose_writes_are_shadowed_by_a_delete_from_the_future_does_not_succeed() {
    let biopsies = Biopsies::new("shadowed");
    biopsies.score(&[]);
    let hour_ahead = chrono::Utc::now().timestamp_micros() + 3_600_000_000;
    for id in 1..=biopsies.rows {
        biopsies.sandbox.cql(&format!(
            "DELETE FROM {{data}}.tumour_predictions USING TIMESTAMP {hour_ahead} WHERE id = {id}"
        ));
    }
    let failed = biopsies.sandbox.json(&["score", "tumour"]).code(1);
    assert!(
        failed.error()["message"]
            .as_str()
            .unwrap()
            .contains("shadowed"),
        "{failed:?}"
    );
}

#[test]
fn each_prediction_names_its_model_run_and_time() {
    let biopsies = Biopsies::new("lineage");
    let run = biopsies.score(&[]);
    let row = biopsies.sandbox.row(
        "SELECT lineage.run_id AS run, lineage.model_sha256 AS sha, lineage.job_revision AS revision, lineage.input_hash AS hash FROM {data}.tumour_predictions WHERE id = 42 AND model_version = 2",
    );
    let run_id = uuid::Uuid::from(row["run"].as_timeuuid().unwrap());
    assert_eq!(run_id.to_string(), run["run_id"].as_str().unwrap());
    assert_eq!(
        hex::encode(row["sha"].as_blob().unwrap()),
        run["model_sha256"]["2"].as_str().unwrap()
    );
    assert_eq!(row["revision"].as_int(), Some(1));
    assert_eq!(row["hash"].as_blob().unwrap().len(), 16);
}

#[test]
fn keys_of_every_shape_are_walked_in_step_with_their_predictions() {
    let sandbox = Sandbox::shared("keys");
    sandbox.cql(
        "CREATE TABLE {data}.visits (\"Clinic\" text, ward int, amount decimal, at timestamp, note text static, x float, PRIMARY KEY ((\"Clinic\", ward), amount, at)) WITH CLUSTERING ORDER BY (amount DESC, at ASC)",
    );
    sandbox.cql(
        "INSERT INTO {data}.visits (\"Clinic\", ward, note) VALUES ('static only', 1, 'no row')",
    );
    let mut rows = 0;
    for clinic in ["", "north", "süd"] {
        for ward in 0..3 {
            if clinic.is_empty() && ward == 2 {
                continue;
            }
            for visit in 0..40 {
                sandbox.cql(&format!(
                    "INSERT INTO {{data}}.visits (\"Clinic\", ward, amount, at, x) VALUES ('{clinic}', {ward}, {}.50, {}, {visit})",
                    visit / 2,
                    visit % 2
                ));
                rows += 1;
            }
        }
    }
    let (model, job) = (sandbox.name("m"), sandbox.name("visits"));
    let identity = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");
    sandbox.helenus(&["model", "push", &model, identity]).ok();
    let manifest = sandbox.file(
        "visits.toml",
        format!("job = \"{job}\"\nmodel = \"{model}\"\nversions = [1]\n[source]\ntable = \"{}.visits\"\n", sandbox.data),
    );
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let first = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(first["source_rows"], rows);
    // The same decimal in another spelling is the same row.
    sandbox.cql("INSERT INTO {data}.visits (\"Clinic\", ward, amount, at, x) VALUES ('north', 1, 3.500, 0, 6)");
    let second = sandbox.json(&["score", &job]).ok().result();
    assert_eq!(counts(&second, "1"), (0, rows, 0));
    assert_eq!(second["orphaned"], 0);
    let predictions = sandbox.rows(&format!(
        "SELECT CAST(amount AS double) AS amount, toUnixTimestamp(at) AS at, y FROM {{data}}.{job}_predictions"
    ));
    assert_eq!(predictions.len() as u64, rows);
    for row in predictions {
        let visit = 2.0 * row["amount"].as_double().unwrap().floor()
            + row["at"].as_bigint().unwrap() as f64;
        assert_eq!(f64::from(row["y"].as_float().unwrap()), visit, "{row:?}");
    }
}
