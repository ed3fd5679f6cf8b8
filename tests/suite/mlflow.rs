//! `helenus model import` from a real MLflow server.

use std::{
    net::TcpListener,
    os::unix::process::CommandExt,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::{
    Model, Sandbox,
    cli::{self, Output, Running},
    required,
};

/// An MLflow server with sqlite, on a port of its own.
struct Mlflow {
    url: String,
    server: Running,
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        // The command starts the server as a process of its own, in the same group.
        let group = i32::try_from(self.server.pid())
            .ok()
            .and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

impl Mlflow {
    fn start(sandbox: &Sandbox) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        drop(listener);
        let path = |name: &str| sandbox.directory().join(name).display().to_string();
        let mut command = Command::new(required("HELENUS_TEST_MLFLOW"));
        command
            .args([
                "-m",
                "mlflow",
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                &port,
            ])
            .args(["--workers", "1", "--backend-store-uri"])
            .arg(format!("sqlite:///{}", path("mlflow.sqlite")))
            .args(["--artifacts-destination", &path("artifacts")])
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            // Nothing here is asked to run in the background.
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .process_group(0)
            .current_dir(sandbox.directory());
        let server = Running::start(command);
        let url = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            let waited = began.elapsed();
            assert!(
                waited < Duration::from_secs(180),
                "{}",
                server.stderr_so_far()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        Self { url, server }
    }

    /// Runs the client; the last line of its output that is a number is the version.
    #[track_caller]
    fn client(&self, words: &[&str]) -> String {
        let mut command = Command::new(required("HELENUS_TEST_MLFLOW"));
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/clients/mlflow_registry.py"
            ))
            .args(words)
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env("MLFLOW_TRACKING_URI", &self.url);
        let said = cli::run(command).ok().stdout;
        let lines = said.lines().map(str::trim);
        let mut numbers = lines.filter(|line| line.parse::<u32>().is_ok());
        numbers.next_back().unwrap_or_default().to_owned()
    }

    fn import(&self, sandbox: &Sandbox, words: &[&str]) -> Output {
        let arguments = [&["model", "import", "--output", "json"], words].concat();
        let mut command = sandbox.command(&arguments);
        command.env("MLFLOW_TRACKING_URI", &self.url);
        cli::run(command)
    }
}

