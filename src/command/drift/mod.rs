//! `helenus drift`.

mod baseline;
mod show;

use std::path::PathBuf;

use clap::Subcommand;
use uuid::Uuid;

use super::{Context, watched::watched, whole_file::WholeFile};
use crate::{
    domain::problem::Problem,
    failure::Failure,
    inspect::{
        drift::{self, DriftReport},
        pass::Running,
    },
    output::Answer,
};

/// Show whether features and outputs have drifted
///
/// Each run over the whole table compares what it read with the reference of each version (the rows
/// given at `model push --reference`, or a run chosen by `helenus drift baseline`) and with the run
/// before. A feature has drifted if the difference is large (`[drift]` of the manifest; by default a
/// population stability index of 0.2, or a share that changed by 0.05) and chance does not explain it:
/// without any drift, fewer than 1 run in 100 reports one.
///
/// Verdicts: stable, drifted, new_category, constant, all_null; too_few (rows), partial (an output of
/// which the run scored only some rows), not_comparable (counted in other bins).
///
/// Examples:
///
///     helenus drift tumour
///     helenus drift tumour --html drift.html
///     helenus drift tumour --scan
///     helenus drift baseline tumour --run 6f6b6b60-96b6-11f0-8de9-0242ac120002
///
/// JSON result: {"job", "run", "scanned": null or the source rows read, "stored", "drifted": number of
///   rows, "html" (with --html), "features": [{"version", "feature", "segment", "against":
///   "reference" or "previous", "verdict", "cause", "threshold", "critical_value", "p", "adjusted_p",
///   "psi", "js", "w1", "ks", "linf", "null_delta", "nan_delta", "new_category_share", "n", "m", "other_run"} …]}
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The job
    #[arg(required = true)]
    job: Option<String>,
    /// The run [default: the newest that was compared]
    #[arg(long, value_name = "ID", conflicts_with = "scan")]
    run: Option<Uuid>,
    /// Read the source and the stored predictions now, without scoring
    #[arg(long)]
    scan: bool,
    /// Maximum number of source rows read per second by --scan
    #[arg(long, value_name = "ROWS", requires = "scan", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Also write an HTML page with the distributions and their history, as one file that needs no
    /// network. An existing file is replaced and keeps its mode; only you can read a new one; `-` is
    /// standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The subcommands. Their help is where their arguments are: a doc comment here would hide it.
#[derive(Debug, Subcommand)]
enum Command {
    Baseline(baseline::Args),
}

/// Shows drift, or runs the subcommand.
///
/// # Errors
/// Exit 5: unknown job or run, or nothing was compared yet; exit 3: Cassandra; exit 130: interrupted.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    if let Some(Command::Baseline(args)) = args.command {
        return baseline::run(args, context).await;
    }
    let Some(job) = &args.job else {
        return Err(Failure::input(Problem::new("usage", "name a job")));
    };
    // A file that can't be written is reported before the source is read.
    let begin = |path| WholeFile::begin_page(path, context.format);
    let file = args.html.as_deref().map(begin).transpose()?;
    let store = context.store().await?;
    let (report, mut answer) = match args.scan {
        true => {
            let running = Running::new(args.max_rate);
            let scanning = Box::pin(drift::scan(&store, job, &running));
            let scanned = watched(context.format, &running, scanning).await?;
            let mut answer =
                show::answer(&scanned.report, Some(scanned.source_rows), scanned.stored);
            answer.warnings = scanned.warnings;
            if !scanned.stored {
                answer.warnings.push(
                    "not_stored: this login has no permission to write `drift`; a worker's login has"
                        .to_owned(),
                );
            }
            (scanned.report, answer)
        }
        false => {
            let report = drift::read(&store, job, args.run).await?;
            let answer = show::answer(&report, None, true);
            (report, answer)
        }
    };
    if let Some(file) = file {
        let shapes = drift::shapes(&store, &report).await?;
        let page = crate::report::drift::render(
            &report,
            &shapes,
            &again(&args, &report),
            &answer.warnings,
        );
        file.finish_page(&page, &mut answer)?;
    }
    Ok(answer)
}

/// Returns the command line that shows the same again.
fn again(args: &Args, report: &DriftReport) -> String {
    let mut words = vec![
        "helenus".to_owned(),
        "drift".to_owned(),
        report.job.clone(),
        "--run".to_owned(),
        report.run_id.to_string(),
    ];
    if let Some(file) = &args.html {
        words.extend(["--html".to_owned(), file.display().to_string()]);
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| crate::report::parts::shell(word))
        .collect();
    words.join(" ")
}
