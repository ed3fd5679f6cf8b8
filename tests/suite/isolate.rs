//! Scoring in processes of their own: what a model does there stays there.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use helenus::{
    domain::{
        golden::Golden,
        model::Admitted,
        tensor::{InputBatch, TensorData},
    },
    scorer::{
        admit::Request,
        child,
        image::Image,
        isolate::Models,
        pool::{Pool, ScoreError, Scored},
        runtime,
    },
};
use serde_json::Value;

use crate::{
    admission::{admitted, library, request, shipped},
    support::{Model, Sandbox, block_on, cli, cli::Output, model::rejection},
};

const LONG: Duration = Duration::from_secs(60);

struct Admission {
    admitted: Admitted,
    image: Image,
}

impl Admission {
    fn of(request: &Request) -> Self {
        let admitted = admitted(request);
        let image = Image::open(&request.model, &admitted).expect("the admitted bytes");
        Self { admitted, image }
    }

    fn isolated_within(&self, mib: u64, threads: usize, limit: Duration) -> Pool {
        child::use_program(env!("CARGO_BIN_EXE_helenus"));
        let version = (self.image.clone(), self.admitted.signature.clone());
        let models = Models::new(&library(), mib << 20, vec![version]);
        Pool::start_isolated(models, threads, limit).expect("a pool")
    }

    fn isolated(&self) -> Pool {
        self.isolated_within(4096, 1, LONG)
    }

    fn here(&self) -> Pool {
        let runtime = runtime::load(Some(&library())).expect("ONNX Runtime: run scripts/setup");
        let version = (self.image.clone(), self.admitted.signature.clone());
        Pool::start(runtime, vec![version], 1, LONG).expect("a pool")
    }
}

fn crashing() -> Admission {
    Admission::of(&request("tests/models/crashing.onnx"))
}

fn floats(values: Vec<f32>) -> InputBatch {
    InputBatch {
        rows: values.len(),
        inputs: vec![TensorData::Float(values)],
    }
}

fn outputs(scored: &Scored) -> &[f32] {
    match &scored.outputs.outputs[0] {
        TensorData::Float(values) => values,
        other => panic!("floats: {other:?}"),
    }
}

fn score(pool: &Pool, batch: InputBatch) -> Result<Scored, ScoreError> {
    block_on(pool.score(0, batch))
}

#[test]
fn an_isolated_model_says_what_it_says_here_bit_for_bit() {
    for name in [
        "breast_cancer_lgbm",
        "diabetes_columns",
        "diabetes_heads",
        "digits_vector",
        "forty_classes",
        "iris_mlp_batch1",
        "sentences_tfidf",
        "types_mixed",
        "types_places",
        "wine_catboost",
    ] {
        let shipped = shipped(name);
        let model = Admission::of(&shipped);
        let golden = Golden::parse(shipped.golden.as_deref().expect("golden rows")).unwrap();
        let batch = golden
            .inputs(
                &model.admitted.signature.inputs,
                &model.admitted.feature_names,
            )
            .unwrap();
        let here = score(&model.here(), batch.clone()).expect("scored");
        let isolated = model.isolated();
        // The process's buffers are used again: the second answer is the first.
        for _ in 0..2 {
            let there = score(&isolated, batch.clone()).expect("scored");
            assert_eq!(
                format!("{:?}", there.outputs),
                format!("{:?}", here.outputs),
                "{name}"
            );
            assert_eq!(there.refused, here.refused, "{name}");
            // Text, for NaN.
            assert_eq!(format!("{:?}", there.inputs), format!("{batch:?}"));
        }
    }
}

#[test]
fn rows_that_onnx_runtime_refuses_are_the_same_rows_there() {
    let shipped = shipped("diabetes_strict");
    let model = Admission::of(&shipped);
    let golden = Golden::parse(shipped.golden.as_deref().unwrap()).unwrap();
    let signature = &model.admitted.signature;
    let mut batch = golden
        .inputs(&signature.inputs, &model.admitted.feature_names)
        .unwrap();
    let city = signature.inputs.iter().position(|i| i.name == "city");
    let TensorData::String(cities) = &mut batch.inputs[city.unwrap()] else {
        panic!("text");
    };
    let mut other: Vec<String> = cities.iter().map(str::to_owned).collect();
    other[3] = "Atlantis".to_owned();
    other[11] = "with a \0 inside".to_owned();
    *cities = other.into_iter().collect();
    let here = score(&model.here(), batch.clone()).expect("scored");
    let there = score(&model.isolated(), batch).expect("scored");
    assert_eq!(there.refused, here.refused);
    assert_eq!(there.refused.len(), 2);
    assert_eq!(there.outputs, here.outputs);
}

