//! Drift from end to end: references, profiles inside runs, verdicts as rows.

use std::{collections::BTreeMap, fs};

use helenus::domain::csv;
use serde_json::Value;

use crate::support::{Model, Sandbox, model::insert_json};

mod bad;
mod categories;
mod later;

/// 569 biopsies and a LightGBM over 30 numbers, with a reference of the same rows.
struct World {
    sandbox: Sandbox,
    rows: i32,
}

impl World {
    fn new(test: &str, drift: &str) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        let model = Model::named("breast_cancer_lgbm");
        let rows = model.load(&sandbox) as i32;
        let world = Self { sandbox, rows };
        let reference = world.reference("reference.csv");
        let mut push = model.push_arguments("tumour");
        push.extend(["--reference".to_owned(), reference]);
        world
            .sandbox
            .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
            .ok();
        world.create(drift);
        world
    }

    /// The training rows with the model's names, as CSV.
    fn reference(&self, file: &str) -> String {
        let model = Model::named("breast_cancer_lgbm");
        let (names, data) = (model.text("features.txt"), model.text("data.csv"));
        let mut text = names.lines().collect::<Vec<_>>().join(",");
        for record in csv::Reader::new(&data).unwrap() {
            let fields = record.unwrap().fields;
            let values = fields[1..=30]
                .iter()
                .map(|field| field.value.clone().unwrap());
            text.push_str(&format!("\n{}", values.collect::<Vec<_>>().join(",")));
        }
        self.sandbox.file(file, text).display().to_string()
    }

    fn create(&self, drift: &str) {
        let manifest = format!(
            "job = \"tumour\"\nmodel = \"tumour\"\nversions = [1]\n[source]\ntable = \"{}.biopsies\"\n[features]\n{}\"worst area\" = {{ column = \"worst_area\", null = \"nan\" }}\n[outputs]\npositive = \"malignant\"\n{drift}",
            self.sandbox.data,
            features(&["worst area"]),
        );
        let file = self.sandbox.file("tumour.toml", manifest);
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    fn score(&self, options: &[&str]) -> Value {
        let scored = self.sandbox.json(&[&["score", "tumour"], options].concat());
        scored.ok().json()
    }

    fn drift(&self, options: &[&str]) -> Value {
        let told = self.sandbox.json(&[&["drift", "tumour"], options].concat());
        told.ok().result()
    }

    /// Sets columns of all rows; `{id}` stands for the row's.
    fn update(&self, set: &str) {
        for id in 1..=self.rows {
            let set = set.replace("{id}", &id.to_string());
            self.sandbox.cql(&format!(
                "UPDATE {{data}}.biopsies SET {set} WHERE id = {id}"
            ));
        }
    }
}

/// Lines of `[features]` for all columns but some.
fn features(without: &[&str]) -> String {
    let names = Model::named("breast_cancer_lgbm").text("features.txt");
    names
        .lines()
        .filter(|name| !without.contains(name))
        .map(|name| format!("\"{name}\" = \"{}\"\n", name.replace(' ', "_")))
        .collect()
}

/// Verdicts by feature of one comparison, over all rows.
fn verdicts(report: &Value, against: &str) -> BTreeMap<String, String> {
    let rows = report["features"].as_array().unwrap().iter();
    rows.filter(|row| row["against"] == against && row["segment"].is_null())
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (text("feature"), text("verdict"))
        })
        .collect()
}

fn of<'a>(report: &'a Value, feature: &str, against: &str) -> &'a Value {
    let rows = report["features"].as_array().unwrap().iter();
    let mut rows = rows.filter(|row| row["feature"] == feature && row["against"] == against);
    rows.next()
        .unwrap_or_else(|| panic!("{feature} against {against}: {report:#}"))
}

