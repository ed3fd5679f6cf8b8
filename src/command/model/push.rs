//! `helenus model push`.

use std::{collections::BTreeMap, fs::File, io::Seek, path::PathBuf, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{super::Context, ask, check};
use crate::{
    domain::{
        golden::Golden,
        model::{AdmissionState, check_name},
        problem::Problem,
    },
    failure::Failure,
    output::{Answer, Format},
    process,
    scorer::admit::too_big,
    store::{Store, admissions::Admission, chunks::Blob, models::VersionRow},
    worker::admission::{Answer as Verdict, Service},
};

/// Register a file as the model's next version, and have it admitted
///
/// The bytes go in chunks that are read back, then the version's row makes them visible: a push
/// that dies before leaves nothing to see. Versions count 1, 2, 3 …; two pushes at once make two.
/// Admission then decides whether it may score: here, if this login and this machine can, or by a
/// worker. Exit code 1: registered, and rejected.
///
/// Order is the silent killer: exports of scikit-learn, LightGBM and XGBoost carry no feature
/// names. Give them, and 20 or more golden rows, which catch every swapped pair. features.txt has
/// a name a line, in the model's order; golden.csv has columns `in.<feature>` and `out.<output>`.
///
/// Examples:
///
///     helenus model push tumour model.onnx --features features.txt --golden golden.csv
///     helenus model push tumour model.onnx --classes benign,malignant --metric auc=0.991
///
/// JSON result: {"name", "version", "sha256", "size", "bytes_sent", "state": "ready" | "rejected" |
///   "undecided", "found": null or as of `model check`}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The ONNX file
    file: PathBuf,
    #[command(flatten)]
    facts: check::Facts,
    /// A tag, `key=value`; may be given again
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// A metric, `key=number`; may be given again
    #[arg(long = "metric", value_name = "KEY=NUMBER")]
    metrics: Vec<String>,
    /// A note for people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Do not wait for the admission
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    wait: ask::Wait,
}

/// Pushes.
///
/// # Errors
/// Exit 2: a file or an option can't be used; exit 1: the version is rejected; exit 3: Cassandra,
/// or nobody decided in time.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    check_name("a model", &args.name).map_err(Failure::input)?;
    let mut row = row(&args)?;
    let limit = (context.config.max_model_mib as u64) << 20;
    let (mut file, blob) = open(&args.file, limit)?;
    let golden = args.facts.golden_text()?;
    if let (Some(text), Some(path)) = (&golden, &args.facts.golden) {
        Golden::parse(text).map_err(|mut problems| {
            check::name_file(&mut problems, path);
            Failure::inputs(problems)
        })?;
    }
    let store = context.store().await?;

    let bar = progress(context, blob.size);
    let sent = store
        .upload(&mut file, &blob, |bytes| bar.inc(bytes as u64))
        .await?;
    bar.finish_and_clear();
    if let Some(text) = &golden {
        let measured =
            Blob::measure(text.as_bytes()).map_err(|error| unusable(&args.file, &error))?;
        store.upload(text.as_bytes(), &measured, |_| {}).await?;
        row.golden_sha256 = Some(measured.sha256.to_vec());
    }
    row.sha256 = Some(blob.sha256.to_vec());
    row.size = i64::try_from(blob.size).ok();
    row.chunks = Some(blob.chunks);
    let same: Vec<_> = store
        .versions(&args.name)
        .await?
        .into_iter()
        .filter(|other| other.sha256 == row.sha256)
        .map(|other| other.version.to_string())
        .collect();
    let version = store.insert_version(row).await?;
    ask::say(
        context,
        &format!("{} version {version} is registered", args.name),
    );

    let admission = if args.no_wait {
        None
    } else {
        Some(admitted(&store, context, &args.name, version, args.wait).await?)
    };
    let mut answer = told(&args.name, version, &blob, sent, admission.as_ref());
    if !same.is_empty() {
        answer = answer.warn(format!(
            "same_bytes: version {} of `{}` has the same bytes",
            same.join(", "),
            args.name
        ));
    }
    Ok(answer)
}

/// The verdict: decided here where that can be, by a worker otherwise.
async fn admitted(
    store: &Store,
    context: &Context,
    name: &str,
    version: i32,
    wait: ask::Wait,
) -> Result<Admission, Failure> {
    let deadline = wait.deadline();
    let mut said = false;
    let mut service = match Service::new(store) {
        Ok(service) => Some(service),
        Err(failure) => {
            ask::say(
                context,
                &format!(
                    "{failure}; waiting up to {} s for a worker to admit it",
                    wait.wait
                ),
            );
            None
        }
    };
    loop {
        let standing = match &mut service {
            None => store.admission(name, version).await?,
            Some(deciding) => match deciding.decide(store, name, version).await {
                Ok(Verdict::Decided(admission)) => Some(*admission),
                Ok(Verdict::Missing) => return Err(super::no_version(name, Some(version))),
                Ok(Verdict::Elsewhere(who)) => {
                    if !std::mem::replace(&mut said, true) {
                        ask::say(context, &format!("{who} is admitting it; waiting"));
                    }
                    None
                }
                Err(failure) if failure.is("cassandra.denied") => {
                    service = None;
                    ask::say(
                        context,
                        &format!(
                            "this login may not admit it; waiting up to {} s for a worker",
                            wait.wait
                        ),
                    );
                    None
                }
                Err(failure) => return Err(failure),
            },
        };
        match standing {
            Some(admission) if admission.state != AdmissionState::Admitting => {
                return Ok(admission);
            }
            _ if std::time::Instant::now() >= deadline => {
                return Err(ask::silent(
                    &format!("{name} version {version} is registered but not admitted"),
                    wait,
                ));
            }
            _ => tokio::time::sleep(Duration::from_millis(250)).await,
        }
    }
}

