//! What `helenus stream` and `doctor` say of settings and topics with which no message can be read.

use serde_json::json;

use crate::support::{cli::run, kafka::shared, stems::Stems};

#[test]
fn what_cannot_be_read_is_said_before_anything_is_read() {
    let stems = Stems::new("stream_settings", shared(), 1);
    let without = |variable: &str| {
        let mut command = stems.command(&[]);
        command.env_remove(variable).arg("--output").arg("json");
        run(command)
    };
    assert_eq!(
        without("HELENUS_KAFKA_BROKERS").code(2).error()["code"],
        "kafka.no_brokers"
    );
    assert_eq!(without("NOTHING").code(5).error()["code"], "job.unknown");
    let manifest = format!(
        "job = \"stems\"\nmodel = \"kmeans\"\nversions = [1]\n[source]\ntable = \"{}.stems\"\n",
        stems.sandbox.data
    );
    let file = stems.sandbox.file("plain.toml", manifest);
    stems
        .sandbox
        .helenus(&["job", "create", file.to_str().unwrap()])
        .ok();
    assert_eq!(without("NOTHING").code(2).error()["code"], "stream.none");
    let listed = stems.sandbox.json(&["stream", "status"]).ok().result();
    assert_eq!(listed, json!([]));
}

#[test]
fn the_doctor_names_topics_that_do_not_exist_and_brokers_that_do_not_answer() {
    let mut stems = Stems::new("stream_doctor", shared(), 1);
    stems.dead = "stems.never-made".to_owned();
    stems.job("", "");
    let findings = |brokers: &str| {
        let mut command = stems.sandbox.command(&["doctor", "--output", "json"]);
        command.env("HELENUS_KAFKA_BROKERS", brokers);
        let found = run(command).code(3).result();
        let checks = found["checks"].as_array().unwrap().clone();
        let bad = checks
            .into_iter()
            .filter(|check| check["check"] == "kafka" && check["state"] == "bad");
        bad.map(|check| check["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        findings(&stems.broker.bootstrap),
        ["topic `stems.never-made` of job `stems` does not exist"]
    );
    let silent = findings("127.0.0.1:1");
    assert_eq!(silent.len(), 1, "{silent:?}");
    assert!(silent[0].contains("do not answer"), "{silent:?}");
}
