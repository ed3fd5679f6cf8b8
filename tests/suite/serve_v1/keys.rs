//! Keys of every kind of type, in paths and in bodies.

use serde_json::{Value, json};

use super::{all_refused, encoded, wait_for};
use crate::support::{garden::Garden, served::Served};

/// Each key column with its CQL literal, its value in a path, in a body, and as it is answered.
fn columns() -> [(&'static str, &'static str, &'static str, Value, Value); 8] {
    let site = "n/o, 'r' \"t\" ö=1%2F";
    let cost = "12345678901234567890.123456789012345";
    [
        (
            "site",
            "'n/o, ''r'' \"t\" ö=1%2F'",
            "'n/o, ''r'' \"t\" ö=1%2F'",
            json!(site),
            json!(site),
        ),
        (
            "plot",
            "6f1f6d1e-7f6a-4b0e-9d3c-0c9f0a6f1b2c",
            "6f1f6d1e-7f6a-4b0e-9d3c-0c9f0a6f1b2c",
            json!("6F1F6D1E-7F6A-4B0E-9D3C-0C9F0A6F1B2C"),
            json!("6f1f6d1e-7f6a-4b0e-9d3c-0c9f0a6f1b2c"),
        ),
        (
            "at",
            "'2026-03-01 12:30:00.250+0000'",
            "2026-03-01 13:30:00.250+0100",
            json!(1_772_368_200_250_i64),
            json!("2026-03-01T12:30:00.250Z"),
        ),
        ("cost", cost, cost, json!(cost), json!(cost)),
        (
            "raw",
            "0x00ff2c3d",
            "0x00FF2C3D",
            json!("0x00ff2c3d"),
            json!("00ff2c3d"),
        ),
        ("fresh", "true", "true", json!(true), json!(true)),
        (
            "host",
            "'2001:db8::1'",
            "2001:DB8::1",
            json!("2001:db8:0::1"),
            json!("2001:db8::1"),
        ),
        (
            "day",
            "'2026-02-28'",
            "2026-02-28",
            json!("2026-02-28"),
            json!("2026-02-28"),
        ),
    ]
}

/// A row whose primary key has a column of each type, a job over it, and a server.
fn plots(test: &str) -> (Garden, Served) {
    let garden = Garden::new(test);
    let sandbox = &garden.sandbox;
    sandbox.cql("CREATE TABLE {data}.plots (site text, plot uuid, at timestamp, cost decimal, raw blob, fresh boolean, host inet, day date, sepal_length double, sepal_width double, petal_length double, petal_width double, PRIMARY KEY ((site, plot), at, cost, raw, fresh, host, day))");
    let literals: Vec<_> = columns().iter().map(|column| column.1).collect();
    let names: Vec<_> = columns().iter().map(|column| column.0).collect();
    sandbox.cql(&format!(
        "INSERT INTO {{data}}.plots ({}, sepal_length, sepal_width, petal_length, petal_width) VALUES ({}, 5.1, 3.5, 1.4, 0.2)",
        names.join(", "),
        literals.join(", ")
    ));
    let manifest = format!(
        "job = \"plots\"\nmodel = \"kmeans\"\nversions = [1]\n[source]\ntable = \"{}.plots\"\n",
        sandbox.data
    );
    let file = sandbox.file("plots.toml", manifest);
    sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
    let server = Served::start(sandbox, &["plots"]);
    (garden, server)
}

#[test]
fn keys_of_every_type_are_found_in_paths_and_in_bodies() {
    let (garden, server) = plots("v1_keys");
    let pairs: Vec<_> = columns()
        .iter()
        .rev()
        .map(|(name, _, text, ..)| format!("{name}={text}"))
        .collect();
    let path = format!("/v1/jobs/plots/predictions/{}", encoded(&pairs.join(",")));
    let view = server.get(&path).status(200).json();
    let expected: Value = columns()
        .into_iter()
        .map(|(name, _, _, _, answer)| (name.to_owned(), answer))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(view["key"], expected, "{view:#}");
    assert_eq!(view["predictions"][0]["from"], "scored");
    assert_eq!(view["predictions"][0]["outputs"]["label"], 2);

    let key: Value = columns()
        .into_iter()
        .map(|(name, _, _, value, _)| (name.to_owned(), value))
        .collect::<serde_json::Map<_, _>>()
        .into();
    // A decimal as a number keeps its digits, too.
    let quoted = "\"12345678901234567890.123456789012345\"";
    let text = json!({"keys": [key]}).to_string();
    let number = text.replace(quoted, quoted.trim_matches('"'));
    assert_ne!(text, number);
    let predictions = "/v1/jobs/plots/predictions";
    for body in [&text, &number] {
        let reply = server.request("POST", predictions, &[], body.as_bytes());
        let rows = reply.status(200).json()["rows"].clone();
        assert_eq!(rows[0]["key"], expected, "{rows:#}");
        assert_eq!(rows[0]["found"], true);
    }

    // The same key asks for a run.
    let ask = format!("{predictions}?store=true");
    let reply = server.request("POST", &ask, &[], number.as_bytes());
    let reply = reply.status(200);
    let request = reply.header("helenus-request").unwrap();
    garden.sandbox.json(&["worker", "--once"]).ok();
    let run = server.get(&format!("/v1/jobs/plots/runs/{request}"));
    let run = run.status(200).json();
    assert_eq!(run["state"], "succeeded", "{run:#}");
    assert_eq!(run["run"]["scope"], "keys");
    assert_eq!(run["run"]["scored"], json!({"1": 1}));
    let stored = server.get(&path).status(200).json();
    assert_eq!(stored["predictions"][0]["from"], "stored");
    assert_eq!(stored["predictions"][0]["lineage"]["run_id"], run["run_id"]);
}

#[test]
fn a_prediction_that_is_stored_already_asks_for_no_run() {
    let garden = Garden::new("v1_store");
    garden.job("flowers");
    let server = Served::start(&garden.sandbox, &["flowers"]);
    let path = "/v1/jobs/flowers/predictions/7?store=true";
    let request = |path: &str| {
        let reply = server.get(path).status(200);
        reply.header("helenus-request").map(str::to_owned)
    };
    assert_eq!(request("/v1/jobs/flowers/predictions/7"), None);
    assert_eq!(request("/v1/jobs/flowers/predictions/7?store=false"), None);
    let asked = request(path).unwrap();
    let _worker = garden.sandbox.start(&["worker"]);
    let place = format!("/v1/jobs/flowers/runs/{asked}");
    wait_for("the run", || {
        let run = server.get(&place).status(200).json();
        (run["state"] == "succeeded").then_some(())
    });
    assert_eq!(request(path), None);
    all_refused([
        (
            server.get("/v1/jobs/flowers/predictions/0?store=true"),
            404,
            "row.unknown",
        ),
        (
            server.get("/v1/jobs/flowers/predictions/7?store=perhaps"),
            400,
            "request.query",
        ),
        (
            server.get("/v1/jobs/flowers/predictions/7?stored=true"),
            400,
            "request.query",
        ),
        (
            server.get("/v1/jobs/flowers/predictions/'7"),
            400,
            "keys.quotes",
        ),
    ]);
}
