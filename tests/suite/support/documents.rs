//! Documents, and what the libraries of their models make of them: see `tests/documents/make.py`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::{Sandbox, block_on, cassandra::session, cli::run, required};

const MAKE: &str = include_str!("../../documents/make.py");
const REQUIREMENTS: &str = include_str!("../../documents/requirements.txt");

/// A folder with everything that the script makes. It is made once, and again when the script
/// changes.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let digest = xxhash_rust::xxh3::xxh3_64([MAKE, REQUIREMENTS].concat().as_bytes());
        let whole = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("documents-{digest:016x}"));
        if whole.exists() {
            return whole;
        }
        let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = env!("CARGO_MANIFEST_DIR");
        let mut command = Command::new(required("HELENUS_TEST_DOCUMENTS"));
        command
            .arg(Path::new(root).join("tests/documents/make.py"))
            .arg(making.path())
            .arg(root)
            .stdin(Stdio::null());
        run(command).ok();
        // Another process may have been quicker.
        if let Err(error) = fs::rename(making.path(), &whole) {
            assert!(whole.exists(), "{error}");
        }
        whole
    })
}

/// A file of the folder, parsed.
pub fn json(name: &str) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// A file of 32-bit numbers.
pub fn words<T>(name: &str, convert: impl Fn([u8; 4]) -> T) -> Vec<T> {
    let bytes = fs::read(folder().join(name)).unwrap();
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .copied()
        .map(convert)
        .collect()
}

/// The contents of the files of a list, in its order.
pub fn contents(folder_name: &str, list: &str) -> Vec<Vec<u8>> {
    let path = |entry: Value| match entry["name"].as_str() {
        Some(name) => name.to_owned(),
        None => entry.as_str().unwrap().to_owned(),
    };
    let names = json(list).into_iter().map(path);
    names
        .map(|name| fs::read(folder().join(folder_name).join(name)).unwrap())
        .collect()
}

/// Writes rows `(id int, content)` with ids from 0 on.
pub fn insert(sandbox: &Sandbox, table: &str, contents: &[Vec<u8>]) {
    let insert = format!(
        "INSERT INTO \"{}\".{table} (id, content) VALUES (?, ?)",
        sandbox.data
    );
    block_on(async {
        let insert = session().prepare(insert).await.unwrap();
        futures::stream::iter(contents.iter().enumerate())
            .map(|(id, content)| session().execute_unpaged(&insert, (id as i32, content)))
            .buffer_unordered(8)
            .map_ok(drop)
            .try_collect::<()>()
            .await
            .unwrap();
    });
}
