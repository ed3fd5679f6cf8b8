//! Requests by messages when their reader dies, and while Kafka or Cassandra is away.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    stage::{Stage, wait_until},
    support::{
        cli::Running,
        kafka::{Broker, shared},
    },
};

struct Asked<'b> {
    stage: Stage,
    broker: &'b Broker,
    topic: String,
    dead: String,
}

impl<'b> Asked<'b> {
    fn new(test: &str, broker: &'b Broker) -> Self {
        Self {
            stage: Stage::new(test, 20),
            broker,
            topic: broker.topic("asked", 1),
            dead: broker.topic("asked.dead", 1),
        }
    }

    fn stream(&self, failpoints: &str) -> Running {
        let mut command = self.stage.sandbox.command(&["stream"]);
        command.env("HELENUS_KAFKA_BROKERS", &self.broker.bootstrap);
        command.env("HELENUS_KAFKA_REQUESTS_TOPIC", &self.topic);
        command.env("HELENUS_KAFKA_REQUESTS_DEAD_LETTERS", &self.dead);
        command.env("HELENUS_FAILPOINTS", failpoints);
        Running::start(command)
    }

    fn ids(&self) -> Vec<String> {
        let rows = self
            .stage
            .sandbox
            .rows("SELECT id FROM {helenus}.run_requests");
        rows.iter().map(|row| format!("{:?}", row["id"])).collect()
    }
}

fn messages(count: i32) -> Vec<Value> {
    (0..count)
        .map(|id| json!({"json": {"job": "visits", "scope": "keys", "keys": [{"id": id}]}}))
        .collect()
}

#[test]
fn a_reader_that_dies_after_each_message_makes_one_request_of_each() {
    let asked = Asked::new("requests_kill", shared());
    let mut all = messages(6);
    all.push(json!({"key": "bad", "value": "no JSON"}));
    asked.broker.write(&asked.topic, &all);
    // Killed with a row written and its message not committed: it is read again.
    for _ in 0..3 {
        let killed = asked.stream("before_request_committed=kill:2").finish();
        assert_eq!(killed.code, None, "{killed:#?}");
    }
    let running = asked.stream("");
    wait_until("all are read", || {
        asked.ids().len() == 6 && !asked.broker.read(&asked.dead).is_empty()
    });
    let ended = running.interrupt();
    assert!(ended.code.is_some(), "{ended:#?}");
    let ids: BTreeSet<String> = asked.ids().into_iter().collect();
    assert_eq!(ids.len(), 6, "one request a message");
    let dead = asked.broker.read(&asked.dead);
    assert!(dead.iter().all(|dead| dead.key.as_deref() == Some("bad")));
}

#[test]
fn requests_wait_while_the_broker_is_away() {
    let broker = Broker::start("asked", &[]);
    let asked = Asked::new("requests_away", &broker);
    broker.write(&asked.topic, &messages(3));
    let mut running = asked.stream("");
    wait_until("the first ones are read", || asked.ids().len() == 3);
    broker.signal("KILL");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(running.is_running());
    broker.up_again();
    broker.write(&asked.topic, &messages(5));
    wait_until("those after it, too", || asked.ids().len() == 8);
    running.interrupt();
}
