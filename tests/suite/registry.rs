//! Registering, listing, pulling: the command line does what rows do, and no more.

mod refusals;

use std::fs;

use sha2::{Digest, Sha256};

use crate::support::{Model, Sandbox, cli::Running};

/// Bytes that are no model, different in every test.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    let mut seed = uuid::Uuid::new_v4();
    while bytes.len() < size {
        seed = uuid::Uuid::new_v5(&seed, b"");
        bytes.extend_from_slice(seed.as_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn hex_sha(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A shipped model under a name of the test's own, pushed and admitted.
fn pushed(sandbox: &Sandbox, model: &Model, name: &str) {
    let arguments = model.push_arguments(name);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    sandbox.json(&arguments).ok();
}

#[test]
fn what_was_pushed_comes_back_byte_for_byte() {
    let sandbox = Sandbox::shared("roundtrip");
    let (model, name) = (Model::named("breast_cancer_lr"), sandbox.name("roundtrip"));
    let arguments = [
        model.push_arguments(&name),
        [
            "--tag",
            "ward=3",
            "--metric",
            "auc=0.991",
            "--note",
            "first",
            "--output",
            "json",
        ]
        .map(str::to_owned)
        .to_vec(),
    ]
    .concat();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = sandbox.helenus(&arguments).ok().result();
    let bytes = fs::read(model.folder.join("model.onnx")).unwrap();
    assert_eq!(
        (&answer["version"], &answer["state"]),
        (&1.into(), &"ready".into())
    );
    assert_eq!(answer["sha256"], hex_sha(&bytes));

    let pulled = sandbox.json(&["model", "pull", &name, "1"]).ok().result();
    assert_eq!(pulled["file"], format!("{name}-1.onnx"));
    assert_eq!(
        fs::read(sandbox.directory().join(format!("{name}-1.onnx"))).unwrap(),
        bytes
    );

    let shown = sandbox.json(&["model", "show", &name]).ok().result();
    assert_eq!(shown["registered"]["metrics"]["auc"], 0.991);
    assert_eq!(shown["registered"]["tags"]["ward"], "3");
    assert_eq!(
        shown["admission"]["found"]["outputs"][1]["classes"][1],
        "malignant"
    );
    let listed = sandbox.json(&["model", "list", &name]).ok().result();
    assert_eq!(listed["versions"][0]["note"], "first");
    let all = sandbox.json(&["model", "list"]).ok().result();
    let names: Vec<_> = all["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["name"])
        .collect();
    assert!(names.contains(&&name.as_str().into()), "{names:?}");
}

#[test]
fn pull_replaces_nothing_unasked_and_writes_to_standard_output() {
    let sandbox = Sandbox::shared("pull");
    let (bytes, name) = (noise(700_000), sandbox.name("pull"));
    let file = sandbox.file("noise.onnx", &bytes);
    sandbox
        .helenus(&["model", "push", &name, file.to_str().unwrap(), "--no-wait"])
        .ok();
    sandbox.file("there", "precious");
    let refused = sandbox
        .json(&["model", "pull", &name, "1", "-o", "there"])
        .code(2);
    assert_eq!(refused.error()["code"], "file.exists");
    assert_eq!(
        fs::read_to_string(sandbox.directory().join("there")).unwrap(),
        "precious"
    );
    sandbox
        .helenus(&["model", "pull", &name, "1", "-o", "there", "--force"])
        .ok();
    assert_eq!(fs::read(sandbox.directory().join("there")).unwrap(), bytes);
    let mut command = sandbox.command(&["model", "pull", &name, "1", "-o", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout == bytes);
    let refused = sandbox
        .json(&["model", "pull", &name, "1", "-o", "nowhere/there"])
        .code(2);
    assert_eq!(refused.error()["code"], "file.unwritable");
    // Nothing half-made stays behind either.
    let left: Vec<_> = fs::read_dir(sandbox.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn the_same_file_again_is_a_new_version_of_the_same_chunks() {
    let sandbox = Sandbox::shared("again");
    let (name, other) = (sandbox.name("again"), sandbox.name("other"));
    let file = sandbox.file("noise.onnx", noise(1_300_000));
    let push = |name: &str| {
        sandbox
            .json(&["model", "push", name, file.to_str().unwrap(), "--no-wait"])
            .ok()
    };
    assert_eq!(push(&name).result()["bytes_sent"], 1_300_000);
    let second = push(&name);
    assert_eq!(
        (&second.result()["version"], &second.result()["bytes_sent"]),
        (&2.into(), &0.into())
    );
    assert!(
        second.json()["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("same_bytes"),
        "{second:?}"
    );
    assert_eq!(push(&other).result()["bytes_sent"], 0);
}

#[test]
fn pushes_at_once_make_as_many_versions() {
    let sandbox = Sandbox::shared("at_once");
    let name = sandbox.name("at_once");
    let running: Vec<_> = (0..4)
        .map(|at| {
            let file = sandbox.file(&format!("{at}.onnx"), noise(50_000));
            sandbox.start(&[
                "model",
                "push",
                &name,
                file.to_str().unwrap(),
                "--no-wait",
                "--output",
                "json",
            ])
        })
        .collect();
    let mut versions: Vec<i64> = running
        .into_iter()
        .map(|push| push.finish().ok().result()["version"].as_i64().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[test]
fn a_push_that_dies_half_way_leaves_nothing_to_see() {
    let sandbox = Sandbox::shared("dies");
    let (bytes, name) = (noise(40 << 20), sandbox.name("dies"));
    let file = sandbox.file("noise.onnx", &bytes);
    let push = ["model", "push", &name, file.to_str().unwrap(), "--no-wait"];
    let dying = sandbox.start(&push);
    let third = format!(
        "SELECT chunk FROM {{helenus}}.model_chunks WHERE sha256 = 0x{} AND chunk = 3",
        hex_sha(&bytes)
    );
    while sandbox.rows(&third).is_empty() {}
    dying.kill();
    assert!(
        sandbox
            .rows(&format!(
                "SELECT version FROM {{helenus}}.model_versions WHERE name = '{name}'"
            ))
            .is_empty(),
        "it was killed too late"
    );
    assert_eq!(
        sandbox.json(&["model", "list", &name]).code(5).error()["code"],
        "model.no_version"
    );
    let again = sandbox.json(&push).ok().result();
    let sent = again["bytes_sent"].as_u64().unwrap();
    assert_eq!(again["version"], 1);
    assert!(
        0 < sent && sent < 40 << 20,
        "what had arrived is not sent again: {sent}"
    );
}

/// Waits for a good end; gives the most memory that was resident, in KiB.
#[track_caller]
fn peak_kib(mut running: Running) -> u64 {
    let status = format!("/proc/{}/status", running.pid());
    let mut peak = 0;
    // The kernel keeps the high-water mark: a look every few milliseconds misses only the last ones.
    while running.is_running() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = mark.and_then(|mark| mark.trim().trim_end_matches(" kB").parse().ok());
        peak = kib.unwrap_or(peak);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    running.finish().ok();
    assert!(peak > 0, "it was never seen running");
    peak
}

#[test]
fn a_large_file_goes_in_and_out_in_a_few_chunks_of_memory() {
    let sandbox = Sandbox::shared("large");
    let (bytes, name) = (noise(60_000_000), sandbox.name("large"));
    let file = sandbox.file("large.onnx", &bytes);
    let file = file.to_str().unwrap();
    let pushing = peak_kib(sandbox.start(&["model", "push", &name, file, "--no-wait"]));
    let pulling = peak_kib(sandbox.start(&["model", "pull", &name, "1", "-o", "pulled"]));
    assert!(
        pushing < 100 * 1024 && pulling < 100 * 1024,
        "{pushing} KiB to push, {pulling} KiB to pull"
    );
    eprintln!("60 MB: {pushing} KiB to push, {pulling} KiB to pull");
    assert!(fs::read(sandbox.directory().join("pulled")).unwrap() == bytes);
}

#[test]
fn a_missing_or_altered_chunk_is_told_and_mended_by_the_next_push() {
    let sandbox = Sandbox::shared("damage");
    let (bytes, name) = (noise(1_200_000), sandbox.name("damage"));
    let file = sandbox.file("noise.onnx", &bytes);
    let push = ["model", "push", &name, file.to_str().unwrap(), "--no-wait"];
    sandbox.json(&push).ok();
    let chunk = format!("sha256 = 0x{} AND chunk = 1", hex_sha(&bytes));
    let pull = ["model", "pull", &name, "1", "-o", "pulled"];
    for (damage, code) in [
        (
            format!("UPDATE {{helenus}}.model_chunks SET data = 0x00 WHERE {chunk}"),
            "model.chunk_altered",
        ),
        (
            format!("UPDATE {{helenus}}.model_chunks SET checksum = 0x00 WHERE {chunk}"),
            "model.chunk_altered",
        ),
        (
            format!("DELETE FROM {{helenus}}.model_chunks WHERE {chunk}"),
            "model.chunk_missing",
        ),
    ] {
        sandbox.cql(&damage);
        let refused = sandbox.json(&pull).code(1);
        assert_eq!(refused.error()["code"], code);
        assert!(
            refused.error()["message"]
                .as_str()
                .unwrap()
                .contains("chunk 1"),
            "{refused:?}"
        );
        assert!(!sandbox.directory().join("pulled").exists());
        let mended = sandbox.json(&push).ok().result();
        assert_eq!(
            mended["bytes_sent"], 524_288,
            "only that chunk is sent again"
        );
        sandbox.json(&pull).ok();
        fs::remove_file(sandbox.directory().join("pulled")).unwrap();
    }
    // Other bytes with their own right checksum: only the whole tells.
    sandbox.cql(&format!(
        "UPDATE {{helenus}}.model_chunks SET data = 0x00, checksum = 0x{} WHERE {chunk}",
        hex_sha(&[0])
    ));
    assert_eq!(sandbox.json(&pull).code(1).error()["code"], "model.altered");
}

#[test]
fn rows_of_the_python_driver_and_cqlsh_are_as_good_as_commands() {
    let sandbox = Sandbox::migrated("by_rows");
    let model = Model::named("breast_cancer_lgbm");
    let program = r#"
import hashlib, sys
data, features = open(sys.argv[1], 'rb').read(), open(sys.argv[2]).read().split('\n')
sha = hashlib.sha256(data).digest()
size = 512 * 1024
chunks = [data[at:at + size] for at in range(0, len(data), size)]
for number, chunk in enumerate(chunks):
    session.execute(f'INSERT INTO {helenus}.model_chunks (sha256, chunk, data, checksum) VALUES (%s, %s, %s, %s)',
                    (sha, number, chunk, hashlib.sha256(chunk).digest()))
applied = session.execute(f'INSERT INTO {helenus}.model_versions (name, version, format, sha256, size, chunks, feature_names, registered_by) '
                          'VALUES (%s, 1, %s, %s, %s, %s, %s, %s) IF NOT EXISTS',
                          ('tumour', 'onnx', sha, len(data), len(chunks), [f for f in features if f], 'python'))
assert applied.was_applied
"#;
    sandbox
        .python(
            program,
            &[&model.path("model.onnx"), &model.path("features.txt")],
        )
        .ok();
    let listed = sandbox.json(&["model", "list", "tumour"]).ok().result();
    assert_eq!(listed["versions"][0]["state"], "undecided");
    let pass = sandbox.json(&["worker", "--once"]).ok().result();
    assert_eq!(pass["admitted"], 1);
    sandbox
        .cqlsh("INSERT INTO {helenus}.alias_requests (day, id, action, model, alias, version, requested_by, why) VALUES (toDate(now()), now(), 'promote', 'tumour', 'champion', 1, 'cqlsh', 'by hand')")
        .ok();
    let pass = sandbox.json(&["worker", "--once"]).ok().result();
    assert_eq!(pass["aliases"], 1);
    let answer = sandbox.row("SELECT answer, reason FROM {helenus}.answers");
    assert_eq!(answer["answer"].as_text().unwrap(), "done");
    let shown = sandbox.json(&["model", "show", "tumour"]).ok().result();
    assert_eq!(
        (&shown["state"], &shown["aliases"][0]),
        (&"ready".into(), &"champion".into())
    );
    let history = sandbox.json(&["model", "history", "tumour"]).ok().result();
    assert_eq!(
        (&history["changes"][0]["who"], &history["changes"][0]["why"]),
        (&"cqlsh".into(), &"by hand".into())
    );

    // And the command line's own rows are the same rows.
    pushed(&sandbox, &model, "tumour");
    let rows = sandbox.rows("SELECT sha256, size, chunks, feature_names, format FROM {helenus}.model_versions WHERE name = 'tumour'");
    assert_eq!(rows[0], rows[1]);
}
