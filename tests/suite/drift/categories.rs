//! Text features, by a logistic regression over a category and 29 numbers.

use super::{insert_json, of, verdicts};
use crate::support::Sandbox;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/models/mixed.onnx");
const ROWS: usize = 400;

fn columns() -> Vec<String> {
    let names = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/models/breast_cancer_lr/data.csv"
    ));
    let names = names.unwrap();
    let header = names.lines().next().unwrap();
    header
        .split(',')
        .skip(2)
        .take(29)
        .map(str::to_owned)
        .collect()
}

fn fill(sandbox: &Sandbox, category: impl Fn(usize) -> &'static str) {
    let columns = columns();
    let rows: Vec<String> = (0..ROWS)
        .map(|id| {
            let mut row = serde_json::json!({"id": id, "category": category(id)});
            for (at, column) in columns.iter().enumerate() {
                row[column] = (((id * 7 + at) % 101) as f64 / 10.0).into();
            }
            row.to_string()
        })
        .collect();
    insert_json(&format!("\"{}\".visits", sandbox.data), &rows);
}

#[test]
fn categories_that_are_new_or_gone_are_named() {
    let sandbox = Sandbox::migrated_with("drift_texts", &["--lease-seconds", "2"]);
    let columns = columns();
    let floats: Vec<String> = columns.iter().map(|name| format!("{name} float")).collect();
    sandbox.cql(&format!(
        "CREATE TABLE {{data}}.visits (id int PRIMARY KEY, category text, {})",
        floats.join(", ")
    ));
    let usual = |id: usize| ["screening", "referral", "follow-up", "emergency"][id % 4];
    fill(&sandbox, usual);
    sandbox.helenus(&["model", "push", "mixed", MODEL]).ok();
    let manifest = format!(
        "job = \"visits\"\nmodel = \"mixed\"\nversions = [1]\n[source]\ntable = \"{}.visits\"\n",
        sandbox.data
    );
    let file = sandbox.file("visits.toml", manifest);
    sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
    let drift = || {
        sandbox.helenus(&["score", "visits"]).ok();
        sandbox.json(&["drift", "visits"])
    };
    // Without any reference the first run makes the bins; there is nothing to compare with.
    drift().code(5);
    let kind = sandbox.row("SELECT kind, names, cells FROM {helenus}.drift_profiles WHERE job = 'visits' AND version = 1 AND segment = '' AND feature = 'category'");
    assert_eq!(kind["kind"].as_text().unwrap(), "texts");

    fill(&sandbox, |id| {
        if id % 8 == 0 {
            "télémédecine"
        } else {
            usual(id)
        }
    });
    let report = drift().ok().result();
    let category = of(&report, "category", "previous");
    assert_eq!(category["verdict"], "new_category", "{category:#}");
    assert_eq!(category["new_category_share"], 0.125);
    let found = verdicts(&report, "previous");
    let others = found
        .iter()
        .filter(|(name, _)| !name.starts_with("out.") && *name != "category");
    assert!(
        others.clone().all(|(_, verdict)| verdict == "stable"),
        "{found:?}"
    );

    fill(
        &sandbox,
        |id| if id % 4 == 3 { "referral" } else { usual(id) },
    );
    let report = drift().ok().result();
    assert_eq!(of(&report, "category", "previous")["verdict"], "drifted");
}
