//! Logins that may not do everything: what helenus says, and what it leaves to an administrator.
//! Needs a Cassandra with logins of its own, which it starts, and wipes at the end.

use crate::support::{Model, block_on, cli::Running, guarded::Guarded};

/// A login with these rights.
fn role(guarded: &Guarded, role: &str, grants: &[&str]) {
    guarded.cql(&format!(
        "CREATE ROLE {role} WITH PASSWORD = '{role}' AND LOGIN = true"
    ));
    for grant in grants {
        guarded.cql(&format!("GRANT {grant} TO {role}"));
    }
}

#[test]
fn what_a_login_may_not_do_is_left_to_others() {
    let guarded = Guarded::start("permissions");
    for keyspace in ["data", "helenus"] {
        guarded.cql(&format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"));
    }
    guarded.cql("CREATE TABLE data.flowers (id int PRIMARY KEY, sepal_length float, sepal_width float, petal_length float, petal_width float)");
    guarded.cql("INSERT INTO data.flowers (id, sepal_length, sepal_width, petal_length, petal_width) VALUES (1, 5.1, 3.5, 1.4, 0.2)");
    guarded.helenus("cassandra", &["migrate"]).ok();
    let push = Model::named("iris_mlp").push_arguments("iris");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    guarded.helenus("cassandra", &push).ok();
    guarded
        .helenus("cassandra", &["model", "promote", "iris", "1"])
        .ok();
    // Scores, and makes no tables.
    role(
        &guarded,
        "scorer",
        &[
            "SELECT ON ALL KEYSPACES",
            "MODIFY ON KEYSPACE helenus",
            "MODIFY ON KEYSPACE data",
        ],
    );
    // Wishes, and answers nothing.
    role(
        &guarded,
        "person",
        &["SELECT ON ALL KEYSPACES", "MODIFY ON helenus.jobs"],
    );
    let manifest = |job: &str| {
        format!(
            "job = \"{job}\"\nmodel = \"iris\"\nversions = [\"champion\"]\n[source]\ntable = \"data.flowers\"\n[outputs]\nhistory = true\ncurrent = true\n"
        )
    };
    std::fs::write(guarded.directory().join("job.toml"), manifest("iris")).unwrap();
    std::fs::write(guarded.directory().join("wish.toml"), manifest("wish")).unwrap();

    let denied = guarded
        .helenus("scorer", &["job", "create", "job.toml"])
        .code(3);
    assert_eq!(denied.error()["code"], "job.needs_table", "{denied:?}");
    let status = || {
        guarded
            .helenus("scorer", &["job", "show", "iris"])
            .ok()
            .result()
    };
    let needed = status();
    assert_eq!(needed["state"], "needs_table");
    assert_eq!(needed["ddl_applied"], false);
    let denied = guarded.helenus("scorer", &["score", "iris"]).code(3);
    assert_eq!(denied.error()["code"], "job.needs_table", "{denied:?}");

    let statements = needed["ddl"].as_array().unwrap();
    // The lineage's type, the predictions, their history, and the champion's.
    assert_eq!(statements.len(), 4, "{statements:?}");
    for statement in statements {
        guarded.cql(statement.as_str().unwrap());
    }
    guarded.helenus("scorer", &["worker", "--once"]).ok();
    assert_eq!(status()["state"], "ready");
    let scored = guarded.helenus("scorer", &["score", "iris"]).ok().result();
    assert_eq!(scored["state"], "succeeded", "{scored}");
    for table in [
        "iris_predictions",
        "iris_predictions_history",
        "iris_current",
    ] {
        let rows = guarded
            .administrator()
            .query_unpaged(format!("SELECT id, label FROM data.{table}"), ());
        let rows = block_on(rows).unwrap().into_rows_result().unwrap();
        assert_eq!(rows.rows_num(), 1, "{table}");
    }

    // A person's row is answered by whoever may.
    let waiting = Running::start(guarded.command("person", &["job", "create", "wish.toml"]));
    let written = || {
        let rows = guarded
            .administrator()
            .query_unpaged("SELECT job FROM helenus.jobs WHERE job = 'wish'", ());
        block_on(rows)
            .unwrap()
            .into_rows_result()
            .unwrap()
            .rows_num()
            > 0
    };
    while !written() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    guarded.helenus("cassandra", &["worker", "--once"]).ok();
    let output = waiting.finish().ok();
    assert_eq!(output.result()["answered_by"], "a worker", "{output:?}");
    assert_eq!(output.result()["state"], "ready");
}
