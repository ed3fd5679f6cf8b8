//! Every row of every model, scored in a run and over HTTP: the same hashes, the same rejections
//! word for word, and outputs within the contract's tolerance.

use std::collections::BTreeMap;

use helenus::codec::cell_json;
use num_bigint::BigInt;
use scylla::value::CqlValue;
use serde_json::{Map, Value, json};

use crate::support::{Sandbox, cassandra::Named, served::Served};

/// Rows of one request.
const ROWS: usize = 200;
/// Keys that are also asked for one by one.
const KEYS: usize = 5;

/// Compares a job's stored predictions of its first version with those that a server gives for the
/// same rows.
pub fn assert_same(sandbox: &Sandbox, job: &str) {
    let served = Served::start(sandbox, &[job]);
    let shape = served.get(&format!("/v1/jobs/{job}")).json();
    let names = |list: &str| -> Vec<String> {
        let columns = shape["served"][list].as_array().unwrap().iter();
        columns
            .map(|column| column["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let key = names("key");
    let rows = json_rows(sandbox, shape["source"].as_str().unwrap());
    let stored: BTreeMap<String, Map<String, Value>> =
        json_rows(sandbox, shape["target"].as_str().unwrap())
            .into_iter()
            .filter(|row| row["model_version"] == 1)
            .map(|row| (key_of(&row, &key), row))
            .collect();
    assert_eq!(rows.len(), stored.len());
    let mut compared = 0;
    for part in rows.chunks(ROWS) {
        // Whole rows: what the job does not read is ignored.
        let given: Vec<Value> = part.iter().cloned().map(Value::Object).collect();
        let body = json!({"rows": given, "versions": [1]});
        let answer = served
            .post(&format!("/v1/jobs/{job}/score"), &body)
            .status(200)
            .json();
        let answered = answer["rows"].as_array().unwrap();
        assert_eq!(answered.len(), part.len());
        for (row, answered) in part.iter().zip(answered) {
            let stored = &stored[&key_of(row, &key)];
            assert_prediction(stored, &answered["predictions"][0], "scored");
            compared += 1;
        }
    }
    assert_eq!(compared, rows.len());
    let keys: Vec<Value> = rows
        .iter()
        .take(KEYS)
        .map(|row| {
            let cells = key.iter().map(|name| (name.clone(), row[name].clone()));
            Value::Object(cells.collect())
        })
        .collect();
    let body = json!({"keys": keys, "versions": [1]});
    let answer = served
        .post(&format!("/v1/jobs/{job}/predictions"), &body)
        .status(200)
        .json();
    for (row, answered) in rows.iter().zip(answer["rows"].as_array().unwrap()) {
        assert_eq!(answered["found"], true, "{answered}");
        let stored = &stored[&key_of(row, &key)];
        assert_prediction(stored, &answered["predictions"][0], "stored");
    }
    served.stop().ok();
}

fn key_of(row: &Map<String, Value>, key: &[String]) -> String {
    let cells = key.iter().map(|name| row[name].to_string());
    cells.collect::<Vec<_>>().join("/")
}

/// Rows with their values as JSON takes them.
fn json_rows(sandbox: &Sandbox, table: &str) -> Vec<Map<String, Value>> {
    let (keyspace, table) = table.split_once('.').unwrap();
    let rows = sandbox.rows(&format!("SELECT * FROM \"{keyspace}\".\"{table}\""));
    let json = |row: Named| {
        let columns = row.into_iter();
        columns
            .map(|(name, value)| (name, json_of(&value)))
            .collect()
    };
    rows.into_iter().map(json).collect()
}

/// A value with all its digits. `SELECT JSON` would not do: it knows no NaN.
fn json_of(value: &CqlValue) -> Value {
    match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => json!(text),
        CqlValue::Boolean(truth) => json!(truth),
        CqlValue::TinyInt(number) => json!(number),
        CqlValue::SmallInt(number) => json!(number),
        CqlValue::Int(number) => json!(number),
        CqlValue::BigInt(number) => json!(number),
        CqlValue::Float(number) if number.is_nan() => json!("NaN"),
        CqlValue::Float(number) => cell_json::float(*number),
        CqlValue::Double(number) if number.is_nan() => json!("NaN"),
        CqlValue::Double(number) => cell_json::double(*number),
        CqlValue::Decimal(number) => {
            let (unscaled, scale) = number.as_signed_be_bytes_slice_and_exponent();
            json!(format!(
                "{}E{}",
                BigInt::from_signed_bytes_be(unscaled),
                -scale
            ))
        }
        CqlValue::Varint(number) => {
            let bytes = number.as_signed_bytes_be_slice();
            json!(BigInt::from_signed_bytes_be(bytes).to_string())
        }
        CqlValue::Blob(bytes) => json!(format!("0x{}", hex::encode(bytes))),
        CqlValue::Timestamp(at) => json!(at.0),
        CqlValue::Date(days) => {
            let day = i64::from(days.0) - (1 << 31);
            let date = chrono::DateTime::from_timestamp(day * 86_400, 0).unwrap();
            json!(date.format("%F").to_string())
        }
        CqlValue::Time(nanoseconds) => {
            let (seconds, rest) = (nanoseconds.0 / 1_000_000_000, nanoseconds.0 % 1_000_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            json!(format!(
                "{hours:02}:{minutes:02}:{:02}.{rest:09}",
                seconds % 60
            ))
        }
        CqlValue::Uuid(id) => json!(id.to_string()),
        CqlValue::Timeuuid(id) => json!(uuid::Uuid::from(*id).to_string()),
        CqlValue::Inet(address) => json!(address.to_string()),
        CqlValue::List(values) | CqlValue::Set(values) | CqlValue::Vector(values) => {
            values.iter().map(json_of).collect()
        }
        CqlValue::UserDefinedType { fields, .. } => {
            let fields = fields.iter().map(|(name, value)| {
                let value = value.as_ref().map_or(Value::Null, json_of);
                (name.clone(), value)
            });
            Value::Object(fields.collect())
        }
        other => panic!("no JSON for {other:?}"),
    }
}

fn assert_prediction(stored: &Map<String, Value>, answered: &Value, from: &str) {
    let context = format!("stored {stored:?}\nanswered {answered}");
    assert_eq!(answered["from"], from, "{context}");
    let lineage = &stored["lineage"];
    for hash in ["input_hash", "source_hash", "model_sha256"] {
        let hex = lineage[hash].as_str().unwrap().trim_start_matches("0x");
        assert_eq!(answered["lineage"][hash], hex, "{hash}: {context}");
    }
    assert_eq!(answered["rejected"], lineage["rejected"], "{context}");
    assert_eq!(
        answered["lineage"]["job_revision"], lineage["job_revision"],
        "{context}"
    );
    let Some(outputs) = answered["outputs"].as_object() else {
        assert!(!lineage["rejected"].is_null(), "{context}");
        return;
    };
    assert!(!outputs.is_empty(), "{context}");
    for (name, value) in outputs {
        assert!(
            is_same(stored.get(name).unwrap_or(&Value::Null), value),
            "{name}: {context}"
        );
    }
}

/// Numbers within 1e-6 + 1e-5 |b|, everything else equal.
fn is_same(stored: &Value, answered: &Value) -> bool {
    match (stored, answered) {
        (Value::Array(stored), Value::Array(answered)) => {
            let mut pairs = stored.iter().zip(answered);
            stored.len() == answered.len() && pairs.all(|(a, b)| is_same(a, b))
        }
        _ => match (number(stored), number(answered)) {
            (Some(a), Some(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 + 1e-5 * b.abs()
            }
            _ => stored == answered,
        },
    }
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some(_) => None,
        None => value.as_f64(),
    }
}
