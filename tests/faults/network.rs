//! Between helenus and Cassandra: answers that are lost though the statement was carried out,
//! requests that never arrive, delays, frames cut in half, refused connections.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    proxy::{Fault, Proxy},
    stage::{Stage, wait_until},
    support::cli::{self, Output, Running},
};

const ROWS: i32 = 160;

struct Wire {
    stage: Stage,
    proxy: Proxy,
}

impl Wire {
    fn new(test: &str) -> Self {
        Self {
            stage: Stage::new(test, ROWS),
            proxy: Proxy::start(),
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.stage.command(arguments);
        command
            .env("HELENUS_CONTACT_POINTS", &self.proxy.contact)
            .env("HELENUS_COMPRESSION", "none")
            .env("HELENUS_REQUEST_TIMEOUT", "1s");
        command
    }

    fn helenus(&self, arguments: &[&str]) -> Output {
        cli::run(self.command(arguments))
    }

    /// Long enough that leases are renewed.
    fn score_slowly(&self) -> Output {
        self.helenus(&["score", "visits", "--max-rate", "80"])
    }

    /// All rows are pending again.
    fn change(&self, turn: usize) {
        let values = (0..ROWS).map(|id| (id, (id + 1_000 * turn as i32) as f32));
        self.stage.set(values);
    }
}

/// The conditional statements that a run sends, by what only they say.
const CONDITIONAL: [(&str, &[&str]); 11] = [
    (
        "open",
        &["UPDATE open_runs SET run_id = ? ", "IF run_id = null"],
    ),
    (
        "refresh",
        &["UPDATE open_runs SET run_id = ? ", "IF run_id = ?"],
    ),
    ("insert run", &["INSERT INTO runs"]),
    ("start", &["UPDATE runs SET state = 'running'"]),
    ("signal", &["UPDATE signals"]),
    ("answer", &["INSERT INTO answers"]),
    ("claim", &["INSERT INTO splits"]),
    ("beat", &["UPDATE splits SET beat"]),
    ("finish", &["UPDATE splits SET state = 'done'"]),
    ("close", &["UPDATE runs SET whole_ended", "state = ?"]),
    ("free", &["UPDATE open_runs SET run_id = null"]),
];

#[test]
fn each_conditional_write_of_a_run_may_lose_its_answer_or_never_arrive() {
    let wire = Wire::new("lost");
    // That the list is whole: what a run sends, and none but those.
    wire.proxy.statements();
    wire.stage.assert_succeeded(wire.score_slowly());
    let conditional = |cql: &String| cql.contains(" IF ") && !cql.starts_with("CREATE");
    let sent: BTreeSet<String> = wire
        .proxy
        .statements()
        .into_iter()
        .filter(conditional)
        .collect();
    for cql in &sent {
        let known = |(_, words): &(&str, &[&str])| words.iter().all(|word| cql.contains(word));
        let progress = cql.starts_with("UPDATE runs SET splits_done");
        assert!(CONDITIONAL.iter().any(known) || progress, "{cql}");
    }
    let mut turn = 1;
    for (name, words) in CONDITIONAL {
        for fault in [Fault::DropResponse, Fault::DropRequest, Fault::CutResponse] {
            turn += 1;
            wire.change(turn);
            wire.proxy.once(words, fault);
            // Leases are renewed only in a run that takes its time.
            let output = match name {
                "beat" => wire.score_slowly(),
                _ => wire.helenus(&["score", "visits"]),
            };
            assert_eq!(wire.proxy.faults(), 1, "{name}, {fault:?} was not met");
            wire.proxy.rule(|_| Fault::None);
            // Either it made good by itself, or it says that the run stays open and goes on.
            let run = match output.code {
                Some(0) => wire.stage.assert_succeeded(output),
                _ => {
                    let error = output.code(3).error();
                    println!("{name}, {fault:?}: {}", error["message"]);
                    assert_ne!(fault, Fault::DropResponse, "{name}: {error}");
                    wire.stage
                        .assert_succeeded(wire.helenus(&["score", "visits"]))
                }
            };
            // Whatever happened, it was one run, and no split was done twice.
            assert!(
                run.counts.scored[&1] as i32 == ROWS,
                "{name}, {fault:?}: {run:?}"
            );
        }
    }
    let runs = wire.stage.runs("visits");
    assert!(runs.iter().all(|run| run.state.is_terminal()), "{runs:?}");
}

#[test]
fn registering_defining_and_promoting_may_lose_any_answer() {
    let wire = Wire::new("registry");
    let manifest = wire.stage.sandbox.file(
        "other.toml",
        format!(
            "job = \"other\"\nmodel = \"other\"\nversions = [\"champion\"]\n[source]\ntable = \"{}.visits\"\n",
            wire.stage.sandbox.data
        ),
    );
    let manifest = manifest.to_str().unwrap();
    let mut version = 0;
    let mut flow = |wire: &Wire| -> Vec<Output> {
        version += 1;
        let number = version.to_string();
        let commands: [&[&str]; 3] = [
            &["model", "push", "other", crate::stage::IDENTITY],
            &["model", "promote", "other", &number, "--now"],
            &["job", "create", manifest],
        ];
        commands
            .iter()
            .map(|arguments| wire.helenus(arguments))
            .collect()
    };
    wire.proxy.statements();
    for output in flow(&wire) {
        output.ok();
    }
    let sent: BTreeSet<String> = wire
        .proxy
        .statements()
        .into_iter()
        .filter(|cql| cql.contains(" IF "))
        .filter(|cql| !cql.starts_with("CREATE") && !cql.starts_with("ALTER"))
        .collect();
    assert!(sent.len() >= 6, "{sent:#?}");
    let mut lost = 0;
    for cql in &sent {
        let text = cql.clone();
        let mut met = false;
        wire.proxy.rule(move |cql| {
            if met || cql != text {
                return Fault::None;
            }
            met = true;
            Fault::DropResponse
        });
        for output in flow(&wire) {
            assert_eq!(output.code, Some(0), "{cql}: {output:#?}");
        }
        lost += wire.proxy.faults();
    }
    assert!(lost >= 5, "{lost} of {}", sent.len());
    wire.proxy.rule(|_| Fault::None);
    let last = (sent.len() + 1) as i32;
    let run = wire.helenus(&["score", "other"]).ok().result();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["aliases"]["champion"], last, "{run}");
    let run = wire.stage.run("other", &run);
    wire.stage.assert_whole(&run);
}

