//! A run's events, to their end.

use std::io::Write;

use serde_json::{Value, json};

use super::{Flowers, wait_for};
use crate::support::served::{head, reply};

/// An event as it was sent.
#[derive(Debug)]
struct Sent {
    id: u64,
    name: String,
    data: Value,
}

fn events(text: &str) -> Vec<Sent> {
    let blocks = text.split("\n\n").filter(|block| block.contains("event:"));
    let field = |block: &str, name: &str| {
        let mut lines = block.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {block:?}"))
            .to_owned()
    };
    blocks
        .map(|block| Sent {
            id: field(block, "id").parse().unwrap(),
            name: field(block, "event"),
            data: serde_json::from_str(&field(block, "data")).unwrap(),
        })
        .collect()
}

#[test]
fn events_tell_how_far_a_run_is_until_it_ends() {
    let flowers = Flowers::served("v1_events");
    let place = flowers.ask(&json!({"scope": "all", "max_rows_per_s": 40}));
    let path = format!("{place}/events");
    let mut stream = flowers.server.connect();
    let headers = [("Last-Event-ID", "41")];
    stream.write_all(&head("GET", &path, &headers, 0)).unwrap();
    let _worker = flowers.worker();
    let answer = reply(&mut stream).unwrap().status(200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let sent = events(&answer.text());

    let (end, progress) = sent.split_last().unwrap();
    assert!(progress.len() > 1, "{sent:?}");
    for (at, event) in sent.iter().enumerate() {
        assert_eq!(event.id, 42 + at as u64, "{sent:?}");
    }
    assert!(progress.iter().all(|event| event.name == "progress"));
    assert_eq!(progress[0].data["state"], "waiting");
    let done = |event: &Sent| event.data["progress"]["splits_done"].as_i64().unwrap();
    assert!(progress.is_sorted_by_key(done), "{sent:?}");
    assert_eq!(end.name, "end");
    assert_eq!(end.data["state"], "succeeded");
    assert_eq!(end.data["progress"]["counts"]["scored"], json!({"1": 150}));
    assert_eq!(end.data, flowers.server.get(&place).status(200).json());

    // Of a run that has ended, only that.
    let again = flowers.server.get(&path).status(200).text();
    let again = events(&again);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((again[0].id, again[0].name.as_str()), (1, "end"));
}

#[test]
fn a_server_that_stops_ends_the_events() {
    let flowers = Flowers::served("v1_drain");
    let place = flowers.ask(&json!({}));
    let mut stream = flowers.server.connect();
    let path = format!("{place}/events");
    stream.write_all(&head("GET", &path, &[], 0)).unwrap();
    // No worker runs: nothing but the first event comes.
    wait_for("the first event", || {
        let mut seen = [0; 1];
        (stream.peek(&mut seen).unwrap() > 0).then_some(())
    });
    flowers.server.signal("TERM");
    // The stream ends with a last chunk, or with the process.
    if let Ok(answer) = reply(&mut stream) {
        let sent = events(&answer.text());
        assert!(
            sent.iter().all(|event| event.name == "progress"),
            "{sent:?}"
        );
    }
    flowers.server.finish().ok();
}
