//! Whole runs, workers and commands with isolated models.

use super::*;

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
                reason.starts_with("refused: the model's process crashed on it: "),
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
fn a_run_rejects_the_rows_that_hang_and_scores_all_others_isolated_or_not() {
    const HANG: [i32; 3] = [7, 8, 250];
    let values = (0..300).map(|row| if HANG.contains(&row) { 1e7 } else { row as f32 });
    let numbers = Numbers::new("hanging", "hanging", values);
    let limit = ("HELENUS_BATCH_TIMEOUT", "2s");
    let begun = Instant::now();
    for (isolate, scope) in [("true", "pending"), ("false", "all")] {
        let arguments = ["score", &numbers.job, "--scope", scope, "--output", "json"];
        let mut command = numbers.sandbox.command(&arguments);
        command.envs([limit, ("HELENUS_ISOLATE", isolate)]);
        let run = cli::run(command).ok().result();
        assert_eq!(run["state"], "succeeded", "{run}");
        assert_eq!(run["scored"]["1"], 297, "{run}");
        assert_eq!(run["rejected"]["1"], 3, "{run}");
        for (id, y, rejected) in numbers.predictions() {
            if HANG.contains(&id) {
                let reason = rejected.expect("rejected");
                assert_eq!(reason, "refused: the model did not answer within 2 s");
                assert_eq!(y, None);
            } else {
                assert_eq!((y, rejected), (Some(id as f32), None));
            }
        }
    }
    let listed = numbers
        .sandbox
        .rows("SELECT reason FROM {helenus}.rejected_rows");
    assert!(listed.len() >= 3, "{listed:?}");
    assert!(begun.elapsed() < 4 * LONG, "{:?}", begun.elapsed());
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
    assert!(reason.contains("crashes on every row"), "{reason}");
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
