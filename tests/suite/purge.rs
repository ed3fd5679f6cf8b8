//! Purging files that no version names, while the same files are pushed.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use helenus::control::purge;
use sha2::{Digest, Sha256};

use crate::support::{Sandbox, block_on};

const HOUR_US: i64 = 3_600_000_000;

/// The identity model with a description of its own: other bytes, another sha256.
fn variant(number: usize) -> Vec<u8> {
    let file = crate::admission::root().join("tests/models/identity.onnx");
    let mut bytes = fs::read(file).unwrap();
    let text = format!("variant {number} {}", crate::support::random_name());
    // ModelProto.doc_string = 6; the last one counts.
    bytes.extend([6 << 3 | 2, text.len() as u8]);
    bytes.extend(text.as_bytes());
    bytes
}

/// Chunks of a push that was given up so many hours ago.
fn abandoned(sandbox: &Sandbox, bytes: &[u8], hours: i64) -> String {
    let sha256 = hex::encode(Sha256::digest(bytes));
    let at = Utc::now().timestamp_micros() - hours * HOUR_US;
    sandbox.cql(&format!(
        "INSERT INTO {{helenus}}.model_chunks (sha256, chunk, data, checksum) VALUES (0x{sha256}, 0, 0x{}, 0x{sha256}) USING TIMESTAMP {at}",
        hex::encode(bytes)
    ));
    sha256
}

fn stands(sandbox: &Sandbox, sha256: &str) -> bool {
    let select = format!(
        "SELECT chunk FROM {{helenus}}.model_chunks WHERE sha256 = 0x{sha256} AND chunk = 0"
    );
    !sandbox.rows(&select).is_empty()
}

#[test]
fn what_no_version_names_goes_once_it_is_old() {
    let sandbox = Sandbox::migrated("purge");
    let [old, young, named, deleted] = [0, 1, 2, 3].map(variant);
    let old = abandoned(&sandbox, &old, 30);
    let young = abandoned(&sandbox, &young, 20);
    for (name, bytes) in [("kept", &named), ("gone", &deleted)] {
        abandoned(&sandbox, bytes, 30);
        let file = sandbox.file(&format!("{name}.onnx"), bytes);
        sandbox
            .helenus(&["model", "push", name, file.to_str().unwrap()])
            .ok();
    }
    let [named, deleted] = [named, deleted].map(|bytes| hex::encode(Sha256::digest(&bytes)));
    sandbox.cql("DELETE FROM {helenus}.model_versions WHERE name = 'gone'");
    let dry = sandbox.json(&["model", "purge", "--dry-run"]).ok().result();
    assert_eq!(dry["purged"][0]["sha256"], old.as_str(), "{dry}");
    assert!(stands(&sandbox, &old));
    let purged = sandbox.json(&["model", "purge"]).ok().result();
    assert_eq!(purged["purged"].as_array().unwrap().len(), 1, "{purged}");
    assert_eq!(purged["purged"][0]["sha256"], old.as_str(), "{purged}");
    assert_eq!(purged["named"], 1, "{purged}");
    // Twenty hours, and pushed just now.
    assert_eq!(purged["young"].as_array().unwrap().len(), 2, "{purged}");
    let standing = [&old, &young, &named, &deleted].map(|sha256| stands(&sandbox, sha256));
    assert_eq!(standing, [false, true, true, true]);
    // Two days on, only what a version names is left.
    block_on(async {
        let store = sandbox.store().await;
        let later = Utc::now() + chrono::TimeDelta::hours(48);
        let purged = purge::purge(&store, later, purge::LEAST_AGE, false)
            .await
            .unwrap();
        assert_eq!((purged.files.len(), purged.named), (2, 1));
    });
    let standing = [&young, &named, &deleted].map(|sha256| stands(&sandbox, sha256));
    assert_eq!(standing, [false, true, false]);
    let error = sandbox
        .json(&["model", "purge", "--older-than", "23h"])
        .code(2);
    assert_eq!(error.error()["code"], "purge.too_young");
}

#[test]
fn a_push_that_goes_on_while_its_file_is_purged_loses_nothing() {
    const PUSHES: usize = 16;
    let sandbox = Sandbox::migrated("purged_push");
    let files: Vec<Vec<u8>> = (0..PUSHES).map(variant).collect();
    for bytes in &files {
        abandoned(&sandbox, bytes, 48);
    }
    let (done, passes) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let purger = {
        let (done, passes) = (Arc::clone(&done), Arc::clone(&passes));
        let store = block_on(sandbox.store());
        std::thread::spawn(move || {
            let mut purged = 0;
            while !done.load(Ordering::Relaxed) {
                // Without a pause between what is seen and what is deleted there would be no race.
                purged += block_on(purge::purge(
                    &store,
                    Utc::now(),
                    Duration::from_secs(24 * 3600),
                    false,
                ))
                .unwrap()
                .files
                .len();
                passes.fetch_add(1, Ordering::Relaxed);
            }
            purged
        })
    };
    for (number, bytes) in files.iter().enumerate() {
        // So that the purger meets some of them before, some during and some after their push.
        abandoned(&sandbox, bytes, 48);
        let file = sandbox.file(&format!("{number}.onnx"), bytes);
        let pushed = sandbox.json(&["model", "push", "raced", file.to_str().unwrap()]);
        assert_eq!(pushed.ok().result()["state"], "ready");
    }
    let until = passes.load(Ordering::Relaxed) + 2;
    while passes.load(Ordering::Relaxed) < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    done.store(true, Ordering::Relaxed);
    let purged = purger.join().unwrap();
    assert!(purged > 0, "nothing was ever purged");
    for (number, bytes) in files.iter().enumerate() {
        let version = (number + 1).to_string();
        let out = sandbox.directory().join(format!("back-{number}.onnx"));
        sandbox
            .helenus(&[
                "model",
                "pull",
                "raced",
                &version,
                "-o",
                out.to_str().unwrap(),
            ])
            .ok();
        assert_eq!(&fs::read(out).unwrap(), bytes, "version {version}");
    }
}
