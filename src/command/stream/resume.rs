//! `helenus stream resume`.

use serde_json::json;

use super::super::Context;
use crate::{
    domain::problem::Problem, failure::Failure, output::Answer, process,
    store::streams::events::StreamEvent,
};

/// Let a paused stream go on
///
/// A stream pauses when it rejects more messages than [stream.in] permits. This acknowledges that,
/// and that messages were lost, if they were. For the time of the window the stream then rejects as
/// many messages as come; they go to the dead letters.
///
/// Examples:
///
///     helenus stream resume tumour
///     helenus stream resume tumour --note 'the sensor is replaced'
///
/// JSON result: {"job", "resumed": bool, "events": [id …]}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The job
    job: String,
    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Acknowledges the job's events.
///
/// # Errors
/// Exit 3: Cassandra; exit 5: the job does not exist.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    if store.job_rows(&args.job).await?.is_empty() {
        let problem = Problem::new("job.unknown", format!("there is no job `{}`", args.job));
        return Err(Failure::not_found(
            problem.help("list the jobs with `helenus job list`"),
        ));
    }
    let events = store.open_stream_events(&args.job).await?;
    let by = process::user();
    for event in &events {
        store
            .acknowledge_stream_event(&args.job, event.id, &by, args.note.as_deref())
            .await?;
    }
    let resumed = events.iter().any(|event| event.kind == StreamEvent::PAUSED);
    let text = match (resumed, events.len()) {
        (true, _) => format!("the stream of job `{}` goes on", args.job),
        (false, 0) => format!("the stream of job `{}` is not paused", args.job),
        (false, count) => format!("{count} events of job `{}` are acknowledged", args.job),
    };
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let result = json!({"job": args.job, "resumed": resumed, "events": ids});
    Ok(Answer::new(result, text))
}