#[test]
fn only_the_rows_that_kill_the_process_are_refused() {
    let pool = crashing().isolated();
    let mut values: Vec<f32> = (0..1000).map(|row| row as f32 * 0.5 - 2000.0).collect();
    let deadly = [0, 1, 499, 999];
    deadly.iter().for_each(|row| values[*row] = 777.0);
    let scored = score(&pool, floats(values.clone())).expect("scored");
    let refused: Vec<usize> = scored.refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, deadly);
    assert_eq!(
        scored.refused[0].1,
        "the model's process died on it: arithmetic exception"
    );
    let innocent: Vec<f32> = values.into_iter().filter(|value| *value != 777.0).collect();
    assert_eq!(outputs(&scored), innocent);
    // The next batch finds a process.
    let next = score(&pool, floats(vec![5.0])).expect("scored");
    assert_eq!(outputs(&next), [5.0]);
}

#[test]
fn many_deadly_rows_on_end_are_refused_once_a_row_is_known_to_go_through() {
    let pool = crashing().isolated();
    score(&pool, floats(vec![1.0, 2.0])).expect("scored");
    let scored = score(&pool, floats([vec![777.0; 40], vec![3.0]].concat())).expect("scored");
    assert_eq!(scored.refused.len(), 40);
    assert_eq!(outputs(&scored), [3.0]);
}

