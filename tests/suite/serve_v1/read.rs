//! What is read: jobs, models, versions.

use serde_json::json;

use super::{Flowers, all_refused};

#[test]
fn jobs_are_read_with_what_a_caller_must_send_and_gets() {
    let flowers = Flowers::served("v1_jobs");
    flowers.garden.job("idle");
    let server = &flowers.server;
    let listed = server.get("/v1/jobs").status(200).json();
    let served: Vec<_> = listed["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| {
            (
                job["job"].clone(),
                job["served"].clone(),
                job["state"].clone(),
            )
        })
        .collect();
    let expected = [("flowers", true), ("idle", false)];
    let expected = expected.map(|(job, served)| (json!(job), json!(served), json!("ready")));
    assert_eq!(served, expected);

    let job = server.get("/v1/jobs/flowers").status(200).json();
    let told = flowers.sandbox().json(&["job", "show", "flowers"]).ok();
    for (field, value) in told.result().as_object().unwrap() {
        assert_eq!(job[field], *value, "{field}");
    }
    let served = &job["served"];
    assert_eq!(served["key"], json!([{"name": "id", "type": "int"}]));
    let columns: Vec<_> = served["columns"].as_array().unwrap().iter().collect();
    assert_eq!(columns.len(), 4, "{served:#}");
    assert!(columns.iter().all(|column| column["type"] == "double"));
    assert_eq!(served["versions"], json!([1]));
    let outputs = served["outputs"].as_array().unwrap();
    assert!(outputs.iter().any(|output| output["name"] == "label"));

    // Rows of these columns can be scored.
    let row: serde_json::Map<_, _> = columns
        .iter()
        .map(|column| (column["name"].as_str().unwrap().to_owned(), json!(1.5)))
        .collect();
    let scored = server.post("/v1/jobs/flowers/score", &json!({"rows": [row]}));
    let scored = scored.status(200).json();
    let outputs_given = scored["rows"][0]["predictions"][0]["outputs"].clone();
    assert_eq!(outputs_given.as_object().unwrap().len(), outputs.len());

    let idle = server.get("/v1/jobs/idle").status(200).json();
    assert_eq!(idle["served"], json!(null));
    assert!(idle["not_served"].is_string(), "{idle:#}");
    all_refused([
        (server.get("/v1/jobs/flower"), 404, "job.unknown"),
        (server.get("/v1/jobs?all=true"), 400, "request.query"),
        (server.get("/v1/jobs/a%2Fb"), 404, "job.unknown"),
        (server.get("/v1/jobs/%FF"), 400, "request.path"),
    ]);
}

#[test]
fn models_are_read_as_the_command_shows_them() {
    let flowers = Flowers::served("v1_models");
    let server = &flowers.server;
    let command = |arguments: &[&str]| flowers.sandbox().json(arguments).ok().result();
    let listed = server.get("/v1/models").status(200).json();
    assert_eq!(listed, command(&["model", "list"]));

    let model = server.get("/v1/models/kmeans").status(200).json();
    assert_eq!(model["aliases"], json!({"champion": 1}));
    let version = &model["versions"][0];
    assert_eq!(version["loaded"], true);
    let told = command(&["model", "list", "kmeans"]);
    for (field, value) in told["versions"][0].as_object().unwrap() {
        assert_eq!(version[field], *value, "{field}");
    }
    assert!(version["signature"].is_string(), "{version:#}");

    let told = command(&["model", "show", "kmeans", "1"]);
    for name in ["1", "champion"] {
        let path = format!("/v1/models/kmeans/versions/{name}");
        let version = server.get(&path).status(200).json();
        for (field, value) in told.as_object().unwrap() {
            assert_eq!(version[field], *value, "{field}");
        }
    }
    all_refused([
        (server.get("/v1/models/k"), 404, "model.no_version"),
        (
            server.get("/v1/models/kmeans/versions/2"),
            404,
            "model.no_version",
        ),
        (
            server.get("/v1/models/kmeans/versions/challenger"),
            404,
            "model.no_alias",
        ),
    ]);
}

#[test]
fn the_description_is_served_and_names_every_path_that_answers() {
    let flowers = Flowers::served("v1_openapi");
    let reply = flowers.server.get("/openapi.json").status(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let description = reply.json();
    assert_eq!(description["openapi"], "3.1.0");
    let paths = description["paths"].as_object().unwrap();
    for path in ["/live", "/ready", "/metrics", "/v1/jobs", "/v1/models"] {
        assert!(paths.contains_key(path), "{path}");
        flowers.server.get(path).status(200);
    }
}
