//! Warnings about outputs that look unlike those of earlier runs.

use serde_json::Value;

use crate::support::{biopsies::Biopsies, model::insert_json};

#[test]
fn runs_over_keys_do_not_hide_the_whole_run_to_compare_with() {
    let biopsies = Biopsies::scored("shares_moved");
    let sandbox = &biopsies.sandbox;
    // More than the runs that were once looked at.
    for id in 0..25 {
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.runs (job, run_id, state, versions, keys, finished_at) VALUES ('tumour', now(), 'succeeded', {{1, 2}}, [{{'id': '{id}'}}], toTimestamp(now()))"
        ));
    }
    let malignant = "SELECT id FROM {data}.tumour_predictions WHERE model_version = 1 AND label = 'malignant' LIMIT 1 ALLOW FILTERING";
    let id = sandbox.row(malignant)["id"].as_int().unwrap();
    let row = sandbox.row(&format!(
        "SELECT JSON * FROM {{data}}.biopsies WHERE id = {id}"
    ));
    let mut row: Value = serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap();
    let rows: Vec<String> = (0..300)
        .map(|id| {
            row["id"] = id.into();
            row.to_string()
        })
        .collect();
    insert_json(&format!("{}.biopsies", sandbox.data), &rows);
    let run = sandbox.json(&["score", "tumour"]).ok().result();
    let moved = |version: &str| {
        let warnings = run["warnings"].as_array().unwrap();
        warnings.iter().any(|warning| {
            let start = format!("label_share_moved: version {version}: `label` = `malignant`");
            warning.as_str().unwrap().starts_with(&start)
        })
    };
    assert!(moved("1") && moved("2"), "{run}");
}