fn told(name: &str, version: i32, blob: &Blob, sent: u64, admission: Option<&Admission>) -> Answer {
    let found = admission
        .and_then(|admission| admission.admitted.as_ref())
        .map(check::accepted);
    let state = admission.map_or_else(
        || "undecided".to_owned(),
        |admission| admission.state.to_string(),
    );
    let sent_text = match sent {
        0 => "all bytes were there already".to_owned(),
        sent => format!("{sent} bytes sent"),
    };
    let mut text = format!("{name} version {version}: {state} ({sent_text})");
    if let Some(found) = &found {
        text.push_str(&format!("\n{}", found.text));
    }
    let mut answer = Answer::new(
        json!({
            "name": name,
            "version": version,
            "sha256": hex::encode(blob.sha256),
            "size": blob.size,
            "bytes_sent": sent,
            "state": state,
            "found": found.as_ref().map(|found| &found.result),
        }),
        text,
    );
    if let Some(found) = found {
        answer.warnings = found.warnings;
    }
    if let Some(admission) = admission.filter(|admission| admission.state != AdmissionState::Ready)
    {
        let reason = admission.reason.clone().unwrap_or_default();
        let problem =
            Problem::new(&format!("model.{state}"), reason).at(format!("{name} version {version}"));
        answer.failed = Some(Failure::no(problem));
    }
    answer
}

fn row(args: &Args) -> Result<VersionRow, Failure> {
    let pair = |option: &str, text: &str| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::input(
            Problem::new("usage", format!("`{text}` is no key=value")).at(option),
        )),
    };
    let tags = args
        .tags
        .iter()
        .map(|text| pair("--tag", text))
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    let metrics = args
        .metrics
        .iter()
        .map(|text| {
            let (key, value) = pair("--metric", text)?;
            let number = value
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite());
            let number = number.ok_or_else(|| {
                Failure::input(
                    Problem::new("usage", format!("`{value}` is no finite number")).at("--metric"),
                )
            })?;
            Ok((key, number))
        })
        .collect::<Result<BTreeMap<_, _>, Failure>>()?;
    let tolerance = args.facts.tolerance()?;
    let features = args.facts.feature_names()?;
    Ok(VersionRow {
        name: args.name.clone(),
        format: Some("onnx".to_owned()),
        feature_names: Some(features).filter(|names| !names.is_empty()),
        class_names: Some(args.facts.classes.clone()).filter(|names| !names.is_empty()),
        rtol: args.facts.rtol.map(|_| tolerance.rtol),
        atol: args.facts.atol.map(|_| tolerance.atol),
        tags: Some(tags).filter(|tags| !tags.is_empty()),
        metrics: Some(metrics).filter(|metrics| !metrics.is_empty()),
        note: args.note.clone(),
        registered_by: Some(process::user()),
        ..VersionRow::default()
    })
}

fn open(path: &PathBuf, limit: u64) -> Result<(File, Blob), Failure> {
    let mut file = File::open(path).map_err(|error| unusable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unusable(path, &error))?;
    if !metadata.is_file() {
        return Err(unusable(path, &std::io::Error::other("it is no file")));
    }
    let place = path.display().to_string();
    if metadata.len() > limit {
        return Err(Failure::input(too_big(metadata.len(), limit).at(place)));
    }
    let blob = Blob::measure(&file).map_err(|error| unusable(path, &error))?;
    if blob.size == 0 {
        return Err(Failure::input(
            Problem::new("model.empty", "the file is empty").at(place),
        ));
    }
    file.rewind().map_err(|error| unusable(path, &error))?;
    Ok((file, blob))
}

fn unusable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::input(
        Problem::new("model.unreadable", format!("cannot be read: {error}"))
            .at(path.display().to_string()),
    )
}

/// On a terminal: bytes, rate and time left.
fn progress(context: &Context, size: u64) -> ProgressBar {
    let bar = ProgressBar::new(size);
    if context.format == Format::Json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    // The template is ours and parses; if it did not, the plain bar would do.
    if let Ok(style) =
        ProgressStyle::with_template("pushing {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
