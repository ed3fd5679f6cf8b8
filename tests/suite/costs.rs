//! What the control plane costs, measured: `bench/costs` runs these and keeps what they print.
//! They hold nothing that depends on time, and are ignored elsewhere.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use helenus::{
    config::{Config, Flags},
    control::{once, planning},
    domain::run::{Part, Run, RunState, Scope},
    engine::claimant,
    engine::{
        jobs,
        run::{
            close, pending,
            plan::{Planned, RunSpec},
            shared::Shared,
            start::{Started, start_or_fail},
            work::{Work, Worked},
        },
    },
    metrics,
    store::Store,
};
use serde_json::{Value, json};

use crate::support::{Sandbox, block_on, model::insert_json};

/// Rows of the source.
const ROWS: usize = 10_000;

struct World {
    sandbox: Sandbox,
    job: String,
}

impl World {
    fn new(test: &str) -> Self {
        metrics::install();
        let sandbox = Sandbox::migrated(test);
        sandbox.cql("CREATE TABLE {data}.visits (id int PRIMARY KEY, x float)");
        let rows: Vec<String> = (0..ROWS)
            .map(|id| json!({"id": id, "x": id as f32}).to_string())
            .collect();
        insert_json(&sandbox.filled("{data}.visits"), &rows);
        let identity = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/identity.onnx");
        sandbox
            .helenus(&["model", "push", "identity", identity])
            .ok();
        let manifest = sandbox.filled(
            "job = 'visits'\nmodel = 'identity'\nversions = [1]\n[source]\ntable = '{data}.visits'\n",
        );
        let manifest = sandbox.file("visits.toml", manifest);
        sandbox
            .helenus(&["job", "create", manifest.to_str().unwrap()])
            .ok();
        Self {
            sandbox,
            job: "visits".to_owned(),
        }
    }

    /// A session of its own, as another process would have.
    async fn store(&self, splits: usize) -> Store {
        let own = self.sandbox.config();
        let flags = Flags {
            config: Some("/dev/null".into()),
            contact_points: Some(own.contact_points.join(",")),
            keyspace: Some(own.keyspace),
            min_splits: Some(splits.to_string()),
            scoring_threads: Some("1".to_owned()),
            ..Flags::default()
        };
        Store::connect(&Config::resolve(&flags).unwrap())
            .await
            .unwrap()
    }

    async fn plan(&self, store: &Store) -> Run {
        let wish = RunSpec {
            job: self.job.clone(),
            scope: Scope {
                part: Part::Whole,
                rewrite: true,
                refresh: false,
            },
            versions: None,
            trigger: "request".to_owned(),
            cause: uuid::Uuid::new_v4().to_string(),
            due_at: chrono::Utc::now(),
            after: None,
            request_id: None,
            requested_by: None,
            note: None,
            priority: 0,
            max_rows_per_s: None,
            deadline: None,
        };
        match planning::plan(store, &wish).await.unwrap() {
            Planned::Opened(run) => *run,
            Planned::Joined(run) | Planned::Behind(run) => {
                panic!("another run is open: {run:?}")
            }
        }
    }

    /// One worker's share of a run, to the run's end.
    async fn work(&self, store: &Store, run: Run) -> Run {
        let shared = Shared::new(store.config());
        let started = start_or_fail(store, run, Arc::default(), &shared).await;
        let context = match started.unwrap() {
            Started::Ready(context) => Arc::from(context),
            Started::Failed(run) => panic!("{:?}", run.reason),
        };
        let work = Work::new(context, claimant(), &shared, Arc::new(|_| {}));
        match work.run().await.unwrap() {
            Worked::Ended(run) => *run,
            other => panic!("{other:?}"),
        }
    }
}

/// A number that the metrics show now.
fn shown(series: &str) -> f64 {
    let text = metrics::install().render();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("{series}:\n{text}"))
        .trim()
        .parse()
        .unwrap()
}

/// Claims and statements from here to [`Since::told`].
struct Since(Vec<(String, f64)>, Instant);

impl Since {
    fn now() -> Self {
        let series = [
            "helenus_claims_total{outcome=\"new\"}",
            "helenus_claims_total{outcome=\"collision\"}",
            "helenus_claim_seconds_sum",
            "helenus_claim_seconds_count",
            "helenus_statements_total{mode=\"read\"}",
            "helenus_statements_total{mode=\"serial_read\"}",
            "helenus_statements_total{mode=\"write\"}",
            "helenus_statements_total{mode=\"conditional\"}",
        ];
        let values = series.map(|series| (series.to_owned(), shown(series)));
        Self(values.into(), Instant::now())
    }

