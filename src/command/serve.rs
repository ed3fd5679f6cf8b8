//! `helenus serve`.

use std::time::Duration;

use serde_json::json;

use super::Context;
use crate::{
    config::duration,
    failure::Failure,
    output::Answer,
    serve::process::{self, ServeOptions},
};

/// Answer requests for predictions over HTTP and gRPC
///
/// Serves the jobs named, or all: predictions for rows that the caller gives and for keys, with the
/// code and the numbers of the batch; raw tensors by the Open Inference Protocol; runs on demand.
/// An alias that moved is served within a second, without a failed request. The process keeps
/// nothing: any number of them can run behind a load balancer.
///
/// Without a token file (serve.tokens) it serves this machine only. SIGTERM or Ctrl-C drains:
/// /ready answers 503, requests in progress are finished within --drain-timeout.
///
/// Examples:
///
///     helenus serve
///     helenus serve tumour --serve-listen 127.0.0.1:8000
///     helenus serve --console --serve-tokens tokens.toml
///
/// JSON result: {"drained": bool, "aborted": connections whose requests were not finished}
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The jobs to serve [default: all]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Serve other machines although there is no token file
    #[arg(long)]
    open: bool,
    /// Also serve the console: pages for people, at `/`. It needs TLS or a loopback address, and
    /// readers log in with a token
    #[arg(long)]
    console: bool,
    /// How long a session of the console lasts at most
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = duration, requires = "console")]
    console_session: Duration,
    /// Time limit for finishing requests after the signal to stop
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain_timeout: Duration,
}

/// Serves until asked to stop.
///
/// # Errors
/// Exit 2: no tokens for an address that other machines reach; exit 3: the address, Cassandra or
/// the ONNX Runtime library.
pub async fn run(args: Args, context: &Context) -> Result<Answer, Failure> {
    let store = context.store().await?;
    let options = ServeOptions {
        jobs: args.jobs,
        open: args.open,
        console: args.console.then_some(args.console_session),
    };
    let server = process::start(store, options).await?;
    super::signal().await;
    tracing::info!("finishing requests in progress; a second signal exits at once");
    tokio::spawn(async {
        super::signal().await;
        tracing::warn!("exiting at once");
        std::process::exit(crate::failure::Exit::Interrupted as i32);
    });
    let aborted = server.drain(args.drain_timeout).await;
    let text = match aborted {
        0 => "drained".to_owned(),
        _ => format!("{aborted} connections were cut before their requests were finished"),
    };
    let result = json!({"drained": aborted == 0, "aborted": aborted});
    Ok(Answer::new(result, text))
}
