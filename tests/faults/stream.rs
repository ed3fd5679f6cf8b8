//! Streams whose processes, brokers and Cassandra crash, freeze and come back.
//!
//! After each fault: every message has exactly one prediction for readers of committed messages, the
//! source table has the newest message's values, and readers did not stand still for long.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use scylla::value::CqlValue;
use serde_json::{Value, json};

use crate::{
    own::OwnCassandra,
    stage::is_stopped,
    support::{
        block_on,
        cli::{self, Running},
        kafka::{Broker, shared},
        stems::{Stems, stem, stem_with, wait_until},
    },
};

/// No reader of committed messages stands still for longer: a dead producer's transaction is aborted
/// after 15 s, at the broker's next look, and its partitions are given away after 10 s.
const STANDSTILL: Duration = Duration::from_secs(30);

/// Ids of the predictions, each of which must be there once.
#[track_caller]
fn ids(stems: &Stems<'_>) -> BTreeSet<i64> {
    let messages = stems.broker.read(&stems.output);
    let ids: BTreeSet<i64> = messages
        .iter()
        .map(|message| message.json()["key"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(
        ids.len(),
        messages.len(),
        "some predictions are there twice"
    );
    ids
}

/// Waits until all predictions are there, and checks that they never stood still for long.
#[track_caller]
fn wait_for_all(stems: &Stems<'_>, count: i64) {
    let (mut seen, mut since) = (0, Instant::now());
    let mut longest = Duration::ZERO;
    while seen < count as usize {
        let now = ids(stems).len();
        if now > seen {
            longest = longest.max(since.elapsed());
            (seen, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < STANDSTILL + Duration::from_secs(15),
            "{seen} of {count} predictions since {:?}: {}",
            since.elapsed(),
            stems.status()
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    eprintln!("longest standstill: {longest:?}");
    assert!(longest < STANDSTILL, "{longest:?}");
    assert_whole(stems, count);
}

#[track_caller]
fn assert_whole(stems: &Stems<'_>, count: i64) {
    assert_eq!(ids(stems), (0..count).collect());
    assert_eq!(stems.broker.read(&stems.dead).len(), 0);
    let rows = stems
        .sandbox
        .rows("SELECT id, sepal_length FROM {data}.stems WHERE garden = 'g'");
    assert_eq!(rows.len(), count as usize);
    for row in rows {
        let id = row["id"].as_bigint().unwrap();
        let expected = stem(id)["sepal_length"].as_f64().unwrap() as f32;
        assert_eq!(row["sepal_length"], CqlValue::Float(expected));
    }
}

fn write(stems: &Stems<'_>, ids: std::ops::Range<i64>) {
    stems.write(&ids.map(stem).collect::<Vec<_>>());
}

/// Writes parts of `size` messages until `is_over`, each one once the part before it has been
/// scored: a process that reads late would otherwise meet all of them in one transaction. Returns
/// the number of messages.
#[track_caller]
fn write_until(
    stems: &Stems<'_>,
    size: i64,
    write: impl Fn(std::ops::Range<i64>),
    mut is_over: impl FnMut() -> bool,
) -> i64 {
    let mut written = 0;
    while !is_over() {
        assert!(written < 50 * size, "{written} messages, and it goes on");
        write(written..written + size);
        written += size;
        wait_until("the part is scored, or the end", || {
            is_over() || stems.broker.read(&stems.output).len() as i64 == written
        });
    }
    written
}

#[test]
fn a_member_that_dies_in_a_transaction_loses_and_repeats_nothing() {
    for (test, failpoints) in [
        ("stream_kill_within", "stream_in_transaction=kill:3"),
        ("stream_kill_before", "stream_before_commit=kill:3"),
        ("stream_kill_after", "stream_after_commit=kill:3"),
    ] {
        let stems = Stems::upserting(test, shared(), 4);
        let mut doomed = stems.start(&[("HELENUS_FAILPOINTS", failpoints)]);
        let survivor = stems.start(&[]);
        wait_until("both read", || stems.states().len() == 2);
        let scored = write_until(
            &stems,
            100,
            |ids| write(&stems, ids),
            || !doomed.is_running(),
        );
        assert_eq!(doomed.finish().code, None, "{failpoints}");
        write(&stems, scored..scored + 1_000);
        wait_for_all(&stems, scored + 1_000);
        survivor.signal("TERM");
        assert_eq!(survivor.finish().code, Some(0));
    }
}

#[test]
fn a_frozen_member_that_wakes_up_late_commits_nothing() {
    let stems = Stems::upserting("stream_zombie", shared(), 2);
    let zombie = stems.start(&[("HELENUS_FAILPOINTS", "stream_before_commit=stop:2")]);
    let frozen = || is_stopped(zombie.pid());
    let written = write_until(&stems, 50, |ids| write(&stems, ids), frozen);
    write(&stems, written..written + 350);
    let heir = stems.start(&[]);
    wait_for_all(&stems, written + 350);
    write(&stems, written + 350..written + 450);
    zombie.signal("CONT");
    wait_for_all(&stems, written + 450);
    // It goes on with what it gets now.
    heir.signal("TERM");
    assert_eq!(heir.finish().code, Some(0));
    write(&stems, written + 450..written + 550);
    wait_for_all(&stems, written + 550);
    zombie.signal("TERM");
    assert_eq!(zombie.finish().code, Some(0));
}

#[test]
fn a_storm_of_rebalances_loses_and_repeats_nothing() {
    let stems = Stems::upserting("stream_storm", shared(), 4);
    let steady = stems.start(&[]);
    let mut written = 0;
    for turn in 0..6 {
        let passing = stems.start(&[]);
        for _ in 0..5 {
            write(&stems, written..written + 40);
            written += 40;
            std::thread::sleep(Duration::from_millis(300));
        }
        match turn % 2 {
            0 => drop(passing.kill()),
            _ => {
                passing.signal("TERM");
                passing.finish();
            }
        }
    }
    wait_for_all(&stems, written);
    steady.signal("TERM");
    assert_eq!(steady.finish().code, Some(0));
}

#[test]
fn a_broker_that_freezes_or_is_killed_is_waited_for() {
    let broker = Broker::start("stream-broker", &[]);
    let stems = Stems::upserting("stream_broker", &broker, 2);
    let stream = stems.start(&[]);
    write(&stems, 0..300);
    stems.predictions(300);
    broker.signal("STOP");
    stems.wait_for_state("waiting", "");
    std::thread::sleep(Duration::from_secs(5));
    broker.signal("CONT");
    write(&stems, 300..600);
    stems.predictions(600);
    broker.signal("KILL");
    stems.wait_for_state("waiting", "");
    broker.up_again();
    write(&stems, 600..900);
    stems.predictions(900);
    assert_whole(&stems, 900);
    wait_until("it runs again", || stems.states() == ["running"]);
    stream.signal("TERM");
    assert_eq!(stream.finish().code, Some(0));
}

#[test]
fn messages_that_were_deleted_before_they_were_read_are_told() {
    let stems = Stems::upserting("stream_truncated", shared(), 1);
    let stream = stems.start(&[]);
    write(&stems, 0..10);
    stems.predictions(10);
    stream.signal("TERM");
    assert_eq!(stream.finish().code, Some(0));
    write(&stems, 10..30);
    stems.delete_before(20);
    let stream = stems.start(&[]);
    wait_until("the rest", || ids(&stems).len() == 20);
    assert_eq!(ids(&stems), (0..10).chain(20..30).collect());
    let status = stems.status();
    assert_eq!(status["events"][0]["kind"], "lost", "{status}");
    assert_eq!(status["events"][0]["evidence"]["from"], "10", "{status}");
    wait_until("the count", || stems.status()["today"]["lost"] == 10);
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn the_last_message_of_a_millisecond_wins_across_a_crash() {
    let stems = Stems::upserting("stream_ties", shared(), 1);
    let at = 1_700_000_000_000_i64;
    let message = |note: i64| json!({"key": "k", "timestamp": at, "json": stem_with(note % 3, json!({"note": note.to_string()}))});
    let write = |notes: std::ops::Range<i64>| {
        let messages: Vec<Value> = notes.map(message).collect();
        stems.broker.write(&stems.input, &messages);
    };
    let mut doomed = stems.start(&[("HELENUS_FAILPOINTS", "stream_in_transaction=kill:3")]);
    let scored = write_until(&stems, 60, write, || !doomed.is_running());
    assert_eq!(doomed.finish().code, None);
    let written = scored + 300;
    write(scored..written);
    let heir = stems.start(&[]);
    stems.predictions(written as usize);
    let rows = stems
        .sandbox
        .rows("SELECT id, note, writetime(note) AS written FROM {data}.stems WHERE garden = 'g'");
    let rows: BTreeMap<i64, (String, i64)> = rows
        .iter()
        .map(|row| {
            let note = row["note"].as_text().unwrap().clone();
            (
                row["id"].as_bigint().unwrap(),
                (note, row["written"].as_bigint().unwrap()),
            )
        })
        .collect();
    for (id, note) in (0..3).zip(written - 3..) {
        assert_eq!(rows[&id], (note.to_string(), at * 1_000 + note), "{rows:?}");
    }
    heir.signal("TERM");
    assert_eq!(heir.finish().code, Some(0));
}

#[test]
fn a_frozen_cassandra_is_waited_for() {
    let own = OwnCassandra::start("stream", 1);
    own.stage(1, "3");
    let broker = shared();
    let (input, output) = (
        broker.topic("visits", 2),
        broker.topic("visits.predictions", 2),
    );
    let dead = broker.topic("visits.dead", 1);
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("visits.toml");
    let text = format!(
        "job = \"visits\"\nmodel = \"identity\"\nversions = [1]\n[source]\ntable = \"data.visits\"\n[stream.in]\ntopic = \"{input}\"\nupsert = true\n[stream.out]\ntopic = \"{output}\"\nversions = [1]\ndead_letters = \"{dead}\"\n"
    );
    std::fs::write(&manifest, text).unwrap();
    own.helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let mut command = own.command(&["stream"]);
    command.env("HELENUS_KAFKA_BROKERS", &broker.bootstrap);
    let stream = Running::start(command);
    let write = |ids: std::ops::Range<i64>| {
        let messages: Vec<Value> = ids
            .map(|id| json!({"key": id.to_string(), "json": {"id": id, "x": id}}))
            .collect();
        broker.write(&input, &messages);
    };
    write(0..200);
    broker.read_count(&output, 200);
    own.signal(1, "STOP");
    write(200..400);
    std::thread::sleep(Duration::from_secs(15));
    assert_eq!(broker.read(&output).len(), 200);
    own.signal(1, "CONT");
    let messages = broker.read_count(&output, 400);
    let ids: BTreeSet<i64> = messages
        .iter()
        .map(|one| one.json()["key"]["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (0..400).collect());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(broker.read(&output).len(), 400);
    let session = own.session();
    let rows = block_on(session.query_unpaged("SELECT id, x FROM data.visits", ())).unwrap();
    let rows = rows.into_rows_result().unwrap();
    let rows: BTreeMap<i32, f32> = rows
        .rows::<(i32, f32)>()
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 400);
    assert!(rows.iter().all(|(id, x)| *id as f32 == *x));
    stream.signal("TERM");
    assert_eq!(stream.finish().code, Some(0));
    drop(cli::run(own.command(&["stream", "status"])).ok());
}
