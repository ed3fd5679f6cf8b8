//! A real Kafka broker, and a client of it that is not helenus's own: `tests/stream/topics.py`.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::{Value, json};

use super::{cli::Running, random_name, required};

/// A broker. [`shared`] is for tests that leave it alone; one that a test may freeze and kill is
/// [`Broker::start`]ed by it, and wiped when dropped.
pub struct Broker {
    /// `host:port`, plain.
    pub bootstrap: String,
    name: String,
    is_own: bool,
}

/// A message as a reader of committed messages sees it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds.
    pub timestamp: i64,
    pub key: Option<String>,
    /// Text; `None` also when the value is not UTF-8, which stands in `value_hex`.
    pub value: Option<String>,
    pub value_hex: Option<String>,
    pub headers: BTreeMap<String, Option<String>>,
}

impl Message {
    /// The value, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let text = self.value.as_deref().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let text = self.headers.get(name).and_then(Option::as_deref);
        text.unwrap_or_default()
    }
}

/// The broker that all tests share; the first one to ask starts it.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| match std::env::var("HELENUS_TEST_KAFKA") {
        Ok(bootstrap) if !bootstrap.is_empty() => Broker {
            bootstrap,
            name: String::new(),
            is_own: false,
        },
        _ => Broker::up(required("HELENUS_TEST_NAME"), false, &["--port", "0"]),
    })
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Broker {
    /// A broker of the test's own; `options` are those of `scripts/kafka up`.
    pub fn start(what: &str, options: &[&str]) -> Self {
        let name = format!("{}-{what}", required("HELENUS_TEST_NAME"));
        Self::up(name, true, &[&["--port", "0"], options].concat())
    }

    fn up(name: String, is_own: bool, options: &[&str]) -> Self {
        // A killed one must be up again within its old name, and one that fails to start be wiped.
        let mut broker = Self {
            bootstrap: String::new(),
            name,
            is_own,
        };
        broker.bootstrap = broker.script(&[&["up", "--fast"], options].concat());
        broker
    }

    /// Starts it again after [`Broker::signal`] with `KILL`, on its old port.
    pub fn up_again(&self) {
        assert_eq!(self.script(&["up"]), self.bootstrap);
    }

    /// The last line that `scripts/kafka` prints.
    #[track_caller]
    fn script(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(root().join("scripts/kafka"));
        command.args(arguments).args(["--name", &self.name]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().last().unwrap_or_default().to_owned()
    }

    /// A file of the instance's folder, for example `secure/ca.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        root().join(".dev/kafka").join(&self.name).join(name)
    }

    /// Sends it a signal (`STOP`, `CONT`, `KILL`).
    pub fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.file("broker.pid")).unwrap();
        let kill = Command::new("kill")
            .args([&format!("-{signal}"), pid.trim()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Creates a topic with a name that no other test uses, and returns the name.
    #[track_caller]
    pub fn topic(&self, stem: &str, partitions: u32) -> String {
        let name = format!("{stem}.{}", random_name());
        self.create_topic(&name, partitions);
        name
    }

    #[track_caller]
    pub fn create_topic(&self, name: &str, partitions: u32) {
        // A broker that the environment names has no instance whose name the script could know.
        let made = self.client(&["create", name, "--partitions", &partitions.to_string()]);
        super::cli::run(made).ok();
    }

    /// `tests/stream/topics.py` on this broker.
    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(required("HELENUS_TEST_KAFKA_PYTHON"));
        command
            .arg(root().join("tests/stream/topics.py"))
            .arg(&self.bootstrap)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Writes messages: objects with `key`, `json` or `value` or `value_hex`, `headers`,
    /// `partition`, `timestamp` (ms); all acknowledged when this returns.
    #[track_caller]
    pub fn write(&self, topic: &str, messages: &[Value]) {
        let mut child = self
            .client(&["write", topic])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        for message in messages {
            writeln!(input, "{message}").unwrap();
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }

    /// Writes JSON objects under keys.
    #[track_caller]
    pub fn write_json(&self, topic: &str, messages: &[(&str, Value)]) {
        let messages: Vec<_> = messages
            .iter()
            .map(|(key, value)| json!({"key": key, "json": value}))
            .collect();
        self.write(topic, &messages);
    }

    /// All messages that a reader of committed ones sees now, in the order of each partition.
    #[track_caller]
    pub fn read(&self, topic: &str) -> Vec<Message> {
        parse(&super::cli::run(self.client(&["read", topic])).ok().stdout)
    }

    /// The same with `--uncommitted`.
    #[track_caller]
    pub fn read_uncommitted(&self, topic: &str) -> Vec<Message> {
        let read = self.client(&["read", topic, "--uncommitted"]);
        parse(&super::cli::run(read).ok().stdout)
    }

    /// Waits for that many messages, at most 110 s; fails the test if they don't come.
    #[track_caller]
    pub fn read_count(&self, topic: &str, count: usize) -> Vec<Message> {
        let wanted = count.to_string();
        let read = self.client(&["read", topic, "--count", &wanted, "--seconds", "110"]);
        let output = super::cli::run(read).ok();
        let messages = parse(&output.stdout);
        assert_eq!(
            messages.len(),
            count,
            "{topic}: {messages:#?}\n{}",
            output.stderr
        );
        messages
    }

    /// Lets a group without members forget what it has read.
    #[track_caller]
    pub fn reset_group(&self, group: &str) {
        super::cli::run(self.client(&["forget", group])).ok();
    }

    /// The offsets that a group has committed, by partition.
    #[track_caller]
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<String, i64> {
        let output = super::cli::run(self.client(&["committed", group, topic])).ok();
        serde_json::from_str(&output.stdout).unwrap()
    }
}

fn parse(lines: &str) -> Vec<Message> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.is_own {
            let mut wipe = Command::new(root().join("scripts/kafka"));
            let _ = wipe.args(["wipe", "--name", &self.name]).output();
        }
    }
}

/// A schema registry that a test may stop and start again: `tests/stream/registry.py`.
pub struct Registry {
    file: PathBuf,
    port: u16,
    running: Option<Running>,
}

impl Registry {
    pub fn start(directory: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut registry = Self {
            file: directory.join("registry.json"),
            port: free.local_addr().unwrap().port(),
            running: None,
        };
        drop(free);
        registry.up();
        registry
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn up(&mut self) {
        let mut command = Command::new(required("HELENUS_TEST_KAFKA_PYTHON"));
        command
            .arg(root().join("tests/stream/registry.py"))
            .arg(self.port.to_string())
            .arg(&self.file)
            .stdin(Stdio::null());
        self.running = Some(Running::start(command));
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(std::time::Instant::now() < until, "no registry");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Nothing listens any more; what it stored stays.
    pub fn down(&mut self) {
        self.running = None;
    }

    /// Registers a schema under a subject (`TOPIC-value`) and returns its id.
    #[track_caller]
    pub fn register(&self, subject: &str, schema: &Value) -> u32 {
        let program = "import json, sys, urllib.request as u\n\
             print(json.load(u.urlopen(u.Request(sys.argv[1], json.dumps({'schema': sys.argv[2]}).encode())))['id'])";
        let mut command = Command::new(required("HELENUS_TEST_KAFKA_PYTHON"));
        command
            .args(["-c", program])
            .arg(format!("{}/subjects/{subject}/versions", self.url()))
            .arg(schema.to_string())
            .stdin(Stdio::null());
        super::cli::run(command).ok().stdout.trim().parse().unwrap()
    }
}
