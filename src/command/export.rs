//! `helenus export`.

use std::{
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use serde_json::json;
use uuid::Uuid;

use super::{Context, whole_file::WholeFile};
use crate::{
    domain::problem::Problem,
    failure::{Exit, Failure},
    output::{Answer, Format},
    store::Store,
    worker::export::{CLOSED, Export, Exported, Form, MOST_KEPT, Wish},
};

/// Write the predictions of a job to a file
///
/// Reads the prediction table by token and writes what stands: key, model_version, the output
/// columns, and of the lineage model_sha256, run_id, scored_at and rejected. Without -o it goes to
/// stdout. A file appears whole or not at all: it is written under another name first.
///
/// Examples:
///
///     helenus export tumour --version champion --format csv -o predictions.csv
///     helenus export tumour --version 2 --where "p_malignant > 0.9 and label = malignant"
///     helenus export tumour --version 2 --top 100 --by p_malignant --format jsonl
///     helenus export tumour --version champion --format parquet -o predictions.parquet
///
/// Exit code 2: a condition that can't be read; 130: interrupted. JSON result (needs -o): {"job",
///   "file", "read", "written"}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Only this version's, by number or alias
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// Only those that this run wrote
    #[arg(long, value_name = "RUN")]
    run: Option<Uuid>,
    /// Only rows that meet this: column, one of < <= = != >= >, value; joined by `and`
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Only the K rows with the largest values of --by, the largest first
    #[arg(long, value_name = "K", requires = "by", value_parser = clap::value_parser!(u32).range(1..=MOST_KEPT as i64))]
    top: Option<u32>,
    /// The column that --top goes by
    #[arg(long, value_name = "COLUMN", requires = "top")]
    by: Option<String>,
    /// How rows are written
    #[arg(long, value_enum, default_value = "csv")]
    format: Form,
    /// Write to this file instead of stdout; it is replaced
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Read at most so many rows a second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
}

/// Exports.
///
/// # Errors
/// As the exit codes say.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if context.format == Format::Json && args.out.is_none() {
        let message = "with --output json stdout holds one JSON object";
        return Err(Failure::input(
            Problem::new("export.stdout", message).help("name a file: -o FILE"),
        ));
    }
    let wish = Wish {
        job: args.job.clone(),
        version: args.version,
        run: args.run,
        condition: args.condition,
        top: args.top.map(|rows| rows as usize).zip(args.by),
        max_rate: args.max_rate,
    };
    let store = context.store().await?;
    let export = Export::prepare(&store, &wish).await?;
    let exported = tokio::select! {
        exported = write(&store, &export, args.format, args.out.as_deref()) => exported?,
        () = super::signal() => return Err(Failure::new(
            Exit::Interrupted,
            Problem::new("export.interrupted", "the export was interrupted; no file was made"),
        )),
    };
    let said = match &args.out {
        Some(file) => format!(
            "{}: {} of {} predictions",
            file.display(),
            exported.written,
            exported.read
        ),
        None => String::new(),
    };
    Ok(Answer::new(
        json!({"job": args.job, "file": args.out, "read": exported.read, "written": exported.written}),
        said,
    ))
}

async fn write(
    store: &Store,
    export: &Export,
    form: Form,
    out: Option<&Path>,
) -> Result<Exported, Failure> {
    let Some(path) = out else {
        let mut out = BufWriter::new(io::stdout());
        return match export.write(store, form, &mut out).await {
            // That is the reader's wish.
            Err(failure) if failure.is(CLOSED) => Ok(Exported::default()),
            outcome => outcome,
        };
    };
    let mut file = WholeFile::begin(path)?;
    let exported = {
        let mut out = BufWriter::new(file.file());
        export.write(store, form, &mut out).await?
    };
    file.finish()?;
    Ok(exported)
}
