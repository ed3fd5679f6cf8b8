//! Experiments: who is served what, and what the numbers say about it.

use std::collections::BTreeMap;

use helenus::domain::evidence::experiment::allocation::bucket;
use serde_json::{Value, json};

use crate::support::{Sandbox, Served, biopsies::Biopsies, cli};

const ROWS: i32 = 400;

/// Table `visits` with a patient for every two rows, and model `scores`: version 1 says x, version 2
/// always the same. Scored, with a table of current predictions; version 1 is the champion.
struct Visits {
    sandbox: Sandbox,
}

const MANIFEST: &str = r#"
job = "visits"
model = "scores"
versions = ["champion", 2]
[source]
table = "{data}.visits"
[features]
x = "x"
[outputs]
current = true
[rules]
max_rejected = "100%"
guard = false
"#;

impl Visits {
    fn scored(test: &str, manifest: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql(
            "CREATE TABLE {data}.visits (id int PRIMARY KEY, x float, patient_id text, ward text)",
        );
        sandbox.cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, paid boolean, y double, known_at timestamp)");
        for id in 0..ROWS {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.visits (id, x, patient_id, ward) VALUES ({id}, {}, 'p{}', '{}')",
                id % 7,
                id / 2,
                if id % 2 == 0 { "east" } else { "west" }
            ));
        }
        for model in ["identity", "constant"] {
            let file = format!("{}/tests/models/{model}.onnx", env!("CARGO_MANIFEST_DIR"));
            sandbox.helenus(&["model", "push", "scores", &file]).ok();
        }
        let promote = ["model", "promote", "scores", "1", "--why", "test"];
        sandbox.helenus(&promote).ok();
        let visits = Self { sandbox };
        visits.create(manifest).ok();
        visits.sandbox.helenus(&["score", "visits"]).ok();
        visits
    }

    fn create(&self, manifest: &str) -> cli::Output {
        let file = self
            .sandbox
            .file("visits.toml", self.sandbox.filled(manifest));
        self.sandbox
            .json(&["job", "create", file.to_str().unwrap()])
    }

    fn start(&self, name: &str, more: &[&str]) -> cli::Output {
        let labels = format!("{}.outcomes.paid", self.sandbox.data);
        let words = [
            &[
                "experiment",
                "start",
                "visits",
                name,
                "--arm",
                "a=champion@0.5",
                "--arm",
                "b=2@0.5",
            ][..],
            &["--metric", "mean", "--labels", &labels, "--ends", "14d"],
            more,
        ];
        self.sandbox.json(&words.concat())
    }

    fn worker(&self) {
        let pass = self.sandbox.json(&["worker", "--once"]).ok().json();
        assert_eq!(pass["warnings"], json!([]), "{pass}");
    }

    /// Looks at an experiment now.
    fn look(&self, name: &str) -> Value {
        let words = ["experiment", "show", "visits", name, "--look"];
        let shown = self.sandbox.json(&words).ok().result();
        shown["look"].clone()
    }

    /// Entity → version and arm in the table of current predictions.
    fn current(&self) -> BTreeMap<i32, (i32, Option<String>)> {
        let rows = self
            .sandbox
            .rows("SELECT id, model_version, lineage.arm AS arm FROM {data}.visits_current");
        let told = rows.iter().map(|row| {
            let arm = row.get("arm").and_then(|arm| arm.as_text()).cloned();
            let version = row["model_version"].as_int().unwrap();
            (row["id"].as_int().unwrap(), (version, arm))
        });
        told.collect()
    }

    /// The current table is what verify expects of it.
    fn verify(&self) {
        let words = ["verify", "visits", "--coverage"];
        let verified = self.sandbox.json(&words).ok().result();
        let current = &verified["coverage"]["current"];
        for wrong in ["other_version", "differing", "extra", "missing"] {
            assert_eq!(current[wrong], 0, "{verified}");
        }
    }
}

/// The arm that the published function gives: halves, by the key or by a patient.
fn arm(salt: &str, unit: &[u8]) -> (i32, Option<String>) {
    let name = salt.split('/').next().unwrap();
    match bucket(salt, unit, &mut Vec::new()) < 5_000 {
        true => (1, Some(format!("{name}/a"))),
        false => (2, Some(format!("{name}/b"))),
    }
}

