//! AliasIntent for a change of an alias: a row like anybody's, then its answer.

use chrono::Utc;
use serde_json::json;

use super::super::{
    Context,
    ask::{self, Intent, Reconciled},
    score,
};
pub use crate::command::ask::{Wait, say};
use crate::{
    control::aliases,
    domain::{
        answer::{AnswerKind, RequestAnswer},
        problem::Problem,
        run::{Run, RunState},
    },
    failure::{Exit, Failure},
    output::Answer,
    process,
    store::{Store, admin::leases::Watches, registry::alias_requests::AliasRequest},
};

/// Writes the request, answers it here if this login is permitted to, or waits for a worker's answer.
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
        requested_by: request.requested_by.or_else(|| Some(process::user())),
        ..request
    };
    store.insert_alias_request(&request).await?;
    let mut asking = AliasIntent {
        context,
        request: &request,
        watches: Watches::default(),
    };
    let (answered, _) = ask::ask(store, context, &mut asking, wait).await?;
    let reason = answered.reason.unwrap_or_default();
    if answered.kind != AnswerKind::Done {
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
        "answer": answered.kind.as_str(),
        "reason": reason,
    });
    Ok(Answer::new(result, reason))
}

struct AliasIntent<'r> {
    context: &'r Context,
    request: &'r AliasRequest,
    watches: Watches,
}

impl Intent for AliasIntent<'_> {
    type Answer = RequestAnswer;

    fn what(&self) -> &'static str {
        "answer alias requests"
    }

    async fn reconcile(&mut self, store: &Store) -> Result<Reconciled<RequestAnswer>, Failure> {
        let round = aliases::run_once(store, &mut self.watches).await?;
        if let Some(answer) = self.answer(store).await? {
            return Ok(Reconciled::Answered(answer));
        }
        if let Some(run) = open_runs(store, self.request).await?.pop() {
            let (run_id, job) = (run.run_id, &run.job);
            let what = format!("run {run_id} of job `{job}` scores what is missing");
            say(self.context, &what);
            score::work(store, run, self.context.format, false).await?;
            return Ok(Reconciled::Advanced);
        }
        let elsewhere = "another process is answering requests; waiting for it";
        Ok(Reconciled::Waits(
            round.elsewhere.then(|| elsewhere.to_owned()),
        ))
    }

    async fn answer(&mut self, store: &Store) -> Result<Option<RequestAnswer>, Failure> {
        Ok(store.answer(self.request.day, self.request.id).await?)
    }

    async fn is_under_way(&mut self, store: &Store) -> Result<bool, Failure> {
        // Where a run is open, its end brings the answer.
        Ok(!open_runs(store, self.request).await?.is_empty())
    }
}

/// Runs that were opened for this request and may be worked on.
async fn open_runs(store: &Store, request: &AliasRequest) -> Result<Vec<Run>, Failure> {
    let mut runs = aliases::runs_of(store, request).await?;
    runs.retain(|run| run.state == RunState::Running);
    Ok(runs)
}
