//! What commands write to where they are told: pipes, devices and links stay what they are.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};

use crate::support::numbers::{Numbers, ROWS};

const MANIFEST: &str = r#"
job = "numbers"
model = "numbers"
versions = [1, 2]
[source]
table = "{data}.numbers"
[features]
x = "x"
"#;

fn scored(test: &str) -> Numbers {
    let numbers = Numbers::pushed(test, "");
    numbers.create(MANIFEST).ok();
    numbers.sandbox.helenus(&["score", "numbers"]).ok();
    numbers
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_export_replaces_no_pipe_no_device_and_no_link_and_keeps_modes() {
    let numbers = scored("files_export");
    let sandbox = &numbers.sandbox;
    let place = |name: &str| sandbox.directory().join(name);
    let export = |out: &str| sandbox.helenus(&["export", "numbers", "--version", "1", "-o", out]);
    let all = sandbox
        .helenus(&["export", "numbers", "--version", "1"])
        .ok()
        .stdout;
    assert_eq!(all.lines().count(), ROWS + 1);

    // A pipe is written into.
    let pipe = place("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    export("pipe").ok();
    assert_eq!(reader.join().unwrap(), all);
    assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

    // A device behind a link: both stay.
    symlink("/dev/null", place("device")).unwrap();
    export("device").ok();
    assert!(place("device").is_symlink());
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );

    // A link's target gets the rows, its mode and owner; a dangling link gets a target.
    let target = sandbox.file("target.csv", "yesterday's");
    set_mode(&target, 0o640);
    let is_root = fs::metadata(&target).unwrap().uid() == 0;
    if is_root {
        chown(&target, Some(4242), Some(4243)).unwrap();
    }
    symlink("target.csv", place("link")).unwrap();
    export("link").ok();
    assert!(place("link").is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), all);
    assert_eq!(mode(&target), 0o640);
    if is_root {
        let kept = fs::metadata(&target).unwrap();
        assert_eq!((kept.uid(), kept.gid()), (4242, 4243));
    }
    symlink("made.csv", place("dangling")).unwrap();
    export("dangling").ok();
    assert!(place("dangling").is_symlink());
    assert_eq!(fs::read_to_string(place("made.csv")).unwrap(), all);

    // A second name of a file sees the same rows.
    let first = sandbox.file("first", "yesterday's");
    fs::hard_link(&first, place("second")).unwrap();
    export("first").ok();
    assert_eq!(fs::read_to_string(place("second")).unwrap(), all);

    // What was private stays so, what is new is.
    let private = sandbox.file("private", "yesterday's");
    set_mode(&private, 0o600);
    export("private").ok();
    export("new").ok();
    assert_eq!((mode(&private), mode(&place("new"))), (0o600, 0o600));

    // `-` is standard output.
    assert_eq!(export("-").ok().stdout, all);
    assert_eq!(export("/dev/stdout").ok().stdout, all);
    assert!(!place("-").exists());
    let refused = sandbox.json(&["export", "numbers", "-o", "-"]).code(2);
    assert_eq!(refused.error()["code"], "export.stdout");
    let left = fs::read_dir(sandbox.directory()).unwrap();
    let half_made = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".helenus")
    });
    assert_eq!(half_made.count(), 0);
}

#[test]
fn pages_and_models_go_where_exports_go() {
    let numbers = scored("files_pages");
    let sandbox = &numbers.sandbox;
    let place = |name: &str| sandbox.directory().join(name);
    let compare = |options: &[&str]| {
        let words = ["compare", "numbers", "--versions", "1,2"];
        sandbox.helenus(&[&words, options].concat())
    };
    let target = sandbox.file("page.html", "yesterday's");
    set_mode(&target, 0o600);
    symlink("page.html", place("link.html")).unwrap();
    let told = compare(&["--html", "link.html", "--output", "json"]).ok();
    assert_eq!(told.result()["html"], "link.html");
    assert!(place("link.html").is_symlink());
    assert!(fs::read_to_string(&target).unwrap().contains("</html>"));
    assert_eq!(mode(&target), 0o600);
    let page = compare(&["--html", "-"]).ok().stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(!place("-").exists());
    let refused = compare(&["--html", "-", "--output", "json"]).code(2);
    assert_eq!(refused.error()["code"], "file.stdout");

    // A model is no secret: the umask decides. What is not replaced is not touched.
    let pull =
        |options: &[&str]| sandbox.json(&[&["model", "pull", "numbers", "1"], options].concat());
    pull(&["-o", "new.onnx"]).ok();
    assert_eq!(mode(&place("new.onnx")) & 0o600, 0o600);
    symlink("new.onnx", place("link.onnx")).unwrap();
    let refused = pull(&["-o", "link.onnx"]).code(2);
    assert_eq!(refused.error()["code"], "file.exists");
    set_mode(&place("new.onnx"), 0o604);
    pull(&["-o", "link.onnx", "--force"]).ok();
    assert!(place("link.onnx").is_symlink());
    assert_eq!(mode(&place("new.onnx")), 0o604);
    symlink("/dev/null", place("device")).unwrap();
    pull(&["-o", "device"]).ok();
    assert!(place("device").is_symlink());
}

#[test]
fn a_condition_that_is_not_understood_is_an_error_and_not_an_empty_export() {
    let numbers = scored("files_where");
    let export = |condition: &str| {
        let words = ["export", "numbers", "--version", "1", "--where", condition];
        numbers.sandbox.helenus(&words)
    };
    for condition in [
        "name = patient-7 or name = patient-8",
        "name = patient 7",
        "name = patient-7\nor visit = 1",
        "name == patient-7",
        "name = \"patient-7\"",
        "name = null",
    ] {
        let refused = export(condition).code(2);
        assert_eq!(refused.stdout, "");
        assert!(refused.stderr.contains("--where"), "{refused:?}");
        assert!(refused.stderr.contains("help:"), "{refused:?}");
    }
    let found = export("name = patient-7\n\tAND\tvisit >= 1").ok().stdout;
    assert_eq!(found.lines().count(), 3);
}