#[test]
fn a_process_that_dies_on_everything_is_an_error_and_not_the_rows_fault() {
    let pool = crashing().isolated();
    for _ in 0..2 {
        match score(&pool, floats(vec![777.0; 500])) {
            Err(ScoreError::Died(why)) => {
                assert!(why.contains("dies on everything it is given"), "{why}");
                assert!(why.contains("arithmetic exception"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn memory_is_bounded_for_the_process_and_refused_to_the_row_that_wants_it() {
    let model = Admission::of(&request("tests/models/hungry.onnx"));
    let pool = model.isolated_within(1024, 1, LONG);
    // 2 GiB of zeros: this machine has them, the process may not.
    let scored = score(&pool, floats(vec![1.0, 2.0, 536_870_912.0, 3.0])).expect("scored");
    assert_eq!(outputs(&scored), [1.0, 2.0, 3.0]);
    let (row, reason) = &scored.refused[0];
    assert_eq!(*row, 2);
    assert!(
        reason.contains("memory") || reason.contains("alloc"),
        "{reason}"
    );
}

#[test]
fn a_batch_without_end_ends_with_its_process_and_the_pool_goes_on() {
    let model = Admission::of(&request("tests/hostile/endless_value.onnx"));
    let width = model.admitted.signature.inputs[0].width();
    let pool = model.isolated_within(4096, 1, Duration::from_secs(2));
    let batch = |rows: usize, value: f32| InputBatch {
        rows,
        inputs: vec![TensorData::Float(vec![value; rows * width])],
    };
    let endless = score(&pool, batch(1, 1e7));
    assert!(
        matches!(endless, Err(ScoreError::TimedOut { rows: 1, .. })),
        "{endless:?}"
    );
    let scored = score(&pool, batch(2, 1.0)).expect("scored");
    assert_eq!(scored.outputs.rows, 2);
}

#[test]
fn a_model_that_no_process_can_load_is_said_so() {
    child::use_program(env!("CARGO_BIN_EXE_helenus"));
    let model = Admission::of(&shipped("breast_cancer_lgbm"));
    let version = (model.image.clone(), model.admitted.signature.clone());
    let models = Models::new(&library(), 8 << 20, vec![version]);
    let problem = Pool::start_isolated(models, 2, LONG).expect_err("no memory for the library");
    assert!(
        ["model.process_died", "runtime.library"].contains(&problem.code.as_str()),
        "{problem:?}"
    );
}

#[test]
fn batches_of_many_tasks_come_back_to_whom_they_belong() {
    let pool = Arc::new(crashing().isolated_within(4096, 2, LONG));
    block_on(async {
        let tasks = (0..40_u16).map(|task| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                let mut values = vec![f32::from(task); 300];
                if task % 10 == 3 {
                    values[7] = 777.0;
                }
                (task, pool.score(0, floats(values)).await.expect("scored"))
            })
        });
        for (task, scored) in futures::future::join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
        {
            let refused: Vec<_> = scored.refused.iter().map(|(row, _)| *row).collect();
            let expected = if task % 10 == 3 { vec![7] } else { Vec::new() };
            assert_eq!(refused, expected);
            assert!(outputs(&scored).iter().all(|y| *y == f32::from(task)));
        }
    });
}

/// A table of numbers and the job that scores it by a model of `tests/models`.
struct Numbers {
    sandbox: Sandbox,
    job: String,
}

impl Numbers {
    fn new(test: &str, model: &str, values: impl Iterator<Item = f32>) -> Self {
        let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
        sandbox.cql("CREATE TABLE {data}.numbers (id int PRIMARY KEY, x float)");
        for (id, x) in values.enumerate() {
            sandbox.cql(&format!(
                "INSERT INTO {{data}}.numbers (id, x) VALUES ({id}, {x})"
            ));
        }
        let file = crate::admission::root().join(format!("tests/models/{model}.onnx"));
        let file = file.to_str().unwrap();
        sandbox.helenus(&["model", "push", "numbers", file]).ok();
        let manifest = format!(
            "job = \"numbers\"\nmodel = \"numbers\"\nversions = [1]\n[source]\ntable = \"{}.numbers\"\n[rules]\nmax_rejected = 10\n",
            sandbox.data
        );
        let file = sandbox.file("numbers.toml", manifest);
        sandbox
            .helenus(&["job", "create", file.to_str().unwrap()])
            .ok();
        Self {
            sandbox,
            job: "numbers".to_owned(),
        }
    }

    fn score(&self, environment: &[(&str, &str)]) -> Output {
        let arguments = ["score", &self.job, "--isolate", "--output", "json"];
        let mut command = self.sandbox.command(&arguments);
        command.envs(environment.iter().copied());
        cli::run(command)
    }

    /// id → why it was rejected, if it was.
    fn predictions(&self) -> Vec<(i32, Option<f32>, Option<String>)> {
        let rows = self
            .sandbox
            .rows("SELECT id, y, lineage FROM {data}.numbers_predictions");
        let mut rows: Vec<_> = rows
            .iter()
            .map(|row| {
                let y = row.get("y").and_then(|value| value.as_float());
                (row["id"].as_int().unwrap(), y, rejection(row))
            })
            .collect();
        rows.sort_by_key(|row| row.0);
        rows
    }
}

/// One in fifty kills.
fn some_deadly(rows: usize) -> impl Iterator<Item = f32> {
    (0..rows).map(|row| {
        if row % 50 == 49 {
            777.0
        } else {
            row as f32 + 2000.0
        }
    })
}

#[test]
fn a_run_rejects_the_rows_that_kill_and_scores_all_others() {
    let numbers = Numbers::new("isolated", "crashing", some_deadly(200));
    let run = numbers.score(&[]).ok().result();
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(run["scored"]["1"], 196, "{run}");
    assert_eq!(run["rejected"]["1"], 4, "{run}");
    for (id, y, rejected) in numbers.predictions() {
        if id % 50 == 49 {
            let reason = rejected.expect("rejected");
            assert!(
                reason.starts_with("refused: the model's process died on it: "),
                "{reason}"
            );
            assert_eq!(y, None);
        } else {
            assert_eq!((y, rejected), (Some(id as f32 + 2000.0), None));
        }
    }
    // Unchanged and rejected: nothing is tried again.
    let again = numbers.score(&[]).ok().result();
    assert_eq!(again["scored"]["1"], 0, "{again}");
    assert_eq!(again["rejected"]["1"], 4, "{again}");
}

#[test]
fn a_run_rejects_the_row_that_takes_all_memory() {
    let values = (0..40).map(|row| if row == 7 { 536_870_912.0 } else { row as f32 });
    let numbers = Numbers::new("hungry", "hungry", values);
    let run = numbers.score(&[("HELENUS_ISOLATE_MEMORY_MIB", "1024")]);
    let run = run.ok().result();
    assert_eq!(run["scored"]["1"], 39, "{run}");
    for (id, y, rejected) in numbers.predictions() {
        match id {
            7 => assert!(rejected.unwrap().starts_with("refused: "), "{id}"),
            _ => assert_eq!((y, rejected), (Some(id as f32), None)),
        }
    }
}

#[test]
fn a_worker_outlives_a_model_that_dies_on_everything_and_one_that_can_not_be_loaded() {
    let numbers = Numbers::new("hopeless", "crashing", (0..300).map(|_| 777.0));
    let sandbox = &numbers.sandbox;
    let work = |memory: &str| -> Value {
        sandbox.cql("INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'numbers')");
        let mut worker = sandbox.command(&["worker", "--once"]);
        worker.env("HELENUS_ISOLATE", "true");
        worker.env("HELENUS_ISOLATE_MEMORY_MIB", memory);
        cli::run(worker).ok();
        let runs = sandbox.json(&["run", "list", "numbers"]).ok().result();
        runs[0].clone()
    };
    let run = work("4096");
    assert_eq!(run["state"], "failed", "{run}");
    let reason = run["reason"].as_str().unwrap();
    assert!(
        reason.contains("dies on everything it is given"),
        "{reason}"
    );
    let run = work("300");
    assert_eq!(run["state"], "failed", "{run}");
}

#[test]
fn processes_that_somebody_kills_cost_time_and_no_row() {
    let numbers = Numbers::new("killed", "identity", (0..400).map(|row| row as f32));
    let mut command = numbers.sandbox.command(&[
        "score",
        "numbers",
        "--isolate",
        "--max-rate",
        "200",
        "--output",
        "json",
    ]);
    // Small batches, so that many are left to score.
    command.env("HELENUS_BATCH_ROWS", "8");
    let mut running = cli::Running::start(command);
    let scored = || {
        let select = "SELECT id FROM {data}.numbers_predictions";
        numbers.sandbox.rows(select).len()
    };
    let (mut killed, mut seen) = (0, 0);
    let until = Instant::now() + LONG;
    while running.is_running() && killed < 6 {
        assert!(Instant::now() < until, "only {killed} processes were seen");
        let so_far = scored();
        if so_far < seen + 40 {
            continue;
        }
        seen = so_far;
        // The oldest is at work, not loading: three deaths while loading would be the model's fault.
        if let Some(pid) = scoring_processes(running.pid()).into_iter().min() {
            let status = std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status();
            killed += usize::from(status.unwrap().success());
        }
    }
    assert!(killed > 0);
    let run = running.finish().ok().result();
    assert_eq!(run["scored"]["1"], 400, "{run}");
    assert_eq!(run["rejected"]["1"], 0, "{run}");
}

/// The processes that a process scores in.
fn scoring_processes(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
        {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if words == b"helenus\0__score\0" {
                found.push(pid);
            }
        }
    }
    found
}

#[test]
fn the_process_has_no_credentials_no_connection_and_ends_with_its_parent() {
    let numbers = Numbers::new("bare", "identity", (0..2000).map(|row| row as f32));
    let mut command =
        numbers
            .sandbox
            .command(&["score", "numbers", "--isolate", "--max-rate", "100"]);
    command.env("HELENUS_USERNAME", "cassandra");
    command.env("HELENUS_PASSWORD", "cassandra");
    command.env("SOME_SECRET", "hunter2");
    let running = cli::Running::start(command);
    let until = Instant::now() + LONG;
    let mut predictions = 0;
    // Once there are predictions, every process has loaded its model.
    while predictions == 0 {
        assert!(Instant::now() < until, "nothing is scored");
        predictions = numbers
            .sandbox
            .rows("SELECT id FROM {data}.numbers_predictions LIMIT 1")
            .len();
    }
    let processes = scoring_processes(running.pid());
    assert!(!processes.is_empty());
    for pid in &processes {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        for secret in ["hunter2", "HELENUS", "PASSWORD", "cassandra"] {
            assert!(!environment.contains(secret), "{environment}");
        }
        let open: Vec<PathBuf> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
            .collect();
        assert!(
            open.iter()
                .all(|target| target.to_str().unwrap().starts_with("pipe:")),
            "{open:?}"
        );
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            let mut words = line[name.len()..].split_whitespace();
            words.next().unwrap().to_owned()
        };
        assert_eq!(limit("Max file size"), "0");
        assert_eq!(limit("Max core file size"), "0");
        assert_eq!(limit("Max open files"), "3");
        let memory: u64 = limit("Max address space").parse().unwrap();
        assert!((4096 << 20..4200 << 20).contains(&memory), "{memory}");
    }
    running.kill();
    for pid in processes {
        while fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "))
        {
            assert!(Instant::now() < until, "{pid} lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn every_command_that_scores_is_isolated_where_that_is_the_setting() {
    let sandbox = Sandbox::shared("isolation");
    let model = Model::named("breast_cancer_lr");
    let rows = model.load(&sandbox);
    let registered = sandbox.name("m");
    let push = model.push_arguments(&registered);
    sandbox
        .helenus(&push.iter().map(String::as_str).collect::<Vec<_>>())
        .ok();
    let job = sandbox.name("job");
    let manifest = model.manifest(&sandbox, &job, &registered);
    sandbox
        .helenus(&["job", "create", manifest.to_str().unwrap()])
        .ok();
    let run = sandbox.json(&["score", &job, "--isolate"]).ok().result();
    assert_eq!(run["source_rows"], rows, "{run}");
    let table = run["target"].as_str().unwrap().split_once('.').unwrap();
    model.assert_predictions(&sandbox, table.1, 1);
    sandbox.json(&["verify", &job, "--isolate"]).ok();
    sandbox
        .json(&["explain", &job, "42", "--isolate=true"])
        .ok();
}