    fn told(&self) -> Value {
        let seconds = self.1.elapsed().as_secs_f64();
        let grown: Vec<f64> = self
            .0
            .iter()
            .map(|(series, was)| shown(series) - was)
            .collect();
        json!({
            "seconds": seconds,
            "claims": grown[0],
            "collisions": grown[1],
            "mean_claim_ms": 1000.0 * grown[2] / grown[3].max(1.0),
            "statements": {"read": grown[4], "serial_read": grown[5], "write": grown[6], "conditional": grown[7]},
        })
    }
}

fn say(what: &str, figures: Value) {
    println!("{}", json!({ what: figures }));
}

#[test]
#[ignore = "a measurement: bench/costs"]
fn splits() {
    let world = World::new("costs_splits");
    for splits in [8, 1_000, 10_000] {
        block_on(async {
            let store = world.store(splits).await;
            let since = Since::now();
            let run = world.plan(&store).await;
            let planned = since.told();
            let since = Since::now();
            let ended = world.work(&store, run.clone()).await;
            let worked = since.told();
            assert_eq!(ended.state, RunState::Succeeded, "{:?}", ended.reason);
            assert_eq!(ended.counts.source_rows, ROWS as u64);
            let since = Since::now();
            let all = close::read_splits(&store, &run).await.unwrap();
            assert_eq!(all.len(), splits);
            let figures = json!({"splits": splits, "plan": planned, "claim_score_finish_close": worked, "of_which_reading_all_splits_to_close": since.told()});
            say("splits", figures);
        });
    }
}

#[test]
#[ignore = "a measurement: bench/costs"]
fn workers() {
    let world = World::new("costs_workers");
    for (workers, splits) in [(1, 1_000), (4, 1_000), (16, 1_000), (16, 64)] {
        block_on(async {
            let store = world.store(splits).await;
            let run = world.plan(&store).await;
            let stores = futures::future::join_all((0..workers).map(|_| world.store(splits))).await;
            let since = Since::now();
            let work = stores.iter().map(|store| world.work(store, run.clone()));
            let ended = futures::future::join_all(work).await;
            assert!(ended.iter().all(|run| run.state == RunState::Succeeded));
            assert_eq!(ended[0].counts.source_rows, ROWS as u64);
            say(
                "workers",
                json!({"workers": workers, "splits": splits, "run": since.told()}),
            );
        });
    }
}

#[test]
#[ignore = "a measurement: bench/costs"]
fn request() {
    let world = World::new("costs_request");
    let store = block_on(world.store(8));
    let mut took = Vec::new();
    for id in 0..20 {
        world.sandbox.cql(&format!("INSERT INTO {{helenus}}.run_requests (day, id, job, scope, keys) VALUES (toDate(now()), now(), 'visits', 'keys', [{{'id': '{id}'}}])"));
        let began = Instant::now();
        let shared = Shared::new(store.config());
        let pass = block_on(once::once(&store, &shared)).unwrap();
        took.push(began.elapsed());
        assert_eq!(pass.runs.len(), 1, "{pass:?}");
    }
    took.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    say(
        "a_pass_that_answers_one_key",
        json!({"median_ms": ms(took[10]), "most_ms": ms(took[19])}),
    );
}

#[test]
#[ignore = "a measurement: bench/costs"]
fn pending_beside_versions() {
    let world = World::new("costs_pending");
    block_on(async {
        let store = world.store(8).await;
        let run = world.plan(&store).await;
        world.work(&store, run).await;
    });
    let table = world.sandbox.filled("{data}.visits_predictions");
    let rows: Vec<Value> = world
        .sandbox
        .rows(&format!("SELECT JSON * FROM {table}"))
        .iter()
        .map(|row| serde_json::from_str(row["[json]"].as_text().unwrap()).unwrap())
        .collect();
    assert_eq!(rows.len(), ROWS);
    let mut kept = 1;
    for versions in [1, 5, 20] {
        for version in kept + 1..=versions {
            let of_version = |row: &Value| {
                let mut row = row.clone();
                row["model_version"] = json!(version);
                row.to_string()
            };
            let copies: Vec<String> = rows.iter().map(of_version).collect();
            insert_json(&table, &copies);
        }
        kept = versions;
        block_on(async {
            let store = world.store(8).await;
            let job = jobs::prepare(&store, "visits", None).await.unwrap().job;
            let scope = Scope {
                part: Part::Whole,
                rewrite: false,
                refresh: false,
            };
            let mut took = Vec::new();
            for _ in 0..5 {
                let began = Instant::now();
                let counts = pending::count(&store, &job, &scope).await.unwrap();
                took.push(began.elapsed());
                assert_eq!(counts.unchanged.values().sum::<u64>(), ROWS as u64);
            }
            took.sort_unstable();
            say(
                "pending",
                json!({"versions_kept": versions, "rows": ROWS, "median_s": took[2].as_secs_f64()}),
            );
        });
    }
}

