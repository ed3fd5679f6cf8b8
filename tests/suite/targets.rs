//! `job_targets`: predictions leave their source's keyspace only where an administrator lets them.

use crate::support::{Model, Sandbox, cassandra, random_name};

struct Elsewhere {
    sandbox: Sandbox,
    job: String,
    keyspace: String,
}

impl Elsewhere {
    fn new(test: &str) -> Self {
        let sandbox = Sandbox::shared(test);
        let model = Model::named("breast_cancer_lr");
        model.load(&sandbox);
        let job = sandbox.name("job");
        let push = model.push_arguments(&job);
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        sandbox.helenus(&push).ok();
        let keyspace = format!("e_{}", random_name());
        cassandra::cql(&format!(
            "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}} AND durable_writes = false"
        ));
        Self {
            sandbox,
            job,
            keyspace,
        }
    }

    fn table(&self) -> String {
        format!("{}.{}", self.sandbox.data, "biopsies")
    }

    fn manifest(&self) -> String {
        format!(
            "job = \"{0}\"\nmodel = \"{0}\"\nversions = [1]\n[source]\ntable = \"{1}\"\n[outputs]\ntable = \"{2}.predictions\"\n",
            self.job,
            self.table(),
            self.keyspace
        )
    }

    fn state(&self) -> String {
        let status = self.sandbox.row(&format!(
            "SELECT state FROM {{helenus}}.job_status WHERE job = '{}'",
            self.job
        ));
        status["state"].as_text().unwrap().clone()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            cassandra::cql(&format!("DROP KEYSPACE {}", self.keyspace));
        }
    }
}

#[test]
fn another_keyspace_needs_an_administrators_row() {
    let world = Elsewhere::new("targets");
    let sandbox = &world.sandbox;
    // By plain CQL: the worker's answer has the statement, exactly.
    sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('{}', 1, $${}$$)",
        world.job,
        world.manifest()
    ));
    sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(world.state(), "invalid");
    let status = sandbox.row(&format!(
        "SELECT problems FROM {{helenus}}.job_status WHERE job = '{}'",
        world.job
    ));
    let problems = format!("{:?}", status["problems"]);
    assert!(
        problems.contains("job.target_not_allowed: outputs.table"),
        "{problems}"
    );
    let tables = sandbox.rows(&format!(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'",
        world.keyspace
    ));
    assert!(tables.is_empty(), "{tables:?}");
    let file = sandbox.file("job.toml", world.manifest());
    let refused = sandbox
        .json(&["job", "check", &file.display().to_string()])
        .code(2);
    assert_eq!(refused.error()["code"], "job.target_not_allowed");
    let statement = problems
        .split('`')
        .find(|part| part.starts_with("INSERT INTO"));
    sandbox.cql(&statement.unwrap().replace("\\\"", "\""));
    sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(world.state(), "ready");
    sandbox.helenus(&["score", &world.job]).ok();

    // Taken back: no further run, whatever job_status said; and again allowed, by keyspace now.
    let revoke = |source: &str| sandbox.json(&["job", "target", "revoke", source, &world.keyspace]);
    revoke(&world.table()).ok();
    assert_eq!(
        revoke(&world.table()).code(5).error()["code"],
        "job.no_target"
    );
    let refused = sandbox.json(&["score", &world.job]).code(2);
    assert_eq!(
        refused.error()["code"],
        "job.target_not_allowed",
        "{refused:?}"
    );
    assert_eq!(world.state(), "invalid");
    let data = sandbox.data.clone();
    let allow = [
        "job",
        "target",
        "allow",
        &data,
        &world.keyspace,
        "--note",
        "a study",
    ];
    sandbox.helenus(&allow).ok();
    let listed = sandbox.json(&["job", "target", "list"]).ok().result();
    let row = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["source"] == data.as_str());
    assert_eq!(row.unwrap()["note"], "a study", "{listed}");
    sandbox.helenus(&["score", &world.job]).ok();
    assert_eq!(world.state(), "ready");
    revoke(&data).ok();
}
