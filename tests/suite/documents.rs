//! Blobs as inputs: prepared as the training libraries prepare them, scored as they score.

mod bytes;

use std::collections::BTreeMap;

use helenus::domain::{
    job::{PreparationKind, manifest::Manifest},
    model::tensor::TensorData,
};

use crate::support::Sandbox;

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
    match kind.append(content, &mut data) {
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