#[test]
fn a_run_over_training_rows_is_stable_and_changed_columns_are_named() {
    let world = World::new("drift", "");
    let none = world.sandbox.json(&["drift", "tumour"]).code(5);
    assert_eq!(none.error()["code"], "drift.none", "{none:?}");
    let scored = world.score(&[]);
    assert_eq!(scored["warnings"], serde_json::json!([]), "{scored}");
    let report = world.drift(&[]);
    assert_eq!(report["drifted"], 0, "{report:#}");
    let found = verdicts(&report, "reference");
    assert_eq!(
        found.len(),
        30,
        "features have a reference, outputs have none"
    );
    assert!(
        found.values().all(|verdict| verdict == "stable"),
        "{found:?}"
    );
    let radius = of(&report, "mean radius", "reference");
    // The same rows: every cell has as many.
    assert_eq!(
        (&radius["psi"], &radius["n"], &radius["m"]),
        (&0.0.into(), &569.into(), &569.into())
    );
    assert!(verdicts(&report, "previous").is_empty());

    world.update("mean_radius = 200.5, worst_area = null, mean_texture = {id}");
    let scored = world.score(&[]);
    let warning = scored["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("drift: `worst area` of version 1 is all_null against the reference"),
        "{scored}"
    );
    let report = world.drift(&[]);
    for against in ["reference", "previous"] {
        let found = verdicts(&report, against);
        assert_eq!(found["mean radius"], "constant", "{report:#}");
        assert_eq!(found["worst area"], "all_null");
        assert_eq!(found["mean texture"], "drifted");
        assert_eq!(found["mean area"], "stable");
        let drifted = found
            .iter()
            .filter(|(name, verdict)| *verdict != "stable" && !name.starts_with("out."));
        assert_eq!(drifted.count(), 3, "{found:?}");
    }
    // Every row has changed, so every output was made by this run.
    let outputs = verdicts(&report, "previous");
    assert_ne!(outputs["out.p_malignant"], "partial");
    assert_eq!(outputs["(rejected)"], "stable");
    let texture = of(&report, "mean texture", "reference");
    assert_eq!(texture["cause"], "shape");
    assert!(texture["psi"].as_f64() > texture["critical_value"].as_f64());
    assert!(texture["adjusted_p"].as_f64().unwrap() < 1e-9);

    // `status` says it, and the rows are there for whoever reads CQL.
    let status = world.sandbox.json(&["status"]).ok().json();
    assert!(
        status["warnings"].to_string().contains("drift: "),
        "{status}"
    );
    let rows = world
        .sandbox
        .rows("SELECT feature, verdict FROM {helenus}.drift WHERE job = 'tumour' LIMIT 1000");
    assert_eq!(rows.len(), 30 + 30 + 34);

    // Nothing was scored: the features are judged all the same, the outputs are not.
    world.score(&[]);
    let report = world.drift(&[]);
    assert_eq!(verdicts(&report, "reference")["mean radius"], "constant");
    assert_eq!(verdicts(&report, "previous")["mean radius"], "stable");
    assert_eq!(verdicts(&report, "previous")["out.p_malignant"], "partial");
    // A scan reads the stored predictions.
    let scanned = world.drift(&["--scan"]);
    assert_eq!(scanned["scanned"], 569);
    assert_eq!(verdicts(&scanned, "reference")["worst area"], "all_null");
    assert_eq!(of(&scanned, "out.p_malignant", "previous")["m"], 569);
}

