//! Blobs as inputs: prepared as the training libraries prepare them, scored as they score.

mod bytes;
mod cards;
mod form;
mod hostile;
mod images;
mod inference;
mod isolated;
mod memory;
mod mutated;
mod streamed;
mod surfaces;

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use helenus::domain::{
    job::{PreparationKind, manifest::Manifest, prepare::CellTokens},
    model::tensor::TensorData,
};

use serde_json::{Value, json};

use crate::support::{Sandbox, Served};

/// The lines of a manifest for one prepared input.
fn manifest(sandbox: &Sandbox, job: &str, model: &str, feature: &str) -> String {
    format!(
        "job = \"{job}\"\nmodel = \"{model}\"\nversions = [1]\n[source]\ntable = \"{}.files\"\n\
         [features]\n{feature}\n[rules]\nmax_rejected = \"100%\"\n",
        sandbox.data
    )
}

/// What a `[features]` entry named `x` makes of a content.
fn prepared(entry: &str, content: &[u8], mut data: TensorData) -> Result<TensorData, String> {
    let text = format!(
        "job = \"j\"\nmodel = \"m\"\nversions = [1]\n[source]\ntable = \"k.t\"\n[features]\nx = {entry}\n"
    );
    let manifest = Manifest::parse(&text).unwrap();
    let feature = &manifest.features.unwrap()["x"];
    let kind: &PreparationKind = feature.prepared.as_ref().unwrap();
    match kind.append(content, &mut data, &mut CellTokens::default()) {
        Ok(()) => Ok(data),
        Err(fault) => Err(format!("{fault:?}")),
    }
}

/// The stored reasons of a job's rejected rows by id.
fn rejected(sandbox: &Sandbox, table: &str) -> BTreeMap<i32, String> {
    let rows = sandbox.rows(&format!("SELECT id, lineage FROM {{data}}.{table}"));
    rows.iter()
        .filter_map(|row| Some((row["id"].as_int()?, crate::support::model::rejection(row)?)))
        .collect()
}

/// Scores files over HTTP: base64 in, the stored hashes out, and `broken` is rejected alone with
/// words of `reason`. The files are those of the ids from 0 on.
fn assert_served_alike(
    sandbox: &Sandbox,
    job: &str,
    files: &[Vec<u8>],
    (broken, reason): (&[u8], &str),
) {
    let table = format!("{job}_predictions");
    let stored = sandbox.rows(&format!("SELECT id, lineage FROM {{data}}.{table}"));
    let hash_of = |id: i32| {
        let row = stored.iter().find(|row| row["id"].as_int() == Some(id));
        let lineage = row.unwrap()["lineage"].as_udt().unwrap().clone();
        let hash = lineage.into_iter().find(|(name, _)| name == "input_hash");
        hex::encode(hash.unwrap().1.unwrap().as_blob().unwrap())
    };
    let served = Served::start(sandbox, &[job]);
    let row =
        |id: i32, content: &[u8]| json!({"id": id, "content": {"b64": STANDARD.encode(content)}});
    let mut rows: Vec<Value> = (0..).zip(files).map(|(id, file)| row(id, file)).collect();
    rows.push(row(9_999, broken));
    let answer = served
        .post(&format!("/v1/jobs/{job}/score"), &json!({"rows": rows}))
        .status(200)
        .json();
    let answered = answer["rows"].as_array().unwrap();
    for (id, row) in (0..).zip(&answered[..files.len()]) {
        let lineage = &row["predictions"][0]["lineage"];
        assert_eq!(lineage["input_hash"], hash_of(id), "{row}");
    }
    let rejected = answered[files.len()]["predictions"][0]["rejected"].to_string();
    assert!(rejected.contains(reason), "{answer}");
    served.stop().ok();
}
