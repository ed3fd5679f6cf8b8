//! The real binary.

use std::{
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::documented;

/// Longer than anything here takes, shorter than a person waits: what hangs fails.
const TOO_LONG: Duration = Duration::from_secs(120);

/// What a program answered.
#[derive(Debug)]
pub struct Output {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }

    /// Fails the test unless it ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// The one JSON object on stdout, of `--output json`.
    #[track_caller]
    pub fn json(&self) -> Value {
        let object: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON object: {error}\n{self:#?}"));
        assert_eq!(object["schema"], "helenus/1", "{self:#?}");
        let command = object["command"].as_str().unwrap_or_default();
        documented::check(command, &object["result"]);
        object
    }

    /// `result` of that object.
    #[track_caller]
    pub fn result(&self) -> Value {
        self.json()["result"].clone()
    }

    /// `error` of that object.
    #[track_caller]
    pub fn error(&self) -> Value {
        self.json()["error"].clone()
    }
}

/// The binary in `directory` with exactly these `HELENUS_*` variables.
pub fn helenus(directory: &Path, environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_helenus"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HELENUS_")) {
        command.env_remove(name);
    }
    if let Ok(library) = std::env::var("HELENUS_ONNXRUNTIME") {
        command.env("HELENUS_ONNXRUNTIME", library);
    }
    command.envs(environment.iter().cloned());
    command
}

/// Runs a program to its end.
#[track_caller]
pub fn run(command: Command) -> Output {
    Running::start(command).finish()
}

/// A program under way; killed when dropped.
pub struct Running {
    child: Child,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
}

/// What a program has written to a stream, and the thread that reads it.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr until now.
    pub fn stderr_so_far(&self) -> String {
        self.stderr
            .as_ref()
            .map(Collected::text)
            .unwrap_or_default()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// kill -9: nothing of its own runs any more.
    pub fn kill(mut self) -> Output {
        self.child.kill().unwrap();
        self.finish()
    }

    /// Ctrl-C.
    pub fn interrupt(self) -> Output {
        self.signal("INT");
        self.finish()
    }

    /// Sends a signal by its name (`STOP`, `CONT`, `TERM`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let until = Instant::now() + TOO_LONG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                let stderr = self.stderr.take().map(Collected::whole);
                panic!("still running after {TOO_LONG:?}; stderr: {stderr:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let text = |stream: Option<Collected>| stream.map(Collected::whole).unwrap_or_default();
        Output {
            code: status.code(),
            stdout: text(self.stdout.take()),
            stderr: text(self.stderr.take()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Collected {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Waits for the end of the stream.
    fn whole(self) -> String {
        let bytes = Arc::clone(&self.bytes);
        self.reader.join().unwrap();
        let bytes = bytes.lock().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> Collected {
    let bytes = Arc::<Mutex<Vec<u8>>>::default();
    let shared = Arc::clone(&bytes);
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                read => shared.lock().unwrap().extend(&buffer[..read]),
            }
        }
    });
    Collected { bytes, reader }
}
