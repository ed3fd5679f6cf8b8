//! A stream of flowers: a topic whose messages are rows of `stems`, which `iris_kmeans` scores.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Model, Sandbox,
    cli::Running,
    kafka::{Broker, Message},
};

/// Longer than anything here takes.
const TOO_LONG: Duration = Duration::from_secs(180);

/// A job `stems` with a stream.
pub struct Stems<'b> {
    pub sandbox: Sandbox,
    pub broker: &'b Broker,
    pub input: String,
    pub output: String,
    pub dead: String,
}

impl<'b> Stems<'b> {
    /// A keyspace with the model and an empty table, and topics of `partitions` partitions; no job
    /// yet.
    pub fn new(test: &str, broker: &'b Broker, partitions: u32) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.stems (garden text, id bigint, sepal_length float, sepal_width float, petal_length float, petal_width float, weight decimal, serial bigint, note text, tags set<text>, seen timestamp, PRIMARY KEY ((garden), id))");
        let push = Model::named("iris_kmeans").push_arguments("kmeans");
        let push: Vec<&str> = push.iter().map(String::as_str).collect();
        sandbox.helenus(&push).ok();
        sandbox
            .helenus(&["model", "promote", "kmeans", "1", "--why", "test"])
            .ok();
        Self {
            sandbox,
            broker,
            input: broker.topic("stems", partitions),
            output: broker.topic("stems.predictions", partitions),
            dead: broker.topic("stems.dead", 1),
        }
    }

    /// A job that upserts what it reads as JSON.
    pub fn upserting(test: &str, broker: &'b Broker, partitions: u32) -> Self {
        let stems = Self::new(test, broker, partitions);
        stems.job("upsert = true\ndeletes = \"delete\"", "");
        stems
    }

    /// Creates the job; more keys for `[stream.in]` and `[stream.out]`.
    #[track_caller]
    pub fn job(&self, input: &str, output: &str) {
        let topic = match output.contains("topic = ") {
            true => String::new(),
            false => format!("topic = \"{}\"\n", self.output),
        };
        let manifest = format!(
            "job = \"stems\"\nmodel = \"kmeans\"\nversions = [\"champion\"]\n[source]\ntable = \"{}.stems\"\n[stream.in]\ntopic = \"{}\"\n{input}\n[stream.out]\n{topic}dead_letters = \"{}\"\n{output}\n",
            self.sandbox.data, self.input, self.dead
        );
        let file = self.sandbox.file("stems.toml", manifest);
        self.sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
    }

    /// Starts `helenus stream`.
    pub fn start(&self, environment: &[(&str, &str)]) -> Running {
        Running::start(self.command(environment))
    }

    pub fn command(&self, environment: &[(&str, &str)]) -> Command {
        let mut command = self.sandbox.command(&["stream", "stems"]);
        command
            .env("HELENUS_KAFKA_BROKERS", &self.broker.bootstrap)
            .envs(environment.iter().copied());
        command
    }

    /// Writes rows: the garden and number of each are its key.
    #[track_caller]
    pub fn write(&self, rows: &[Value]) {
        let messages: Vec<Value> = rows
            .iter()
            .map(|row| json!({"key": format!("{}/{}", row["garden"], row["id"]), "json": row}))
            .collect();
        self.broker.write(&self.input, &messages);
    }

    /// A topic that takes messages of 32 MiB.
    #[track_caller]
    pub fn large_topic(&self) -> String {
        let name = format!("stems.large.{}", super::random_name());
        let program = "import sys\nfrom confluent_kafka.admin import AdminClient, NewTopic\nadmin = AdminClient({'bootstrap.servers': sys.argv[1]})\nadmin.create_topics([NewTopic(sys.argv[2], 1, 1, config={'max.message.bytes': '33554432'})])[sys.argv[2]].result(30)";
        self.python(program, &[&name]);
        name
    }

