//! Admission of files: the models that ship with the project, and files that were made to hurt.
//!
//! Needs ONNX Runtime's library (scripts/setup), but no Cassandra.

mod command;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use helenus::{
    domain::{
        csv,
        model::{Admitted, ClassSource, tolerance::Tolerance},
        problem::Problem,
    },
    scorer::{
        admit::{Request, Sha},
        artifacts::ArtifactFile,
        child::{self, Limits, Outcome},
        runtime,
    },
};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn library() -> PathBuf {
    let named = std::env::var_os("HELENUS_ONNXRUNTIME").map(PathBuf::from);
    runtime::locate(named.as_deref())
}

fn limits() -> Limits {
    Limits {
        program: PathBuf::from(env!("CARGO_BIN_EXE_helenus")),
        ..Limits::default()
    }
}

pub(crate) fn request(file: &str) -> Request {
    Request::new(root().join(file), library())
}

/// A shipped model with what its folder knows about it.
pub(crate) fn shipped(name: &str) -> Request {
    let folder = root().join("models").join(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let mut request = request(&format!("models/{name}/model.onnx"));
    request.golden = read("golden.csv");
    request.feature_names = read("features.txt")
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    let options = read("push.txt").unwrap_or_default();
    let options: Vec<&str> = options.lines().collect();
    for pair in options.chunks(2) {
        let (name, value) = pair[1].split_once('=').expect("NAME=VALUE");
        if pair[0] == "--width" {
            let width = value.parse().expect("a width");
            request.widths.insert(name.to_owned(), width);
        } else {
            let path = value
                .replace("{folder}", &folder.display().to_string())
                .into();
            let artifact = ArtifactFile { path, sha256: None };
            request.artifacts.insert(name.to_owned(), artifact);
        }
    }
    if let Some(text) = read("tolerance.toml") {
        let tolerance: toml::Table = text.parse().expect("tolerance.toml");
        request.tolerance = Tolerance {
            rtol: tolerance["rtol"].as_float().expect("rtol"),
            atol: tolerance["atol"].as_float().expect("atol"),
        };
    }
    request
}

fn decide(request: &Request) -> Outcome {
    child::run(request, &limits()).expect("a child")
}

pub(crate) fn admitted(request: &Request) -> Admitted {
    decide(request).verdict().expect("admitted")
}

fn rejected(request: &Request) -> Vec<Problem> {
    decide(request).verdict().expect_err("rejected")
}

#[track_caller]
fn rejected_for(request: &Request, code: &str) -> Problem {
    let problems = rejected(request);
    problems
        .iter()
        .find(|problem| problem.code == code)
        .unwrap_or_else(|| panic!("no {code} in {problems:?}"))
        .clone()
}

fn classes(admitted: &Admitted) -> Vec<(Vec<String>, ClassSource, bool)> {
    let outputs = admitted.signature.outputs.iter();
    outputs
        .filter_map(|output| {
            let classes = output.classes.clone()?;
            Some((classes.names, classes.source, output.simplex))
        })
        .collect()
}

#[test]
fn every_shipped_model_is_admitted_with_its_golden_rows() {
    let folders = std::fs::read_dir(root().join("models")).expect("models/");
    let mut seen = 0;
    for folder in folders {
        let folder = folder.expect("an entry").path();
        if !folder.join("model.onnx").exists() {
            continue;
        }
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        let verdict = decide(&shipped(name)).verdict();
        let admitted = verdict.unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
        for output in &admitted.signature.outputs {
            assert!(output.width() > 0, "{name}: {output:?}");
        }
        seen += 1;
    }
    assert!(seen >= 25, "only {seen} models");
}

#[test]
fn hostile_files_get_the_verdict_they_deserve() {
    let cases = root().join("tests/hostile/cases.csv");
    let text = std::fs::read_to_string(cases).expect("cases.csv");
    let reader = csv::Reader::new(&text).expect("a header");
    let mut wrong = Vec::new();
    for record in reader {
        let record = record.expect("a record");
        let field = |at: usize| record.fields[at].value.clone().unwrap_or_default();
        let (file, verdict, at, word) = (field(0), field(1), field(2), field(3));
        let mut limits = limits();
        // Those that never end are given less time to do so.
        if word == "time" {
            limits.time = Duration::from_secs(5);
        }
        let request = request(&format!("tests/hostile/{file}"));
        let outcome = child::run(&request, &limits).expect("a child").verdict();
        let (got, said) = match &outcome {
            Ok(admitted) => ("accepted", admitted.warnings.join("\n")),
            Err(problems) => {
                let lines: Vec<_> = problems.iter().map(Problem::line).collect();
                ("rejected", lines.join("\n"))
            }
        };
        // Accepted where the locale is installed.
        let either = file == "needs_locale.onnx" && (outcome.is_ok() || said.contains(&word));
        let right = got == verdict && (at == "job" || said.contains(&word));
        if !right && !either {
            wrong.push(format!(
                "{file}: {got}, not {verdict} with `{word}`: {said}"
            ));
        }
        // No C++ source paths, and never nothing.
        if said.contains("/onnxruntime_src/") || (outcome.is_err() && said.trim().is_empty()) {
            wrong.push(format!("{file}: says {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn class_names_come_from_the_option_then_the_metadata_then_the_graph() {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let mut lr = shipped("breast_cancer_lr");
    let own = names(&["benign", "malignant"]);
    assert_eq!(
        classes(&admitted(&lr)),
        [(own.clone(), ClassSource::Zipmap, true)]
    );
    lr.class_names = names(&["good", "bad"]);
    assert_eq!(
        classes(&admitted(&lr)),
        [(lr.class_names.clone(), ClassSource::PushOption, true)]
    );
    assert_eq!(
        classes(&admitted(&shipped("breast_cancer_forest"))),
        [(own.clone(), ClassSource::ClasslabelsAttribute, true)]
    );
    // Decision values, whatever the output is called.
    assert_eq!(
        classes(&admitted(&shipped("breast_cancer_linear_svc"))),
        [(own, ClassSource::ClasslabelsAttribute, false)]
    );
    let wine = classes(&admitted(&shipped("wine_svc")));
    assert_eq!((wine[0].1, wine[0].2), (ClassSource::MetadataProps, false));
    assert_eq!(classes(&admitted(&shipped("iris_kmeans"))), []);

    lr.class_names = names(&["one", "two", "three"]);
    rejected_for(&lr, "model.class_count");
    lr.class_names = names(&["same", "same"]);
    rejected_for(&lr, "model.class_twice");
}

#[test]
fn a_zipmap_is_read_before_it_zips() {
    let admitted = admitted(&shipped("breast_cancer_lr"));
    let output = &admitted.signature.outputs[1];
    assert_eq!(
        (output.name.as_str(), output.public_name.as_str()),
        ("probabilities", "output_probability")
    );
    assert_eq!(output.dims, [2]);
    assert!(!admitted.merge.is_empty());
}

#[test]
fn golden_rows_that_differ_are_named() {
    let mut request = shipped("breast_cancer_lr");
    let golden = request.golden.take().expect("golden rows");
    let lines: Vec<&str> = golden.lines().collect();
    let (row, last) = lines[3].rsplit_once(',').expect("columns");
    let wrong = format!("{row},{}", last.parse::<f64>().expect("a number") + 1e-4);
    let changed: Vec<&str> = lines[..3]
        .iter()
        .copied()
        .chain([wrong.as_str()])
        .chain(lines[4..].iter().copied())
        .collect();
    request.golden = Some(changed.join("\n"));
    let problem = rejected_for(&request, "golden.differs");
    assert!(
        problem.message.contains("golden row 3") && problem.message.contains("expected"),
        "{}",
        problem.message
    );
    assert!(
        problem
            .place
            .is_some_and(|place| place.starts_with("line 4, column "))
    );
    request.tolerance.atol = 1e-3;
    admitted(&request);
}

#[test]
fn golden_rows_catch_features_in_the_wrong_order() {
    let mut request = shipped("breast_cancer_lr");
    request.feature_names.swap(0, 1);
    rejected_for(&request, "golden.differs");
}

fn warned(request: &Request, word: &str) -> bool {
    admitted(request)
        .warnings
        .iter()
        .any(|warning| warning.starts_with(word))
}

#[test]
fn few_golden_rows_and_an_unproven_order_leave_warnings() {
    let mut request = shipped("breast_cancer_lr");
    for word in ["few_golden_rows", "no_golden_rows", "order_unproven"] {
        assert!(!warned(&request, word), "{word}");
    }
    let golden = request.golden.take().expect("golden rows");
    assert!(warned(&request, "no_golden_rows"));
    let few: Vec<&str> = golden.lines().take(6).collect();
    request.golden = Some(few.join("\n"));
    assert!(warned(&request, "few_golden_rows: 5"));
    request.golden = None;
    request.feature_names.clear();
    assert!(warned(&request, "order_unproven"));
}

#[test]
fn feature_names_must_be_as_many_as_the_places() {
    let mut request = shipped("breast_cancer_lr");
    request.feature_names.pop();
    rejected_for(&request, "model.feature_count");
    request.feature_names.push("mean radius".to_owned());
    rejected_for(&request, "model.feature_twice");
    // An open width is as wide as the names say.
    let mut open = self::request("tests/hostile/open_width.onnx");
    open.feature_names = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(admitted(&open).signature.inputs[0].dims, [2]);
}

#[test]
fn a_model_above_the_limit_is_refused_before_it_is_read() {
    let mut request = shipped("breast_cancer_lr");
    request.max_size = 1_000;
    rejected_for(&request, "model.too_big");
}

#[test]
fn bytes_other_than_the_registered_ones_are_refused() {
    let mut request = shipped("breast_cancer_lr");
    request.sha256 = Some(Sha([7; 32]));
    rejected_for(&request, "model.sha256");
}

#[test]
fn a_time_limit_is_a_verdict_that_names_it_once() {
    let mut limits = limits();
    limits.time = Duration::from_secs(1);
    let hangs = request("tests/hostile/endless_loop.onnx");
    let outcome = child::run(&hangs, &limits).expect("a child");
    let Outcome::OutOfTime(problem) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(problem.code, "model.time_limit");
    assert_eq!(problem.line().matches("1 s").count(), 1, "{problem:?}");
    assert_eq!(
        problem.line().matches("admission_timeout").count(),
        1,
        "{problem:?}"
    );
}

#[test]
fn memory_that_is_refused_while_loading_or_scoring_is_the_memory_limit() {
    for file in ["alloc_load.onnx", "alloc_run.onnx"] {
        let problems = rejected(&request(&format!("tests/hostile/{file}")));
        let [problem] = problems.as_slice() else {
            panic!("{file}: {problems:?}");
        };
        assert_eq!(problem.code, "model.memory_limit", "{file}: {problem:?}");
        let line = problem.line();
        assert_eq!(line.matches("2048 MiB").count(), 1, "{file}: {line}");
        assert!(!line.contains("golden"), "{file}: {line}");
    }
}

#[test]
fn a_process_that_the_machine_ended_may_be_followed_by_another() {
    let mut limits = limits();
    // Ends as the kernel's killer would end it.
    let folder = tempfile::tempdir().expect("a folder");
    limits.program = folder.path().join("killed");
    std::fs::write(&limits.program, "#!/bin/sh\nkill -9 $$\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&limits.program, mode).expect("made executable");
    let outcome = child::run(&shipped("iris_mlp"), &limits).expect("a child");
    let Outcome::Died(problem) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(problem.code, "model.memory_limit");
    assert!(problem.message.contains("was killed"), "{problem:?}");
}

#[test]
fn an_output_of_nothing_but_nan_is_warned_of() {
    assert!(warned(
        &request("tests/models/always_nan.onnx"),
        "all_nan: output `y` is NaN for each of 64 trial rows"
    ));
    assert!(!warned(
        &request("tests/hostile/nan_output.onnx"),
        "all_nan"
    ));
}

#[test]
fn a_label_that_is_declared_one_and_comes_by_row_is_no_news() {
    for model in ["breast_cancer_lgbm", "wine_lgbm"] {
        assert!(!warned(&shipped(model), "model.shape_differs"), "{model}");
    }
}

#[test]
fn a_library_that_cannot_be_loaded_is_not_the_models_fault() {
    let mut request = shipped("breast_cancer_lr");
    request.library = root().join("no/such/libonnxruntime.so");
    let problem = child::run(&request, &limits()).expect_err("no library");
    assert_eq!(problem.code, "runtime.library");
    assert!(
        problem
            .help
            .is_some_and(|help| help.contains("HELENUS_ONNXRUNTIME"))
    );
    request.library = PathBuf::from("libm.so.6");
    let problem = child::run(&request, &limits()).expect_err("another library");
    assert!(
        problem.message.contains("not ONNX Runtime's"),
        "{problem:?}"
    );
}
