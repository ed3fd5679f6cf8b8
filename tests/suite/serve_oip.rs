//! The Open Inference Protocol: requests as clients send them, byte for byte, and real clients.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{
    Model, Sandbox, Served,
    cli::{self, Output, Running},
    required,
    served::Reply,
};

/// A server with some models of `models/`, version 1 the champion of each.
pub struct Garden {
    pub sandbox: Sandbox,
    models: Vec<Model>,
}

impl Garden {
    pub fn new(test: &str, models: &[&str]) -> Self {
        let sandbox = Sandbox::migrated(test);
        let models: Vec<_> = models.iter().map(|name| Model::named(name)).collect();
        for model in &models {
            let push = model.push_arguments(&model.name);
            let push: Vec<_> = push.iter().map(String::as_str).collect();
            sandbox.helenus(&push).ok();
            let promote = ["model", "promote", &model.name, "1", "--why", "test"];
            sandbox.helenus(&promote).ok();
        }
        Self { sandbox, models }
    }

    pub fn serve(&self, settings: &[(&str, &str)]) -> Served {
        let served = serve(&self.sandbox, settings);
        served.wait_until_ready();
        served
    }

    /// Runs a program of `tests/clients/` with both addresses and all models.
    fn client(&self, program: &str, served: &mut Served) -> Output {
        let mut arguments = vec![
            served.address.to_string(),
            served.address_of("serving over gRPC").to_string(),
        ];
        arguments.extend(self.models.iter().map(|model| {
            let folder = model.folder.display();
            format!("{}={folder}", model.name)
        }));
        client(program, &arguments)
    }
}

/// Starts `helenus serve` with gRPC and these settings, by their environment variables.
pub fn serve(sandbox: &Sandbox, settings: &[(&str, &str)]) -> Served {
    let (http, grpc) = ("--serve-listen", "--serve-grpc-listen");
    let mut command = sandbox.command(&["serve", http, "127.0.0.1:0", grpc, "127.0.0.1:0"]);
    command.envs(settings.iter().copied());
    Served::listening(Running::start(command))
}

/// Runs a program of `tests/clients/`.
pub fn client(program: &str, arguments: &[String]) -> Output {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/");
    let mut command = Command::new(required("HELENUS_TEST_SERVING"));
    command
        .arg(format!("{folder}{program}"))
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    cli::run(command).ok()
}

#[test]
fn every_model_answers_tritonclient_and_kserve() {
    let names = Model::all();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let garden = Garden::new("serve_oip_all", &names);
    let mut served = garden.serve(&[]);
    for (program, kinds) in [
        ("triton.py", &["binary", "json", "grpc"][..]),
        (
            "kserve_client.py",
            &["binary", "json", "grpc", "grpc typed"],
        ),
    ] {
        let output = garden.client(program, &mut served);
        let compared: Value = serde_json::from_str(&output.stdout).unwrap();
        for name in &names {
            for kind in kinds {
                let rows = compared[name][kind].as_u64().unwrap();
                assert!(rows > 0, "{program} {name} {kind}: {compared}");
            }
        }
    }
}

