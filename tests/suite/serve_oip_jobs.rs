//! Jobs as models of the Open Inference Protocol: the numbers and hashes of their own route.

pub mod clients;

use serde_json::{Value, json};

use self::clients::{ask, assert_same, column, request, scored};
use crate::{
    serve_access::token,
    serve_oip::{error_of, serve, split},
    support::{Model, Sandbox, Served, served::Reply},
};

/// The data type of each column of `types_mixed`, and another that has the same values.
const MIXED: [(&str, &str, &str); 13] = [
    ("half", "FP32", "FP32"),
    ("counted", "INT64", "INT64"),
    ("serial", "INT64", "INT64"),
    ("vast", "BYTES", "BYTES"),
    ("fine", "FP64", "FP64"),
    ("big", "INT64", "INT64"),
    ("small", "INT32", "INT64"),
    ("tiny", "INT32", "INT8"),
    ("flag", "BOOL", "BOOL"),
    ("word", "BYTES", "BYTES"),
    ("code", "BYTES", "BYTES"),
    ("born", "BYTES", "BYTES"),
    ("seen", "BYTES", "BYTES"),
];

/// A server with the job `types_mixed`, and its rows that have a finite value in all columns and are
/// not rejected: texts by column, in the order of [`MIXED`].
fn mixed(test: &str, settings: &[(&str, &str)]) -> (Sandbox, Served, Vec<Vec<String>>) {
    let sandbox = Sandbox::migrated(test);
    let model = Model::named("types_mixed");
    model.load(&sandbox);
    let push = model.push_arguments("types_mixed");
    let push: Vec<_> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    let manifest = model.manifest(&sandbox, "mixed", "types_mixed");
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let served = serve(&sandbox, settings);
    served.wait_until_ready();
    let text = model.text("data.csv");
    let reader = helenus::domain::csv::Reader::new(&text).unwrap();
    let places = MIXED.map(|(name, ..)| {
        let mut header = reader.header.iter();
        header.position(|column| column == name).unwrap()
    });
    let records = reader.filter_map(|record| {
        let fields = record.unwrap().fields;
        let row = places.iter().map(|at| fields[*at].value.clone());
        let row: Vec<String> = row.collect::<Option<_>>()?;
        let is_finite = |text: &String| text.parse::<f64>().is_ok_and(f64::is_finite);
        (is_finite(&row[0]) && is_finite(&row[4])).then_some(row)
    });
    let records: Vec<_> = records.collect();
    let answer: Vec<Value> = records
        .chunks(3)
        .flat_map(|some| {
            let rows: Vec<_> = some.iter().map(|row| json_row(row)).collect();
            scored(&served, "mixed", "", &rows)["rows"]
                .as_array()
                .unwrap()
                .clone()
        })
        .collect();
    let good = records
        .into_iter()
        .zip(&answer)
        .filter(|(_, row)| row["predictions"][0]["rejected"].is_null());
    let good: Vec<_> = good.map(|(row, _)| row).collect();
    assert!(good.len() > 20, "{}", good.len());
    (sandbox, served, good)
}

/// A row of `types_mixed` in JSON, all its values as texts.
fn json_row(row: &[String]) -> Value {
    let columns = MIXED.iter().zip(row);
    Value::Object(
        columns
            .map(|((name, ..), text)| ((*name).to_owned(), json!(text)))
            .collect(),
    )
}

