//! A receiver of webhooks in a process of its own: it refuses, hangs, answers 500, or accepts.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Sandbox, cli::Running, required};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

pub struct Receiver {
    folder: PathBuf,
    port: u16,
    /// Name of its certificate and key in tests/tls.
    certificate: Option<&'static str>,
    running: Option<Running>,
}

impl Receiver {
    /// A port at which nothing listens yet.
    pub fn down(sandbox: &Sandbox) -> Self {
        let folder = sandbox.directory().join("receiver");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("secret"), SECRET).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        Self {
            folder,
            port,
            certificate: None,
            running: None,
        }
    }

    /// The same, for https.
    pub fn down_with_tls(sandbox: &Sandbox, certificate: &'static str) -> Self {
        Self {
            certificate: Some(certificate),
            ..Self::down(sandbox)
        }
    }

    /// The settings of a worker that sends here.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        let scheme = if self.certificate.is_some() {
            "https"
        } else {
            "http"
        };
        [
            (
                "HELENUS_ALARMS_WEBHOOK",
                format!("{scheme}://127.0.0.1:{}/alarms?team=ml", self.port),
            ),
            (
                "HELENUS_ALARMS_WEBHOOK_SECRET_FILE",
                self.folder.join("secret").display().to_string(),
            ),
            ("HELENUS_ALARMS_TIMEOUT", "1s".to_owned()),
        ]
    }

    /// What it does with requests from now on: `ok`, `500`, `hang`. Starts it if it is down.
    pub fn mode(&mut self, mode: &str) {
        fs::write(self.folder.join("mode"), mode).unwrap();
        if self.running.is_some() {
            return;
        }
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/alarms/webhook_receiver.py"
        );
        let mut command = Command::new(required("HELENUS_TEST_PYTHON"));
        command
            .args([script, &self.port.to_string()])
            .arg(&self.folder);
        for file in ["pem", "key"] {
            let path = |name| format!("{}/tests/tls/{name}.{file}", env!("CARGO_MANIFEST_DIR"));
            command.args(self.certificate.map(path));
        }
        self.running = Some(Running::start(command));
        let until = Instant::now() + Duration::from_secs(20);
        while !self.folder.join("port").exists() {
            assert!(Instant::now() < until, "the receiver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every request until now: `mode`, `signed`, `id`, `message` …
    pub fn received(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join("received")).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The types of the messages that it accepted, in the order of their first arrival, without
    /// repetitions of an id. Each must be signed.
    pub fn accepted(&self) -> Vec<String> {
        let mut ids = Vec::new();
        let mut types = Vec::new();
        for request in self.received() {
            assert_eq!(request["signed"], true, "{request}");
            if request["mode"] == "ok" && !ids.contains(&request["id"]) {
                ids.push(request["id"].clone());
                types.push(request["message"]["type"].as_str().unwrap().to_owned());
            }
        }
        types
    }
}
