//! The description against the server: requests that schemathesis makes up.

use std::process::Command;

use super::Flowers;
use crate::support::{cli, required};

/// Whatever is sent: no error of the server, and only what the description permits.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn what_is_answered_is_what_is_described() {
    let flowers = Flowers::served("v1_schemathesis");
    let _worker = flowers.worker();
    let place = flowers.ask(&serde_json::json!({"scope": "all"}));
    flowers.in_state(&place, &["succeeded"]);
    let config = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/serving/schemathesis.toml"
    );
    let description = format!("http://{}/openapi.json", flowers.server.address);
    let mut command = Command::new(required("HELENUS_TEST_SCHEMATHESIS"));
    command
        .current_dir(flowers.sandbox().directory())
        .args(["--config-file", config, "run", &description])
        .args(["--phases", "examples,coverage,fuzzing", "--checks", CHECKS])
        .args(["--max-examples", "20", "--seed", "1", "--no-shrink"])
        .args(["--max-time", "30", "--generation-database", "none"])
        .args(["--request-timeout", "20", "--no-color"]);
    let output = cli::run(command);
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
    assert_eq!(flowers.server.get("/ready").status, 200);
}
