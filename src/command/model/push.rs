//! `helenus model push`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Seek,
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{
    super::{
        Context,
        ask::{self, Intent, Reconciled},
    },
    check,
    preprocess::{PreprocessArgs, add_entry},
};
use crate::{
    domain::{
        model::{AdmissionState, check_name},
        problem::Problem,
    },
    engine::{
        admission::{Answer as Verdict, Service},
        artifacts, reference,
    },
    failure::Failure,
    output::{Answer, Format},
    process,
    scorer::admit::too_big,
    store::{
        Store,
        registry::{admissions::Admission, chunks::Blob, models::VersionRow},
    },
};

/// Register a file as the model's next version and have it admitted
///
/// The bytes are sent in chunks that are read back; then the version's row makes them visible. A push
/// that fails before leaves nothing visible. Versions count 1, 2, 3 …; two pushes at once make two.
/// Admission then decides whether the version can score: in this process if its login is permitted
/// to and ONNX Runtime is available, otherwise in a worker. Exit code 1: registered, but rejected.
///
/// Give the feature names: exports of scikit-learn, LightGBM and XGBoost carry none, and a wrong
/// order predicts without any error. Give 20 or more golden rows, too: they catch every swapped pair.
/// features.txt has one name per line, in the model's order; golden.csv has columns `in.<feature>` and
/// `out.<output>`.
///
/// Examples:
///
///     helenus model push tumour model.onnx --features features.txt --golden golden.csv
///     helenus model push tumour model.onnx --classes benign,malignant --metric auc=0.991
///     helenus model push tumour model.onnx --features features.txt --reference training.parquet
///     helenus model push mails encoder.onnx --width input_ids=64 --artifact minilm=tokenizer.json
///     helenus model push pages model.onnx --preprocess torchvision
///
/// JSON result: {"name", "version", "sha256", "size", "bytes_sent", "state": "ready" | "rejected" |
///   "undecided", "found": null or as of `model check`, "features_entry"
///   (with --preprocess)}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The model
    name: String,
    /// The ONNX file
    file: PathBuf,
    #[command(flatten)]
    facts: check::Facts,
    #[command(flatten)]
    preprocess: PreprocessArgs,
    /// Training rows with which runs are compared, CSV or Parquet: one column for each feature, by the
    /// model's names, at least 200 rows
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
    /// A tag, `key=value` (can be repeated)
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// A metric, `key=number` (can be repeated)
    #[arg(long = "metric", value_name = "KEY=NUMBER")]
    metrics: Vec<String>,
    /// A note, stored with the version
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Do not wait for admission
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
    let opened = open(&args.file, context)?;
    let golden = args.facts.golden_text()?;
    let artifacts = args.facts.artifact_files()?;
    artifacts::check_here(&artifacts)?;
    let entry = args.preprocess.entry(&args.file)?;
    let reference = match &args.reference {
        Some(path) => Some(reference::read(
            path,
            &args.file,
            &args.facts.feature_names()?,
        )?),
        None => None,
    };
    let store = context.store().await?;

    let (blob, sent) = upload(&store, context, &mut row, opened, golden.as_deref()).await?;
    row.artifacts = artifacts::upload(&store, &artifacts).await?;
    let same: Vec<_> = store
        .versions(&args.name)
        .await?
        .into_iter()
        .filter(|other| other.sha256 == row.sha256)
        .map(|other| other.version.to_string())
        .collect();
    let version = store.insert_version(row).await?;
    if let Some(reference) = &reference {
        store.put_reference(&args.name, version, reference).await?;
    }
    ask::say(
        context,
        &format!("{} version {version} is registered", args.name),
    );

    let admission = if args.no_wait {
        None
    } else {
        Some(admit(&store, context, &args.name, version, args.wait).await?)
    };
    let mut answer = registered(&args.name, version, &blob, sent, admission.as_ref());
    add_entry(&mut answer, entry);
    if !same.is_empty() {
        answer = answer.warn(format!(
            "same_bytes: version {} of `{}` has the same bytes",
            same.join(", "),
            args.name
        ));
    }
    Ok(answer)
}

