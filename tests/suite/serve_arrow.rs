//! Rows and predictions as Arrow streams: the same answers as JSON gives.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float32Array, Int32Array, RecordBatch, cast::AsArray, types::Int32Type,
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use scylla::value::CqlValue;
use serde_json::{Map, Value, json};

use crate::support::{
    biopsies::Biopsies,
    served::{Reply, Served},
};

const ARROW: &str = "application/vnd.apache.arrow.stream";
const SCORE: &str = "/v1/jobs/tumour/score";

/// All biopsies as `SELECT JSON` gives them; the first lacks a value, so that it is rejected.
fn rows(biopsies: &Biopsies) -> Vec<Map<String, Value>> {
    let rows = biopsies.sandbox.rows("SELECT JSON * FROM {data}.biopsies");
    let rows = rows.into_iter().flat_map(|row| row.into_values());
    let mut rows: Vec<Map<String, Value>> = rows
        .map(|cell| match cell {
            CqlValue::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text: {other:?}"),
        })
        .collect();
    rows[0].remove("mean_radius").unwrap();
    rows
}

/// The same rows in two batches, all columns as floats: the key is not read.
fn stream(rows: &[Map<String, Value>]) -> Vec<u8> {
    let names: Vec<&String> = rows[1].keys().collect();
    let fields = names
        .iter()
        .map(|name| Field::new(*name, DataType::Float32, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    let (first, second) = rows.split_at(rows.len() / 3);
    for rows in [first, second] {
        let column = |name: &&String| -> ArrayRef {
            let number = |row: &Map<String, Value>| row.get(*name)?.to_string().parse().ok();
            Arc::new(rows.iter().map(number).collect::<Float32Array>())
        };
        let columns = names.iter().map(column).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        writer.write(&batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn post(served: &Served, path: &str, accept: &str, body: &[u8]) -> Reply {
    let headers = [("Content-Type", ARROW), ("Accept", accept)];
    served.request("POST", path, &headers, body)
}

#[track_caller]
fn batch_of(reply: &Reply) -> RecordBatch {
    assert_eq!(reply.header("content-type"), Some(ARROW));
    let mut reader = StreamReader::try_new(&reply.body[..], None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    batch
}

/// A cell of an answer as the JSON answer has it.
fn value(batch: &RecordBatch, name: &str, row: usize) -> Value {
    let values = batch.column_by_name(name).unwrap();
    if values.is_null(row) {
        return Value::Null;
    }
    match values.data_type() {
        DataType::Utf8 => json!(values.as_string::<i32>().value(row)),
        DataType::Int32 => json!(values.as_primitive::<Int32Type>().value(row)),
        DataType::Float32 => {
            let values = values.as_any().downcast_ref::<Float32Array>().unwrap();
            helenus::codec::cell_json::float(values.value(row))
        }
        other => panic!("{name} is {other}"),
    }
}

/// What both forms answer for one row and version.
fn facts(prediction: &Value) -> Value {
    json!({
        "version": prediction["version"],
        "rejected": prediction["rejected"],
        "outputs": prediction["outputs"],
        "input_hash": prediction["lineage"]["input_hash"],
        "source_hash": prediction["lineage"]["source_hash"],
        "model_sha256": prediction["lineage"]["model_sha256"],
    })
}

fn facts_of_row(batch: &RecordBatch, row: usize) -> Value {
    let schema = batch.schema();
    let outputs = &schema.fields()[5..];
    let outputs: Map<String, Value> = outputs
        .iter()
        .map(|field| (field.name().clone(), value(batch, field.name(), row)))
        .collect();
    let rejected = value(batch, "rejected", row);
    json!({
        "version": value(batch, "version", row),
        "outputs": if rejected.is_null() { Value::Object(outputs) } else { Value::Null },
        "rejected": rejected,
        "input_hash": value(batch, "input_hash", row),
        "source_hash": value(batch, "source_hash", row),
        "model_sha256": value(batch, "model_sha256", row),
    })
}

#[test]
fn arrow_and_json_answer_the_same_rows_alike() {
    let biopsies = Biopsies::scored("serve_arrow");
    let served = Served::start(&biopsies.sandbox, &["tumour"]);
    let rows = rows(&biopsies);
    let body = stream(&rows);
    let versions = format!("{SCORE}?versions=2,1");

    let answer = served.post(SCORE, &json!({"rows": rows, "versions": [2, 1]}));
    let answer = answer.status(200).json();
    let expected: Vec<Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["predictions"].as_array().unwrap())
        .map(facts)
        .collect();
    let batch = batch_of(&post(&served, &versions, "*/*", &body).status(200));
    let found: Vec<Value> = (0..batch.num_rows())
        .map(|row| facts_of_row(&batch, row))
        .collect();
    assert_eq!(found.len(), rows.len() * 2);
    assert_eq!(found, expected);
    assert!(found[0]["rejected"].is_string() && found[2]["rejected"].is_null());
    assert_eq!(batch.schema().metadata()["helenus.job"], "tumour");

    // Either form of request gets either form of answer.
    let reply = post(&served, &versions, "application/json", &body).status(200);
    let same: Vec<Value> = reply.json()["rows"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row["predictions"].as_array().unwrap())
        .map(facts)
        .collect();
    assert_eq!(same, expected);
    let json = json!({"rows": rows, "versions": [2, 1]}).to_string();
    let headers = [("Content-Type", "application/json"), ("Accept", ARROW)];
    let reply = served.request("POST", SCORE, &headers, json.as_bytes());
    assert_eq!(batch_of(&reply.status(200)), batch);

    refuses_what_is_not_rows(&served, &body);
    served.stop().ok();
}

fn refuses_what_is_not_rows(served: &Served, body: &[u8]) {
    for broken in [
        &body[..body.len() / 2],
        b"ARROW1\0\0",
        b"{\"rows\": []}",
        b"",
    ] {
        let reply = post(served, SCORE, "*/*", broken).status(400);
        assert_eq!(reply.code(), "arrow.malformed");
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let values: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let schema = Schema::new(vec![Field::new("mean radius", DataType::Int32, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![values]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let unknown = writer.into_inner().unwrap();
    let reply = post(served, SCORE, "*/*", &unknown).status(400);
    assert_eq!(reply.code(), "row.unknown_column");
    assert_eq!(reply.json()["error"]["help"], "did you mean `mean_radius`?");
    let reply = post(served, &format!("{SCORE}?versions=9"), "*/*", body).status(400);
    assert_eq!(reply.code(), "job.unknown_version");
    // The server is unharmed.
    assert_eq!(
        post(served, &format!("{SCORE}?versions=1"), "*/*", body).status,
        200
    );
}