#[test]
fn answers_to_predictions_and_reads_may_be_late_lost_or_cut() {
    let wire = Wire::new("plain");
    let faults = [
        Fault::DropResponse,
        Fault::CutResponse,
        Fault::Close,
        Fault::Delay(Duration::from_millis(300)),
        Fault::Delay(Duration::from_millis(1_500)),
    ];
    for (turn, fault) in (1..).zip(faults) {
        wire.change(turn);
        // Every seventh prediction write, and every seventh read of a page.
        let mut writes = 0;
        wire.proxy.rule(move |cql| {
            let counted =
                cql.contains("visits_predictions") || cql.contains("visits\" WHERE token");
            writes += i32::from(counted);
            if counted && writes % 7 == 0 {
                fault
            } else {
                Fault::None
            }
        });
        let output = wire.helenus(&["score", "visits"]);
        assert!(wire.proxy.faults() > 0, "{fault:?} was not met");
        let run = wire.stage.assert_succeeded(output);
        assert_eq!(run.counts.scored[&2] as i32, ROWS, "{fault:?}");
    }
}

#[test]
fn nobody_answers_for_longer_than_the_lease() {
    let wire = Wire::new("refused");
    let run = Running::start(wire.command(&["score", "visits", "--max-rate", "100"]));
    wait_until("predictions", || wire.stage.try_predictions() > 20);
    wire.proxy.refuse(true);
    // The lease runs out while nothing arrives: another process, which comes by another way, takes
    // over, and the first one finds that out when it is let in again.
    let other = wire.stage.start_with(&["score", "visits"], "");
    wait_until("taken over", || {
        let splits = wire
            .stage
            .sandbox
            .rows("SELECT epoch FROM {helenus}.splits");
        splits.iter().any(|split| split["epoch"].as_int() > Some(1))
    });
    wire.proxy.refuse(false);
    let taken = other.finish();
    let run = run.finish();
    assert!(matches!(run.code, Some(0 | 3)), "{run:#?}");
    let ended = wire.stage.assert_succeeded(taken);
    if run.code == Some(0) {
        assert_eq!(run.result()["run_id"], ended.run_id.to_string());
    }
}
