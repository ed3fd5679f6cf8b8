//! Predictions on their way to a topic: whatever dies, each stored one has arrived.

use std::collections::{BTreeMap, BTreeSet};

use helenus::domain::run::RunState;

use crate::{
    stage::{Stage, kill_at, wait_until},
    support::{
        cli::{self, Output, Running},
        kafka::{Broker, Message, shared},
    },
};

const ROWS: i32 = 400;

/// A stage whose job sends what its runs store.
struct Sent<'b> {
    stage: Stage,
    topic: String,
    broker: &'b Broker,
}

impl<'b> Sent<'b> {
    fn new(test: &str, broker: &'b Broker) -> Self {
        let topic = broker.topic("visits", 2);
        let rules =
            format!("[stream.out]\ntopic = \"{topic}\"\nfrom = [\"runs\"]\nversions = [1, 2]");
        Self {
            stage: Stage::with_rules(test, ROWS, &rules),
            topic,
            broker,
        }
    }

    fn start(&self, arguments: &[&str], failpoints: &str) -> Running {
        let mut command = self.stage.command(arguments);
        command.env("HELENUS_KAFKA_BROKERS", &self.broker.bootstrap);
        command.env("HELENUS_FAILPOINTS", failpoints);
        Running::start(command)
    }

    fn score(&self) -> Output {
        self.start(&["score", "visits"], "").finish()
    }

    /// Every stored prediction is on the topic as it is stored, and the last one of its key and
    /// version; the end of every run that succeeded is on each partition. Returns all messages.
    #[track_caller]
    fn assert_whole(&self) -> Vec<Message> {
        let messages = self.broker.read(&self.topic);
        let mut last = BTreeMap::new();
        let mut ended = BTreeMap::<String, BTreeSet<i32>>::new();
        for message in &messages {
            let body = message.json();
            if message.header("helenus-event") == "run-end" {
                let run = body["run_id"].as_str().unwrap().to_owned();
                ended.entry(run).or_default().insert(message.partition);
                continue;
            }
            let id = body["key"]["id"].as_i64().unwrap() as i32;
            let version = body["version"].as_i64().unwrap() as i32;
            let y = body["outputs"]["score"]
                .as_f64()
                .or(body["outputs"]["y"].as_f64());
            let scored_at = body["lineage"]["scored_at"].as_str().unwrap().to_owned();
            let message = (scored_at, y.map(|y| y as f32));
            // Of a worker that was frozen while it sent, earlier ones may come later (docs/streams-runs.md).
            let newest = last.entry((id, version)).or_insert_with(|| message.clone());
            if newest.0 <= message.0 {
                *newest = message;
            }
        }
        let last: BTreeMap<_, _> = last.into_iter().map(|(key, (_, y))| (key, y)).collect();
        let stored: BTreeMap<_, _> = self
            .stage
            .predictions("visits")
            .into_iter()
            .map(|prediction| ((prediction.id, prediction.version), prediction.y))
            .collect();
        assert_eq!(last, stored);
        for run in self.stage.runs("visits") {
            if run.state == RunState::Succeeded {
                let partitions = ended.get(&run.run_id.to_string());
                assert_eq!(partitions, Some(&BTreeSet::from([0, 1])), "{run:?}");
            }
        }
        messages
    }
}

#[test]
fn a_run_killed_anywhere_loses_no_message_and_repeats_the_same_ones() {
    let sent = Sent::new("stream_kill", shared());
    let mut repeated = 0;
    let places = [
        "mid_split=kill:9",
        "before_send=kill:3",
        "after_send=kill:3",
        "before_finish=kill:3",
        "after_finish=kill:2",
        "before_close",
        "after_announcement",
        "before_free",
    ];
    for (turn, place) in (1..).zip(places) {
        let stage = &sent.stage;
        stage.set(
            (0..ROWS)
                .step_by(3)
                .map(|id| (id, (1_000 * turn + id) as f32)),
        );
        stage.insert(ROWS + turn..=ROWS + turn);
        let killed = sent.start(&["score", "visits"], &kill_at(place)).finish();
        assert_eq!(killed.code, None, "{place} was not met: {killed:#?}");
        stage.assert_succeeded(sent.score());
        let messages = sent.assert_whole();
        // What comes twice is the same: a reader that knows key, version and hash drops it.
        let mut seen = BTreeMap::new();
        for message in messages
            .iter()
            .filter(|it| it.header("helenus-event").is_empty())
        {
            let body = message.json();
            let identity = (
                message.key.clone(),
                message.header("helenus-version").to_owned(),
                message.header("helenus-input-hash").to_owned(),
            );
            let outputs = body["outputs"].clone();
            if let Some(before) = seen.insert(identity, outputs.clone()) {
                assert_eq!(before, outputs);
                repeated += 1;
            }
        }
    }
    assert!(
        repeated > 0,
        "nothing was sent twice: no kill came in between"
    );
}

#[test]
fn a_broker_that_is_away_holds_the_run_up_and_loses_nothing() {
    let broker = Broker::start("away", &[]);
    let sent = Sent::new("stream_away", &broker);
    // It dies in the middle of a run and comes back: the run waits for it.
    let mut running = sent.start(&["score", "visits", "--max-rate", "100"], "");
    wait_until("some predictions are sent", || {
        !broker.read(&sent.topic).is_empty()
    });
    broker.signal("KILL");
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(running.is_running());
    broker.up_again();
    sent.stage.assert_succeeded(running.finish());
    sent.assert_whole();

    // It does not come back in time: the run stays open, and the same command ends it.
    sent.stage
        .set((0..ROWS).map(|id| (id, (7_000 + id) as f32)));
    broker.signal("KILL");
    let failed = sent.score().code(3);
    assert_eq!(failed.error()["code"], "run.gave_up");
    let message = failed.error()["message"].to_string();
    assert!(message.contains(&sent.topic), "{message}");
    assert_eq!(sent.stage.newest().state, RunState::Running);
    broker.up_again();
    sent.stage.assert_succeeded(sent.score());
    sent.assert_whole();
}

#[test]
fn a_frozen_owner_that_wakes_up_late_overrules_nothing() {
    let sent = Sent::new("stream_zombie", shared());
    sent.stage.assert_succeeded(sent.score());
    sent.stage
        .set((0..ROWS).map(|id| (id, (1_000 + id) as f32)));
    // It has stored a batch of old values, and is about to send them.
    let zombie = sent.start(&["score", "visits"], "before_send=stop");
    wait_until("frozen", || crate::stage::is_stopped(zombie.pid()));
    sent.stage
        .set((0..ROWS).map(|id| (id, (2_000 + id) as f32)));
    sent.stage.assert_succeeded(sent.score());
    zombie.signal("CONT");
    cli::Output::ok(zombie.finish());
    // The newest message of each key is what is stored.
    sent.assert_whole();
}