/// Stores the bytes of a version and of its golden rows, and names them in its row. Returns the file,
/// and how many bytes were sent.
///
/// # Errors
/// Errors of Cassandra.
pub async fn upload(
    store: &Store,
    context: &Context,
    row: &mut VersionRow,
    (mut file, blob): (File, Blob),
    golden: Option<&str>,
) -> Result<(Blob, u64), Failure> {
    let bar = progress(context, blob.size);
    let sent = store
        .upload(&mut file, &blob, |bytes| bar.inc(bytes as u64))
        .await?;
    bar.finish_and_clear();
    if let Some(text) = golden {
        let measured = Blob::measure(text.as_bytes())
            .map_err(|error| unusable(Path::new("golden rows"), &error))?;
        store.upload(text.as_bytes(), &measured, |_| {}).await?;
        row.golden_sha256 = Some(measured.sha256.to_vec());
    }
    row.sha256 = Some(blob.sha256.to_vec());
    row.size = i64::try_from(blob.size).ok();
    row.chunks = Some(blob.chunks);
    Ok((blob, sent))
}

/// Has a version admitted, here or by a worker.
///
/// # Errors
/// Exit 3: no answer in time, or Cassandra.
pub async fn admit(
    store: &Store,
    context: &Context,
    name: &str,
    version: i32,
    wait: ask::Wait,
) -> Result<Admission, Failure> {
    let mut asking = VersionIntent {
        name,
        version,
        service: None,
    };
    Ok(ask::ask(store, context, &mut asking, wait).await?.0)
}

struct VersionIntent<'r> {
    name: &'r str,
    version: i32,
    /// `None`: not begun.
    service: Option<Service>,
}

impl Intent for VersionIntent<'_> {
    type Answer = Admission;

    fn what(&self) -> &'static str {
        "admit versions"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<Admission>, Failure> {
        let service = match &mut self.service {
            Some(service) => service,
            none => match Service::new(store) {
                Ok(new) => none.insert(new),
                Err(failure) => return Ok(Reconciled::Unable(failure.to_string())),
            },
        };
        Ok(
            match service.decide(store, self.name, self.version).await? {
                Verdict::Decided(admission) if admission.state != AdmissionState::Admitting => {
                    Reconciled::Answered(*admission)
                }
                Verdict::Decided(_) => Reconciled::Waits(None),
                Verdict::Missing => {
                    return Err(super::no_version(self.name, Some(self.version)));
                }
                Verdict::Elsewhere(who) => {
                    Reconciled::Waits(Some(format!("{who} is admitting it; waiting")))
                }
            },
        )
    }

    async fn answer(&mut self, store: &Store) -> Result<Option<Admission>, Failure> {
        let admission = store.admission(self.name, self.version).await?;
        Ok(admission.filter(|admission| admission.state != AdmissionState::Admitting))
    }

    fn silence(&self, wait: ask::Wait) -> Problem {
        let (name, version, wait) = (self.name, self.version, wait.wait);
        let what =
            format!("{name} version {version} is registered but not admitted after {wait} s");
        Problem::new("worker.silent", what)
            .help("the version remains: a worker (`helenus worker`) admits it as soon as one runs")
    }
}

/// Renders a registered version and its admission.
pub fn registered(
    name: &str,
    version: i32,
    blob: &Blob,
    sent: u64,
    admission: Option<&Admission>,
) -> Answer {
    let found = admission
        .and_then(|admission| admission.admitted.as_ref())
        .map(check::accepted);
    let state = admission.map_or_else(
        || "undecided".to_owned(),
        |admission| admission.state.to_string(),
    );
    let sent_text = match sent {
        0 => "all bytes were stored already".to_owned(),
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
            Problem::new("usage", format!("`{text}` is not key=value")).at(option),
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
        widths: Some(args.facts.widths()?).filter(|widths| !widths.is_empty()),
        rtol: args.facts.rtol.map(|_| tolerance.rtol),
        atol: args.facts.atol.map(|_| tolerance.atol),
        accepts: Some(args.facts.accept.iter().cloned().collect())
            .filter(|accepts: &BTreeSet<String>| !accepts.is_empty()),
        tags: Some(tags).filter(|tags| !tags.is_empty()),
        metrics: Some(metrics).filter(|metrics| !metrics.is_empty()),
        note: args.note.clone(),
        registered_by: Some(process::user()),
        ..VersionRow::default()
    })
}

/// Opens a model's file and measures it.
///
/// # Errors
/// Exit 2: it can't be read, is empty or is too big.
pub fn open(path: &Path, context: &Context) -> Result<(File, Blob), Failure> {
    let limit = (context.config.max_model_mib as u64) << 20;
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

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
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
