//! `helenus score`.

mod progress;
mod request;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Context,
    follow::{self, Answering},
    model::ask,
    progress_lines,
};
use crate::{
    command::run::{run_json, run_text},
    domain::{
        answer::AnswerKind,
        problem::Problem,
        run::{Run, RunState},
    },
    engine::{
        models,
        run::{
            context::{Progress, RunContext},
            shared::Shared,
            spent::Shares,
            start::{Started, start_or_fail},
            stop::{Asked, Stop},
            work::{Work, Worked},
        },
    },
    failure::{Exit, Failure},
    output::{self, Answer, Format},
    store::Store,
    stream,
};

/// Score the pending rows of a job
///
/// This writes a row into `run_requests`, as any CQL client can, then plans the run and works on
/// it in this process, together with all running workers. A login that is only permitted to ask
/// follows the workers' progress. Rows whose stored input hash is unchanged are not scored again.
/// If the command is interrupted or killed, the same command resumes the run. At the end it reports
/// what the run waited for: reads, this machine, the models, or writes.
///
/// Examples:
///
///     helenus score tumour
///     helenus score tumour --version 2 --scope all
///     helenus score tumour --keys some_ids.csv --output json
///
/// Exit code 1: the run failed on its data; 4: another run with another scope is open; 130:
/// interrupted. JSON result: the run's row, `seconds`, and `time`: the share of reading, decoding,
/// scoring and writing in what held up its splits here.
///
/// If a run with the same scope is open, the command joins it. That run may already have passed rows
/// that have changed since, so a second run then scores the pending ones: `follow_up` in the JSON
/// result.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Which rows: `pending`; `all`, which scores every row again; or `current`, the rows pending for
    /// the champion, whose other predictions are copied to the table of current predictions
    #[arg(long, value_enum, default_value = "pending")]
    scope: ScopeArg,
    /// Only rows whose token t has FROM < t <= TO
    #[arg(
        long,
        value_name = "FROM:TO",
        allow_hyphen_values = true,
        conflicts_with = "keys"
    )]
    token_range: Option<String>,
    /// Only these rows: a CSV file with all primary key columns, values as CQL literals without quotes
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Only this version of those that the job names (can be repeated)
    #[arg(long = "version", value_name = "N")]
    versions: Vec<i32>,
    /// Maximum number of predictions per second
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    max_rate: Option<i32>,
    /// Reason, stored with the run
    #[arg(long)]
    note: Option<String>,
    /// Count the pending rows and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Also write progress to stderr, twice a second, as lines such as
    /// `{"progress": {"rows": 1200, "of": 569000, "written": 1200, "rejected": 0}}`; `of` is an
    /// estimate or null
    #[arg(long)]
    progress: bool,
    #[command(flatten)]
    wait: ask::Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ScopeArg {
    Pending,
    All,
    Current,
}

/// Asks, plans, works, reports.
///
/// # Errors
/// As the exit codes say.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let request = request::request(&args)?;
    if !args.dry_run {
        models::preload(&context.config);
    }
    let store = context.store().await?;
    if args.dry_run {
        return super::dry_run::run(&store, &request).await;
    }
    store.insert_run_request(&request).await?;
    // The run that was open when this was asked, and what came of it.
    let mut before: Option<(Run, Answer)> = None;
    let (answer, refusal, here) = loop {
        let waited = before.as_ref().map(|(run, _)| run);
        let answering = follow::answered(&store, context, &request, waited, args.wait).await?;
        let (run, here) = match answering {
            Answering::Here(answered) => break (answered.answer, answered.refusal, true),
            Answering::Worker(answer) => break (answer, None, false),
            Answering::Behind { run, here } => (*run, here),
        };
        output::tell(&format!(
            "joins run {}, which is open with the same scope; rows that change meanwhile are scored after it",
            run.run_id
        ));
        let ended = to_its_end(&store, context, run.clone(), here, args.progress).await?;
        before = Some((run, ended));
    };
    let Some(run_id) = answer.run_id.filter(|_| answer.kind != AnswerKind::Refused) else {
        let reason = answer.reason.unwrap_or_default();
        return Err(refusal.unwrap_or_else(|| Failure::input(Problem::new("run.refused", reason))));
    };
    let planned = match before {
        Some((run, ended)) if run.run_id == run_id => return Ok(ended),
        _ => store.run(&args.job, run_id).await?,
    };
    let Some(planned) = planned else {
        return Err(Failure::system(Problem::new(
            "run.unknown",
            format!("run {run_id} was accepted and is not there"),
        )));
    };
    match before {
        Some((run, ended)) => {
            output::tell(&format!(
                "run {} has ended; run {run_id} scores what is pending after it",
                run.run_id
            ));
            let follow_up = to_its_end(&store, context, planned, here, args.progress).await?;
            Ok(with_follow_up(ended, follow_up))
        }
        None => {
            if answer.kind == AnswerKind::Joined {
                output::tell(&format!(
                    "joins run {run_id}, which does the same and began after this was asked"
                ));
            }
            to_its_end(&store, context, planned, here, args.progress).await
        }
    }
}

