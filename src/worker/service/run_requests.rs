//! Answering run requests, several at a time: planning one may wait for a planner that vanished.

use std::{collections::HashSet, time::Duration};

use chrono::NaiveDate;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Service, rounds::Rounds};
use crate::{
    failure::Failure,
    store::request_ids::Requests,
    worker::{inbox::Inbox, requests, run::stop::Asked},
};

/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// Answered at the same time.
const AT_A_TIME: usize = 8;

/// Answers until asked to stop; then what is under way is finished.
pub(super) async fn keep(service: Service) {
    let stop = service.stop();
    let mut rounds = Rounds::new("requests", stop.clone(), LOOK);
    let mut inbox = Inbox::new(Requests::Run);
    let mut under_way = JoinSet::new();
    let mut busy = HashSet::new();
    while stop.asked() == Asked::Nothing {
        tokio::select! {
            go_on = rounds.next() => if go_on {
                let open = inbox.open(&service.store).await;
                for (day, id) in open.iter().flatten() {
                    if busy.len() < AT_A_TIME && busy.insert(*id) {
                        under_way.spawn(answer(service.clone(), *day, *id));
                    }
                }
                rounds.ended(open);
            },
            Some(ended) = under_way.join_next() => {
                let (id, answered) = match ended {
                    Ok(ended) => ended,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                };
                busy.remove(&id);
                match answered {
                    Ok(()) => inbox.settled(id),
                    Err(failure) => {
                        tracing::warn!(%id, %failure, "a request could not be served yet");
                        inbox.rest(id);
                    }
                }
            }
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn answer(service: Service, day: NaiveDate, id: Uuid) -> (Uuid, Result<(), Failure>) {
    (id, try_answer(&service, day, id).await)
}

async fn try_answer(service: &Service, day: NaiveDate, id: Uuid) -> Result<(), Failure> {
    // Its row may be gone: then nobody waits for an answer.
    let Some(request) = service.store.run_request(day, id).await? else {
        return Ok(());
    };
    let answered = requests::answer(&service.store, &request).await?.answer;
    let (action, job) = (request.action.as_deref(), request.job.as_deref());
    let (answer, reason) = (&answered.answer, answered.reason.as_deref());
    tracing::info!(%id, action, job, answer, reason, "run request");
    if answered.run_id.is_some() {
        service.opened.notify_one();
    }
    Ok(())
}