#[test]
fn current_http_explain_and_lineage_agree_and_follow_start_change_and_stop() {
    let visits = Visits::scored("experiment_served", MANIFEST);
    let started = visits.start("by_key", &[]).ok().result();
    assert_eq!(started["state"], "running", "{started}");
    assert_eq!(started["arms"]["b"], json!({"version": 2, "share": 0.5}));
    visits.worker();
    let current = visits.current();
    assert_eq!(current.len(), ROWS as usize);
    for (id, served) in &current {
        assert_eq!(*served, arm("by_key/1", &id.to_be_bytes()), "{id}");
    }
    let second = current.values().filter(|served| served.0 == 2).count();
    assert!((150..250).contains(&second), "{second}");
    visits.verify();

    // HTTP by key and by given rows, and explain.
    let served = Served::start(&visits.sandbox, &["visits"]);
    for id in 0..8 {
        let (version, arm) = &current[&id];
        let reply = served.get(&format!("/v1/jobs/visits/predictions/{id}"));
        let view = reply.status(200).json();
        assert_eq!(view["predictions"].as_array().unwrap().len(), 1, "{view}");
        let prediction = &view["predictions"][0];
        assert_eq!(prediction["version"], *version, "{view}");
        assert_eq!(prediction["lineage"]["arm"], json!(arm), "{view}");
        let explained = visits
            .sandbox
            .json(&["explain", "visits", &id.to_string()])
            .ok()
            .result();
        assert_eq!(explained["served"], json!({"version": version, "arm": arm}));
    }
    let rows: Vec<Value> = (0..8).map(|id| json!({"id": id, "x": 3})).collect();
    let rows = [rows, vec![json!({"x": 3})]].concat();
    let body = json!({"rows": rows});
    let reply = served.post("/v1/jobs/visits/score", &body);
    let answer = reply.status(200).json();
    for id in 0..8 {
        let prediction = &answer["rows"][id as usize]["predictions"][0];
        let (version, arm) = &current[&id];
        assert_eq!(prediction["version"], *version, "{answer}");
        assert_eq!(prediction["lineage"]["arm"], json!(arm), "{answer}");
    }
    // Without its key a row is in no arm.
    let without = &answer["rows"][8]["predictions"][0];
    assert_eq!(
        (&without["version"], &without["lineage"]["arm"]),
        (&json!(1), &Value::Null)
    );

    // A row that is scored again keeps its arm; the prediction table names it, too.
    visits
        .sandbox
        .cql("UPDATE {data}.visits SET x = 100 WHERE id = 5");
    visits.sandbox.helenus(&["score", "visits"]).ok();
    assert_eq!(visits.current()[&5], current[&5]);
    let stored = visits
        .sandbox
        .rows("SELECT lineage.arm AS arm FROM {data}.visits_predictions WHERE id = 5");
    assert_eq!(stored.len(), 2);
    for row in stored {
        assert_eq!(row["arm"].as_text().cloned(), current[&5].1);
    }
    visits.verify();

    // A change is a new revision with other salts, here by patient.
    let running = visits.start("by_key", &[]).code(4).json();
    assert_eq!(running["error"]["code"], "experiment.running", "{running}");
    let changed = visits.start("by_key", &["--change", "--unit", "patient_id"]);
    assert_eq!(changed.ok().result()["revision"], 2);
    visits.worker();
    let current = visits.current();
    for (id, served) in &current {
        let patient = format!("p{}", id / 2);
        assert_eq!(*served, arm("by_key/2", patient.as_bytes()), "{id}");
    }
    visits.verify();
    let states = visits
        .sandbox
        .rows("SELECT revision, state FROM {helenus}.experiment_status");
    let states: Vec<_> = states
        .iter()
        .map(|row| {
            (
                row["revision"].as_int().unwrap(),
                row["state"].as_text().unwrap().clone(),
            )
        })
        .collect();
    let expected = [(2, "running"), (1, "superseded")];
    assert_eq!(
        states,
        expected.map(|(revision, state)| (revision, state.to_owned()))
    );

    // A promotion moves only the rows of no arm; stopping gives all rows to the champion.
    let stopped = visits
        .sandbox
        .json(&["experiment", "stop", "visits", "by_key"])
        .ok()
        .result();
    assert_eq!(stopped["state"], "stopped");
    visits.worker();
    assert!(visits.current().values().all(|served| *served == (1, None)));
    visits.verify();
    let over = visits
        .sandbox
        .json(&["experiment", "stop", "visits", "by_key"])
        .code(4)
        .json();
    assert_eq!(over["error"]["code"], "experiment.over");
    served.stop().ok();
}