#[test]
fn a_run_can_be_the_baseline_and_the_references_return_without_it() {
    let world = World::new("drift_baseline", "");
    world.update("mean_radius = 200.5");
    let run = world.score(&[])["result"]["run_id"].clone();
    let run = run.as_str().unwrap();
    assert_eq!(
        verdicts(&world.drift(&[]), "reference")["mean radius"],
        "constant"
    );
    let chosen = world
        .sandbox
        .json(&[
            "drift", "baseline", "tumour", "--run", run, "--note", "why not",
        ])
        .ok();
    assert_eq!(chosen.result()["versions"], serde_json::json!([1]));
    world.score(&["--scope", "all"]);
    let report = world.drift(&[]);
    let found = verdicts(&report, "reference");
    assert_eq!(found["mean radius"], "stable");
    assert_eq!(of(&report, "mean radius", "reference")["other_run"], run);
    // Outputs have a reference now, made in the bins of that run.
    assert_eq!(found["out.p_malignant"], "stable");
    assert_eq!(found["(rejected)"], "stable");

    world
        .sandbox
        .helenus(&["drift", "baseline", "tumour", "--none"])
        .ok();
    world.score(&["--scope", "all"]);
    assert_eq!(
        verdicts(&world.drift(&[]), "reference")["mean radius"],
        "constant"
    );
    // By a row, and one that names no profile.
    world.sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.drift_baselines (job, id, run_id) VALUES ('tumour', now(), {run})"
    ));
    world.score(&["--scope", "all"]);
    assert_eq!(
        verdicts(&world.drift(&[]), "reference")["mean radius"],
        "stable"
    );
    world.sandbox.cql(
        "INSERT INTO {helenus}.drift_baselines (job, id, run_id) VALUES ('tumour', now(), now())",
    );
    let scored = world.score(&["--scope", "all"]);
    assert!(
        scored["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("no_baseline: "),
        "{scored}"
    );
    let other = "6f6b6b60-96b6-11f0-8de9-0242ac120002";
    let refused = world
        .sandbox
        .json(&["drift", "baseline", "tumour", "--run", other]);
    assert_eq!(refused.code(2).error()["code"], "drift.no_profile");
}

#[test]
fn segments_are_judged_apart_and_belong_to_no_hash() {
    let world = World::new("drift_segments", "");
    world.score(&[]);
    world.create("[drift]\nsegment = \"diagnosis_truth\"\n");
    // The segment column is no input: nothing is pending.
    let scored = world.score(&[])["result"].clone();
    assert_eq!(scored["scored"]["1"], 0, "{scored}");
    world.sandbox.helenus(&["verify", "tumour"]).ok();
    for id in 1..=world.rows {
        world.sandbox.cql(&format!(
            "UPDATE {{data}}.biopsies SET mean_radius = 100.0 WHERE id = {id} IF diagnosis_truth = 'malignant'"
        ));
    }
    world.score(&[]);
    let report = world.drift(&[]);
    let rows = report["features"].as_array().unwrap().iter();
    let radius: BTreeMap<String, String> = rows
        .filter(|row| row["feature"] == "mean radius" && row["against"] == "previous")
        .map(|row| {
            let segment = row["segment"].as_str().unwrap_or("all").to_owned();
            (segment, row["verdict"].as_str().unwrap().to_owned())
        })
        .collect();
    let wanted = [
        ("all", "drifted"),
        ("benign", "stable"),
        ("malignant", "constant"),
    ];
    let wanted = wanted.map(|(segment, verdict)| (segment.to_owned(), verdict.to_owned()));
    assert_eq!(radius, wanted.into());
}

#[test]
fn thresholds_hold_by_feature_and_profiles_can_be_turned_off() {
    let world = World::new("drift_rules", "[drift]\nprofile = false\n");
    world.score(&[]);
    world.sandbox.json(&["drift", "tumour"]).code(5);
    assert!(
        world
            .sandbox
            .rows("SELECT feature FROM {helenus}.drift_profiles")
            .is_empty()
    );
    world.create("[drift.features]\n\"mean radius\" = { psi = 100.0 }\n");
    world.update("mean_radius = {id}, mean_texture = {id}");
    world.score(&[]);
    let found = verdicts(&world.drift(&[]), "reference");
    assert_eq!(
        (
            found["mean radius"].as_str(),
            found["mean texture"].as_str()
        ),
        ("stable", "drifted")
    );
    let manifest = fs::read_to_string(world.sandbox.directory().join("tumour.toml")).unwrap();
    for (line, code) in [
        (
            "[drift.features]\n\"mean radios\" = { psi = 1.0 }",
            "job.unknown_feature",
        ),
        ("[drift]\nsegment = \"sight\"", "job.unknown_column"),
        ("[drift]\npsi = -1.0", "job.manifest"),
    ] {
        let manifest = manifest.split("[drift.features]").next().unwrap();
        let file = world
            .sandbox
            .file("odd.toml", format!("{manifest}{line}\n"));
        let refused = world.sandbox.json(&["job", "plan", file.to_str().unwrap()]);
        assert_eq!(refused.code(2).error()["code"], code, "{line}");
    }
}
