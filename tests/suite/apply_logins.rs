//! `helenus apply` where logins have permissions: roles from the folder, and a login that only asks.

use std::fs;

use crate::support::{Model, guarded::Guarded};

const ROLES: &str = r#"
[git_registrar]
kind = "registrar"
[git_job_author]
kind = "job-author"
data_keyspaces = ["clinic"]
[git_scheduler]
kind = "scheduler"
[git_promoter]
kind = "promoter"
[scorer]
kind = "worker"
data_keyspaces = ["clinic"]
ddl = true
"#;

#[test]
fn roles_come_from_the_folder_and_a_login_without_a_workers_rights_applies_the_rest() {
    let guarded = Guarded::start("apply");
    let superuser = "cassandra";
    guarded.cql("CREATE KEYSPACE clinic WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    guarded.cql("CREATE TABLE clinic.flowers (id int PRIMARY KEY, sepal_length float, sepal_width float, petal_length float, petal_width float)");
    guarded.cql("INSERT INTO clinic.flowers (id, sepal_length, sepal_width, petal_length, petal_width) VALUES (1, 5.1, 3.5, 1.4, 0.2)");
    guarded.helenus(superuser, &["migrate"]).ok();

    let write = |name: &str, text: &str| {
        let path = guarded.directory().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("access/roles.toml", ROLES);
    let access = ["access", "--commit", "c1"];
    let run = |login: &str, words: &[&str]| guarded.helenus(login, words);
    let plan = [&["plan"], &access[..]].concat();
    let apply = [&["apply"], &access[..]].concat();
    assert_eq!(run(superuser, &plan).ok().result()["changes"], 5);
    assert_eq!(run(superuser, &apply).ok().result()["changed"], 5);
    assert_eq!(run(superuser, &apply).ok().result()["changed"], 0);
    guarded.cql("REVOKE MODIFY ON helenus.triggers FROM git_scheduler");
    let planned = run(superuser, &plan).ok().result();
    assert_eq!(planned["changes"], 1);
    let text = planned.to_string();
    assert!(
        text.contains("grant MODIFY on <table helenus.triggers>"),
        "{text}"
    );
    assert_eq!(run(superuser, &apply).ok().result()["changed"], 1);

    for (login, roles) in [
        (
            "git",
            &[
                "git_registrar",
                "git_job_author",
                "git_scheduler",
                "git_promoter",
            ][..],
        ),
        ("worker", &["scorer"]),
    ] {
        guarded.cql(&format!(
            "CREATE ROLE {login} WITH PASSWORD = '{login}' AND LOGIN = true"
        ));
        for role in roles {
            guarded.cql(&format!("GRANT {role} TO {login}"));
        }
    }
    let iris = Model::named("iris_mlp");
    write("ml/models/iris/model.toml", "file = \"model.onnx\"\n");
    fs::copy(
        iris.path("model.onnx"),
        guarded.directory().join("ml/models/iris/model.onnx"),
    )
    .unwrap();
    write(
        "ml/jobs/iris.toml",
        "job = \"iris\"\nmodel = \"iris\"\nversions = [\"champion\"]\n[source]\ntable = \"clinic.flowers\"\n[expect]\nfile = \"expected.csv\"\n",
    );
    write("ml/jobs/expected.csv", "id,label\n1,setosa\n");
    write(
        "ml/aliases.toml",
        "[iris.champion]\nversion = \"folder\"\nmoved_by = \"git\"\n",
    );
    write("ml/triggers.toml", "[iris.hourly]\nevery = \"1h\"\n");
    // Who may only read cannot apply, and is told what is missing.
    let apply = ["apply", "ml", "--commit", "c2"];
    let error = run("worker", &apply).code(3).error();
    assert_eq!(error["code"], "cassandra.denied", "{error}");
    let applied = guarded.served("worker", "git", &apply).ok().result();
    assert_eq!(applied["changed"], 4);
    let again = run("git", &apply).ok().result();
    assert_eq!(again["changed"], 0);
    let scored = guarded.served("worker", "git", &["score", "iris"]).ok();
    assert_eq!(scored.result()["state"], "succeeded");
}
