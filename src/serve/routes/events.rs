//! A run's progress as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::Stream;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Shared,
    extract::{NoParams, Params, Segments},
    run_view::{self, RunView, RunViewState},
};
use crate::serve::{
    caller::{Caller, Right},
    error::{ApiError, ErrorResponses},
    progress::{RunProgress, SplitCounter},
    state::Serving,
};

/// Interval at which the run's row is read: one row a connection.
const LOOK: Duration = Duration::from_secs(1);
/// Interval of comments, so that proxies keep a silent connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Data of a `progress` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RunEvent {
    pub state: RunViewState,
    /// Why it waits.
    pub reason: Option<String>,
    /// Null until a worker has opened a run.
    pub run_id: Option<String>,
    pub progress: RunProgress,
}

/// Follows a run: `progress` events (data: `RunEvent`) when something has changed, then one `end`
/// event (data: `RunView`), after which the stream ends. Without an `end` event, the server is
/// stopping: connect again.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job}/runs/{id}/events",
    tag = "runs",
    params(
        ("job" = String, Path, description = "The job"),
        ("id" = String, Path, format = "uuid", description = "A request's or a run's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "Numbering continues after it; the current state is always sent first"),
    ),
    responses(
        (status = 200, description = "Events", content_type = "text/event-stream", body = String),
        ErrorResponses,
    ),
)]
pub async fn events(
    State(serving): Shared,
    Extension(caller): Extension<Arc<Caller>>,
    Segments((job, id)): Segments<(String, String)>,
    Params(NoParams {}): Params<NoParams>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    caller.check_job(Right::Read, &job)?;
    let id = run_view::id(&id)?;
    run_view::find(&serving.store, &job, id).await?;
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.parse().ok());
    let following = Following {
        serving,
        job,
        id,
        counter: SplitCounter::default(),
        sent: None,
        number: last.unwrap_or(0),
        ended: false,
    };
    // Polled by the connection: it ends with it.
    let events = futures::stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT).text("alive");
    Ok(Sse::new(events).keep_alive(alive))
}

/// A connection that follows a run.
struct Following {
    serving: Arc<Serving>,
    job: String,
    id: Uuid,
    counter: SplitCounter,
    /// What the caller knows.
    sent: Option<RunEvent>,
    /// Number of the last event.
    number: u64,
    ended: bool,
}

impl Following {
    /// Waits for the next event; `None`: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let mut looked = self.sent.is_some();
        while !self.ended && !self.serving.is_draining() {
            if std::mem::replace(&mut looked, true) {
                tokio::time::sleep(LOOK).await;
            }
            let view = match self.poll().await {
                Ok(view) => view,
                // The caller waits on: the next look may succeed.
                Err(error) => {
                    tracing::debug!(job = self.job, id = %self.id, error = error.line(), "following a run");
                    continue;
                }
            };
            if view.state.is_terminal() {
                self.ended = true;
                return Some(self.event("end", &view));
            }
            let event = RunEvent {
                state: view.state,
                reason: view.reason,
                run_id: view.run_id,
                progress: view.progress,
            };
            if self.sent.as_ref() != Some(&event) {
                let sent = self.event("progress", &event);
                self.sent = Some(event);
                return Some(sent);
            }
        }
        None
    }

    async fn poll(&mut self) -> Result<RunView, ApiError> {
        let store = &self.serving.store;
        let found = run_view::find(store, &self.job, self.id).await?;
        run_view::view(store, self.id, found, &mut self.counter).await
    }

    fn event(&mut self, name: &str, data: &impl Serialize) -> Event {
        self.number = self.number.saturating_add(1);
        // The types of these events always have a JSON form.
        let json = serde_json::to_string(data).unwrap_or_default();
        Event::default()
            .event(name)
            .id(self.number.to_string())
            .data(json)
    }
}
