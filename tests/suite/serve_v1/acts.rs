//! Promote, roll back, approve.

use serde_json::{Value, json};

use super::{Flowers, all_refused, location, wait_for};
use crate::support::{Model, Sandbox, biopsies::Biopsies, served::Served};

fn champion(server: &Served, model: &str) -> Value {
    let model = server.get(&format!("/v1/models/{model}"));
    model.status(200).json()["aliases"]["champion"].clone()
}

#[test]
fn an_alias_is_promoted_and_rolled_back() {
    let flowers = Flowers::served("v1_promote");
    let push = Model::named("iris_kmeans").push_arguments("kmeans");
    let push: Vec<_> = push.iter().map(String::as_str).collect();
    flowers.sandbox().helenus(&push).ok();
    let server = &flowers.server;
    let alias = "/v1/models/kmeans/aliases/champion";

    // No worker yet: the request stays, and is answered later.
    let body = json!({"version": 2, "why": "newer"});
    let reply = server.post(&format!("{alias}?wait=0s"), &body).status(202);
    let place = location(&reply);
    assert_eq!(reply.json()["answer"], json!(null));
    let _worker = flowers.sandbox().start(&["worker"]);
    let answered = wait_for("the answer", || {
        let request = server.get(&place).status(200).json();
        (!request["answer"].is_null()).then_some(request)
    });
    assert_eq!(answered["answer"]["kind"], "done", "{answered:#}");
    assert_eq!(answered["requested_by"], "anyone@http");
    assert_eq!(answered["model"], "kmeans");
    assert_eq!(champion(server, "kmeans"), 2);

    let rollback = server.request("POST", "/v1/models/kmeans/rollback?wait=30s", &[], b"");
    let rolled = rollback.status(200).json();
    assert_eq!(
        (&rolled["alias"], &rolled["version"]),
        (&"champion".into(), &1.into())
    );
    assert_eq!(champion(server, "kmeans"), 1);
    let stale = json!({"version": 2, "expected_version": 2});
    let promote = |body: &Value| server.post(&format!("{alias}?wait=30s"), body);
    all_refused([
        (promote(&stale), 409, "alias.refused"),
        (promote(&json!({"version": 9})), 404, "model.no_version"),
        (promote(&json!({"version": "best"})), 404, "model.no_alias"),
        (promote(&json!({})), 400, "request.json"),
        (
            promote(&json!({"version": 2, "force": true})),
            400,
            "request.json",
        ),
        (
            server.post(&format!("{alias}?wait=31s"), &body),
            400,
            "request.wait",
        ),
        (
            server.post(&format!("{alias}?wait=soon"), &body),
            400,
            "request.wait",
        ),
        (
            server.post("/v1/models/kmeans/aliases/previous", &body),
            400,
            "alias.reserved",
        ),
        (
            server.post("/v1/models/kmeans/rollback", &json!({"alias": "best"})),
            404,
            "model.no_alias",
        ),
        (
            server.post("/v1/models/kmeans/gates/better/approve", &json!({})),
            404,
            "gate.unknown",
        ),
        (
            server.get("/v1/requests/00000000-0000-1000-8000-000000000000"),
            404,
            "request.unknown",
        ),
    ]);
    let promoted = promote(&json!({"version": 2, "coverage": "full"})).status(200);
    assert_eq!(promoted.json()["version"], 2);
    let history = flowers.sandbox().rows(
        "SELECT who FROM {helenus}.model_aliases WHERE model = 'kmeans' AND alias = 'champion'",
    );
    let by_http = history
        .iter()
        .filter(|row| row["who"].as_text().unwrap() == "anyone@http");
    assert_eq!(by_http.count(), 3, "{history:?}");
}

/// Labels that agree with version 2, and a gate that asks for them.
fn gated(sandbox: &Sandbox) {
    sandbox
        .cql("CREATE TABLE {data}.outcomes (id int PRIMARY KEY, outcome text, known_at timestamp)");
    for row in sandbox.rows("SELECT id, model_version, label FROM {data}.tumour_predictions") {
        if row["model_version"].as_int() == Some(2) {
            let (id, label) = (row["id"].as_int().unwrap(), row["label"].as_text().unwrap());
            sandbox.cql(&format!("INSERT INTO {{data}}.outcomes (id, outcome, known_at) VALUES ({id}, '{label}', '2099-01-01')"));
        }
    }
    sandbox.helenus(&["model", "promote", "tumour", "1"]).ok();
    let labels = format!("{}.outcomes.outcome", sandbox.data);
    let gate = ["gate", "add", "tumour", "better", "--metric", "accuracy"];
    let options = ["--labels", &labels, "--min-labelled-rows", "500"];
    sandbox.helenus(&[&gate[..], &options].concat()).ok();
    let promote = ["model", "promote", "tumour", "2", "--alias", "challenger"];
    sandbox.helenus(&promote).ok();
}

#[test]
fn a_gate_is_approved_once_it_passes() {
    let biopsies = Biopsies::scored("v1_approve");
    let sandbox = &biopsies.sandbox;
    gated(sandbox);
    let server = Served::start(sandbox, &["tumour"]);
    let path = "/v1/models/tumour/gates/better/approve?wait=30s";
    let approve = || server.post(path, &json!({"why": "agreed"}));
    let says = || {
        let gate = server.get("/v1/models/tumour/gates/better");
        gate.status(200).json()["says"].clone()
    };
    all_refused([(approve(), 409, "gate.unevaluated")]);
    assert_eq!(says(), "unevaluated");

    let labels = format!("{}.outcomes.outcome", sandbox.data);
    let evaluate = ["evaluate", "tumour", "--versions", "champion,challenger"];
    let options = ["--labels", &labels, "--label-time", "known_at"];
    sandbox.helenus(&[&evaluate[..], &options].concat()).ok();
    assert_eq!(says(), "passes");
    let _worker = sandbox.start(&["worker"]);
    let approved = approve().status(200).json();
    assert_eq!(
        (&approved["alias"], &approved["version"]),
        (&"champion".into(), &2.into())
    );
    assert_eq!(champion(&server, "tumour"), 2);
    // What was shown against version 1 shows nothing now.
    assert_eq!(says(), "fails");
    all_refused([(approve(), 409, "gate.fails")]);
}
