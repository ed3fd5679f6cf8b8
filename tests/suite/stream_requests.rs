//! A topic of requests for runs.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::Utc;
use helenus::{store::Store, stream::requests::RequestTopic};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{
    block_on,
    cassandra::Named,
    garden::Garden,
    kafka::{Broker, shared},
};

struct Requests<'b> {
    garden: Garden,
    broker: &'b Broker,
    topic: String,
    dead: String,
}

impl<'b> Requests<'b> {
    fn new(test: &str, broker: &'b Broker) -> Self {
        let garden = Garden::new(test);
        garden.job("flowers");
        Self {
            garden,
            broker,
            topic: broker.topic("requests", 2),
            dead: broker.topic("requests.dead", 1),
        }
    }

    /// Reads the topic until the rows and dead letters are there.
    #[track_caller]
    fn read_until(&self, rows: usize, dead: usize) {
        let stop = watch::Sender::new(false);
        let topics = (self.topic.as_str(), self.dead.as_str());
        let reader = block_on(async {
            let mut config = self.garden.sandbox.config();
            config.kafka.brokers = Some(self.broker.bootstrap.clone());
            let store = Store::connect(&config).await.unwrap();
            RequestTopic::join(&store, topics, stop.subscribe()).unwrap()
        });
        let handle = std::thread::spawn(move || block_on(reader.keep()));
        let until = Instant::now() + Duration::from_secs(60);
        while (self.rows().len(), self.broker.read(&self.dead).len()) != (rows, dead) {
            assert!(
                Instant::now() < until,
                "{:?} and {:?}",
                self.rows(),
                self.broker.read(&self.dead)
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        stop.send_replace(true);
        handle.join().unwrap();
    }

    fn rows(&self) -> Vec<Named> {
        let sandbox = &self.garden.sandbox;
        sandbox.rows("SELECT * FROM {helenus}.run_requests")
    }
}

fn id_of(row: &Named) -> String {
    format!("{:?}", row["id"])
}

#[test]
fn each_message_is_one_request_and_the_rest_are_dead_letters() {
    let requests = Requests::new("stream_requests", shared());
    let stale = Utc::now().timestamp_millis() - 25 * 3_600_000;
    let bad = [
        json!({"key": "a", "value": "no JSON"}),
        json!({"key": "b", "json": {"scope": "all"}}),
        json!({"key": "c", "json": {"job": "flowers", "colour": "red"}, "headers": {"from": "test"}}),
        json!({"key": "d", "json": {"job": "flowers", "scope": "keys"}}),
        json!({"key": "e", "json": {"job": "flowers", "action": "forget", "keys": [{"id": 1}]}}),
        json!({"key": "f", "value": null}),
        json!({"key": "g", "json": {"job": "flowers"}, "timestamp": stale}),
        json!({"key": "h", "value_hex": "ff00"}),
    ];
    let good = [
        json!({"json": {"job": "flowers", "scope": "keys", "keys": [{"id": 42}, {"id": "43"}], "note": "two", "priority": 3}}),
        json!({"json": {"job": "nobody", "requested_by": "Ada"}}),
    ];
    requests.broker.write(&requests.topic, &bad);
    requests.broker.write(&requests.topic, &good);
    requests.read_until(good.len(), bad.len());

    let dead = requests.broker.read(&requests.dead);
    let keys: BTreeSet<&str> = dead.iter().filter_map(|dead| dead.key.as_deref()).collect();
    assert_eq!(
        keys,
        BTreeSet::from(["a", "b", "c", "d", "e", "f", "g", "h"])
    );
    for dead in &dead {
        let source = dead.header("helenus-source");
        assert!(source.starts_with(&requests.topic), "{dead:?}");
        assert_eq!(dead.header("helenus-error-code"), "request.message");
        let (key, reason) = (dead.key.as_deref().unwrap(), dead.header("helenus-error"));
        let why = match key {
            "b" => "no job",
            "c" => "unknown field `colour`",
            "d" => "keys",
            "e" => "not forgotten",
            "f" => "no value",
            "g" => "24 h",
            _ => "",
        };
        assert!(
            reason.contains(why) && !reason.is_empty(),
            "{key}: {reason}"
        );
    }
    let kept = dead
        .iter()
        .find(|dead| dead.key.as_deref() == Some("c"))
        .unwrap();
    assert_eq!(kept.header("from"), "test");
    assert_eq!(kept.json(), json!({"job": "flowers", "colour": "red"}));
    let empty = dead
        .iter()
        .find(|dead| dead.key.as_deref() == Some("f"))
        .unwrap();
    assert_eq!((&empty.value, &empty.value_hex), (&None, &None));

    // The worker answers both, as if CQL had asked.
    requests.garden.worker();
    let sandbox = &requests.garden.sandbox;
    let ids: BTreeSet<String> = requests.rows().iter().map(id_of).collect();
    let answers = sandbox.rows("SELECT id, answer FROM {helenus}.answers");
    let answers = answers.iter().filter(|row| ids.contains(&id_of(row)));
    let answers: BTreeSet<&str> = answers
        .map(|row| row["answer"].as_text().unwrap().as_str())
        .collect();
    assert_eq!(answers, BTreeSet::from(["accepted", "refused"]));
    let run = requests.garden.runs("flowers").remove(0);
    assert_eq!((run.counts.source_rows, run.priority), (2, 3));
    assert_eq!(
        run.requested_by.unwrap(),
        format!("kafka:{}", requests.topic)
    );
    assert_eq!(run.note.as_deref(), Some("two"));
}

#[test]
fn a_message_that_is_read_again_is_the_same_request_and_the_same_run() {
    let requests = Requests::new("stream_requests_again", shared());
    let messages: Vec<Value> = (0..20)
        .map(|id| json!({"json": {"job": "flowers", "scope": "keys", "keys": [{"id": id + 1}]}}))
        .collect();
    requests.broker.write(&requests.topic, &messages);
    requests.read_until(20, 0);
    let before = requests.rows();
    // The group forgets what it has read.
    let group = format!("helenus.{}.requests", requests.garden.sandbox.keyspace);
    requests.broker.reset_group(&group);
    requests
        .broker
        .write(&requests.topic, &[json!({"value": "bad"})]);
    requests.read_until(20, 1);
    assert_eq!(requests.rows(), before);
}
