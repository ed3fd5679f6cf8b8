//! `helenus pipe`.

use std::{
    fs::File,
    io::{BufReader, BufWriter, IsTerminal},
    path::PathBuf,
    sync::Arc,
};

use arrow_ipc::writer::StreamWriter;
use chrono::{DateTime, Utc};

use super::Context;
use crate::{
    domain::problem::Problem,
    engine::{
        bundle::{Bundle, BundleHeader},
        models,
    },
    failure::Failure,
    output::{self, Answer, Format},
    scorer::runtime,
    serve::arrow::pipe::ArrowPipe,
};

/// Score an Arrow stream with a bundle, without Cassandra
///
/// Reads an Arrow IPC stream of source columns from standard input: the key and the columns that the
/// job reads, with the names of the source table; others are ignored. Writes an Arrow IPC stream to
/// standard output: for each row and version the key, `version`, `rejected`, `input_hash`,
/// `source_hash`, `model_sha256`, `scored_at` and the job's output columns, in the order of the rows.
/// Casts, rejections, hashes and outputs are those of a run on the same values. A stream that ends
/// without its end marker is incomplete: look at the exit code.
///
/// Examples:
///
///     helenus pipe tumour.bundle < rows.arrows > predictions.arrows
///     helenus pipe tumour.bundle --schema > schema.arrows
///
/// Exit code 2: the bundle or the stream is invalid. Rejected rows are not errors.
///
/// JSON result: none; standard output is the stream
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The bundle, from `helenus bundle`
    file: PathBuf,
    /// Write the schema of the predictions, as a stream without rows, and exit
    #[arg(long)]
    schema: bool,
    /// Time that the predictions get (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    scored_at: Option<DateTime<Utc>>,
}

/// Scores the stream.
///
/// # Errors
/// See the exit codes.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if context.format == Format::Json {
        let message = "standard output is the Arrow stream: --output json does not apply";
        return Err(Failure::input(Problem::new("usage", message)));
    }
    if std::io::stdout().is_terminal() {
        let message = "an Arrow stream is binary and can't be written to a terminal";
        let problem = Problem::new("file.terminal", message);
        return Err(Failure::input(problem.help("redirect standard output")));
    }
    let place = args.file.display().to_string();
    let placed = |mut failure: Failure| {
        for problem in &mut failure.problems {
            problem.place.get_or_insert_with(|| place.clone());
        }
        failure
    };
    let file = File::open(&args.file).map_err(|error| {
        let message = format!("the bundle cannot be read: {error}");
        placed(Failure::input(Problem::new("bundle.unreadable", message)))
    })?;
    let bundle = Bundle::read(BufReader::new(file)).map_err(placed)?;
    let config = &context.config;
    check_runtime(config.onnxruntime.as_deref(), &bundle.header)?;
    let signatures = bundle.job.versions.iter();
    let signatures = signatures.map(|version| version.ready.admitted.signature.clone());
    let models = match args.schema {
        // The schema needs no model.
        true => Vec::new(),
        false => bundle.models.into_iter().zip(signatures).collect(),
    };
    let pool = models::start(config, models, config.scoring_threads).await?;
    let pipe = Arc::new(ArrowPipe {
        job: Arc::new(bundle.job),
        revision: bundle.header.revision,
        pool: Arc::new(pool),
        batch_rows: config.batch_rows,
        calls: 2 * config.scoring_threads.max(1),
        scored_at: args.scored_at.unwrap_or_else(Utc::now),
    });
    if args.schema {
        let schema = pipe.schema()?;
        let written = StreamWriter::try_new(std::io::stdout(), &schema)
            .and_then(|mut writer| writer.finish());
        written.map_err(|error| Failure::system(Problem::new("pipe.output", error.to_string())))?;
        return Ok(Answer::default());
    }
    let output = BufWriter::with_capacity(1 << 20, std::io::stdout());
    let piped = tokio::select! {
        piped = Arc::clone(&pipe).run(BufReader::new(std::io::stdin()), output) => piped?,
        // Reading blocks its thread: what waits for it would never end.
        () = super::signal() => std::process::exit(crate::failure::Exit::Interrupted as i32),
    };
    output::tell(&format!(
        "{} rows, {} predictions, {} rejected",
        piped.rows, piped.predictions, piped.rejected
    ));
    Ok(Answer::default())
}

/// Checks that the library here is not older than the one that admitted the models.
fn check_runtime(named: Option<&std::path::Path>, header: &BundleHeader) -> Result<(), Failure> {
    let here = &runtime::load(named).map_err(Failure::system)?.version;
    let number = |version: &str| {
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0_u32), parts.next().unwrap_or(0_u32))
    };
    for version in header.scored() {
        let admitted = &version.admitted.runtime_version;
        if number(here) < number(admitted) {
            let message = format!(
                "version {} was admitted by ONNX Runtime {admitted}; here is {here}",
                version.version
            );
            return Err(Failure::system(
                Problem::new("model.not_here", message)
                    .help("use the same ONNX Runtime, or a newer one"),
            ));
        }
    }
    Ok(())
}