#[test]
fn rows_without_a_unit_or_outside_of_the_traffic_are_the_champions() {
    let visits = Visits::scored("experiment_outside", MANIFEST);
    visits
        .sandbox
        .cql("INSERT INTO {data}.visits (id, x) VALUES (1000, 1)");
    visits.sandbox.helenus(&["score", "visits"]).ok();
    let more = ["--unit", "patient_id", "--traffic", "0.4"];
    visits.start("some", &more).ok();
    visits.worker();
    let current = visits.current();
    assert_eq!(current[&1000], (1, None));
    for (id, served) in current.iter().filter(|(id, _)| **id < ROWS) {
        let patient = format!("p{}", id / 2);
        let takes_part = bucket("some/1/traffic", patient.as_bytes(), &mut Vec::new()) < 4_000;
        let expected = match takes_part {
            true => arm("some/1", patient.as_bytes()),
            false => (1, None),
        };
        assert_eq!(*served, expected, "{id}");
    }
    let look = visits.look("some");
    assert_eq!(look["without_unit"], 1, "{look}");
    let outside = current.values().filter(|served| served.1.is_none()).count() - 1;
    assert_eq!(look["outside"], outside, "{look}");
    // Units are counted, not rows.
    let assigned = &look["counts"]["assigned"];
    let units = assigned["a"].as_u64().unwrap() + assigned["b"].as_u64().unwrap();
    assert_eq!(units as usize * 2, ROWS as usize - outside, "{look}");
    let warnings = look["warnings"].to_string();
    assert!(warnings.contains("without_unit: 1 rows"), "{warnings}");
    visits.verify();
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let visits = Visits::scored("experiment_refused", MANIFEST);
    let refused = |more: &[&str]| {
        let json = visits.start("odd", more).code(2).json();
        json["error"].to_string()
    };
    let error = refused(&["--arm", "c=2@0.4"]);
    assert!(
        error.contains("the shares sum to 1.4; they must sum to 1"),
        "{error}"
    );
    let error = refused(&["--unit", "patients"]);
    assert!(error.contains("has no column `patients`"), "{error}");
    let error = refused(&["--label-time", "paid"]);
    assert!(error.contains("`paid` has type boolean"), "{error}");
    let error = refused(&["--covariate", "z"]);
    assert!(error.contains("there is no output column `z`"), "{error}");
    let labels = format!("{}.outcomes.y", visits.sandbox.data);
    let start = |arms: [&str; 2]| {
        let words = [
            &[
                "experiment",
                "start",
                "visits",
                "odd",
                "--arm",
                arms[0],
                "--arm",
                arms[1],
            ][..],
            &["--metric", "mean", "--labels", &labels, "--ends", "14d"],
        ];
        let json = visits.sandbox.json(&words.concat()).code(2).json();
        json["error"].to_string()
    };
    let error = start(["a=champion", "b=3"]);
    assert!(
        error.contains("arm `b`: job `visits` does not score version 3"),
        "{error}"
    );
    let error = start(["a=champion", "b=challenger"]);
    assert!(
        error.contains("no version of model `scores` is `challenger`"),
        "{error}"
    );
    // A shadow is scored, but neither served nor an arm.
    visits
        .create(&MANIFEST.replace("[\"champion\", 2]", "[\"champion\"]\nshadow = [2]"))
        .ok();
    visits.sandbox.helenus(&["score", "visits"]).ok();
    let error = start(["a=champion", "b=2"]);
    assert!(
        error.contains("version 2 is a shadow of job `visits`"),
        "{error}"
    );
    let rows = visits
        .sandbox
        .rows("SELECT id FROM {data}.visits_predictions WHERE model_version = 2 ALLOW FILTERING");
    assert_eq!(rows.len(), ROWS as usize);
    let served = Served::start(&visits.sandbox, &["visits"]);
    let reply = served
        .get("/v1/jobs/visits/predictions/1?version=2")
        .status(400)
        .json();
    assert!(reply.to_string().contains("does not score `2`"), "{reply}");
    served.stop().ok();
    // Rows by CQL get the same answers, and other experiments go on.
    visits.sandbox.cql("INSERT INTO {helenus}.experiments (job, name, revision, shares) VALUES ('visits', 'empty', 1, {'a': 1.0})");
    visits.worker();
    let row = visits.sandbox.row("SELECT state, reason FROM {helenus}.experiment_status WHERE job = 'visits' AND name = 'empty'");
    assert_eq!(row["state"].as_text().unwrap(), "refused");
    let reason = row["reason"].as_text().unwrap();
    for part in [
        "there is no arm `a`",
        "no metric is named",
        "no planned end",
    ] {
        assert!(reason.contains(part), "{reason}");
    }
    let status = visits.sandbox.json(&["status"]).ok().json();
    assert!(
        status["warnings"]
            .to_string()
            .contains("experiment `empty` of job `visits` is refused")
    );
    // A version that an experiment uses is not retired.
    visits.create(MANIFEST).ok();
    visits.start("uses", &[]).ok();
    let retire = ["model", "retire", "scores", "2", "--why", "test"];
    let error = visits.sandbox.json(&retire).code(4).json()["error"].to_string();
    assert!(error.contains("arm `b` of experiment `uses`"), "{error}");
}