/// What tritonclient sends by default: JSON, then the values, and no Content-Type.
#[test]
fn requests_of_clients_are_answered_as_captured() {
    let names = ["iris_mlp_batch1", "sentences_tfidf"];
    let garden = Garden::new("serve_oip_bytes", &names);
    let served = garden.serve(&[]);
    let values: Vec<u8> = [4.7_f32, 3.2, 1.3, 0.2]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let json = concat!(
        r#"{"id":"1","parameters":{"binary_data_output":true},"#,
        r#""inputs":[{"name":"X","shape":[1,4],"datatype":"FP32","#,
        r#""parameters":{"binary_data_size":16}}]}"#
    );
    let body = [json.as_bytes(), &values].concat();
    let length = json.len().to_string();
    let path = "/v2/models/iris_mlp_batch1/infer";
    for headers in [
        &[("Inference-Header-Content-Length", length.as_str())][..],
        &[
            ("inference-header-content-length", length.as_str()),
            ("content-type", "application/octet-stream"),
        ],
    ] {
        let reply = served.request("POST", path, headers, &body).status(200);
        assert_eq!(
            reply.header("content-type"),
            Some("application/octet-stream")
        );
        let (head, data) = split(&reply);
        assert_eq!(head["id"], "1");
        assert_eq!(head["model_name"], "iris_mlp_batch1");
        assert_eq!(head["model_version"], "1");
        let output = &head["outputs"][0];
        assert_eq!(output["name"], "probabilities");
        assert_eq!(output["shape"], json!([1, 3]));
        assert_eq!(output["parameters"]["binary_data_size"], 12);
        let first = f32::from_le_bytes(data[..4].try_into().unwrap());
        assert!((first - 0.998_299_8).abs() < 1e-5, "{first}");
        assert_eq!(data.len(), 12);
    }

    // kserve adds the model's name; curl may send no Content-Type at all.
    let body = br#"{"id":"f2a7","model_name":"iris_mlp_batch1","inputs":[{"name":"X","shape":[2,4],"datatype":"FP32","data":[[4.7,3.2,1.3,0.2],[4.7,3.2,1.3,0.2]]}]}"#;
    let reply = served.request("POST", path, &[], body).status(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let answer = reply.json();
    assert_eq!(answer["id"], "f2a7");
    assert_eq!(answer["outputs"][0]["shape"], json!([2, 3]));
    let data = answer["outputs"][0]["data"].as_array().unwrap();
    assert_eq!(data[..3], data[3..]);

    // Texts: a length before each, and escapes in JSON.
    let metadata = served.get("/v2/models/sentences_tfidf").status(200).json();
    let input = &metadata["inputs"][0];
    assert_eq!(input["datatype"], "BYTES");
    let shape: Vec<i64> = serde_json::from_value(input["shape"].clone()).unwrap();
    let shape = [&[1], &shape[1..]].concat();
    let text = "Wörst radius";
    let mut prefixed = (text.len() as u32).to_le_bytes().to_vec();
    prefixed.extend(text.as_bytes());
    let json = json!({"inputs": [{"name": input["name"], "shape": shape, "datatype": "BYTES",
        "parameters": {"binary_data_size": prefixed.len()}}]})
    .to_string();
    let length = json.len().to_string();
    let headers = [("Inference-Header-Content-Length", length.as_str())];
    let path = "/v2/models/sentences_tfidf/infer";
    let body = [json.as_bytes(), &prefixed].concat();
    let binary = served.request("POST", path, &headers, &body).status(200);
    let name = &input["name"];
    let escaped = format!(
        r#"{{"inputs":[{{"name":{name},"shape":{shape:?},"datatype":"BYTES","data":["W\u00F6rst radius"]}}]}}"#
    );
    let escaped = served.request("POST", path, &[], escaped.as_bytes());
    assert_eq!(escaped.status(200).json(), binary.json());
}

/// The JSON of an answer with binary data, and the data.
pub fn split(reply: &Reply) -> (Value, &[u8]) {
    let length = reply.header("inference-header-content-length").unwrap();
    let (json, data) = reply.body.split_at(length.parse().unwrap());
    (serde_json::from_slice(json).unwrap(), data)
}

#[test]
fn bad_requests_are_answered_with_a_reason() {
    let garden = Garden::new("serve_oip_errors", &["iris_mlp_batch1"]);
    let served = garden.serve(&[("HELENUS_SERVE_MAX_ROWS", "3")]);
    let path = "/v2/models/iris_mlp_batch1/infer";
    let x = |shape: &str, datatype: &str, data: &str| {
        format!(
            r#"{{"inputs":[{{"name":"X","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
        )
    };
    let row = "[4.7,3.2,1.3,0.2]";
    let fp32 = |shape: &str, data: &str| x(shape, "FP32", data);
    let with_outputs =
        |outputs: &str| fp32("[1,4]", row).replacen('{', &format!(r#"{{"outputs":{outputs},"#), 1);
    for (body, status, expected) in [
        (fp32("[1,4]", row), 200, ""),
        // Integers that are exactly floats, and doubles that are exactly floats.
        (x("[1,4]", "INT64", "[4,3,1,0]"), 200, ""),
        (x("[1,4]", "FP64", "[0.5,3,1,0]"), 200, ""),
        (
            x("[1,4]", "FP64", row),
            400,
            "4.7 is not exactly a value of FP32",
        ),
        (x("[1,4]", "INT64", "[4,3,1,16777217]"), 400, "place 3"),
        (x("[1,4]", "INT8", "[4,3,1,300]"), 400, "INT8"),
        (x("[1,4]", "FP16", row), 400, "binary"),
        (x("[1,4]", "BF16", row), 400, "FP32"),
        (
            x("[1,4]", "BYTES", r#"["4","3","1","0"]"#),
            400,
            "takes FP32",
        ),
        (fp32("[1,4]", "[4.7,3.2,1.3,null]"), 400, "null"),
        (fp32("[1,4]", r#"[4.7,3.2,1.3,"NaN"]"#), 400, "NaN"),
        (fp32("[1,4]", "[4.7,3.2,1.3,NaN]"), 400, "line 1"),
        (fp32("[1,4]", "[4.7,3.2,1.3,1e39]"), 400, "too large"),
        (fp32("[1,3]", "[4.7,3.2,1.3]"), 400, "[rows, 4]"),
        (fp32("[4]", row), 400, "[rows, 4]"),
        (fp32("[-1,4]", row), 400, "[-1, 4]"),
        (fp32("[2,4]", row), 400, "4 values"),
        (fp32("[1,4]", "[[4.7,3.2],[1.3,0.2]]"), 400, "array of 2"),
        (fp32("[0,4]", "[]"), 400, "no rows"),
        (fp32("[4,4]", "[]"), 413, "3 are the limit"),
        (fp32("[4611686018427387904,4]", "[]"), 413, "limit"),
        (fp32("[1e99,4]", "[]"), 400, "line 1"),
        (
            fp32("[1,4]", row).replace("\"X\"", "\"Z\""),
            400,
            "`Z` (its inputs: X)",
        ),
        (with_outputs(r#"[{"name":"probabilities"}]"#), 200, ""),
        (with_outputs(r#"[{"name":"label"}]"#), 400, "probabilities"),
        (
            with_outputs(r#"[{"name":"probabilities","parameters":{"classification":2}}]"#),
            400,
            "classification",
        ),
        (r#"{"inputs":[]}"#.to_owned(), 400, "missing input(s): X"),
        ("{}".to_owned(), 400, "inputs"),
        ("[".to_owned(), 400, "an array instead of an object"),
        (String::new(), 400, "line 1"),
        (
            r#"{"inputs":[{"name":"X","shape":[1,4],"datatype":"FP32"}]}"#.to_owned(),
            400,
            "neither",
        ),
    ] {
        let reply = served.request("POST", path, &[], body.as_bytes());
        let text = reply.text();
        assert_eq!(reply.status, status, "{body}: {text}");
        if status != 200 {
            let error = error_of(&reply);
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    let json = r#"{"inputs":[{"name":"X","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}"#;
    let right = json.len().to_string();
    for (length, values, expected) in [
        ("1000000", 16, "length within"),
        ("-1", 16, "length within"),
        ("x", 16, "length within"),
        ("0", 16, "line 1"),
        (right.as_str(), 15, "15 bytes follow"),
        (right.as_str(), 20, "4 bytes belong to no input"),
    ] {
        let headers = [("Inference-Header-Content-Length", length)];
        let body = [json.as_bytes(), &vec![0; values]].concat();
        let reply = served.request("POST", path, &headers, &body).status(400);
        let error = error_of(&reply);
        assert!(error.contains(expected), "{length}, {values}: {error}");
    }
    let reply = served.request("POST", path, &[], b"{\"id\":\"\xff\"}");
    assert!(error_of(&reply.status(400)).contains("UTF-8"));

    for (path, expected) in [
        ("/v2/models/iris_mlp_batch1/versions/7/infer", "champion"),
        (
            "/v2/models/iris_mlp_batch1/versions/nobody/infer",
            "champion",
        ),
        (
            "/v2/models/iris_mlp_batch/infer",
            "did you mean `iris_mlp_batch1`?",
        ),
        ("/v2/models/%22%3B/infer", "no model"),
    ] {
        let reply = served.request("POST", path, &[], b"{}").status(404);
        let error = error_of(&reply);
        assert!(error.contains(expected), "{path}: {error}");
    }
}

/// The text of a failed request, whose body must be `{"error": "text"}`.
pub fn error_of(reply: &Reply) -> String {
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

#[test]
fn the_server_says_what_it_is_and_has() {
    let garden = Garden::new("serve_oip_metadata", &["breast_cancer_lgbm"]);
    let served = garden.serve(&[]);
    let get = |path: &str| served.get(path).status(200).json();
    assert_eq!(get("/v2/health/live"), json!({"live": true}));
    assert_eq!(get("/v2/health/ready"), json!({"ready": true}));
    assert_eq!(get("/v2")["name"], "helenus");
    let metadata = get("/v2/models/breast_cancer_lgbm");
    assert_eq!(
        metadata,
        get("/v2/models/breast_cancer_lgbm/versions/champion")
    );
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(metadata["platform"], "onnxruntime_onnx");
    assert_eq!(metadata["inputs"].as_array().unwrap().len(), 1);
    let input = &metadata["inputs"][0];
    assert_eq!(input["shape"], json!([-1, 30]));
    assert_eq!(input["datatype"], "FP32");
    let features = input["parameters"]["features"].as_array().unwrap();
    assert_eq!((features.len(), &features[0]), (30, &json!("mean radius")));
    let outputs = metadata["outputs"].as_array().unwrap();
    let shapes: Vec<_> = outputs.iter().map(|output| &output["shape"]).collect();
    assert_eq!(shapes, [&json!([-1]), &json!([-1, 2])]);

    let ready = json!({"name": "breast_cancer_lgbm", "ready": true});
    assert_eq!(get("/v2/models/breast_cancer_lgbm/ready"), ready);
    assert_eq!(get("/v2/models/breast_cancer_lgbm/versions/1/ready"), ready);
    for path in [
        "/v2/models/nothing",
        "/v2/models/nothing/ready",
        "/v2/models/breast_cancer_lgbm/versions/2/ready",
    ] {
        let reply = served.get(path).status(404);
        assert!(!error_of(&reply).is_empty());
    }
    let index = served.request("POST", "/v2/repository/index", &[], b"");
    let entry =
        json!([{"name": "breast_cancer_lgbm", "version": "1", "state": "READY", "reason": ""}]);
    assert_eq!(index.status(200).json(), entry);
}

/// More rows than one call of the model takes come back in their order.
#[test]
fn long_requests_are_answered_in_order() {
    let garden = Garden::new("serve_oip_long", &["types_places"]);
    let served = garden.serve(&[]);
    let path = "/v2/models/types_places/infer";
    let infer = |rows: &[[f64; 8]]| {
        let body = json!({"inputs": [{"name": "X", "shape": [rows.len(), 8], "datatype": "FP32",
            "data": rows}]});
        let answer = served.post(path, &body).status(200).json();
        assert_eq!(answer["outputs"][0]["shape"], json!([rows.len(), 8]));
        answer["outputs"][0]["data"].as_array().unwrap().clone()
    };
    let rows: Vec<[f64; 8]> = (0..1300).map(|row| [f64::from(row); 8]).collect();
    let all = infer(&rows);
    assert_eq!(all.len(), 1300 * 8);
    for row in [0, 511, 512, 1023, 1024, 1299] {
        assert_eq!(
            all[row * 8..(row + 1) * 8],
            infer(&rows[row..=row]),
            "row {row}"
        );
    }
}

#[test]
fn grpc_has_the_certificates_of_the_server_and_of_its_clients() {
    let sandbox = Sandbox::migrated("serve_oip_tls");
    let file = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, ca) = (file("node.pem"), file("node.key"), file("ca.pem"));
    let settings = [
        ("HELENUS_SERVE_TLS_CERT", cert.as_str()),
        ("HELENUS_SERVE_TLS_KEY", &key),
        ("HELENUS_SERVE_TLS_CLIENT_CA", &ca),
    ];
    let mut served = serve(&sandbox, &settings);
    let address = served.address_of("serving over gRPC").to_string();
    let files = ["ca.pem", "client.pem", "client.key", "stranger.pem"].map(file);
    client("grpc_tls.py", &[&[address][..], &files].concat());
}
