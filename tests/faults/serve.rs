//! `helenus serve` while Cassandra, models and servers fail under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::{
    own::OwnCassandra,
    stage::{Stage, wait_until},
    support::{
        cli::Running,
        served::{Reply, Served},
    },
};

const ROWS: i32 = 50;

/// Job `visits` follows the champion, which is version 1.
fn stage(test: &str) -> Stage {
    let stage = Stage::new(test, ROWS);
    promote(&stage, 1);
    stage.create("visits", "[\"champion\"]", "");
    stage
}

fn promote(stage: &Stage, version: i32) {
    let version = version.to_string();
    let promote = ["model", "promote", "identity", &version, "--now"];
    stage.sandbox.helenus(&promote).ok();
}

fn score(served: &Served, x: f64) -> Reply {
    served.post("/v1/jobs/visits/score", &json!({"rows": [{"x": x}]}))
}

/// The version that answered, after checking that the answer is x.
#[track_caller]
fn version_for(reply: &Reply, x: f64) -> i64 {
    let answer: Value = reply.clone().status(200).json();
    let prediction = &answer["rows"][0]["predictions"][0];
    assert_eq!(prediction["outputs"]["y"], x, "{answer}");
    prediction["version"].as_i64().unwrap()
}

#[test]
fn without_cassandra_given_rows_are_scored_and_keys_are_refused() {
    let mut own = OwnCassandra::start("serve", 1);
    own.stage(ROWS, "3");
    let serve = ["serve", "visits", "--serve-listen", "127.0.0.1:0"];
    let mut command = own.command(&serve);
    command.env("HELENUS_SERVE_REQUEST_TIMEOUT", "5s");
    let served = Served::listening(Running::start(command));
    served.wait_until_ready();
    let by_key = || served.get("/v1/jobs/visits/predictions/7");
    assert_eq!(
        by_key().status(200).json()["predictions"][0]["outputs"]["y"],
        7.0
    );

    for signal in ["STOP", "KILL"] {
        own.signal(1, signal);
        wait_until("a stale answer", || {
            let reply = score(&served, 3.5);
            assert_eq!(version_for(&reply, 3.5), 1);
            reply.header("helenus-stale").is_some()
        });
        let refused = by_key().status(503);
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
        assert!(
            !refused.json()["error"]["message"]
                .as_str()
                .unwrap()
                .is_empty()
        );
        match signal {
            "STOP" => own.signal(1, "CONT"),
            _ => own.up_again(),
        }
        wait_until("an answer by key", || by_key().status == 200);
        wait_until("a fresh answer", || {
            score(&served, 1.0).header("helenus-stale").is_none()
        });
    }
    served.stop().ok();
}

/// Clients that send requests until they are stopped, and the numbers of those that failed.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// `send` gives the answer to x; what is not `Ok` fails the test at the end.
    fn start(
        clients: usize,
        send: impl Fn(f64) -> Result<(), String> + Clone + Send + 'static,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let clients = (0..clients).map(|client| {
            let (stop, answered, send) = (Arc::clone(&stop), Arc::clone(&answered), send.clone());
            thread::spawn(move || {
                let mut failed = Vec::new();
                let mut x = client as f64;
                while !stop.load(Ordering::Relaxed) {
                    match send(x) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.push(error),
                    }
                    x += 16.0;
                }
                failed
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            answered,
        }
    }

    fn more(&self, requests: usize) {
        let from = self.answered.load(Ordering::Relaxed);
        wait_until("answers", || {
            self.answered.load(Ordering::Relaxed) >= from + requests
        });
    }

    #[track_caller]
    fn assert_none_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let failed = client.join().unwrap();
            assert!(failed.is_empty(), "{} failed: {}", failed.len(), failed[0]);
        }
    }
}

/// Scores x at one of these addresses; `Err` says what went wrong.
fn score_at(address: std::net::SocketAddr, x: f64) -> Result<Reply, String> {
    let body = json!({"rows": [{"x": x}]}).to_string();
    let reply =
        crate::support::served::request(address, "POST", "/v1/jobs/visits/score", body.as_bytes())
            .map_err(|error| error.to_string())?;
    let y = reply.status == 200 && reply.json()["rows"][0]["predictions"][0]["outputs"]["y"] == x;
    match y {
        true => Ok(reply),
        false => Err(format!("{}: {}", reply.status, reply.text())),
    }
}