/// Five minutes of a leader's rounds over gates about which nothing new is known.
#[test]
#[ignore = "a measurement: bench/costs"]
fn idle_gates() {
    metrics::install();
    for gates in [0, 10] {
        let sandbox = Sandbox::migrated("costs_gates");
        for gate in 0..gates {
            let model = format!("m{gate}");
            sandbox.cql(&format!("INSERT INTO {{helenus}}.gates (model, name, metric, labels, min_labelled_rows, auto, cooldown, demote) VALUES ('{model}', 'better', 'accuracy', 'k.t.c', 100, true, '1d', true)"));
            for (alias, version) in [("champion", 1), ("challenger", 2)] {
                sandbox.cql(&format!("INSERT INTO {{helenus}}.model_aliases (model, alias, changed_at, seq, to_version, version, last_seq) VALUES ('{model}', '{alias}', now(), 1, {version}, {version}, 1)"));
            }
            let evaluation = helenus::process::timeuuid();
            for (version, baseline) in [(1, "null"), (2, "1")] {
                sandbox.cql(&format!("INSERT INTO {{helenus}}.evaluations (model, version, evaluation, labels, leakage, baseline, evaluated, labelled, evaluated_at) VALUES ('{model}', {version}, {evaluation}, 'k.t.c', 'checked', {baseline}, 1000, 1000, toTimestamp(now()))"));
            }
        }
        block_on(async {
            let store = sandbox.store().await;
            let mut watch = helenus::control::gates::Watch::default();
            let start = tokio::time::Instant::now();
            // The first look writes verdicts, which later ones find.
            watch.round(&store, start).await.unwrap();
            let start = start + Duration::from_secs(300);
            let since = Since::now();
            for round in 0..20 {
                let now = start + Duration::from_secs(15 * round);
                watch.round(&store, now).await.unwrap();
            }
            say(
                "idle_gates",
                json!({"gates": gates, "minutes": 5, "rounds": since.told()["statements"]}),
            );
        });
    }
}

/// Writes of one size, through the adaptive places and through as many fixed ones, in turn.
#[test]
#[ignore = "a measurement: bench/costs"]
fn adapting() {
    let sandbox = Sandbox::migrated("costs_adapting");
    sandbox.cql("CREATE TABLE {data}.load (id int PRIMARY KEY, x float)");
    let insert = sandbox.filled("INSERT INTO {data}.load (id, x) VALUES (?, ?)");
    block_on(async {
        let store = &sandbox.store().await;
        let prepared = &store.session().prepare(insert.as_str()).await.unwrap();
        let fixed = &tokio::sync::Semaphore::new(64);
        let write = async |id: i32| {
            let sent = store
                .session()
                .execute_unpaged(prepared, (id, 1.0_f32))
                .await;
            sent.map_err(|error| helenus::store::driver::error::Failed::execution(&error, "INSERT"))
        };
        let (mut adaptive, mut constant) = (Vec::new(), Vec::new());
        for round in 0..7 {
            for adapts in [round % 2 == 0, round % 2 == 1] {
                let began = Instant::now();
                let writers = (0..128).map(|writer| async move {
                    for id in 0..200 {
                        let request = write(writer * 200 + id);
                        if adapts {
                            store.writes().enter().await.send(request).await.unwrap();
                        } else {
                            let _permit = fixed.acquire().await.unwrap();
                            request.await.unwrap();
                        }
                    }
                });
                futures::future::join_all(writers).await;
                let rate = 128.0 * 200.0 / began.elapsed().as_secs_f64();
                // The first round warms up.
                if round > 0 {
                    if adapts { &mut adaptive } else { &mut constant }.push(rate as u64);
                }
            }
        }
        let median = |rates: &mut Vec<u64>| {
            rates.sort_unstable();
            rates[rates.len() / 2]
        };
        let (a, c) = (median(&mut adaptive), median(&mut constant));
        say(
            "adapting",
            json!({"adaptive_per_s": adaptive, "fixed_per_s": constant, "ratio": a as f64 / c as f64, "limit_at_the_end": store.writes().limit()}),
        );
    });
}
