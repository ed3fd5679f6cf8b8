//! Everything by rows alone, through cqlsh and Python's driver: helenus is only a worker here.

use helenus::{control::requests, domain::run::run_id, process::timeuuid};
use uuid::Uuid;

use crate::support::{Model, Sandbox, block_on, cassandra::Named};

const HOUR: i64 = 3_600;

struct World(Sandbox);

/// A request's key whose clock is off by so many seconds.
fn asked_at(seconds: i64) -> (String, Uuid) {
    let now = chrono::Utc::now().timestamp_micros() + seconds * 1_000_000;
    let id = run_id::derive("a", &timeuuid().to_string(), now as u64 * 10);
    (requests::day_of(id).to_string(), id)
}

impl World {
    fn new(test: &str) -> Self {
        let world = Self(Sandbox::migrated_with(test, &["--lease-seconds", "2"]));
        Model::named("breast_cancer_lr").load(&world.0);
        world
    }

    #[track_caller]
    fn worker(&self) {
        self.0.helenus(&["worker", "--once"]).ok();
    }

    #[track_caller]
    fn cqlsh(&self, statements: &str) -> String {
        self.0.cqlsh(statements).ok().stdout
    }

    /// Registers a version by Python's driver; `feature_names` only where the model has a file of them.
    #[track_caller]
    fn register(&self, name: &str, version: i32, file: &str) {
        let program = r#"
import hashlib
name, version, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
data = open(file, "rb").read()
sha256 = hashlib.sha256(data).digest()
chunks = [data[at : at + 524288] for at in range(0, len(data), 524288)]
for number, chunk in enumerate(chunks):
    session.execute(f"INSERT INTO {helenus}.model_chunks (sha256, chunk, data, checksum) VALUES (%s, %s, %s, %s)",
                    (sha256, number, chunk, hashlib.sha256(chunk).digest()))
features = open(sys.argv[4]).read().splitlines() if len(sys.argv) > 4 else None
session.execute(f"INSERT INTO {helenus}.model_versions (name, version, format, sha256, size, chunks, feature_names) VALUES (%s, %s, 'onnx', %s, %s, %s, %s)",
                (name, version, sha256, len(data), len(chunks), features))
"#;
        let features = std::path::Path::new(file).with_file_name("features.txt");
        let version = version.to_string();
        let mut arguments = vec![name, &version, file];
        let features = features.display().to_string();
        if std::path::Path::new(&features).is_file() {
            arguments.push(&features);
        }
        self.0.python(program, &arguments).ok();
    }

    fn manifest(&self, job: &str) -> String {
        format!(
            "job = \"{job}\"\nmodel = \"tumour\"\nversions = [1, 2]\n[source]\ntable = \"{}.biopsies\"\n[outputs]\npositive = \"malignant\"\n",
            self.0.data
        )
    }

    fn ready(&self) {
        let path = |folder: &str| Model::named(folder).path("model.onnx");
        self.register("tumour", 1, &path("breast_cancer_lr"));
        self.register("tumour", 2, &path("breast_cancer_lgbm"));
        let manifest = self.manifest("tumour");
        self.cqlsh(&format!(
            "INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('tumour', 1, $${manifest}$$) IF NOT EXISTS"
        ));
        self.worker();
    }

    fn text(row: &Named, column: &str) -> String {
        row.get(column)
            .and_then(|value| value.as_text())
            .cloned()
            .unwrap_or_default()
    }

    /// `answer: reason`, once somebody said it.
    fn answer(&self, key: &(String, Uuid)) -> String {
        let row = self.0.row(&format!(
            "SELECT answer, reason FROM {{helenus}}.answers WHERE day = '{}' AND id = {}",
            key.0, key.1
        ));
        format!(
            "{}: {}",
            Self::text(&row, "answer"),
            Self::text(&row, "reason")
        )
    }

    fn job(&self, job: &str) -> (String, String) {
        let row = self.0.row(&format!(
            "SELECT state, problems FROM {{helenus}}.job_status WHERE job = '{job}'"
        ));
        (
            Self::text(&row, "state"),
            format!("{:?}", row.get("problems")),
        )
    }
}

