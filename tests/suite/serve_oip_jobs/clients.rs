//! Jobs through the clients of Triton and KServe, compared with their own route.

use std::collections::BTreeMap;

use serde_json::{Value, json, value::RawValue};

use crate::{
    serve_oip::client,
    support::{Sandbox, Served},
};

/// Outputs that every job has beside its columns.
const LINEAGE: [&str; 4] = ["version", "input_hash", "source_hash", "model_sha256"];

/// A column of a request: its values as texts, those of a blob as hexadecimal digits.
pub fn column(name: &str, datatype: &str, values: &[String]) -> Value {
    json!({"name": name, "datatype": datatype, "values": values, "is_blob": false})
}

/// A column of blobs.
pub fn blobs<T: AsRef<[u8]>>(name: &str, values: &[T]) -> Value {
    let values: Vec<_> = values.iter().map(hex::encode).collect();
    json!({"name": name, "datatype": "BYTES", "values": values, "is_blob": true})
}

/// A request for a job. `version`: empty for none.
pub fn request(job: &str, version: &str, columns: &[Value]) -> Value {
    json!({"model": format!("job:{job}"), "version": version, "inputs": columns})
}

/// Sends requests through the clients of Triton and KServe, in all their forms; the answers by
/// request. KServe's clients name no version.
pub fn ask(sandbox: &Sandbox, served: &mut Served, requests: &[Value]) -> Vec<Vec<Value>> {
    let file = sandbox.file("requests.json", Value::from(requests).to_string());
    let http = served.address.to_string();
    let grpc = served.address_of("serving over gRPC").to_string();
    let mut answers = vec![Vec::new(); requests.len()];
    for (library, forms) in [("triton", 3), ("kserve", 4)] {
        let file = file.display().to_string();
        let arguments = [library.to_owned(), http.clone(), grpc.clone(), file];
        let output = client("oip_jobs.py", &arguments);
        let printed: Value = serde_json::from_str(&output.stdout).unwrap();
        if library == "triton" {
            let listed = printed["listed"].as_array().unwrap();
            let known = requests.iter().map(|request| &request["model"]);
            for model in known.filter(|model| !model.as_str().unwrap().contains("unknown")) {
                assert!(listed.contains(model), "{model}: {listed:?}");
            }
        }
        let answered = printed["answers"].as_array().unwrap();
        assert_eq!(answered.len(), requests.len());
        for ((answers, answered), request) in answers.iter_mut().zip(answered).zip(requests) {
            let answered = answered.as_object().unwrap();
            assert_eq!(answered.len(), forms, "{library}");
            if library == "triton" || request["version"] == "" {
                answers.extend(answered.values().cloned());
            }
        }
    }
    answers
}

/// Compares answers with that of `POST /v1/jobs/{job}/score` to the same rows, bit for bit.
#[track_caller]
pub fn assert_same(answers: &[Value], scored: &Value) {
    let rows = scored["rows"].as_array().unwrap();
    let predictions: Vec<_> = rows.iter().map(|row| &row["predictions"][0]).collect();
    let names: Vec<_> = predictions[0]["outputs"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert!(answers.len() >= 3 && !names.is_empty());
    for answer in answers {
        let outputs = answer.as_object().unwrap();
        assert_eq!(outputs.len(), names.len() + LINEAGE.len(), "{answer}");
        for name in &names {
            let expected = predictions.iter().map(|one| &one["outputs"][name]);
            assert_values(name, &outputs[name.as_str()], &expected.collect::<Vec<_>>());
        }
        for name in LINEAGE {
            let expected = predictions.iter().map(|one| match name {
                "version" => &one["version"],
                name => &one["lineage"][name],
            });
            let output = &outputs[&format!("lineage.{name}")];
            assert_values(name, output, &expected.collect::<Vec<_>>());
        }
    }
}

#[track_caller]
fn assert_values(name: &str, output: &Value, expected: &[&Value]) {
    assert_eq!(output["shape"][0], expected.len(), "{name}: {output}");
    let datatype = output["datatype"].as_str().unwrap();
    if datatype == "BYTES" {
        assert_eq!(output["values"], json!(expected), "{name}");
        return;
    }
    let scalars = expected.iter().flat_map(|value| match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![*value],
    });
    let bytes = scalars.flat_map(|value| {
        let text = match value {
            Value::Bool(truth) => truth.to_string(),
            value => value.as_str().unwrap().to_owned(),
        };
        match datatype {
            "FP32" => text.parse::<f32>().unwrap().to_le_bytes().to_vec(),
            "FP64" => text.parse::<f64>().unwrap().to_le_bytes().to_vec(),
            "INT32" => text.parse::<i32>().unwrap().to_le_bytes().to_vec(),
            "INT64" => text.parse::<i64>().unwrap().to_le_bytes().to_vec(),
            "BOOL" => vec![u8::from(text.parse::<bool>().unwrap())],
            other => panic!("{name}: {other}"),
        }
    });
    let bytes = hex::encode(bytes.collect::<Vec<u8>>());
    assert_eq!(output["values"], bytes, "{name}: {output}");
}

/// Scores rows by the job's own route. Numbers are texts with the digits of the answer.
pub fn scored(served: &Served, job: &str, version: &str, rows: &[Value]) -> Value {
    let versions = Some(version).filter(|word| !word.is_empty());
    let body = json!({"rows": rows, "versions": Vec::from_iter(versions)});
    let reply = served.post(&format!("/v1/jobs/{job}/score"), &body);
    digits(&reply.status(200).text())
}

/// Parses JSON with its numbers as texts: serde_json rounds doubles in their last digit.
fn digits(json: &str) -> Value {
    let value = json.trim();
    match value.as_bytes()[0] {
        b'{' => {
            let parts: BTreeMap<String, &RawValue> = serde_json::from_str(value).unwrap();
            let parts = parts.into_iter();
            Value::Object(
                parts
                    .map(|(name, part)| (name, digits(part.get())))
                    .collect(),
            )
        }
        b'[' => {
            let parts: Vec<&RawValue> = serde_json::from_str(value).unwrap();
            Value::Array(parts.iter().map(|part| digits(part.get())).collect())
        }
        b'-' | b'0'..=b'9' => Value::String(value.to_owned()),
        _ => serde_json::from_str(value).unwrap(),
    }
}
