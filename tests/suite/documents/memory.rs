//! Large images and large blobs: memory is bounded by what is decoded at a time, not by the table.

use std::{process::Command, time::Duration};

use super::manifest;
use crate::support::{
    Sandbox,
    cli::{Running, run},
    documents, required,
};

/// A photo of 12 million pixels: 36 MB when decoded.
const MAKE: &str = "import sys; from PIL import Image; \
    Image.effect_noise((4000, 3000), 40).convert('RGB').save(sys.argv[1], 'JPEG', quality=60)";
/// What helenus may take at most: its own code, the library, the model and the decoding of one image
/// per processor (up to four here).
const PEAK_KB: u64 = 700 * 1024;

#[test]
fn memory_does_not_grow_with_images_and_blobs() {
    let sandbox = Sandbox::migrated("images_memory");
    let model = documents::folder().join("orientation.onnx");
    let (job, name) = (sandbox.name("photos"), sandbox.name("orientation"));
    sandbox
        .helenus(&["model", "push", &name, model.to_str().unwrap()])
        .ok();
    sandbox.cql("CREATE TABLE {data}.files (id int PRIMARY KEY, content blob)");
    let path = sandbox.directory().join("photo.jpg");
    let mut command = Command::new(required("HELENUS_TEST_DOCUMENTS"));
    command.args(["-c", MAKE]).arg(&path);
    run(command).ok();
    let photo = std::fs::read(path).unwrap();
    let mut contents = vec![photo; 24];
    contents.extend((0..12).map(|_| vec![0; 10 << 20]));
    documents::insert(&sandbox, "files", &contents);
    let feature = format!(
        "x = {{ column = \"content\", {} }}",
        super::images::ORIENTATION
    );
    let path = sandbox.file("photos.toml", manifest(&sandbox, &job, &name, &feature));
    sandbox
        .helenus(&["job", "create", path.to_str().unwrap()])
        .ok();

    let mut running = Running::start(sandbox.command(&["score", &job, "--output", "json"]));
    let mut peak = 0;
    while running.is_running() {
        peak = crate::large_rows::peak_kb(running.pid())
            .unwrap_or(0)
            .max(peak);
        std::thread::sleep(Duration::from_millis(10));
    }
    let scored = running.finish().ok().result();
    println!("{} MiB", peak / 1024);
    assert!(peak > 0 && peak <= PEAK_KB, "{peak} kB: {scored}");
    assert_eq!(scored["scored"]["1"], 24, "{scored}");
    assert_eq!(scored["rejected"]["1"], 12, "{scored}");
}
