//! What a person reads when there is no way to Cassandra, or the wrong one.

use crate::support::{Sandbox, cassandra};

#[test]
fn nobody_answers() {
    let sandbox = Sandbox::shared("nobody");
    let refused = sandbox
        .json(&["migrate", "--contact-points", "127.0.0.1:1,127.0.0.2:1"])
        .code(3);
    assert_eq!(refused.error()["code"], "cassandra.unreachable");
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("127.0.0.1:1, 127.0.0.2:1")
    );
    let refused = sandbox
        .json(&["migrate", "--contact-points", "no-such-host.invalid"])
        .code(3);
    assert_eq!(refused.error()["code"], "cassandra.unresolved");
}

#[test]
fn a_port_that_answers_but_not_in_cql() {
    let sandbox = Sandbox::shared("not_cql");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        for stream in listener.incoming().take(2).flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let refused = sandbox
        .json(&[
            "migrate",
            "--contact-points",
            &address,
            "--connect-timeout",
            "2s",
        ])
        .code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.unreachable",
        "{refused:?}"
    );
    drop(server);
}

#[test]
fn a_silent_port_is_left_after_the_connect_timeout() {
    let sandbox = Sandbox::shared("silent");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let before = std::time::Instant::now();
    let refused = sandbox
        .json(&[
            "migrate",
            "--contact-points",
            &address,
            "--connect-timeout",
            "500ms",
        ])
        .code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.unreachable",
        "{refused:?}"
    );
    assert!(before.elapsed().as_secs() < 20);
}

#[test]
fn an_unknown_data_centre_is_named_with_the_known_ones() {
    let sandbox = Sandbox::shared("dc");
    let refused = sandbox
        .json(&["migrate", "--local-datacenter", "mars"])
        .code(3);
    assert_eq!(refused.error()["code"], "cassandra.datacenter");
    assert!(
        refused.error()["help"]
            .as_str()
            .unwrap()
            .contains("datacenter1"),
        "{refused:?}"
    );
}

#[test]
fn the_configuration_tells_where_each_value_comes_from_and_hides_the_password() {
    let sandbox = Sandbox::shared("config");
    sandbox.file("helenus.toml", "username = 'me'\nreaders = 2\n");
    let mut command = sandbox.command(&["config", "--output", "json"]);
    command.env("HELENUS_PASSWORD", "hunter2");
    let shown = crate::support::cli::run(command).ok();
    assert!(!shown.stdout.contains("hunter2") && !shown.stderr.contains("hunter2"));
    let settings = &shown.result()["settings"];
    assert_eq!(settings["password"]["value"], "********");
    assert_eq!(settings["password"]["origin"], "HELENUS_PASSWORD");
    assert_eq!(settings["readers"]["origin"], "./helenus.toml:2");
    assert_eq!(
        settings["contact_points"]["value"],
        cassandra::contact().as_str()
    );
}

#[test]
fn a_wrong_command_line_is_one_json_object_too() {
    let sandbox = Sandbox::shared("usage");
    let refused = sandbox.json(&["migrate", "--no-such-flag"]).code(2);
    assert_eq!(refused.error()["code"], "usage");
    sandbox.file("helenus.toml", "keyspce = 'x'\n");
    let refused = sandbox.json(&["config"]).code(2);
    assert_eq!(refused.error()["code"], "config.unknown_key");
    assert_eq!(refused.error()["where"], "./helenus.toml:1");
}

#[test]
fn tls_to_a_port_that_speaks_none_says_so() {
    let sandbox = Sandbox::shared("tls");
    let ca = sandbox.file("ca.pem", "no certificate");
    let refused = sandbox
        .json(&["migrate", "--tls-enabled", "--tls-ca", ca.to_str().unwrap()])
        .code(2);
    assert_eq!(refused.error()["code"], "tls.unusable", "{refused:?}");
}
