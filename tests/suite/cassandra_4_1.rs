//! What is different on Cassandra 4.1, and what an upgrade to 5.0 changes. `make test-4.1` runs these
//! tests, and those of other modules that must hold on both.

use std::{path::Path, process::Command};

use scylla::client::{session::Session, session_builder::SessionBuilder};
use serde_json::json;

use crate::{
    migrate,
    support::{
        Model, Sandbox, block_on,
        cli::{self, Output},
        required,
    },
};

/// What every class of `forty_classes` would be without a vector.
const ONE_CLASS: &str =
    "\n[outputs.columns]\np_20 = { output = \"probabilities\", class = \"20\" }\n";

/// Registers `forty_classes` and returns the sandbox and its job's manifest.
fn forty(test: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::shared(test);
    let model = Model::named("forty_classes");
    model.load(&sandbox);
    let name = sandbox.name("forty");
    let arguments = model.push_arguments(&name);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sandbox.helenus(&arguments).ok();
    let manifest = model.manifest(&sandbox, &sandbox.name("job"), &name);
    let text = std::fs::read_to_string(manifest).unwrap();
    (sandbox, text)
}

fn create(sandbox: &Sandbox, manifest: &str) -> Output {
    sandbox.file("job.toml", manifest);
    sandbox.json(&["job", "create", "job.toml"])
}

#[test]
#[ignore = "needs Cassandra 4.1: make test-4.1"]
fn a_vector_of_scores_is_refused_and_single_classes_are_stored() {
    let (sandbox, manifest) = forty("no_vectors");
    let error = create(&sandbox, &manifest).code(2).error();
    assert_eq!(error["code"], "job.server_lacks_vector", "{error}");
    assert_eq!(error["where"], "outputs");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("Cassandra 4.1"), "{message}");
    let job = sandbox.name("job");
    let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{data}'";
    assert_eq!(sandbox.rows(tables).len(), 1, "nothing was made");
    create(&sandbox, &format!("{manifest}{ONE_CLASS}")).ok();
    let result = sandbox.json(&["score", &job]).ok().result();
    let rows = sandbox.rows(&format!(
        "SELECT label, p_20, lineage FROM {{data}}.{job}_predictions"
    ));
    assert!(!rows.is_empty(), "{result}");
    for row in rows {
        assert!(row["p_20"].as_float().is_some(), "{row:?}");
        assert!(row.contains_key("label") && row.contains_key("lineage"));
    }
}

#[test]
#[ignore = "needs Cassandra 4.1: make test-4.1"]
fn an_index_on_scores_is_refused() {
    let (sandbox, manifest) = forty("no_sai");
    let indexed = ONE_CLASS.replace("class = \"20\"", "class = \"20\", index = true");
    let error = create(&sandbox, &format!("{manifest}{indexed}"))
        .code(2)
        .error();
    assert_eq!(error["code"], "job.server_lacks_sai", "{error}");
    assert_eq!(error["others"], json!(null), "{error}");
}

#[test]
#[ignore = "needs Cassandra 4.1: make test-4.1"]
fn doctor_and_status_say_the_release_and_what_is_lost() {
    let sandbox = Sandbox::migrated("says_4_1");
    let found = sandbox.json(&["doctor"]).ok().result();
    let release = found["cassandra"]["release"].as_str().unwrap();
    assert!(release.starts_with("4.1."), "{release}");
    let lacks = json!(["vectors", "sai", "unified_compaction"]);
    assert_eq!(found["cassandra"]["lacks"], lacks);
    let checks = found["checks"].as_array().unwrap();
    let check = checks.iter().find(|one| one["check"] == "release").unwrap();
    assert_eq!(check["state"], "good");
    assert!(
        check["text"]
            .as_str()
            .unwrap()
            .contains("no vector columns")
    );
    let status = sandbox.json(&["status"]).ok().result();
    assert_eq!(status["cassandra"], found["cassandra"]);
}

#[test]
#[ignore = "needs Cassandra 4.1: make test-4.1"]
fn the_schema_is_the_golden_one_but_for_compaction() {
    let golden = include_str!("../golden/schema.txt")
        .replace("UnifiedCompactionStrategy", "SizeTieredCompactionStrategy");
    assert_eq!(migrate::schema(&Sandbox::shared("golden_4_1")), golden);
}

/// A Cassandra of the test's own, which is upgraded.
struct Upgraded {
    name: String,
    contact: String,
    session: Session,
    directory: tempfile::TempDir,
}

