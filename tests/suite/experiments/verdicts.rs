//! What the numbers say: sample ratios, outcomes, metrics, what does not count.

use super::*;

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