#[test]
fn rejected_rows_that_differ_by_arm_are_a_sample_ratio_mismatch() {
    let biopsies = Biopsies::scored("experiment_srm");
    let sandbox = &biopsies.sandbox;
    sandbox
        .helenus(&["model", "promote", "tumour", "1", "--why", "test"])
        .ok();
    let manifest = "job = \"tumour\"\nmodel = \"tumour\"\nversions = [\"champion\", 2]\n[source]\ntable = \"{data}.biopsies\"\n[outputs]\npositive = \"malignant\"\n[rules]\nmax_rejected = \"100%\"\n";
    let file = sandbox.file("lossy.toml", sandbox.filled(manifest));
    sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
    sandbox.cql("CREATE TABLE {data}.stays (id int PRIMARY KEY, days int)");
    let ids = sandbox.rows("SELECT id FROM {data}.biopsies");
    let ids: Vec<i32> = ids.iter().map(|row| row["id"].as_int().unwrap()).collect();
    for id in &ids {
        sandbox.cql(&format!(
            "INSERT INTO {{data}}.stays (id, days) VALUES ({id}, {})",
            id % 7
        ));
    }
    let labels = sandbox.filled("{data}.stays.days");
    let words = [
        &[
            "experiment",
            "start",
            "tumour",
            "lossy",
            "--arm",
            "lr=champion",
            "--arm",
            "trees=2",
        ][..],
        &[
            "--metric", "mean", "--better", "lower", "--labels", &labels, "--ends", "14d",
        ],
    ];
    sandbox.json(&words.concat()).ok();
    let show = || {
        let words = ["experiment", "show", "tumour", "lossy", "--look"];
        sandbox.json(&words).ok().result()["look"].clone()
    };
    let look = show();
    assert_eq!(look["verdict"], "running", "{look}");
    for stage in ["assigned", "scored", "labelled"] {
        let p = look["sample_ratio"][stage]["p"].as_f64().unwrap();
        assert!(p > 0.001, "{look}");
    }
    // A NaN is a missing value to the trees; the logistic regression gives NaN, which is rejected.
    for id in ids.iter().step_by(2) {
        sandbox.cql(&format!(
            "UPDATE {{data}}.biopsies SET mean_radius = NaN WHERE id = {id}"
        ));
    }
    biopsies.score();
    let look = show();
    assert_eq!(look["verdict"], "srm", "{look}");
    let reason = look["reason"].as_str().unwrap();
    assert!(reason.contains("scored units"), "{look}");
    assert_eq!(look["verdicts"], json!({"trees": "srm"}));
    let p = |stage: &str| look["sample_ratio"][stage]["p"].as_f64().unwrap();
    assert!(p("assigned") > 0.001 && p("scored") < 0.001, "{look}");
    let status = sandbox.json(&["status"]).ok().json();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("rows are lost in one arm"), "{warnings}");
    // The worker's own look alarms, until the experiment is over.
    let alarms = || {
        for _ in 0..2 {
            sandbox.helenus(&["worker", "--once"]);
        }
        let listed = sandbox.json(&["alarm", "list"]).ok().result();
        let alarms = listed["alarms"].as_array().unwrap().clone();
        let mismatch = |alarm: &&Value| alarm["kind"] == "sample_ratio_mismatch";
        alarms.iter().filter(mismatch).cloned().collect::<Vec<_>>()
    };
    let open = alarms();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["subject"], "lossy");
    assert!(
        open[0]["what"].to_string().contains("scored units"),
        "{open:?}"
    );
    sandbox
        .json(&["experiment", "stop", "tumour", "lossy"])
        .ok();
    assert_eq!(alarms(), [Value::Null; 0]);
}