/// Works on a run until it has ended; without the right to, looks at it until then.
async fn to_its_end(
    store: &Store,
    context: &Context,
    run: Run,
    here: bool,
    progress: bool,
) -> Result<Answer, Failure> {
    if here {
        return work(store, run, context.format, progress).await;
    }
    let run = follow::to_its_end(store, context, run).await?;
    Ok(ended(run, Duration::ZERO, context.format))
}

/// A run that was joined, and the run that scored what was pending after it.
fn with_follow_up(mut joined: Answer, follow_up: Answer) -> Answer {
    joined.result["follow_up"] = follow_up.result;
    joined.text.push_str("\n\nwhat was pending after it:\n");
    joined.text.push_str(&follow_up.text);
    let news = follow_up.warnings.into_iter();
    let news: Vec<_> = news.filter(|it| !joined.warnings.contains(it)).collect();
    joined.warnings.extend(news);
    joined.failed = joined.failed.or(follow_up.failed);
    joined
}

/// Works on a run in this process until it ends, with progress on the terminal, and as lines on
/// stderr if `lines` is true.
///
/// # Errors
/// As the exit codes say.
pub async fn work(store: &Store, run: Run, format: Format, lines: bool) -> Result<Answer, Failure> {
    if run.state.is_terminal() {
        return Ok(ended(run, Duration::ZERO, format));
    }
    let began = Instant::now();
    let progress = Arc::<Progress>::default();
    let (job, run_id) = (run.job.clone(), run.run_id);
    let config = store.config();
    let shared = Shared::new(config).sending_to(stream::prediction_sink(config));
    let prepared = match start_or_fail(store, run, Arc::clone(&progress), &shared).await? {
        Started::Failed(run) => return Ok(ended(*run, Duration::ZERO, format)),
        Started::Ready(prepared) => Arc::<RunContext>::from(prepared),
    };
    stop_on_signal(&job, shared.stop.clone());
    let bar = progress::bar(store, &prepared.run, format).await;
    let say = progress::say(bar.clone());
    let drawing = tokio::spawn(progress::draw(bar.clone(), Arc::clone(&progress)));
    let telling = lines.then(|| {
        let telling = progress_lines::tell(bar.length(), Arc::clone(&progress));
        tokio::spawn(telling)
    });
    let by = crate::engine::claimant();
    let limited = prepared.run.max_rows_per_s.is_some();
    let worked = Work::new(prepared, by, &shared, say).run().await;
    drawing.abort();
    if let Some(telling) = telling {
        telling.abort();
        progress_lines::tell_once(bar.length(), &progress);
    }
    bar.finish_and_clear();
    match worked? {
        Worked::Ended(run) => {
            let mut answer = ended(*run, began.elapsed(), format);
            if let Some(shares) = progress.spent.shares() {
                tell_where_the_time_went(&mut answer, &shares, limited);
            }
            Ok(answer)
        }
        Worked::Stopped => Err(Failure::new(
            Exit::Interrupted,
            Problem::new(
                "run.interrupted",
                format!("run {run_id} was interrupted; no work is lost"),
            )
            .help(format!("run `helenus score {job}` to resume it")),
        )),
        Worked::GaveUp(reason) => Err(Failure::system(
            Problem::new("run.gave_up", format!("run {run_id} stays open: {reason}")).help(
                format!("fix the cause, then run `helenus score {job}` to resume it"),
            ),
        )),
    }
}

fn tell_where_the_time_went(answer: &mut Answer, shares: &Shares, limited: bool) {
    answer.result["time"] = json!(shares);
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    answer.text.push_str(&format!(
        "\ntime in splits: waiting for reads {}, decoding {}, scoring {}, waiting for writes {}\n{}",
        percent(shares.reading),
        percent(shares.decoding),
        percent(shares.scoring),
        percent(shares.writing),
        shares.advice(limited),
    ));
}

/// The first signal ends the splits in order; the second one leaves at once, which loses nothing.
fn stop_on_signal(job: &str, stop: Stop) {
    let job = job.to_owned();
    tokio::spawn(async move {
        loop {
            super::signal().await;
            if stop.ask(Asked::Leave) == Asked::Leave {
                output::tell(&format!(
                    "left at once; `helenus score {job}` goes on after the lease has run out"
                ));
                std::process::exit(Exit::Interrupted as i32);
            }
            output::tell("finishing what is under way; once more leaves at once");
        }
    });
}

fn ended(run: Run, took: Duration, format: Format) -> Answer {
    let mut answer = Answer::new(run_json(&run), run_text(&run));
    if format == Format::Text && !took.is_zero() {
        let rows = run.counts.source_rows as f64;
        answer.text.push_str(&format!(
            "\n{:.1} s, {:.0} rows a second",
            took.as_secs_f64(),
            rows / took.as_secs_f64()
        ));
    }
    answer.warnings.clone_from(&run.warnings);
    if run.state != RunState::Succeeded {
        let reason = run.reason.clone().unwrap_or_default();
        answer.failed = Some(Failure::no(Problem::new(
            "run.failed",
            format!("run {} {}: {reason}", run.run_id, run.state),
        )));
    }
    answer.result["seconds"] = json!(took.as_secs_f64());
    answer
}
