//! `helenus export`.

use std::{
    io::BufWriter,
    path::{Path, PathBuf},
};

use serde_json::json;
use uuid::Uuid;

use super::{
    Context,
    whole_file::{Content, Existing, WholeFile, is_stdout},
};
use crate::{
    control::jobs,
    domain::problem::Problem,
    failure::{Exit, Failure},
    inspect::export::{CLOSED, Export, ExportSpec, Exported, Form, MOST_KEPT},
    output::{self, Answer, Format},
    store::Store,
};

/// Write the predictions of a job to a file
///
/// Reads the prediction table by token and writes each row's key, model_version and output columns,
/// and of its lineage model_sha256, run_id, scored_at and rejected. Without -o it writes to stdout.
/// A file appears whole or not at all: it is written under another name first. Only you can read a
/// new file (0600), because predictions are personal data. An existing file keeps its mode and
/// owner, a link keeps its target, and pipes and devices are written to directly.
///
/// Examples:
///
///     helenus export tumour --version champion --format csv -o predictions.csv
///     helenus export tumour --version 2 --where "p_malignant > 0.9 and label = malignant"
///     helenus export tumour --version 2 --top 100 --by p_malignant --format jsonl
///     helenus export tumour --version champion --format parquet -o predictions.parquet
///
/// Exit code 2: an invalid condition; 130: interrupted.
///
/// JSON result (needs -o): {"job", "file", "read", "written"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Only predictions of this version, by number or alias
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Only predictions that this run wrote
    #[arg(long, value_name = "RUN")]
    run: Option<Uuid>,
    /// Only rows that meet this condition: COLUMN, one of < <= = != >= >, VALUE; joined by `and`
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Only the K rows with the largest values of --by, in descending order
    #[arg(long, value_name = "K", requires = "by", value_parser = clap::value_parser!(u32).range(1..=MOST_KEPT as i64))]
    top: Option<u32>,
    /// The column that --top sorts by
    #[arg(long, value_name = "COLUMN", requires = "top")]
    by: Option<String>,
    /// File format
    #[arg(long, value_enum, default_value = "csv")]
    format: Form,
    /// Write to this file instead of stdout (`-`), and replace it if it exists
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Maximum number of rows read per second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
}

/// Exports the predictions.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let out = args.out.as_deref().unwrap_or(Path::new("-"));
    if context.format == Format::Json && is_stdout(out) {
        let message = "stdout is reserved for the JSON object of --output json";
        return Err(Failure::input(
            Problem::new("export.stdout", message).help("write to a file: -o FILE"),
        ));
    }
    let wish = ExportSpec {
        job: args.job.clone(),
        version: args.version,
        run: args.run,
        condition: args.condition,
        top: args.top.map(|rows| rows as usize).zip(args.by),
        max_rate: args.max_rate,
    };
    let store = context.store().await?;
    jobs::answer(&store, &wish.job).await?;
    let export = Export::prepare(&store, &wish).await?;
    // Opening a pipe without a reader blocks here, where Ctrl-C still ends the process.
    let file = WholeFile::begin(out, Content::Personal, Existing::Replace)?;
    let exported = tokio::select! {
        exported = write(&store, &export, args.format, file) => exported?,
        () = super::signal() => return Err(Failure::new(
            Exit::Interrupted,
            Problem::new("export.interrupted", "the export was interrupted; no file was written"),
        )),
    };
    let text = match is_stdout(out) {
        true => String::new(),
        false => format!(
            "{}: {} of {} predictions",
            out.display(),
            exported.written,
            exported.read
        ),
    };
    Ok(Answer::new(
        json!({"job": args.job, "file": args.out, "read": exported.read, "written": exported.written}),
        text,
    ))
}

async fn write(
    store: &Store,
    export: &Export,
    form: Form,
    mut file: WholeFile,
) -> Result<Exported, Failure> {
    let written = if file.is_terminal() {
        if form == Form::Parquet {
            file.refuse_terminal("Parquet")?;
        }
        let mut lines = output::Lines(&mut file);
        export.write(store, form, &mut lines).await
    } else {
        let mut out = BufWriter::new(&mut file);
        export.write(store, form, &mut out).await
    };
    match written {
        // The reader of a pipe has seen enough.
        Err(failure) if failure.is(CLOSED) => Ok(Exported::default()),
        Err(failure) => Err(failure),
        Ok(exported) => file.finish().map(|()| exported),
    }
}
