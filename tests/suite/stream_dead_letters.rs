//! Messages that cannot be scored: dead letters, and a stream that pauses when they are too many.

use helenus::control::alarms::{AlarmRound, AlarmWatch};
use serde_json::{Value, json};

use crate::support::{
    block_on,
    kafka::shared,
    stems::{Stems, stem, stem_with},
};
#[test]
fn poison_goes_to_the_dead_letters_as_it_came_and_the_rest_is_scored() {
    let mut stems = Stems::new("stream_poison", shared(), 1);
    stems.input = stems.large_topic();
    stems.job("upsert = true\nmax_rejected = 100", "");
    let good = |id: i64| json!({"key": "k", "json": stem(id)});
    let mut without_id = stem(1);
    without_id.as_object_mut().unwrap().remove("id");
    // The broker itself refuses more than an hour.
    let ahead = chrono::Utc::now().timestamp_millis() + 1_800_000;
    let poison = [
        (
            "message.json",
            json!({"key": "k", "value": "{\"garden\": \"g\", \"id\": 1"}),
        ),
        ("message.json", json!({"key": "k", "value": "[1, 2]"})),
        ("message.json", json!({"key": "k", "value": ""})),
        (
            "message.json",
            json!({"key": "k", "value_hex": "7b22ff227d"}),
        ),
        (
            "row.not_a_value",
            json!({"key": "k", "json": stem_with(1, json!({"sepal_width": "wide"}))}),
        ),
        (
            "row.not_a_value",
            json!({"key": "k", "json": stem_with(1, json!({"serial": 1.5}))}),
        ),
        (
            "row.not_a_value",
            json!({"key": "k", "json": stem_with(1, json!({"serial": 9_223_372_036_854_775_808_u64}))}),
        ),
        (
            "row.not_a_value",
            json!({"key": "k", "json": stem_with(1, json!({"sepal_width": "1e99"}))}),
        ),
        (
            "row.no_key",
            json!({"key": "k", "json": stem_with(1, json!({"garden": null}))}),
        ),
        ("row.no_key", json!({"json": without_id})),
        (
            "row.repeated_column",
            json!({"key": "k", "value": "{\"garden\": \"g\", \"id\": 1, \"id\": 2}"}),
        ),
        (
            "row.refused",
            json!({"key": "k", "json": stem_with(1, json!({"garden": ""}))}),
        ),
        (
            "row.rejected",
            json!({"key": "k", "json": {"garden": "g", "id": 77, "sepal_width": 1}}),
        ),
        (
            "message.time",
            json!({"key": "k", "json": stem(1), "timestamp": ahead}),
        ),
        ("message.too_large", json!({"key": "k"})),
    ];
    let mut messages = vec![json!({"key": "k", "json": stem(0), "headers": {"trace": "1"}})];
    let small = poison
        .iter()
        .filter(|(code, _)| *code != "message.too_large");
    messages.extend(small.map(|(_, message)| message.clone()));
    stems.broker.write(&stems.input, &messages);
    stems.write_huge(20 << 20);
    stems.broker.write(&stems.input, &[good(500), good(501)]);
    let stream = stems.start(&[]);
    let dead = stems.dead_letters(poison.len());
    assert_eq!(stems.predictions(3).len(), 3);
    for (at, ((code, sent), letter)) in poison.iter().zip(&dead).enumerate() {
        assert_eq!(
            letter.header("helenus-error-code"),
            *code,
            "{at}: {}",
            letter.header("helenus-error")
        );
        assert_eq!(
            letter.header("helenus-source"),
            format!("{}-0-{}", stems.input, at + 1)
        );
        assert_eq!(letter.key.as_deref(), sent["key"].as_str(), "{at}");
        if *code == "message.too_large" {
            // The topic of dead letters takes a megabyte.
            assert!(
                letter.header("helenus-value-omitted").contains("bytes"),
                "{:?}",
                letter.headers
            );
        } else if let Some(text) = sent["value"].as_str() {
            assert_eq!(letter.value.as_deref(), Some(text), "{at}");
        }
    }
    // A row that the model rejects is a row nevertheless; the others were not written.
    let ids = stems
        .sandbox
        .rows("SELECT id FROM {data}.stems WHERE garden = 'g'");
    let ids: Vec<_> = ids
        .iter()
        .map(|row| row["id"].as_bigint().unwrap())
        .collect();
    assert_eq!(ids, [0, 77, 500, 501]);
    stems.wait_for_state("running", "");
    stream.signal("TERM");
    stream.finish();
}

#[test]
fn a_stream_that_rejects_too_much_pauses_and_alarms_until_people_let_it_go_on() {
    let stems = Stems::new("stream_pause", shared(), 1);
    stems.job("max_rejected = 0\nwindow = \"1h\"", "");
    stems
        .broker
        .write(&stems.input, &[json!({"json": stem(1)})]);
    let stream = stems.start(&[]);
    stems.predictions(1);
    let bad: Vec<Value> = (0..10)
        .map(|number| json!({"value": format!("bad {number}")}))
        .collect();
    stems.broker.write(&stems.input, &bad);
    stems
        .broker
        .write(&stems.input, &[json!({"json": stem(2)})]);
    stems.wait_for_state("paused", "were rejected within 3600 s");
    assert_eq!(stems.broker.read(&stems.dead).len(), 0);
    let round = alarm_round(&stems);
    assert_eq!((round.opened, round.errors), (1, vec![]));
    let alarms = stems.sandbox.json(&["alarm", "list"]).ok().result();
    assert_eq!(alarms["alarms"][0]["kind"], "stream_paused");
    let resumed = stems
        .sandbox
        .json(&["stream", "resume", "stems", "--note", "known"]);
    assert_eq!(resumed.ok().result()["resumed"], true);
    stems.dead_letters(10);
    stems.predictions(2);
    let round = alarm_round(&stems);
    assert_eq!(round.closed, 1);
    // A paused job is not read, either.
    stems.sandbox.helenus(&["job", "pause", "stems"]).ok();
    stems.wait_for_state("paused", "helenus job resume stems");
    stems
        .broker
        .write(&stems.input, &[json!({"json": stem(3)})]);
    assert_eq!(stems.broker.read(&stems.output).len(), 2);
    stems.sandbox.helenus(&["job", "resume", "stems"]).ok();
    stems.predictions(3);
    stream.signal("TERM");
    stream.finish();
}

/// What a worker's round over the alarms opens and closes.
fn alarm_round(stems: &Stems) -> AlarmRound {
    block_on(async {
        let store = stems.sandbox.store().await;
        let mut watch = AlarmWatch::default();
        watch.round(&store, chrono::Utc::now()).await.unwrap()
    })
}