/// Both read a column that is no feature: neither may take the other's.
#[test]
fn a_segment_of_drift_and_the_unit_of_an_experiment_go_together() {
    let manifest = format!("{MANIFEST}[drift]\nsegment = \"ward\"\n");
    let visits = Visits::scored("experiment_segment", &manifest);
    visits.start("both", &["--unit", "patient_id"]).ok();
    // The first run gives the bins, the second counts its segments, the third compares them.
    for _ in 0..2 {
        visits
            .sandbox
            .helenus(&["score", "visits", "--scope", "all"])
            .ok();
    }
    visits.worker();
    for (id, served) in visits.current() {
        let patient = format!("p{}", id / 2);
        assert_eq!(served, arm("both/1", patient.as_bytes()), "{id}");
    }
    let report = visits.sandbox.json(&["drift", "visits"]).ok().result();
    let rows = report["features"].as_array().unwrap().iter();
    let counted = rows
        .filter(|row| row["feature"] == "x" && row["version"] == 1 && row["against"] == "previous");
    let counted: BTreeMap<String, Value> = counted
        .map(|row| {
            (
                row["segment"].as_str().unwrap_or("all").to_owned(),
                row["m"].clone(),
            )
        })
        .collect();
    let wards = [("all", ROWS), ("east", ROWS / 2), ("west", ROWS / 2)];
    let wards = wards.map(|(ward, rows)| (ward.to_owned(), json!(rows)));
    assert_eq!(counted, wards.into(), "{report:#}");
    visits.verify();
}

