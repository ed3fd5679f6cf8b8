//! The programs of `examples/`, one after the other, as their readers would run them.

use std::{path::Path, process::Command};

use crate::support::{
    Model, Sandbox,
    cassandra::contact,
    cli::{self, Output, Running},
    required,
};

/// Runs an example to its end while workers go over everything again and again.
#[track_caller]
fn example(sandbox: &Sandbox, program: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(required("HELENUS_TEST_EXAMPLES"));
    command
        .arg(root.join("examples").join(program))
        .args(arguments)
        .current_dir(sandbox.directory())
        .env("HELENUS_CONTACT_POINTS", contact())
        .env("HELENUS_KEYSPACE", &sandbox.keyspace);
    let mut running = Running::start(command);
    while running.is_running() {
        cli::run(sandbox.command(&["worker", "--once"])).ok();
    }
    running.finish()
}

#[test]
fn the_examples_take_a_model_from_training_to_predictions() {
    let sandbox = Sandbox::migrated_with("examples", &["--lease-seconds", "2"]);
    Model::named("breast_cancer_lr").load(&sandbox);
    for seed in ["1", "2"] {
        let said = example(&sandbox, "register_model.py", &["tumour", "--seed", seed]).ok();
        assert!(said.stdout.contains("admission: ready"), "{said:?}");
    }
    let said = example(
        &sandbox,
        "promote.py",
        &["tumour", "1", "--why", "the first"],
    )
    .ok();
    assert!(said.stdout.contains("champion is version 1"), "{said:?}");
    // scikit-learn's names have blanks, the columns underscores: they match.
    let manifest = format!(
        "job = \"tumour\"\nmodel = \"tumour\"\nversions = [\"champion\", 2]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n",
        sandbox.data
    );
    sandbox.cql(&format!("INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('tumour', 1, $${manifest}$$)"));
    let run = example(
        &sandbox,
        "ask_for_a_run.py",
        &["tumour", "--note", "an example"],
    )
    .ok();
    let followed = example(&sandbox, "follow_a_run.py", &["tumour", run.stdout.trim()]).ok();
    assert!(followed.stdout.contains("569 rows"), "{followed:?}");
    example(&sandbox, "promote.py", &["tumour", "2"]).ok();
    example(&sandbox, "promote.py", &["tumour", "--back"]).ok();
    let table = format!("{}.tumour_predictions", sandbox.data);
    let read = example(
        &sandbox,
        "read_predictions.py",
        &["tumour", &table, "id=172", "id=173"],
    )
    .ok();
    assert_eq!(
        read.stdout.matches("by tumour version 1").count(),
        2,
        "{read:?}"
    );
    let missing = example(
        &sandbox,
        "read_predictions.py",
        &["tumour", &table, "id=99999"],
    );
    assert!(missing.code(1).stdout.contains("not scored"));
    let refused = example(&sandbox, "promote.py", &["tumour", "7"]);
    assert!(refused.code(1).stderr.contains("refused"));
}