#[test]
fn every_type_gives_the_numbers_and_hashes_of_the_jobs_own_route() {
    let (sandbox, mut served, rows) = mixed("serve_oip_jobs_types", &[]);
    let metadata = served.get("/v2/models/job%3Amixed").status(200).json();
    assert_eq!(
        metadata,
        served.get("/v2/models/job:mixed").status(200).json()
    );
    assert_eq!(metadata["name"], "job:mixed");
    assert_eq!(metadata["versions"], json!(["1"]));
    assert_eq!(metadata["platform"], "helenus_job");
    let inputs = metadata["inputs"].as_array().unwrap();
    assert_eq!(inputs.len(), MIXED.len(), "{metadata}");
    let columns = |take: fn((&'static str, &'static str, &'static str)) -> &'static str| {
        let columns = MIXED.iter().enumerate();
        let columns = columns.map(|(at, known)| {
            let values: Vec<_> = rows.iter().map(|row| row[at].clone()).collect();
            column(known.0, take(*known), &values)
        });
        columns.collect::<Vec<_>>()
    };
    for (name, datatype, _) in MIXED {
        let expected = json!({"name": name, "datatype": datatype, "shape": [-1]});
        assert!(inputs.contains(&expected), "{expected}: {metadata}");
    }
    let (natural, others) = (columns(|known| known.1), columns(|known| known.2));
    // Without `word`, `small` and `big`, which are null then; whatever the order is.
    let mut fewer = natural.clone();
    fewer.retain(|column| !["word", "small", "big"].contains(&column["name"].as_str().unwrap()));
    fewer.reverse();
    let answers = ask(
        &sandbox,
        &mut served,
        &[
            request("mixed", "", &natural),
            request("mixed", "1", &others),
            request("mixed", "", &fewer),
        ],
    );
    let given: Vec<_> = rows.iter().map(|row| json_row(row)).collect();
    assert_same(&answers[0], &scored(&served, "mixed", "", &given));
    assert_same(&answers[1], &scored(&served, "mixed", "1", &given));
    let given: Vec<_> = given
        .into_iter()
        .map(|mut row| {
            for name in ["word", "small", "big"] {
                row.as_object_mut().unwrap().remove(name);
            }
            row
        })
        .collect();
    assert_same(&answers[2], &scored(&served, "mixed", "", &given));
    assert_ne!(answers[2][0], answers[0][0]);
    served.stop().ok();
}

fn infer(served: &Served, job: &str, body: &Value) -> Reply {
    served.post(&format!("/v2/models/job:{job}/infer"), body)
}

#[test]
fn what_a_job_cannot_take_is_refused_with_the_input_and_the_row() {
    let settings = [("HELENUS_SERVE_MAX_ROWS", "3")];
    let (sandbox, mut served, rows) = mixed("serve_oip_jobs_bad", &settings);
    // The first row as it is sent in JSON.
    let input = |at: usize, data: Value| {
        let (name, datatype, _) = MIXED[at];
        let rows = data.as_array().map_or(1, Vec::len);
        json!({"name": name, "datatype": datatype, "shape": [rows], "data": data})
    };
    let first = |at: usize| -> Value {
        match MIXED[at].1 {
            "BYTES" => json!([rows[0][at]]),
            _ => serde_json::from_str(&format!("[{}]", rows[0][at])).unwrap(),
        }
    };
    let whole: Vec<_> = (0..MIXED.len()).map(|at| input(at, first(at))).collect();
    let with = |at: usize, change: Value| {
        let mut inputs = whole.clone();
        for (name, value) in change.as_object().unwrap() {
            inputs[at][name] = value.clone();
        }
        json!({"inputs": inputs})
    };
    let given = |data: Value| json!({"data": data});
    infer(&served, "mixed", &with(0, json!({}))).status(200);
    let many: Vec<_> = (0..13).map(|at| input(at, json!([1, 2, 3, 4]))).collect();
    for (body, status, expected) in [
        (
            with(1, json!({"name": "count"})),
            400,
            "does not read a column `count`",
        ),
        (
            with(1, json!({"name": "serial"})),
            400,
            "inputs[2].name: input `serial` is given twice",
        ),
        (
            with(1, json!({"datatype": "BYTES", "data": ["1"]})),
            400,
            "inputs[1].datatype: `counted` takes INT64, not BYTES",
        ),
        (
            with(9, json!({"datatype": "INT64", "data": [1]})),
            400,
            "inputs[9].datatype: `word` takes BYTES, not INT64",
        ),
        (
            with(1, json!({"shape": [1, 1]})),
            400,
            "inputs[1].shape: `counted` has shape [1, 1]",
        ),
        (with(1, json!({"shape": [2]})), 400, "other inputs have 1"),
        (
            with(1, given(json!([1.5]))),
            400,
            "inputs[1].data: `counted`, row 0",
        ),
        (
            with(7, given(json!([128]))),
            400,
            "`tiny`, row 0: 128 is out of range of tinyint",
        ),
        (
            with(11, given(json!(["31.12.2024"]))),
            400,
            "inputs[11].data: `born`, row 0",
        ),
        (with(9, given(json!([null]))), 400, "leave the input out"),
        (
            with(1, given(json!([1, 2]))),
            400,
            "2 values; its shape has 1",
        ),
        (json!({"inputs": many}), 413, "4 rows; 3 are the limit"),
        (json!({"inputs": []}), 400, "no rows"),
        (
            json!({"inputs": whole, "outputs": [{"name": "half_bac"}]}),
            400,
            "did you mean `half_back`?",
        ),
        // `counted` has no rule for null.
        (
            json!({"inputs": [input(0, json!([1.0, 2.0]))]}),
            400,
            "the job rejects row 0: null: ",
        ),
        (
            json!({"inputs": [input(0, json!([1.0, 2.0]))]}),
            400,
            "; and row(s) 1",
        ),
    ] {
        let reply = infer(&served, "mixed", &body).status(status);
        let error = error_of(&reply);
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    for path in [
        "/v2/models/job:mixe/infer",
        "/v2/models/job:mixed/versions/7/infer",
        "/v2/models/job:/infer",
    ] {
        served.post(path, &json!({"inputs": whole})).status(404);
    }
    let reply = served.post("/v2/models/job:mixe/infer", &json!({"inputs": whole}));
    assert!(
        error_of(&reply).contains("did you mean `mixed`?"),
        "{}",
        reply.text()
    );
    served.get("/v2/models/job:mixe/ready").status(404);
    served.get("/v2/models/job:mixed/versions/7").status(404);

    // A word that is not UTF-8, as tritonclient sends bytes; then the outputs as binary data.
    let mut inputs = whole.clone();
    let word = inputs[9].as_object_mut().unwrap();
    word.remove("data");
    word.insert("parameters".to_owned(), json!({"binary_data_size": 6}));
    for (bytes, status) in [(b"\x02\0\0\0a\xff", 400), (b"\x02\0\0\0ab", 200)] {
        let outputs = [json!({"name": "word_back", "parameters": {"binary_data": true}})];
        let head = json!({"inputs": inputs, "outputs": outputs}).to_string();
        let length = head.len().to_string();
        let headers = [("Inference-Header-Content-Length", length.as_str())];
        let body = [head.as_bytes(), bytes].concat();
        let reply = served.request("POST", "/v2/models/job:mixed/infer", &headers, &body);
        let reply = reply.status(status);
        if status == 200 {
            let (head, data) = split(&reply);
            assert_eq!(head["model_name"], "job:mixed");
            assert_eq!(head["model_version"], "1");
            assert!(data.ends_with(b"ab"), "{data:?}");
        } else {
            let error = error_of(&reply);
            assert!(
                error.contains("`word`, row 0: it is not UTF-8 at byte 1"),
                "{error}"
            );
        }
    }

    // The same reaches the users of clients.
    let counted = column("counted", "INT64", &["7".to_owned(), "8".to_owned()]);
    let requests = [
        request("mixed", "", std::slice::from_ref(&counted)),
        request("unknown", "", &[counted]),
    ];
    let answers = ask(&sandbox, &mut served, &requests);
    for (answers, words, statuses) in [
        (
            &answers[0],
            "the job rejects row 0: ",
            ["400", "StatusCode.INVALID_ARGUMENT"],
        ),
        (
            &answers[1],
            "no job `unknown` is served here",
            ["404", "StatusCode.NOT_FOUND"],
        ),
    ] {
        for answer in answers {
            let status = answer["status"].to_string();
            assert!(answer["error"].to_string().contains(words), "{answer}");
            assert!(statuses.contains(&status.trim_matches('"')), "{answer}");
        }
    }
    served.stop().ok();
}

#[test]
fn a_job_needs_the_rights_of_its_own_route_and_is_counted() {
    let (sandbox, served, rows) = mixed("serve_oip_jobs_access", &[]);
    served.stop().ok();
    let file = sandbox.directory().join("tokens.toml");
    let path = file.to_str().unwrap();
    let new = |name: &str, rights: &str, limit: [&str; 2]| {
        let words = [name, "--rights", rights, limit[0], limit[1], "--file", path];
        format!("Bearer {}", token(&sandbox, &words))
    };
    let scores = new("scores", "score", ["--job", "mixed"]);
    let reads = new("reads", "read", ["--job", "mixed"]);
    let other = new("other", "score,read", ["--job", "another"]);
    let served = serve(&sandbox, &[("HELENUS_SERVE_TOKENS", path)]);
    served.wait_until_ready();
    let inputs = [json!({"name": "half", "datatype": "FP32", "shape": [1], "data": [1]})];
    let body = json!({"inputs": inputs}).to_string();
    assert!(!rows.is_empty());
    for (authorization, infers, sees) in
        [(&scores, 400, 200), (&reads, 403, 200), (&other, 403, 403)]
    {
        let headers = [("Authorization", authorization.as_str())];
        let call = |method: &str, path: &str, body: &str| {
            served.request(method, path, &headers, body.as_bytes())
        };
        // A request that is permitted fails for its rows.
        let reply = call("POST", "/v2/models/job%3Amixed/infer", &body).status(infers);
        assert_eq!(error_of(&reply).contains("rejects row 0"), infers == 400);
        call("GET", "/v2/models/job%3Amixed", "").status(sees);
        call("GET", "/v2/models/job:mixed/ready", "").status(sees);
        let index = call("POST", "/v2/repository/index", "").status(200).json();
        let entry = json!({"name": "job:mixed", "version": "1", "state": "READY", "reason": ""});
        assert_eq!(
            index.as_array().unwrap().contains(&entry),
            sees == 200,
            "{index}"
        );
    }
    served
        .request("POST", "/v2/models/job:mixed/infer", &[], body.as_bytes())
        .status(401);
    let headers = [("Authorization", reads.as_str())];
    let metrics = served
        .request("GET", "/metrics", &headers, b"")
        .status(200)
        .text();
    let line = "helenus_http_requests_total{route=\"/v2/models/{model}/infer\",status=\"4xx\"} 4";
    assert!(metrics.lines().any(|shown| shown == line), "{metrics}");
    served.stop().ok();
}