#[test]
fn a_promotion_under_load_fails_no_request_and_both_servers_follow() {
    let stage = stage("serve_swap");
    let servers = [(); 2].map(|()| Served::start(&stage.sandbox, &["visits"]));
    let [first, second] = &servers;
    let addresses = [first.address, second.address];
    let load = Load::start(4, move |x| score_at(addresses[x as usize % 2], x).map(drop));
    for version in [2, 1, 2] {
        load.more(200);
        promote(&stage, version);
        for served in &servers {
            wait_until("the promoted version", || {
                version_for(&score(served, 5.0), 5.0) == i64::from(version)
            });
        }
    }
    load.more(200);
    load.assert_none_failed();
    for served in servers {
        served.stop().ok();
    }
}

#[test]
fn a_version_that_cannot_be_loaded_leaves_the_old_one_serving() {
    let stage = stage("serve_unloadable");
    // A third version, also y = x but of other bytes, that is lost after it was admitted.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/crashing.onnx");
    stage
        .sandbox
        .helenus(&["model", "push", "identity", other])
        .ok();
    let served = Served::start(&stage.sandbox, &["visits"]);
    let rows = stage.sandbox.rows(
        "SELECT sha256 FROM {helenus}.model_versions WHERE name = 'identity' AND version = 3",
    );
    let sha256 = hex::encode(rows[0]["sha256"].as_blob().unwrap());
    stage.sandbox.cql(&format!(
        "DELETE FROM {{helenus}}.model_chunks WHERE sha256 = 0x{sha256} AND chunk = 0"
    ));
    promote(&stage, 3);
    wait_until("a word of why", || {
        served.log().contains("may be out of date")
    });
    assert_eq!(version_for(&score(&served, 4.0), 4.0), 1);
    promote(&stage, 2);
    wait_until("the next version", || {
        version_for(&score(&served, 4.0), 4.0) == 2
    });
    served.stop().ok();
}

#[test]
fn an_isolated_scorer_that_is_killed_costs_a_moment() {
    let stage = stage("serve_isolated");
    let mut command = stage.command(&["serve", "visits", "--serve-listen", "127.0.0.1:0"]);
    command.env("HELENUS_ISOLATE", "true");
    let served = Served::listening(Running::start(command));
    served.wait_until_ready();
    for round in 0..3 {
        let children = format!("/proc/{0}/task/{0}/children", served.pid());
        let all = std::fs::read_to_string(children).unwrap_or_default();
        let of_threads = std::fs::read_dir(format!("/proc/{}/task", served.pid())).unwrap();
        let of_threads = of_threads
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).ok());
        let pids: Vec<String> = std::iter::once(all)
            .chain(of_threads)
            .flat_map(|text| {
                text.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect();
        assert!(!pids.is_empty(), "no scorer of its own");
        for pid in pids {
            // It may have ended with the one killed before.
            let _ = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status();
        }
        let x = f64::from(round) + 0.5;
        wait_until("an answer after the kill", || {
            let reply = score(&served, x);
            reply.status == 200 && version_for(&reply, x) == 1
        });
    }
    served.stop().ok();
}

#[test]
fn a_server_that_is_killed_under_load_is_replaced_by_the_other() {
    let stage = stage("serve_killed");
    let [first, second] = [(); 2].map(|()| Served::start(&stage.sandbox, &["visits"]));
    let addresses = [first.address, second.address];
    // As a load balancer does: what has no answer goes to the other server.
    let load = Load::start(4, move |x| {
        let others = addresses.iter().map(|address| score_at(*address, x));
        let mut last = Err("no server".to_owned());
        for reply in others {
            last = reply.map(drop);
            if last.is_ok() {
                break;
            }
        }
        last
    });
    load.more(100);
    first.kill();
    load.more(500);
    load.assert_none_failed();
    second.stop().ok();
}