    /// Writes a row whose note has that many bytes.
    #[track_caller]
    pub fn write_huge(&self, bytes: usize) {
        let program = "import json, os, sys\nfrom confluent_kafka import Producer\nproducer = Producer({'bootstrap.servers': sys.argv[1], 'message.max.bytes': 40000000})\nrow = json.loads(sys.argv[3])\nrow['note'] = os.urandom(int(sys.argv[4]) // 2).hex()\nfailed = []\nproducer.produce(sys.argv[2], json.dumps(row).encode(), b'k', on_delivery=lambda error, _: failed.append(error) if error else None)\nsys.exit(str(failed) if producer.flush(60) or failed else 0)";
        let row = stem(1).to_string();
        self.python(program, &[&self.input, &row, &bytes.to_string()]);
    }

    /// Deletes the messages of partition 0 before an offset, as retention does.
    #[track_caller]
    pub fn delete_before(&self, offset: i64) {
        let program = "import sys\nfrom confluent_kafka import TopicPartition\nfrom confluent_kafka.admin import AdminClient\nadmin = AdminClient({'bootstrap.servers': sys.argv[1]})\nfor future in admin.delete_records([TopicPartition(sys.argv[2], 0, int(sys.argv[3]))]).values(): future.result(30)";
        self.python(program, &[&self.input, &offset.to_string()]);
    }

    fn python(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(super::required("HELENUS_TEST_KAFKA_PYTHON"));
        command.args(["-c", program, &self.broker.bootstrap]);
        command.args(arguments).stdin(std::process::Stdio::null());
        super::cli::run(command).ok();
    }

    /// `helenus stream status` of the job.
    pub fn status(&self) -> Value {
        let status = self.sandbox.json(&["stream", "status", "stems"]);
        status.ok().result()[0].clone()
    }

    /// States of the members.
    pub fn states(&self) -> Vec<String> {
        let status = self.status();
        let members = status["members"].as_array().unwrap().iter();
        members
            .map(|member| member["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The number of each member's last report.
    pub fn beats(&self) -> BTreeMap<Uuid, i64> {
        let select = "SELECT member, beat FROM {helenus}.streams WHERE job = 'stems'";
        let rows = self.sandbox.rows(select);
        let beat = |row: &super::cassandra::Named| {
            let member = row["member"].as_uuid().unwrap();
            (member, row["beat"].as_bigint().unwrap())
        };
        rows.iter().map(beat).collect()
    }

    /// Waits until a member is in this state and gives a reason with this text in it.
    #[track_caller]
    pub fn wait_for_state(&self, state: &str, reason: &str) {
        wait_until(&format!("{state} ({reason})"), || {
            let status = self.status();
            let mut members = status["members"].as_array().unwrap().iter();
            members.any(|member| {
                member["state"] == state
                    && member["reason"]
                        .as_str()
                        .unwrap_or_default()
                        .contains(reason)
            })
        });
    }

    /// The predictions on the topic, which must be as many as that.
    #[track_caller]
    pub fn predictions(&self, count: usize) -> Vec<Message> {
        self.broker.read_count(&self.output, count)
    }

    #[track_caller]
    pub fn dead_letters(&self, count: usize) -> Vec<Message> {
        self.broker.read_count(&self.dead, count)
    }
}

/// A flower with measurements that depend on its number.
pub fn stem(id: i64) -> Value {
    let part = |number: i64| 1.0 + (id.rem_euclid(number) as f64) / 10.0;
    json!({
        "garden": "g",
        "id": id,
        "sepal_length": part(37),
        "sepal_width": part(23),
        "petal_length": part(31),
        "petal_width": part(17),
    })
}

/// A flower with other columns, too.
pub fn stem_with(id: i64, more: Value) -> Value {
    let mut row = stem(id);
    for (name, value) in more.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + TOO_LONG;
    while !is_so() {
        assert!(Instant::now() < until, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