#[test]
fn outcomes_decide_and_labels_from_before_the_start_do_not_count() {
    let visits = Visits::scored("experiment_decides", MANIFEST);
    let known = ["--label-time", "known_at"];
    visits.start("pays", &known).ok();
    // Whoever is in arm b pays, nearly always; those in arm a hardly ever.
    for id in 0..ROWS {
        let second = arm("pays/1", &id.to_be_bytes()).0 == 2;
        visits.sandbox.cql(&format!(
            "INSERT INTO {{data}}.outcomes (id, paid, known_at) VALUES ({id}, {}, {})",
            second == (id % 10 != 0),
            match id < 20 {
                true => "'2020-01-01'",
                false => "toTimestamp(now())",
            }
        ));
    }
    let look = visits.look("pays");
    assert_eq!(look["verdict"], "better", "{look}");
    assert_eq!(look["early"], 20, "{look}");
    let difference = look["differences"]["b"]["difference"].as_f64().unwrap();
    assert!((0.7..0.9).contains(&difference), "{look}");
    assert_eq!(look["differences"]["b"]["fixed"], Value::Null);
    assert!(
        look["warnings"]
            .to_string()
            .contains("early_labels: 20 labels"),
        "{look}"
    );
    let page = visits.sandbox.file("page.html", "");
    let words = [
        "experiment",
        "show",
        "visits",
        "pays",
        "--html",
        page.to_str().unwrap(),
    ];
    visits.sandbox.json(&words).ok();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(
        page.contains("Experiment pays of visits") && page.contains("better"),
        "{page}"
    );
    let listed = visits.sandbox.json(&["experiment", "list"]).ok().result();
    assert_eq!(listed["experiments"][0]["look"]["verdict"], "better");

    // At the planned end the last look has the fixed interval, and the champion serves again.
    visits
        .sandbox
        .helenus(&["experiment", "stop", "visits", "pays"])
        .ok();
    let ends = ["--label-time", "known_at", "--salt", "other"];
    let end = (chrono::Utc::now() + chrono::TimeDelta::seconds(8)).to_rfc3339();
    let labels = format!("{}.outcomes.y", visits.sandbox.data);
    let words = [
        &[
            "experiment",
            "start",
            "visits",
            "ends",
            "--arm",
            "a=1@0.5",
            "--arm",
            "b=2@0.5",
        ][..],
        &[
            "--control",
            "a",
            "--metric",
            "mean",
            "--labels",
            &labels,
            "--ends",
            &end,
        ],
        &["--covariate", "y"],
        &ends,
    ];
    visits.sandbox.json(&words.concat()).ok();
    for id in 0..ROWS {
        let second = bucket("other/1", &id.to_be_bytes(), &mut Vec::new()) >= 5_000;
        // What version 1 said explains most of it; arm b adds a half.
        let y = f64::from(id % 7) + f64::from(u8::from(second)) * 0.5 + f64::from(id % 5) * 0.1;
        visits.sandbox.cql(&format!(
            "INSERT INTO {{data}}.outcomes (id, y, known_at) VALUES ({id}, {y}, toTimestamp(now()))"
        ));
    }
    while chrono::Utc::now() < end.parse::<chrono::DateTime<chrono::Utc>>().unwrap() {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    visits.worker();
    let words = ["experiment", "show", "visits", "ends"];
    let shown = visits.sandbox.json(&words).ok().result();
    assert_eq!(shown["state"], "ended", "{shown}");
    let look = &shown["look"];
    assert_eq!(
        (&look["final"], &look["verdict"]),
        (&json!(true), &json!("better")),
        "{look}"
    );
    let width = |of: &str| {
        let fixed = &look[of]["b"]["fixed"];
        let fixed = if fixed.is_null() {
            &look[of]["b"]["interval"]
        } else {
            fixed
        };
        fixed[1].as_f64().unwrap() - fixed[0].as_f64().unwrap()
    };
    assert!(width("adjusted") * 5.0 < width("differences"), "{look}");
    let adjusted = look["adjusted"]["b"]["difference"].as_f64().unwrap();
    assert!((0.45..0.55).contains(&adjusted), "{look}");
    assert!(visits.current().values().all(|served| *served == (1, None)));
}

#[test]
fn metrics_are_compared_between_arms_and_in_pairs_and_leaks_do_not_count() {
    let biopsies = Biopsies::scored("experiment_metrics");
    let sandbox = &biopsies.sandbox;
    sandbox
        .helenus(&["model", "promote", "tumour", "1", "--why", "test"])
        .ok();
    biopsies.create("[\"champion\", 2]");
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    let labels = sandbox.filled("{data}.outcomes.outcome");
    let words = [
        &[
            "experiment",
            "start",
            "tumour",
            "trees",
            "--arm",
            "lr=champion",
            "--arm",
            "trees=2",
        ][..],
        &[
            "--metric",
            "accuracy",
            "--labels",
            &labels,
            "--label-time",
            "known_at",
        ],
        &["--ends", "14d", "--expected-rows", "500"],
    ];
    sandbox.json(&words.concat()).ok();
    let show = || {
        let words = ["experiment", "show", "tumour", "trees", "--look"];
        sandbox.json(&words).ok().result()["look"].clone()
    };
    let look = show();
    assert_eq!(look["verdict"], "running", "{look}");
    assert!(
        look["reason"]
            .as_str()
            .unwrap()
            .contains("0 labelled units"),
        "{look}"
    );
    // The outcomes are what version 2 says.
    let said = sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions");
    for row in said
        .iter()
        .filter(|row| row["model_version"].as_int() == Some(2))
    {
        let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
        sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
    }
    let look = show();
    assert_eq!(look["values"]["trees"], 1.0, "{look}");
    let (arms, paired) = (&look["differences"]["trees"], &look["paired"]["trees"]);
    let half = |one: &Value| {
        let ends = &one["interval"];
        (ends[1].as_f64().unwrap() - ends[0].as_f64().unwrap()) / 2.0
    };
    assert!(arms["difference"].as_f64().unwrap() > 0.0, "{look}");
    assert!(paired["difference"].as_f64().unwrap() > 0.0, "{look}");
    // Pairs of the same rows say it more precisely.
    assert!(half(paired) < half(arms), "{look}");
    assert_eq!(look["leaked"], 0, "{look}");
    // Predictions that are made after their labels are known do not count.
    let known = "UPDATE {data}.outcomes SET known_at = toTimestamp(now()) WHERE id =";
    let ids: Vec<i32> = said.iter().map(|row| row["id"].as_int().unwrap()).collect();
    for id in &ids[..100] {
        sandbox.cql(&format!("{known} {id}"));
    }
    sandbox.helenus(&["score", "tumour", "--scope", "all"]).ok();
    let look = show();
    let leaked = look["leaked"].as_u64().unwrap();
    assert!((40..=100).contains(&leaked), "{look}");
    assert!(look["warnings"].to_string().contains("leaked: "), "{look}");
}
