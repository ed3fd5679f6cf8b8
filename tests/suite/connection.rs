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

#[test]
fn a_keyspace_that_is_missing_bare_half_made_old_or_newer() {
    let sandbox = Sandbox::empty("not_migrated");
    let list = ["model", "list"];
    let refused = |code: &str, said: &str| {
        let refused = sandbox.json(&list).code(3);
        assert_eq!(refused.error()["code"], code, "{refused:?}");
        assert!(
            refused.error()["message"].as_str().unwrap().contains(said),
            "{refused:?}"
        );
        let found = sandbox.json(&["doctor"]).code(3).result();
        let checks = found["checks"].as_array().unwrap();
        assert!(
            checks
                .iter()
                .any(|check| check["check"] == "schema" && check["state"] == "bad"),
            "{found}"
        );
    };
    refused("schema.missing", "does not exist");
    sandbox.cql("CREATE KEYSPACE {helenus} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    refused("schema.missing", "is not migrated");
    sandbox.helenus(&["migrate"]).ok();
    sandbox.json(&list).ok();
    sandbox.json(&["doctor"]).ok();
    let version = |version: i32| {
        sandbox.cql(&format!(
            "UPDATE {{helenus}}.settings SET schema_version = {version} WHERE id = 'helenus'"
        ))
    };
    version(99);
    refused("schema.newer", "newer than this helenus");
    sandbox.cql("DELETE FROM {helenus}.schema_migrations WHERE bucket = 'cql' AND number = 4");
    version(3);
    refused("schema.old", "has schema 3");
    version(0);
    refused("schema.missing", "not migrated to the end");
    sandbox.helenus(&["migrate"]).ok();
    sandbox.json(&list).ok();
}

#[test]
fn conditional_writes_of_another_data_centre_are_left_to_it() {
    let sandbox = Sandbox::empty("local_serial");
    let local =
        |datacenter: &'static str| ["migrate", "--serial", "local", "--control-dc", datacenter];
    let refused = sandbox.json(&local("mars")).code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.control_datacenter",
        "{refused:?}"
    );
    assert_eq!(
        sandbox
            .json(&["migrate", "--serial", "local"])
            .code(2)
            .error()["code"],
        "usage"
    );
    let made = sandbox.json(&local("datacenter1")).ok().result();
    assert_eq!(
        (&made["serial_consistency"], &made["control_datacenter"]),
        (&"LOCAL_SERIAL".into(), &"datacenter1".into())
    );
    sandbox.json(&["model", "list"]).ok();
    sandbox
        .json(&["model", "list", "--local-datacenter", "datacenter1"])
        .ok();
    sandbox.cql("UPDATE {helenus}.settings SET control_datacenter = 'mars' WHERE id = 'helenus'");
    let refused = sandbox.json(&["model", "list"]).code(3);
    assert_eq!(refused.error()["code"], "cassandra.control_datacenter");
}

#[test]
fn doctor_finds_nothing_bad_here_and_says_what_may_hurt() {
    let sandbox = Sandbox::migrated("doctor");
    let found = sandbox.json(&["doctor"]).ok().result();
    assert_eq!(found["good"], true);
    let state = |check: &str| {
        let checks = found["checks"].as_array().unwrap();
        let of: Vec<_> = checks
            .iter()
            .filter(|one| one["check"] == check)
            .map(|one| one["state"].as_str().unwrap().to_owned())
            .collect();
        of.join(" ")
    };
    assert_eq!(
        (
            state("library"),
            state("cassandra"),
            state("clock"),
            state("permissions")
        ),
        (
            "good".to_owned(),
            "good".to_owned(),
            "good".to_owned(),
            "good".to_owned()
        )
    );
    assert!(state("replication").contains("warning"), "{found}");
    sandbox.cql("ALTER TABLE {helenus}.runs WITH gc_grace_seconds = 60");
    let found = sandbox.json(&["doctor"]).ok().result();
    assert!(found["checks"].to_string().contains("runs 60 s"), "{found}");
    let bad = sandbox
        .json(&["doctor", "--onnxruntime", "/nowhere.so"])
        .code(3)
        .result();
    assert_eq!(
        (&bad["good"], &bad["checks"][0]["check"]),
        (&false.into(), &"library".into())
    );
}
