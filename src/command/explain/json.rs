//! An explanation as JSON.

use serde_json::{Value, json};

use super::{super::run::run_json, differing, hash, tables};
use crate::{
    domain::model::{proof::Lineage, verdict::Verdict},
    inspect::explain::{Explained, Fed, Recomputed},
};

pub(super) fn as_json(explained: &Explained) -> Value {
    let versions = explained.versions.iter().map(|(number, version)| {
        let fed: Value = version.fed.iter().map(fed_json).collect();
        let stored = version.stored.as_ref().map(|stored| {
            json!({
                "outputs": Value::Object(stored.outputs.iter().cloned().collect()),
                "lineage": lineage_json(&stored.lineage),
                "aliases_then": stored.aliases_then,
                "run": stored.run.as_ref().map(run_json),
            })
        });
        let (outputs, rejected, not_scored) = match &version.recomputed {
            Recomputed::Outputs(values) => (Some(values), None, None),
            Recomputed::Rejected(reason) => (None, Some(reason), None),
            Recomputed::Not(reason) => (None, None, Some(reason)),
        };
        let columns = explained.job.target.outputs.iter();
        let outputs = outputs.map(|values| {
            let named = columns
                .map(|column| column.name.clone())
                .zip(values.clone());
            Value::Object(named.collect())
        });
        let version = json!({
            "model": version.model,
            "model_sha256": version.sha256.map(hex::encode),
            "aliases": version.aliases,
            "revision": version.revision,
            "fed": fed,
            "input_hash": hash(version.input_hash),
            "source_hash": hash(version.source_hash),
            "stored": stored,
            "recomputed": {"outputs": outputs, "rejected": rejected, "not_scored": not_scored},
            "verdict": version.verdict.as_ref().map(Verdict::as_str),
            "differing": differing(explained, version),
        });
        (number.to_string(), version)
    });
    let source = explained.source.as_ref().map(|values| {
        let columns = values.iter().map(|source| {
            let value = json!({"type": source.cql_type, "value": source.value});
            (source.column.clone(), value)
        });
        Value::Object(columns.collect())
    });
    let (source_table, target) = tables(explained);
    json!({
        "job": explained.job.job,
        "revision": explained.revision,
        "source_table": source_table,
        "target": target,
        "key": Value::Object(explained.key.iter().cloned().collect()),
        "source": source,
        "served": {"version": explained.served.version, "arm": explained.served.arm},
        "versions": Value::Object(versions.collect()),
    })
}

pub(super) fn lineage_json(lineage: &Lineage) -> Value {
    json!({
        "model_sha256": lineage.model_sha256.as_ref().map(hex::encode),
        "input_hash": hash(lineage.input_hash),
        "source_hash": hash(lineage.source_hash),
        "run_id": lineage.run_id,
        "scored_at": lineage.scored_at,
        "job_revision": lineage.job_revision,
        "arm": lineage.arm,
        "rejected": lineage.rejected,
    })
}

fn fed_json(fed: &Fed) -> Value {
    json!({
        "input": fed.input,
        "place": fed.place,
        "width": fed.width,
        "feature": fed.feature,
        "column": fed.column,
        "stored": fed.stored,
        "value": fed.value.as_ref().ok(),
        "rejected": fed.value.as_ref().err(),
    })
}
