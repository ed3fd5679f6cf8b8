//! Asking for a change of an alias: a row like anybody's, then its answer.

use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::json;

use super::super::{Context, score};
use crate::{
    domain::{
        problem::Problem,
        run::{Run, RunState},
    },
    failure::{Exit, Failure},
    output::{Answer, Format},
    process,
    store::{
        Store, alias_requests::AliasRequest, answers::Answer as Answered, error::StoreErrorKind,
        leases::Watches,
    },
    worker::aliases,
};

/// How long to wait for somebody else.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Wait {
    /// How long to wait for a worker, where this process may not or can not do its part itself
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

impl Wait {
    /// From now on.
    pub fn deadline(self) -> Instant {
        Instant::now() + Duration::from_secs(self.wait)
    }
}

/// Tells a person what is waited for.
pub fn say(context: &Context, what: &str) {
    if context.format == Format::Text {
        eprintln!("{what}");
    }
}

/// Nobody answered in time.
pub fn silent(what: &str, wait: Wait) -> Failure {
    Failure::system(
        Problem::new("worker.silent", format!("{what} after {} s", wait.wait))
            .help("the request stands: a worker (`helenus worker`) answers it as soon as one runs"),
    )
}

/// Writes the request, answers it here if this login may, or waits for a worker's answer.
///
/// # Errors
/// Exit 4: refused, with the reason; exit 3: nobody answered, or Cassandra.
pub async fn ask(
    store: &Store,
    context: &Context,
    request: AliasRequest,
    wait: Wait,
) -> Result<Answer, Failure> {
    let request = AliasRequest {
        day: Utc::now().date_naive(),
        id: process::timeuuid(),
        requested_by: Some(process::user()),
        ..request
    };
    store.insert_alias_request(&request).await?;
    let answered = answered(store, context, &request, wait).await?;
    let reason = answered.reason.unwrap_or_default();
    if answered.answer != "done" {
        return Err(Failure::new(
            Exit::Conflict,
            Problem::new("alias.refused", reason),
        ));
    }
    let model = request.model.as_deref().unwrap_or_default();
    let version = match &request.alias {
        Some(alias) => store.alias(model, alias).await?,
        None => request.version,
    };
    let result = json!({
        "model": model,
        "alias": request.alias,
        "version": version,
        "request": {"day": request.day, "id": request.id},
        "answer": answered.answer,
        "reason": reason,
    });
    Ok(Answer::new(result, reason))
}

async fn answered(
    store: &Store,
    context: &Context,
    request: &AliasRequest,
    wait: Wait,
) -> Result<Answered, Failure> {
    let mut deadline = wait.deadline();
    let mut watches = Watches::default();
    let mut may_answer = true;
    let mut said = false;
    loop {
        if may_answer {
            match aliases::run_once(store, &mut watches).await {
                Ok(round) if round.elsewhere && !said => {
                    said = true;
                    say(
                        context,
                        "another process is answering requests; waiting for it",
                    );
                }
                Ok(_) => {}
                Err(error) if error.kind == StoreErrorKind::Denied => {
                    may_answer = false;
                    say(
                        context,
                        &format!(
                            "this login may not answer requests; waiting up to {} s for a worker",
                            wait.wait
                        ),
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(answer) = store.answer(request.day, request.id).await? {
            return Ok(answer);
        }
        let mut open = open_runs(store, request).await?;
        if may_answer && let Some(run) = open.pop() {
            say(
                context,
                &format!(
                    "run {} of job `{}` scores what is missing",
                    run.run_id, run.job
                ),
            );
            score::work(store, run, context.format).await?;
            deadline = wait.deadline();
            continue;
        }
        if Instant::now() >= deadline {
            // Where a run is open, its end brings the answer.
            if open.is_empty() {
                return Err(silent("no answer", wait));
            }
            deadline = wait.deadline();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Runs that were opened for this request and may be worked on.
async fn open_runs(store: &Store, request: &AliasRequest) -> Result<Vec<Run>, Failure> {
    let mut runs = aliases::runs_of(store, request).await?;
    runs.retain(|run| run.state == RunState::Running);
    Ok(runs)
}
