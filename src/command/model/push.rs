//! `helenus model push`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Cursor},
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{super::Context, check, wait};
use crate::{
    domain::{
        model::{AdmissionState, check_name},
        problem::Problem,
    },
    failure::Failure,
    output::{Answer, Format},
    process,
    scorer::admit::too_big,
    store::{Store, admissions::Admission, chunks::Blob, models::VersionRow},
    worker::admission,
};

/// Store an ONNX file as the next version of a model
///
/// The file goes into Cassandra in chunks of 512 KiB, each read back before the version exists; a
/// push that dies leaves nothing visible, and the same command goes on where it stopped. Then the
/// version is admitted: walked, loaded and tried in a process with limits. A rejected version stays
/// as a fact and can't be used (exit code 1).
///
/// Order is the silent killer: exports of scikit-learn, LightGBM and XGBoost carry no feature
/// names. Give them, and 20 or more golden rows, which catch every swapped pair.
///
/// Examples:
///
///     helenus model push tumour tumour.onnx --features features.txt --golden golden.csv
///     helenus model push tumour tumour.onnx --classes benign,malignant \
///         --tag git=4f2c1e --metric auc=0.991 --note "retrained on 2026 data"
///
/// features.txt has a name a line, in the model's order. golden.csv has columns `in.<feature>`
/// and `out.<output>` (`out.probabilities[1]`).
///
/// JSON result: {"model", "version", "sha256", "size", "chunks", "sent", "state": "ready" |
///   "rejected" | "undecided", "reason", "admission": as of `model check`, or null}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model's name: a lower-case letter, then lower-case letters, digits and `_`
    name: String,
    /// The ONNX file
    file: PathBuf,
    #[command(flatten)]
    facts: check::Facts,
    /// Something to remember, `key=value`; may be given again
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
    /// A number to remember, `auc=0.99`; may be given again
    #[arg(long = "metric", value_name = "KEY=NUMBER", value_parser = metric)]
    metrics: Vec<(String, f64)>,
    /// A sentence to remember
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it takes key=value".to_owned()),
    }
}

fn metric(text: &str) -> Result<(String, f64), String> {
    let (key, value) = pair(text)?;
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((key, number)),
        _ => Err(format!("`{value}` is no finite number")),
    }
}

/// Uploads, registers, and has it admitted.
///
/// # Errors
/// Wrong input before anything is sent; Cassandra; exit 1 with all reasons when it is rejected.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let feature_names = args.facts.feature_names()?;
    let golden = args.facts.golden_text()?;
    args.facts.tolerance()?;
    let limit = (context.config.max_model_mib as u64) << 20;
    let mut file = open(&args.file, limit)?;
    let store = context.store().await?;

    let blob = Blob::measure(&file).map_err(|error| unreadable(&args.file, &error))?;
    if blob.size > limit {
        return Err(Failure::input(too_big(blob.size, limit)));
    }
    io::Seek::rewind(&mut file).map_err(|error| unreadable(&args.file, &error))?;
    let golden_sha256 = match &golden {
        None => None,
        Some(text) => {
            let golden = Blob::measure(text.as_bytes()).map_err(|error| {
                Failure::system(Problem::new("system.memory", error.to_string()))
            })?;
            store.upload(Cursor::new(text), &golden, |_| {}).await?;
            Some(golden.sha256.to_vec())
        }
    };
    let bar = bar(blob.size, context.format);
    let sent = store
        .upload(file, &blob, |length| bar.inc(length as u64))
        .await?;
    bar.finish_and_clear();

    let row = VersionRow {
        name: args.name.clone(),
        format: Some("onnx".to_owned()),
        sha256: Some(blob.sha256.to_vec()),
        size: i64::try_from(blob.size).ok(),
        chunks: Some(blob.chunks),
        feature_names: some(feature_names),
        class_names: some(args.facts.classes.clone()),
        golden_sha256,
        rtol: args.facts.rtol,
        atol: args.facts.atol,
        tags: map(args.tags),
        metrics: map(args.metrics),
        note: args.note,
        registered_by: Some(process::user()),
        ..VersionRow::default()
    };
    let version = store.insert_version(row).await?;
    if context.format == Format::Text {
        let name = &args.name;
        eprintln!(
            "`{name}` version {version} is stored ({sent} of {} bytes sent); admission tries it now",
            blob.size
        );
    }
    let admission = admitted(&store, &args.name, version).await?;
    Ok(answer(&args.name, version, &blob, sent, admission))
}

fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

fn map<T>(pairs: Vec<(String, T)>) -> Option<BTreeMap<String, T>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::input(Problem::new(
        "model.unreadable",
        format!("{} cannot be read: {error}", path.display()),
    ))
}

fn open(path: &Path, limit: u64) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if !about.is_file() {
        return Err(unreadable(path, &io::Error::other("it is no file")));
    }
    if about.len() == 0 {
        let problem = Problem::new("model.empty", format!("{} is empty", path.display()));
        return Err(Failure::input(problem));
    }
    if about.len() > limit {
        return Err(Failure::input(too_big(about.len(), limit)));
    }
    Ok(file)
}

fn bar(size: u64, format: Format) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{elapsed_precise} {bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, ETA {eta}",
    );
    let bar =
        ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// The verdict: made here, or by a worker where this login or this machine can't.
async fn admitted(store: &Store, name: &str, version: i32) -> Result<Option<Admission>, Failure> {
    let mut here = match admission::Service::new(store) {
        Ok(service) => Some(service),
        Err(failure) => {
            wait::say(&format!("this machine can't admit ({failure})"));
            None
        }
    };
    let mut wait = wait::Wait::new();
    loop {
        if let Some(service) = &mut here {
            match service.decide(store, name, version).await {
                Ok(admission::Answer::Decided(admission)) => return Ok(Some(*admission)),
                Ok(admission::Answer::Elsewhere(who)) => wait.tell(&who),
                Ok(admission::Answer::Missing) => {
                    let problem = "the version that was just written is gone";
                    return Err(Failure::system(Problem::new("store.corrupt", problem)));
                }
                Err(failure) if wait::is_denied(&failure) => {
                    wait::say("this login may not admit");
                    here = None;
                }
                Err(failure) => return Err(failure),
            }
        } else {
            wait.tell("a worker");
            if let Some(admission) = store.admission(name, version).await? {
                return Ok(Some(admission));
            }
        }
        if !wait.more(Duration::from_millis(250)).await {
            return Ok(None);
        }
    }
}

fn answer(
    name: &str,
    version: i32,
    blob: &Blob,
    sent: u64,
    admission: Option<Admission>,
) -> Answer {
    let mut result = json!({
        "model": name, "version": version, "sha256": hex::encode(blob.sha256),
        "size": blob.size, "chunks": blob.chunks, "sent": sent,
        "state": "undecided", "reason": null, "admission": null,
    });
    let Some(admission) = admission else {
        let text = format!("`{name}` version {version} is stored and waits for its admission");
        return Answer::new(result, text).warn(format!(
            "no verdict yet: `helenus worker --once` where ONNX Runtime is, then `helenus model show {name} {version}`"
        ));
    };
    result["state"] = json!(admission.state.to_string());
    result["reason"] = json!(admission.reason);
    if let (AdmissionState::Ready, Some(admitted)) = (admission.state, &admission.admitted) {
        let told = check::accepted(admitted);
        result["admission"] = told.result;
        let text = format!("`{name}` version {version} is ready\n{}", told.text);
        let mut answer = Answer::new(result, text);
        answer.warnings = told.warnings;
        return answer;
    }
    let mut answer = Answer::new(
        result,
        format!(
            "`{name}` version {version} is {}; the row stays as a fact",
            admission.state
        ),
    );
    let reason = admission.reason.unwrap_or_default();
    let problems: Vec<Problem> = reason
        .lines()
        .map(|line| Problem::new("model.rejected", line))
        .collect();
    let mut failure = Failure::no(Problem::new("model.rejected", "no reason was given"));
    if !problems.is_empty() {
        failure.problems = problems;
    }
    answer.failed = Some(failure);
    answer
}
