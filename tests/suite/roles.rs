//! Roles: each kind does its own work, by the command line and by plain CQL, and nothing else.

use std::collections::BTreeMap;

use helenus::domain::access::{Kind, SHARED, TABLES};
use scylla::client::session::Session;

use crate::support::{
    Model, Sandbox, Served, block_on,
    cli::{Output, Running},
    guarded::Guarded,
    random_name,
};

const KEY: [&str; 2] = ["partition_key", "clustering"];

/// A statement that writes a table and leaves it as it is: a DELETE of a row that is not there.
fn writes(guarded: &Guarded) -> BTreeMap<String, String> {
    let select = "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = 'helenus'";
    let rows = block_on(guarded.administrator().query_unpaged(select, ())).unwrap();
    let rows = rows.into_rows_result().unwrap();
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows.rows::<(String, String, String, String)>().unwrap() {
        let (table, column, cql_type, kind) = row.unwrap();
        if KEY.contains(&kind.as_str()) {
            let value = match cql_type.as_str() {
                "text" => "'-'",
                "int" => "-1",
                "blob" => "0x00",
                "date" => "'1970-01-01'",
                "uuid" | "timeuuid" => "00000000-0000-1000-8000-000000000000",
                other => panic!("{table}.{column}: {other}"),
            };
            keys.entry(table)
                .or_default()
                .push(format!("{column} = {value}"));
        }
    }
    keys.into_iter()
        .map(|(table, key)| {
            let delete = format!("DELETE FROM helenus.{table} WHERE {}", key.join(" AND "));
            (table, delete)
        })
        .collect()
}

/// Whether a login may; any other trouble fails the test.
#[track_caller]
fn may(session: &Session, statement: &str) -> bool {
    match block_on(session.query_unpaged(statement, ())) {
        Ok(_) => true,
        Err(error) => {
            let said = error.to_string();
            let refused = said.contains("has no") || said.contains("sufficient privileges");
            assert!(refused, "{said}\n{statement}");
            false
        }
    }
}

