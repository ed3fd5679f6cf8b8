//! How many of the nearest rows a search finds, against a brute force over mails that are made.

use std::{collections::BTreeMap, process::Command, time::Instant};

use serde_json::json;

use crate::{
    similar::cosine,
    support::{Model, Sandbox, model::insert_json},
};

/// Searches of one measurement.
const QUERIES: usize = 50;
/// Rows that each of them is for.
const TOP: usize = 10;

/// Scores this many mails, and returns the share of their nearest mails that searches found. Mails may
/// be equally similar: a mail counts if it is as similar as the last of the nearest.
fn recall(rows: usize) -> f64 {
    let sandbox = Sandbox::migrated("similar_recall");
    let model = Model::named("mails_vectors");
    sandbox.cql(&model.text("source.cql").replace("{keyspace}", "{data}"));
    let made = Command::new("python3")
        .arg(model.folder.join("../mails.py"))
        .args([&rows.to_string(), "--seed", "7"])
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let lines: Vec<String> = made.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), rows);
    insert_json(&format!("\"{}\".mails", sandbox.data), &lines);
    let push = model.push_arguments("mails");
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let manifest = model.manifest(&sandbox, "mails", "mails");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let began = Instant::now();
    let scored = sandbox.json(&["score", "mails"]).ok().result();
    let took = began.elapsed();
    assert_eq!(scored["scored"], json!({"1": rows}), "{scored}");

    let stored = sandbox.rows("SELECT id, embedding FROM {data}.mails_predictions");
    let vectors: BTreeMap<i32, Vec<f64>> = stored
        .iter()
        .map(|row| {
            let vector = row["embedding"].as_vector().unwrap().iter();
            let vector = vector.map(|value| value.as_float().unwrap().into());
            (row["id"].as_int().unwrap(), vector.collect())
        })
        .collect();
    let (mut hits, began) = (0, Instant::now());
    for query in vectors
        .keys()
        .copied()
        .step_by(rows / QUERIES)
        .take(QUERIES)
    {
        let words = [
            "similar",
            "mails",
            &query.to_string(),
            "--top",
            &TOP.to_string(),
        ];
        let result = sandbox.json(&words).ok().result();
        let others = vectors.iter().filter(|(id, _)| **id != query);
        let mut exact: Vec<f64> = others
            .map(|(_, vector)| cosine(&vectors[&query], vector))
            .collect();
        exact.sort_by(|a, b| b.total_cmp(a));
        let found = result["rows"].as_array().unwrap();
        assert_eq!(found.len(), TOP, "{result}");
        hits += found
            .iter()
            .filter(|row| row["similarity"].as_f64().unwrap() >= exact[TOP - 1] - 1e-6)
            .count();
    }
    let recall = hits as f64 / (QUERIES * TOP) as f64;
    println!(
        "{rows} mails: scored in {:.1} s, recall {recall:.3}, a command took {:.0} ms",
        took.as_secs_f64(),
        began.elapsed().as_secs_f64() * 1e3 / QUERIES as f64
    );
    recall
}

#[test]
fn a_search_finds_nearly_all_of_the_nearest_rows() {
    let recall = recall(2_000);
    assert!(recall >= 0.95, "{recall}");
}

/// The figure of `docs/similar.md`: `make test ARGS='similar_recall -- --ignored --nocapture'`.
#[test]
#[ignore = "takes minutes"]
fn a_search_finds_nearly_all_of_the_nearest_of_20_000_rows() {
    let recall = recall(20_000);
    assert!(recall >= 0.95, "{recall}");
}
