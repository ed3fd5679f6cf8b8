//! A process that dies while it makes the index for search by similarity.

use crate::{
    stage::{is_stopped, wait_until},
    support::{
        Model, Sandbox,
        cli::{Output, Running},
    },
};

/// helenus with a failpoint, if one is named.
fn run(sandbox: &Sandbox, arguments: &[&str], failpoints: &str) -> Output {
    let mut command = sandbox.command(arguments);
    command.args(["--output", "json"]);
    command.env("HELENUS_FAILPOINTS", failpoints);
    Running::start(command).finish()
}

#[test]
fn a_worker_that_dies_before_any_of_the_index_statements_is_succeeded() {
    let sandbox = Sandbox::migrated_with("similar_dead", &["--lease-seconds", "2"]);
    let model = Model::named("mails_vectors");
    model.load(&sandbox);
    let push = model.push_arguments("mails");
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    sandbox.helenus(&push).ok();
    // By plain CQL, so that the process that dies is the one that answers.
    let insert = |job: &str, revision: i32, manifest: &str| {
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('{job}', {revision}, $${manifest}$$)"
        ));
    };
    let indexed =
        |job: &str| std::fs::read_to_string(model.manifest(&sandbox, job, "mails")).unwrap();
    let plain = |job: &str| indexed(job).replace(", index = \"cosine\"", "");
    assert_ne!(indexed("j"), plain("j"));

    // A new table: after its type and itself; then an index on a table that has rows already.
    for (job, is_new, statement) in [
        ("new_3", true, 3),
        ("new_3_again", true, 3),
        ("old_1", false, 1),
        ("old_2", false, 2),
    ] {
        if !is_new {
            insert(job, 1, &plain(job));
            run(&sandbox, &["score", job], "").ok();
        }
        insert(job, 2, &indexed(job));
        let failpoints = format!("between_ddl=kill:{statement}");
        let dead = run(&sandbox, &["score", job], &failpoints);
        assert_eq!(dead.code, None, "{failpoints} was not met: {dead:#?}");
        assert!(dead.stderr.contains("failpoint "), "{dead:#?}");

        let scored = run(&sandbox, &["score", job], "").ok().result();
        assert_eq!(scored["state"], "succeeded", "{scored}");
        assert_eq!(indexes(&sandbox, job), 2, "{job}");
        let found = sandbox.json(&["similar", job, "7", "--top", "101"]).ok();
        let found = found.result();
        assert_eq!(found["rows"].as_array().unwrap().len(), 101, "{found}");
    }
}

/// A node that logged a vector which its index cannot hold does not start again after a crash. So no
/// run may write one once the index is there.
#[test]
fn an_index_waits_for_open_runs_and_runs_that_open_meanwhile_know_of_it() {
    let sandbox = Sandbox::migrated_with("similar_open", &["--lease-seconds", "2"]);
    let model = Model::named("mails_vectors");
    model.load(&sandbox);
    for folder in ["mails_vectors", "mails_vectors_pairs"] {
        let push = Model::named(folder).push_arguments("mails");
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        sandbox.helenus(&push).ok();
    }
    let file = model.manifest(&sandbox, "mails", "mails");
    let indexed = std::fs::read_to_string(&file).unwrap();
    let indexed = indexed.replace("versions = [1]", "versions = [1, 2]");
    let create = |manifest: &str, options: &[&str]| {
        std::fs::write(&file, manifest).unwrap();
        let words = ["job", "create", file.to_str().unwrap()];
        sandbox.json(&[&words[..], options].concat())
    };
    create(&indexed.replace(", index = \"cosine\"", ""), &[]).ok();

    let mut command = sandbox.command(&["score", "mails", "--version", "1"]);
    command.env("HELENUS_FAILPOINTS", "after_claim=stop");
    let mut frozen = Running::start(command);
    wait_until("frozen with its run open", || {
        assert!(frozen.is_running(), "the failpoint was not met");
        is_stopped(frozen.pid())
    });
    let waits = create(&indexed, &["--wait", "1"]).code(3);
    assert_eq!(waits.error()["code"], "job.unanswered", "{waits:?}");
    assert_eq!(indexes(&sandbox, "mails"), 0);

    // Its revision has no index, and the index is not there yet.
    let other = run(&sandbox, &["score", "mails", "--version", "2"], "").ok();
    let other = other.result();
    assert_eq!(other["state"], "succeeded", "{other}");
    assert_eq!(other["job_revision"], 1, "{other}");
    assert_eq!(other["rejected"]["2"], 5, "{other}");
    assert_eq!(indexes(&sandbox, "mails"), 0);

    frozen.signal("CONT");
    frozen.finish();
    run(&sandbox, &["score", "mails", "--version", "1"], "").ok();
    create(&indexed, &[]).ok();
    assert_eq!(indexes(&sandbox, "mails"), 2);
    let found = sandbox.json(&["similar", "mails", "7", "--version", "1", "--top", "200"]);
    let found = found.ok().result();
    assert_eq!(found["rows"].as_array().unwrap().len(), 101, "{found}");
}

/// The number of indexes on a job's predictions.
fn indexes(sandbox: &Sandbox, job: &str) -> usize {
    sandbox
        .rows(&format!(
            "SELECT index_name FROM system_schema.indexes WHERE keyspace_name = '{{data}}' AND table_name = '{job}_predictions'"
        ))
        .len()
}
