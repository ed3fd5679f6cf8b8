//! What a machine may lack, and what a model may do to it, while it is admitted: the worker goes on,
//! and nobody else is blamed.

use std::process::Command;

use crate::support::{Sandbox, cli};

/// The command with a temporary directory of 64 KiB, on a disk of its own.
fn without_room(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let command = sandbox.command(arguments);
    let full = sandbox.directory().join("full");
    std::fs::create_dir_all(&full).unwrap();
    // A mount that only this process and its children see, and that ends with them.
    let mut wrapped = Command::new("unshare");
    wrapped
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k none \"$TMPDIR\" && exec \"$@\"")
        .arg("sh")
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env("TMPDIR", &full);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

fn file(name: &str) -> String {
    let path = crate::admission::root().join(name);
    path.to_str().unwrap().to_owned()
}

fn state(sandbox: &Sandbox, model: &str) -> Option<String> {
    let rows = sandbox.rows(&format!(
        "SELECT state FROM {{helenus}}.admissions WHERE name = '{model}'"
    ));
    let state = rows.first()?["state"].as_text().unwrap();
    Some(state.to_owned())
}

/// `identity.onnx` scores this.
fn job(sandbox: &Sandbox) {
    sandbox.cql("CREATE TABLE {data}.numbers (id int PRIMARY KEY, x float)");
    for id in 0..20 {
        sandbox.cql(&format!(
            "INSERT INTO {{data}}.numbers (id, x) VALUES ({id}, {id})"
        ));
    }
    let push = [
        "model",
        "push",
        "small",
        &file("tests/models/identity.onnx"),
    ];
    sandbox.helenus(&push).ok();
    let manifest = "job = \"numbers\"\nmodel = \"small\"\nversions = [1]\n[source]\ntable = \"{data}.numbers\"\n";
    let manifest = sandbox.file("numbers.toml", sandbox.filled(manifest));
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
}

#[test]
fn a_full_disk_is_held_against_no_model_and_keeps_nothing_else_from_being_done() {
    let sandbox = Sandbox::migrated_with("full_disk", &["--lease-seconds", "2"]);
    job(&sandbox);
    // 138 KiB do not fit; 76 bytes do.
    let large = file("models/breast_cancer_isolation/model.onnx");
    assert!(std::fs::metadata(&large).unwrap().len() > 65_536);
    let pushed = cli::run(without_room(&sandbox, &["model", "push", "large", &large]));
    assert_eq!(pushed.code, Some(3), "{pushed:?}");
    assert!(pushed.stderr.contains("No space left"), "{pushed:?}");
    assert_eq!(state(&sandbox, "large"), None);
    // More often than a death would be forgiven.
    for _ in 0..3 {
        sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job, scope) VALUES (toDate(now()), now(), 'numbers', 'all')");
        cli::run(without_room(&sandbox, &["worker", "--once"])).ok();
        assert_eq!(state(&sandbox, "large"), None);
    }
    let runs = sandbox.rows("SELECT state FROM {helenus}.runs WHERE job = 'numbers'");
    assert_eq!(runs.len(), 3);
    for run in &runs {
        assert_eq!(run["state"].as_text().unwrap(), "succeeded");
    }
    // Isolated, too: nothing about scoring needs a disk.
    let arguments = ["score", "numbers", "--scope", "all", "--isolate"];
    cli::run(without_room(&sandbox, &arguments)).ok();
    // Room again: the same row is admitted.
    sandbox.helenus(&["worker", "--once"]).ok();
    assert_eq!(state(&sandbox, "large").as_deref(), Some("ready"));
}

#[test]
fn a_model_that_crashes_or_takes_all_memory_is_rejected_and_others_are_admitted_by_the_same_worker()
{
    let sandbox = Sandbox::migrated_with("hard", &["--lease-seconds", "2"]);
    // Rows alone, so that one worker meets all of them in one pass.
    let golden = sandbox.file("golden.csv", "in.x,out.y\n1,1\n777,777\n");
    for (name, model, golden) in [
        ("a_small", "tests/models/identity.onnx", None),
        ("b_crashing", "tests/models/crashing.onnx", Some(&golden)),
        ("c_hungry", "tests/hostile/alloc_run.onnx", None),
        ("d_small", "tests/models/constant.onnx", None),
    ] {
        let put = |bytes: &[u8]| {
            use sha2::{Digest, Sha256};
            let sha256 = hex::encode(Sha256::digest(bytes));
            sandbox.cql(&format!(
                "INSERT INTO {{helenus}}.model_chunks (sha256, chunk, data, checksum) VALUES (0x{sha256}, 0, 0x{}, 0x{sha256})",
                hex::encode(bytes)
            ));
            format!("0x{sha256}")
        };
        let bytes = std::fs::read(file(model)).unwrap();
        let golden = golden.map(|path| put(&std::fs::read(path).unwrap()));
        sandbox.cql(&format!(
            "INSERT INTO {{helenus}}.model_versions (name, version, format, sha256, size, chunks, golden_sha256) VALUES ('{name}', 1, 'onnx', {}, {}, 1, {})",
            put(&bytes),
            bytes.len(),
            golden.unwrap_or_else(|| "null".to_owned())
        ));
    }
    sandbox.helenus(&["worker", "--once"]).ok();
    let states = ["a_small", "b_crashing", "c_hungry", "d_small"].map(|name| state(&sandbox, name));
    let states = states.each_ref().map(Option::as_deref);
    assert_eq!(
        states,
        [
            Some("ready"),
            Some("rejected"),
            Some("rejected"),
            Some("ready")
        ]
    );
    let reason = |name: &str| {
        let row = sandbox.row(&format!(
            "SELECT reason FROM {{helenus}}.admissions WHERE name = '{name}'"
        ));
        row["reason"].as_text().unwrap().to_owned()
    };
    assert!(
        reason("b_crashing").contains("arithmetic exception"),
        "{}",
        reason("b_crashing")
    );
    assert!(
        reason("c_hungry").contains("memory"),
        "{}",
        reason("c_hungry")
    );
}