#[test]
fn a_models_life_by_cqlsh_and_pythons_driver() {
    let world = World::new("plain");
    world.0.file("broken.onnx", b"no model at all");
    world.register("broken", 1, "broken.onnx");
    world.ready();
    let said = world.cqlsh("SELECT state, reason FROM {helenus}.admissions WHERE name = 'broken'");
    assert!(
        said.contains("rejected") && said.contains("not an ONNX model"),
        "{said}"
    );
    let said = world.cqlsh("SELECT state FROM {helenus}.admissions WHERE name = 'tumour'");
    assert_eq!(said.matches("ready").count(), 2, "{said}");
    let said = world.cqlsh("SELECT state FROM {helenus}.job_status WHERE job = 'tumour'");
    assert!(said.contains("ready"), "{said}");
    world.cqlsh(
        "INSERT INTO {helenus}.triggers (job, name, every) VALUES ('tumour', 'hourly', '1h')",
    );

    // Ask, slowly; follow; cancel.
    let mut worker = world.0.start(&["worker", "--once"]);
    worker.finish().ok();
    world.cqlsh("INSERT INTO {helenus}.run_requests (day, id, job, max_rows_per_s, note) VALUES (toDate(now()), now(), 'tumour', 20, 'slowly')");
    worker = world.0.start(&["worker", "--once"]);
    let started = || {
        let runs = world
            .0
            .rows("SELECT run_id, state FROM {helenus}.runs WHERE job = 'tumour'");
        let run = runs
            .iter()
            .find(|run| World::text(run, "state") == "running")?;
        run["run_id"].as_timeuuid()
    };
    let run = loop {
        match started() {
            Some(run) => break run,
            None => assert!(worker.is_running(), "it ended before it could be cancelled"),
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    world.cqlsh(&format!("INSERT INTO {{helenus}}.run_requests (day, id, action, job, target_run) VALUES (toDate(now()), now(), 'cancel', 'tumour', {run})"));
    world.worker();
    worker.finish().ok();
    let said = world.cqlsh(&format!(
        "SELECT state FROM {{helenus}}.runs WHERE job = 'tumour' AND run_id = {run}"
    ));
    assert!(said.contains("cancelled"), "{said}");

    world.cqlsh(
        "INSERT INTO {helenus}.run_requests (day, id, job) VALUES (toDate(now()), now(), 'tumour')",
    );
    world.worker();
    let said =
        world.cqlsh("SELECT state, source_rows FROM {helenus}.runs WHERE job = 'tumour' LIMIT 1");
    assert!(said.contains("succeeded") && said.contains("569"), "{said}");
    let model = Model::named("breast_cancer_lr");
    model.assert_predictions(&world.0, "tumour_predictions", 1);

    // Promote twice and go back.
    for (action, version) in [("promote", "1"), ("promote", "2"), ("rollback", "null")] {
        world.cqlsh(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version) VALUES (toDate(now()), now(), '{action}', 'tumour', 'champion', {version})"));
        world.worker();
    }
    let program = "for row in session.execute(f\"SELECT to_version FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion'\"): print(row.to_version, end=' ')";
    assert_eq!(world.0.python(program, &[]).ok().stdout.trim(), "1 2 1");
}

#[test]
fn a_malformed_row_is_answered_with_its_reason_and_hurts_nothing_else() {
    let world = World::new("malformed");
    world.ready();
    let run = |columns: &str, values: &str| {
        let key = asked_at(0);
        world.0.cql(&format!(
            "INSERT INTO {{helenus}}.run_requests (day, id{columns}) VALUES ('{}', {}{values})",
            key.0, key.1
        ));
        key
    };
    let alias = |columns: &str, values: &str| {
        let key = asked_at(0);
        world.0.cql(&format!(
            "INSERT INTO {{helenus}}.alias_requests (day, id{columns}) VALUES ('{}', {}{values})",
            key.0, key.1
        ));
        key
    };
    let refused = [
        (run(", note", ", 'what?'"), "`job` is null"),
        (run(", job", ", 'no_such'"), "there is no job `no_such`"),
        (
            run(", job, action", ", 'tumour', 'fly'"),
            "action `fly` is unknown",
        ),
        (
            run(", job, scope", ", 'tumour', 'half'"),
            "unknown scope `half`",
        ),
        (
            run(", job, scope, token_from", ", 'tumour', 'range', 5"),
            "must be given together",
        ),
        (run(", job, keys", ", 'tumour', [{'name': 'ada'}]"), "id"),
        (
            run(", job, versions", ", 'tumour', {7}"),
            "version 7 is none",
        ),
        (
            run(", job, action", ", 'tumour', 'cancel'"),
            "`target_run` is null",
        ),
        (alias(", why", ", 'because'"), "`action` is null"),
        (
            alias(
                ", action, model, alias, version",
                ", 'promote', 'tumour', 'champion', 9",
            ),
            "9",
        ),
        (
            alias(
                ", action, model, alias, version",
                ", 'promote', 'Not A Name', 'champion', 1",
            ),
            "Not A Name",
        ),
    ];
    let (good_run, good_alias) = (
        run(", job", ", 'tumour'"),
        alias(
            ", action, model, alias, version",
            ", 'promote', 'tumour', 'champion', 1",
        ),
    );
    let garbled = world.manifest("elsewhere");
    for (job, columns, values) in [
        ("empty", "note", "'no manifest'"),
        ("noise", "manifest", "'versions = ['"),
        ("renamed", "manifest", &format!("$${garbled}$$")),
        ("Bad Name!", "manifest", "'x'"),
    ] {
        world.0.cql(&format!(
            "INSERT INTO {{helenus}}.jobs (job, revision, {columns}) VALUES ('{job}', 1, {values})"
        ));
    }
    world
        .0
        .cql("UPDATE {helenus}.jobs SET paused = true WHERE job = 'only_paused'");
    world.0.cql(
        "INSERT INTO {helenus}.model_versions (name, version, format) VALUES ('bare', 1, 'onnx')",
    );
    world.0.cql("INSERT INTO {helenus}.model_versions (name, version, format, sha256, size, chunks) VALUES ('chunkless', 1, 'onnx', 0x00, 10, 1)");
    world.worker();

    for (key, reason) in refused {
        let said = world.answer(&key);
        assert!(
            said.starts_with("refused: ") && said.contains(reason),
            "{reason}: {said}"
        );
    }
    assert!(world.answer(&good_run).starts_with("accepted"));
    assert!(world.answer(&good_alias).starts_with("done"));
    let run = world
        .0
        .row("SELECT state FROM {helenus}.runs WHERE job = 'tumour'");
    assert_eq!(World::text(&run, "state"), "succeeded");
    for job in ["empty", "noise", "renamed", "Bad Name!"] {
        let (state, problems) = world.job(job);
        assert_eq!(state, "invalid", "{job}: {problems}");
        assert!(problems.contains("job."), "{job}: {problems}");
    }
    for model in ["bare", "chunkless"] {
        let row = world.0.row(&format!(
            "SELECT state, reason FROM {{helenus}}.admissions WHERE name = '{model}'"
        ));
        assert_eq!(World::text(&row, "state"), "rejected", "{row:?}");
        assert!(!World::text(&row, "reason").is_empty(), "{row:?}");
    }
}

#[test]
fn rows_from_a_clock_an_hour_off_work() {
    let world = World::new("clocks");
    world.ready();
    for (turn, off) in [HOUR, -HOUR].into_iter().enumerate() {
        let micros = chrono::Utc::now().timestamp_micros() + off * 1_000_000;
        let job = format!("off_{turn}");
        let manifest = world.manifest(&job);
        world.cqlsh(&format!("INSERT INTO {{helenus}}.jobs (job, revision, manifest) VALUES ('{job}', 1, $${manifest}$$) USING TIMESTAMP {micros}"));
        let promoted = asked_at(off);
        world.cqlsh(&format!("INSERT INTO {{helenus}}.alias_requests (day, id, action, model, alias, version) VALUES ('{}', {}, 'promote', 'tumour', 'champion', {}) USING TIMESTAMP {micros}", promoted.0, promoted.1, turn + 1));
        world.worker();
        let asked = asked_at(off);
        world.cqlsh(&format!("INSERT INTO {{helenus}}.run_requests (day, id, job) VALUES ('{}', {}, '{job}') USING TIMESTAMP {micros}", asked.0, asked.1));
        world.worker();
        assert!(
            world.answer(&promoted).starts_with("done"),
            "{off}: {}",
            world.answer(&promoted)
        );
        assert!(
            world.answer(&asked).starts_with("accepted"),
            "{off}: {}",
            world.answer(&asked)
        );
        let run = world.0.row(&format!(
            "SELECT state, reason FROM {{helenus}}.runs WHERE job = '{job}'"
        ));
        assert_eq!(World::text(&run, "state"), "succeeded", "{off}: {run:?}");
        // The next run by a clock that is right changes and shadows nothing.
        world
            .0
            .cql("UPDATE {data}.biopsies SET mean_radius = 21.5 WHERE id = 172");
        let next = world.0.json(&["score", &job]).ok().result();
        assert_eq!(next["source_rows"], 569, "{off}: {next}");
        world.0.helenus(&["verify", &job, "--coverage"]).ok();
    }
    let rows = world.0.rows("SELECT seq, to_version FROM {helenus}.model_aliases WHERE model = 'tumour' AND alias = 'champion'");
    assert_eq!(rows[0]["to_version"].as_int(), Some(2), "{rows:?}");
}

#[test]
fn a_manifest_altered_after_its_answer_is_tampered_with() {
    let world = World::new("altered");
    world.ready();
    assert_eq!(world.job("tumour").0, "ready");
    let manifest = world.manifest("tumour");
    let write = |text: &str| {
        world.cqlsh(&format!("UPDATE {{helenus}}.jobs SET manifest = $${text}$$ WHERE job = 'tumour' AND revision = 1"));
    };
    // While a run is open: nobody scores by another mapping than it was planned with.
    let asked = asked_at(0);
    world.0.cql(&format!(
        "INSERT INTO {{helenus}}.run_requests (day, id, job) VALUES ('{}', {}, 'tumour')",
        asked.0, asked.1
    ));
    block_on(async {
        let store = world.0.store().await;
        let open = store
            .open_run_requests(requests::day_of(asked.1))
            .await
            .unwrap();
        for request in open {
            requests::answer(&store, &request, None).await.unwrap();
        }
    });
    write(&format!("{manifest}nan = \"allow\"\n"));
    world.worker();
    let (state, problems) = world.job("tumour");
    assert_eq!(state, "tampered", "{problems}");
    let run = world
        .0
        .row("SELECT state, reason FROM {helenus}.runs WHERE job = 'tumour'");
    assert_eq!(World::text(&run, "state"), "failed", "{run:?}");
    assert!(
        World::text(&run, "reason").contains("was altered"),
        "{run:?}"
    );
    let refused = world.0.json(&["score", "tumour"]).code(2);
    assert_eq!(refused.error()["code"], "job.tampered", "{refused:?}");
    // As it was, it counts again.
    write(&manifest);
    world.worker();
    assert_eq!(world.job("tumour").0, "ready");
    world.0.helenus(&["score", "tumour"]).ok();
    // An older revision that runs still use is held to its answer, too.
    world.0.cql(
        "INSERT INTO {helenus}.jobs (job, revision, manifest) VALUES ('tumour', 2, 'versions = [')",
    );
    world.worker();
    write(&format!("{manifest}nan = \"allow\"\n"));
    let refused = world.0.json(&["score", "tumour"]).code(2);
    assert_eq!(refused.error()["code"], "job.tampered", "{refused:?}");
}