#[test]
fn a_version_of_the_registry_becomes_one_with_its_names_metrics_and_origin() {
    let sandbox = Sandbox::migrated("mlflow");
    let mlflow = Mlflow::start(&sandbox);
    let lr = Model::named("breast_cancer_lr");
    let names = lr.text("features.txt");
    let names: Vec<&str> = names.lines().collect();
    let columns = format!("columns:{}", names.join(","));
    let (file, golden, features) = (
        lr.path("model.onnx"),
        lr.path("golden.csv"),
        lr.path("features.txt"),
    );

    // A DataFrame's signature has the names; an alias names the version.
    let first = mlflow.client(&["log", "tumour", &file, &columns, "--classes", "good,bad"]);
    mlflow.client(&["alias", "tumour", "champion", &first]);
    let imported = mlflow
        .import(&sandbox, &["mlflow:models:/tumour@champion"])
        .ok()
        .result();
    assert_eq!(imported["features_from"], "signature");
    assert_eq!(
        (imported["version"].clone(), imported["state"].clone()),
        (1.into(), "ready".into())
    );
    let shown = sandbox
        .json(&["model", "show", "tumour", "1"])
        .ok()
        .result();
    let shown = &shown["registered"];
    assert_eq!(shown["tags"]["mlflow.version"], *first);
    assert_eq!(shown["tags"]["mlflow.name"], "tumour");
    assert_eq!(shown["tags"]["mlflow.uri"], *mlflow.url);
    assert!(
        shown["tags"]["mlflow.model_id"]
            .as_str()
            .unwrap()
            .starts_with("m-")
    );
    assert_eq!(shown["metrics"]["auc"], 0.991);
    let row = sandbox.row("SELECT feature_names, class_names FROM {helenus}.model_versions WHERE name = 'tumour' AND version = 1");
    let texts = |column: &str| -> Vec<String> {
        let list = row[column].as_list().unwrap().iter();
        list.map(|one| one.as_text().unwrap().clone()).collect()
    };
    assert_eq!(texts("feature_names"), names);
    assert_eq!(texts("class_names"), ["good", "bad"]);

    // Of tensors: the names and the golden rows that lie beside the model.
    let second = mlflow.client(&[
        "log",
        "tumour",
        &file,
        "tensor:30",
        "--beside",
        &golden,
        "--beside",
        &features,
    ]);
    mlflow.client(&["alias", "tumour", "champion", &second]);
    let imported = mlflow
        .import(&sandbox, &["mlflow:models:/tumour@champion"])
        .ok()
        .result();
    assert_eq!(imported["features_from"], "file");
    assert_eq!(imported["tags"]["mlflow.version"], *second);
    let row = sandbox.row(
        "SELECT golden_sha256 FROM {helenus}.model_versions WHERE name = 'tumour' AND version = 2",
    );
    assert!(row.contains_key("golden_sha256"));

    // By number, under another name; without names the warning says why.
    let third = mlflow.client(&["log", "tumour", &file, "tensor:30"]);
    let source = format!("mlflow:models:/tumour/{third}");
    let output = mlflow.import(&sandbox, &[&source, "--name", "other"]).ok();
    assert_eq!(output.result()["name"], "other");
    let warnings = output.json()["warnings"].to_string();
    assert!(warnings.contains("order_unproven"), "{warnings}");
    assert!(
        warnings.contains("mlflow_unnamed: its signature is of tensors"),
        "{warnings}"
    );

    for (source, code, error) in [
        ("mlflow:models:/tumour@nobody", 5, "mlflow.not_found"),
        ("mlflow:models:/nothing/1", 5, "mlflow.not_found"),
        ("mlflow:models:/tumour", 2, "mlflow.source"),
    ] {
        let output = mlflow.import(&sandbox, &[source]).code(code);
        assert_eq!(output.error()["code"], error, "{source}");
    }
    mlflow.client(&["sklearn", "forest"]);
    let error = mlflow
        .import(&sandbox, &["mlflow:models:/forest/1"])
        .code(2)
        .error();
    assert_eq!(
        error["message"],
        "the model has no ONNX flavour; it has: sklearn"
    );
    let rows = sandbox.rows("SELECT version FROM {helenus}.model_versions WHERE name = 'forest'");
    assert_eq!(rows.len(), 0);
}

#[test]
fn a_folder_of_mlflow_is_imported_without_a_server() {
    let sandbox = Sandbox::shared("mlflow_folder");
    let lr = Model::named("breast_cancer_lr");
    let name = sandbox.name("folder");
    let folder = sandbox.directory().join("downloaded");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(lr.path("model.onnx"), folder.join("model.onnx")).unwrap();
    std::fs::write(
        folder.join("MLmodel"),
        "flavors:\n  onnx: {data: model.onnx}\nmodel_id: m-1\nsignature: {inputs: '[{\"type\": \"any\"}]'}\n",
    )
    .unwrap();
    sandbox.helenus(&["model", "import", "downloaded"]).code(2);
    let import = ["model", "import", "downloaded", "--name", name.as_str()];
    let output = sandbox.json(&import).ok();
    assert_eq!(output.result()["tags"]["mlflow.model_id"], "m-1");
    assert!(
        output.json()["warnings"]
            .to_string()
            .contains("MLflow could not infer it")
    );
    // Without a server that answers.
    let mut command = sandbox.command(&["model", "import", "mlflow:models:/x/1"]);
    command.env("MLFLOW_TRACKING_URI", "http://127.0.0.1:9");
    cli::run(command).code(3);
    sandbox
        .helenus(&["model", "import", "mlflow:models:/x/1"])
        .code(2);
}