impl Upgraded {
    fn start() -> Self {
        let name = format!("{}-upgrade", required("HELENUS_TEST_NAME"));
        let (contact, session) = up(&name, "4.1");
        Self {
            name,
            contact,
            session,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn upgrade(&mut self) {
        script(&self.name, &["down"]).ok();
        (self.contact, self.session) = up(&self.name, "5.0");
    }

    fn cql(&self, statement: &str) {
        block_on(self.session.query_unpaged(statement, ()))
            .unwrap_or_else(|error| panic!("{error}\n{statement}"));
    }

    /// The state of a job, and what is wrong with it.
    fn job_state(&self, job: &str) -> (String, Vec<String>) {
        let select = format!("SELECT state, problems FROM helenus.job_status WHERE job = '{job}'");
        let rows = block_on(self.session.query_unpaged(select, ())).unwrap();
        let rows = rows.into_rows_result().unwrap();
        let (state, problems) = rows.single_row::<(String, Option<Vec<String>>)>().unwrap();
        (state, problems.unwrap_or_default())
    }

    #[track_caller]
    fn helenus(&self, arguments: &[&str]) -> Output {
        let environment = [("HELENUS_CONTACT_POINTS", self.contact.as_str())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut command = cli::helenus(self.directory.path(), &environment);
        command.args(arguments).args(["--output", "json"]);
        cli::run(command).ok()
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        script(&self.name, &["wipe"]);
    }
}

fn up(name: &str, release: &str) -> (String, Session) {
    // Not --unsafe: what was written must survive the way down.
    let arguments = ["up", "--release", release, "--fast", "--port", "0"];
    let up = script(name, &arguments).ok();
    let contact = up.stdout.trim().lines().last().unwrap().to_owned();
    let builder = SessionBuilder::new().known_node(&contact);
    (contact, block_on(builder.build()).unwrap())
}

fn script(name: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("scripts/cassandra"));
    command.args(arguments).args(["--name", name]);
    cli::run(command)
}

#[test]
#[ignore = "needs Cassandra 4.1: make test-4.1"]
fn a_keyspace_made_on_4_1_goes_on_after_an_upgrade_to_5_0() {
    let mut cluster = Upgraded::start();
    cluster.helenus(&["migrate"]);
    cluster.cql("CREATE KEYSPACE garden WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    cluster.cql("CREATE TABLE garden.points (id int PRIMARY KEY, x0 float, x1 float, x2 float, x3 float, x4 float, x5 float)");
    for id in 1..=3 {
        cluster.cql(&format!("INSERT INTO garden.points (id, x0, x1, x2, x3, x4, x5) VALUES ({id}, {id}, 1, 0.5, -1, 2, 0)"));
    }
    let arguments = Model::named("forty_classes").push_arguments("forty");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cluster.helenus(&arguments);
    let manifest = |job: &str, more: &str| {
        let manifest = format!(
            "job = \"{job}\"\nmodel = \"forty\"\nversions = [1]\n[source]\ntable = \"garden.points\"\n{more}"
        );
        cluster.cql(&format!(
            "INSERT INTO helenus.jobs (job, revision, manifest) VALUES ('{job}', 1, $${manifest}$$)"
        ));
    };
    manifest("one", ONE_CLASS);
    manifest("all", "");
    cluster.helenus(&["worker", "--once"]);
    assert_eq!(cluster.job_state("one").0, "ready");
    let (state, problems) = cluster.job_state("all");
    assert_eq!(state, "invalid");
    assert!(
        problems[0].starts_with("job.server_lacks_vector: "),
        "{problems:?}"
    );
    cluster.helenus(&["score", "one"]);

    cluster.upgrade();
    let migrated = cluster.helenus(&["migrate"]).result();
    assert_eq!(migrated["applied"], json!([]), "{migrated}");
    let found = cluster.helenus(&["doctor"]).result();
    assert_eq!(found["cassandra"]["lacks"], json!([]));
    let checks = found["checks"].as_array().unwrap();
    assert!(
        !checks.iter().any(|one| one["check"] == "release"),
        "{found}"
    );
    // What was stored is still known to be up to date.
    let again = cluster.helenus(&["score", "one"]).result();
    assert_eq!(again["unchanged"]["1"], 3, "{again}");
    cluster.helenus(&["worker", "--once"]);
    assert_eq!(cluster.job_state("all").0, "ready");
    cluster.helenus(&["score", "all"]);
    let select = "SELECT id, probabilities FROM garden.all_predictions";
    let rows = block_on(cluster.session.query_unpaged(select, ())).unwrap();
    let rows = rows.into_rows_result().unwrap();
    let vectors: Vec<(i32, Vec<f32>)> = rows.rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(vectors.len(), 3);
    assert!(vectors.iter().all(|(_, scores)| scores.len() == 40));
}
