//! How long tests take.

use std::{fs, io::Write, time::Instant};

/// Notes how long this thread's test took, in the file of which `make test` prints the slowest.
pub fn note(began: Instant) {
    let Ok(path) = std::env::var("HELENUS_TEST_TIMES") else {
        return;
    };
    let test = std::thread::current();
    let name = test.name().unwrap_or("?");
    let line = format!("{:.1} {name}\n", began.elapsed().as_secs_f64());
    let file = fs::OpenOptions::new().append(true).create(true).open(&path);
    // One write a line: tests run side by side.
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("{path}: {error}"));
}
