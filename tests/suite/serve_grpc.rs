//! Who may call over gRPC, what is recorded of calls, and how the server ends.

use serde_json::Value;

use crate::{
    serve_access::token,
    serve_oip::{Garden, client},
};

const MODEL: &str = "iris_mlp";

#[test]
fn calls_need_the_tokens_of_http_and_are_recorded() {
    let garden = Garden::new("grpc_access", &[MODEL]);
    let file = garden.sandbox.directory().join("tokens.toml");
    let path = file.to_str().unwrap();
    let new = |name: &str, model: &str| {
        let rights = ["--rights", "score,read", "--model", model, "--file", path];
        token(&garden.sandbox, &[&[name], &rights[..]].concat())
    };
    let (right, other) = (new("shop", MODEL), new("other", "another"));
    let mut served = garden.serve(&[
        ("HELENUS_SERVE_TOKENS", path),
        ("HELENUS_SERVE_ACCESS_LOG", "true"),
    ]);
    let address = served.address_of("serving over gRPC").to_string();
    client(
        "grpc_access.py",
        &[address, MODEL.to_owned(), right.clone(), other],
    );
    let text = served.get("/metrics").status(200).text();
    let route = "route=\"/inference.GRPCInferenceService/ModelInfer\"";
    for (status, calls) in [("2xx", 1), ("4xx", 3)] {
        let line = format!("helenus_http_requests_total{{{route},status=\"{status}\"}} {calls}");
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let log = served.stop().ok().stderr;
    let lines: Vec<_> = log.lines().filter(|line| line.contains(route)).collect();
    assert_eq!(lines.len(), 4, "{log}");
    for (status, caller) in [("200", "shop"), ("401", "-"), ("403", "other")] {
        let has = |line: &&str| {
            line.contains(&format!("status={status}"))
                && line.contains(&format!("caller=\"{caller}\""))
        };
        assert!(lines.iter().any(has), "{status} {caller}: {lines:?}");
    }
    assert!(log.contains("request_id=\"shop-17\""), "{log}");
    assert!(!log.contains(&right[4..]), "{log}");
}

#[test]
fn a_server_that_ends_tells_the_health_service_first_and_answers_meanwhile() {
    let garden = Garden::new("grpc_drain", &[MODEL]);
    let mut served = garden.serve(&[]);
    let address = served.address_of("serving over gRPC").to_string();
    let pid = served.pid().to_string();
    let output = client("grpc_drain.py", &[address, MODEL.to_owned(), pid]);
    let answered: Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(answered["before"].as_u64() >= Some(40), "{answered}");
    assert!(answered["after"].as_u64() > Some(0), "{answered}");
    served.finish().ok();
}
