//! Logins and what they may do, against a second Cassandra that asks for them.

use std::{process::Command, time::Duration};

use scylla::client::{session::Session, session_builder::SessionBuilder};

use crate::support::{
    Model, block_on,
    cli::{self, Output, Running},
    random_name, required,
};

/// A Cassandra with logins of this test's own; wiped when dropped, and by `make test` at its end.
struct Guarded {
    name: String,
    contact: String,
    directory: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Self {
        let name = format!("{}-wishes", required("HELENUS_TEST_NAME"));
        let output = script(&[
            "up", "--name", &name, "--port", "0", "--fast", "--unsafe", "--auth",
        ]);
        let said = String::from_utf8_lossy(&output.stdout);
        let contact = said.lines().last().unwrap_or_default().to_owned();
        let guarded = Self {
            name,
            contact,
            directory: tempfile::tempdir().unwrap(),
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        guarded
    }

    fn administrator(&self) -> Session {
        block_on(
            SessionBuilder::new()
                .known_node(&self.contact)
                .user("cassandra", "cassandra")
                .build(),
        )
        .unwrap()
    }

    fn command(&self, login: &str, arguments: &[&str]) -> Command {
        let mut environment = vec![
            ("HELENUS_CONTACT_POINTS".to_owned(), self.contact.clone()),
            ("HELENUS_KEYSPACE".to_owned(), "helenus".to_owned()),
        ];
        if let Some((user, password)) = login.split_once(':') {
            environment.push(("HELENUS_USERNAME".to_owned(), user.to_owned()));
            environment.push(("HELENUS_PASSWORD".to_owned(), password.to_owned()));
        }
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        command
    }

    #[track_caller]
    fn helenus(&self, login: &str, arguments: &[&str]) -> Output {
        let output = cli::run(self.command(login, arguments));
        for secret in ["hunter2", "open sesame"] {
            assert!(
                !output.stdout.contains(secret) && !output.stderr.contains(secret),
                "{output:?}"
            );
        }
        output
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        script(&["wipe", "--name", &self.name]);
    }
}

fn script(arguments: &[&str]) -> std::process::Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cassandra"))
        .args(arguments)
        .output()
        .unwrap()
}

/// One test, because starting such a Cassandra takes a quarter of a minute.
#[test]
fn a_login_asks_and_another_one_answers() {
    let guarded = Guarded::start();
    let administrator = "cassandra:cassandra";

    let refused = guarded.helenus("", &["migrate"]).code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.credentials",
        "{refused:?}"
    );
    let refused = guarded.helenus("cassandra:hunter2", &["migrate"]).code(3);
    assert_eq!(
        refused.error()["code"],
        "cassandra.credentials",
        "{refused:?}"
    );
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("`cassandra`")
    );

    guarded.helenus(administrator, &["migrate"]).ok();
    let session = guarded.administrator();
    let grant = |statement: String| {
        block_on(session.query_unpaged(statement, ())).unwrap();
    };
    for role in ["nobody", "reader", "analyst"] {
        grant(format!(
            "CREATE ROLE {role} WITH PASSWORD = 'open sesame' AND LOGIN = true"
        ));
    }
    grant("GRANT SELECT ON KEYSPACE helenus TO reader".to_owned());
    grant("GRANT SELECT ON KEYSPACE helenus TO analyst".to_owned());
    for table in [
        "model_chunks",
        "model_versions",
        "alias_requests",
        "jobs",
        "run_requests",
        "triggers",
        "changed_keys",
    ] {
        grant(format!("GRANT MODIFY ON helenus.{table} TO analyst"));
    }

    // Without any right: told so, by each command and by doctor.
    let refused = guarded
        .helenus("nobody:open sesame", &["model", "list"])
        .code(3);
    assert_eq!(refused.error()["code"], "cassandra.denied", "{refused:?}");
    guarded.helenus("nobody:open sesame", &["doctor"]).code(3);
    let findings = guarded
        .helenus("reader:open sesame", &["doctor"])
        .ok()
        .result();
    let said = findings["checks"].to_string();
    assert!(
        said.contains("is not permitted to ask") && said.contains("is not permitted to answer"),
        "{said}"
    );
    let findings = guarded
        .helenus("analyst:open sesame", &["doctor"])
        .ok()
        .result();
    let said = findings["checks"].to_string();
    assert!(
        !said.contains("is not permitted to ask") && said.contains("is not permitted to answer"),
        "{said}"
    );
    let findings = guarded.helenus(administrator, &["doctor"]).ok().result();
    assert!(
        findings["checks"]
            .to_string()
            .contains("may ask and answer"),
        "{findings}"
    );

    // A reader may look, and not push.
    guarded
        .helenus("reader:open sesame", &["model", "list"])
        .ok();
    let model = Model::named("types_places");
    let file = model.path("model.onnx");
    let refused = guarded
        .helenus("reader:open sesame", &["model", "push", "places", &file])
        .code(3);
    assert_eq!(refused.error()["code"], "cassandra.denied", "{refused:?}");

    // An analyst asks; nobody answers in time; a worker does, and the same wish is granted.
    let silent = guarded
        .helenus(
            "analyst:open sesame",
            &["model", "push", "places", &file, "--wait", "1"],
        )
        .code(3);
    assert_eq!(silent.error()["code"], "worker.silent", "{silent:?}");
    guarded.helenus(administrator, &["worker", "--once"]).ok();
    let promote = ["model", "promote", "places", "1"];
    let asking = Running::start(guarded.command("analyst:open sesame", &promote));
    while guarded
        .helenus(administrator, &["worker", "--once"])
        .ok()
        .result()["aliases"]
        == 0
    {
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(asking.finish().ok().result()["version"], 1);
    let silent = guarded
        .helenus(
            "analyst:open sesame",
            &[
                "model",
                "rollback",
                "places",
                "--wait",
                "1",
                "--why",
                &random_name(),
            ],
        )
        .code(3);
    assert_eq!(silent.error()["code"], "worker.silent", "{silent:?}");
}