#[track_caller]
fn denied(output: Output, what: &str) {
    let error = output.code(3).error();
    assert_eq!(error["code"], "cassandra.denied", "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(what), "{error}");
}

#[test]
fn each_kind_does_its_own_work_and_nothing_else() {
    let guarded = Guarded::start("roles");
    let superuser = "cassandra";
    for keyspace in ["clinic", "elsewhere"] {
        guarded.cql(&format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"));
    }
    guarded.cql("CREATE TABLE clinic.flowers (id int PRIMARY KEY, sepal_length float, sepal_width float, petal_length float, petal_width float)");
    guarded.cql("CREATE TABLE elsewhere.secrets (id int PRIMARY KEY)");
    guarded.cql("INSERT INTO clinic.flowers (id, sepal_length, sepal_width, petal_length, petal_width) VALUES (1, 5.1, 3.5, 1.4, 0.2)");
    guarded.helenus(superuser, &["migrate"]).ok();

    for kind in Kind::ALL {
        make(&guarded, kind);
    }
    // Once more changes nothing, and what was granted besides is told.
    guarded.cql("GRANT MODIFY ON clinic.flowers TO promoter");
    let again = guarded
        .helenus(
            superuser,
            &["role", "create", "promoter", "--kind", "promoter"],
        )
        .ok()
        .json();
    assert_eq!(
        again["result"]["beyond"][0], "MODIFY on <table clinic.flowers>",
        "{again}"
    );
    assert!(
        again["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("role.beyond")
    );
    guarded.cql("REVOKE MODIFY ON clinic.flowers FROM promoter");
    denied(
        guarded.helenus("analyst", &["role", "create", "x", "--kind", "worker"]),
        "CREATE",
    );

    their_own_work(&guarded);
    nothing_else_by_cql(&guarded);
    nothing_else_by_command(&guarded);
}

/// The login of a kind, named like it; one of them from the statements that `--print` gives.
fn make(guarded: &Guarded, kind: Kind) {
    let role = kind.as_str();
    let mut arguments = vec!["role", "create", role, "--kind", role];
    if matches!(
        kind,
        Kind::Analyst | Kind::JobAuthor | Kind::Worker | Kind::Trainer | Kind::Stream
    ) {
        arguments.extend(["--data-keyspace", "clinic"]);
    }
    if kind == Kind::Worker {
        arguments.push("--ddl");
    }
    if kind == Kind::Analyst {
        arguments.push("--print");
        // Nothing is asked, so any login will do.
        let printed = guarded.helenus("nobody", &arguments).ok().result();
        assert_eq!(printed["applied"], false);
        for statement in printed["statements"].as_array().unwrap() {
            guarded.cql(statement.as_str().unwrap());
        }
        guarded.cql("ALTER ROLE analyst WITH PASSWORD = 'analyst' AND LOGIN = true");
        return;
    }
    std::fs::write(guarded.directory().join("password"), format!("{role}\n")).unwrap();
    arguments.extend(["--role-password-file", "password"]);
    let made = guarded.helenus("cassandra", &arguments).ok().json();
    assert_eq!(made["result"]["login"], true, "{made}");
    assert_eq!(made["warnings"], serde_json::json!([]), "{made}");
}

fn their_own_work(guarded: &Guarded) {
    let push = Model::named("iris_mlp").push_arguments("iris");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    let pushed = guarded.served("worker", "registrar", &push).ok().result();
    assert_eq!(pushed["state"], "ready", "{pushed}");
    let promote = ["model", "promote", "iris", "1"];
    let promoted = guarded.served("worker", "promoter", &promote).ok().result();
    assert_eq!(promoted["version"], 1, "{promoted}");
    let manifest = "job = \"iris\"\nmodel = \"iris\"\nversions = [\"champion\"]\n[source]\ntable = \"clinic.flowers\"\n";
    std::fs::write(guarded.directory().join("iris.toml"), manifest).unwrap();
    let create = ["job", "create", "iris.toml"];
    let created = guarded
        .served("worker", "job-author", &create)
        .ok()
        .result();
    assert_eq!(created["state"], "ready", "{created}");
    assert_eq!(created["answered_by"], "a worker");
    let scored = guarded
        .served("worker", "scheduler", &["score", "iris"])
        .ok()
        .result();
    assert_eq!(scored["state"], "succeeded", "{scored}");
    let run = scored["run_id"].as_str().unwrap();
    let ended = guarded
        .served("worker", "scheduler", &["run", "cancel", "iris", run])
        .code(4);
    assert_eq!(ended.error()["code"], "run.not_cancelled", "{ended:?}");
    // Whoever made the table may write it: nothing more was granted.
    let analyst = guarded.login("analyst");
    let select = "SELECT id, label FROM clinic.iris_predictions";
    let rows = block_on(analyst.query_unpaged(select, ())).unwrap();
    assert_eq!(rows.into_rows_result().unwrap().rows_num(), 1);
    for look in [
        &["status"][..],
        &["run", "list", "iris"],
        &["verify", "iris"],
    ] {
        guarded.helenus("analyst", look).ok();
    }
    // A server only reads.
    let serve = ["serve", "iris", "--serve-listen", "127.0.0.1:0"];
    let served = Served::listening(Running::start(guarded.command("analyst", &serve)));
    served.wait_until_ready();
    let rows = block_on(analyst.query_unpaged("SELECT id FROM clinic.flowers", ())).unwrap();
    let rows = rows.into_rows_result().unwrap();
    let (id,) = rows.single_row::<(i32,)>().unwrap();
    let reply = served.get(&format!("/v1/jobs/iris/predictions/{id}"));
    assert_eq!(reply.status(200).json()["predictions"][0]["from"], "stored");
    served.stop().ok();
}

fn nothing_else_by_cql(guarded: &Guarded) {
    let writes = writes(guarded);
    let known: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
    for table in writes.keys() {
        assert!(known.contains(&table.as_str()), "whose table is {table}?");
    }
    for kind in Kind::ALL {
        let login = guarded.login(kind.as_str());
        for (table, writer) in TABLES {
            let select = format!("SELECT * FROM helenus.{table} LIMIT 1");
            assert!(may(&login, &select), "{kind:?} reads {table}");
            assert_eq!(
                may(&login, &writes[table]),
                writer == Some(kind) || SHARED.contains(&(table, kind)),
                "{kind:?} writes {table}"
            );
        }
        let reads = matches!(
            kind,
            Kind::Analyst | Kind::JobAuthor | Kind::Worker | Kind::Trainer | Kind::Stream
        );
        for table in ["flowers", "iris_predictions"] {
            let select = format!("SELECT * FROM clinic.{table} LIMIT 1");
            assert_eq!(may(&login, &select), reads, "{kind:?} reads clinic.{table}");
        }
        for (statement, allowed) in [
            ("SELECT * FROM elsewhere.secrets LIMIT 1", false),
            ("DELETE FROM clinic.flowers WHERE id = -1", false),
            (
                "DELETE FROM clinic.iris_predictions WHERE id = -1 AND model_version = 1",
                kind == Kind::Worker,
            ),
            ("ALTER TABLE clinic.flowers ADD more int", false),
            ("DROP TABLE clinic.flowers", false),
            ("CREATE TABLE elsewhere.t (id int PRIMARY KEY)", false),
            ("CREATE TABLE helenus.t (id int PRIMARY KEY)", false),
            ("GRANT SELECT ON elsewhere.secrets TO analyst", false),
            ("CREATE ROLE another", false),
        ] {
            assert_eq!(may(&login, statement), allowed, "{kind:?}: {statement}");
        }
    }
}

fn nothing_else_by_command(guarded: &Guarded) {
    let push = Model::named("iris_mlp").push_arguments("iris");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    let create = ["job", "create", "iris2.toml"];
    let manifest = std::fs::read_to_string(guarded.directory().join("iris.toml")).unwrap();
    let manifest = manifest.replace("job = \"iris\"", "job = \"iris2\"");
    std::fs::write(guarded.directory().join("iris2.toml"), manifest).unwrap();
    let commands: [(Kind, &[&str], &str); 4] = [
        (Kind::Registrar, &push, "model_versions"),
        (Kind::JobAuthor, &create, "jobs"),
        (
            Kind::Promoter,
            &["model", "promote", "iris", "1"],
            "alias_requests",
        ),
        (Kind::Scheduler, &["score", "iris"], "run_requests"),
    ];
    for (owner, command, table) in commands {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != owner) {
            let missing = format!("MODIFY permission on <table helenus.{table}>");
            denied(guarded.helenus(kind.as_str(), command), &missing);
        }
    }
}

#[test]
fn where_nobody_is_asked_who_he_is_there_are_no_roles() {
    let sandbox = Sandbox::shared("roles");
    let role = format!("t_{}", random_name());
    let refused = sandbox
        .json(&["role", "create", &role, "--kind", "promoter"])
        .code(3);
    assert_eq!(refused.error()["code"], "role.no_authorizer", "{refused:?}");
    let odd = sandbox
        .json(&["role", "show", "promoter", "--data-keyspace", "clinic"])
        .code(2);
    assert_eq!(odd.error()["code"], "role.reach", "{odd:?}");
}
