//! The live parts of a page, as server-sent events: each part anew when it has changed.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt, stream};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Console, guard, handle, pages,
    place::{ConsolePlace, Form},
    query::Query,
    read::PageReader,
};
use crate::serve::{caller::Right, error::ApiError};

/// Interval at which a page is made anew; its reads are shared.
const LOOK: Duration = Duration::from_secs(1);
/// Interval of comments, so that proxies keep a silent connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Follows the page that the query names.
pub async fn events(State(console): State<Arc<Console>>, request: Request) -> Response {
    let mut response = match follow(&console, &request) {
        Ok(following) => {
            let events = stream::unfold(following, |mut following| async move {
                let events = Box::pin(following.next()).await?;
                Some((
                    stream::iter(events.into_iter().map(Ok::<_, Infallible>)),
                    following,
                ))
            });
            let alive = KeepAlive::new().interval(HEARTBEAT).text("alive");
            Sse::new(events.flatten()).keep_alive(alive).into_response()
        }
        Err(error) => error.into_response(),
    };
    guard::harden(&mut response);
    response
}

fn follow(console: &Arc<Console>, request: &Request) -> Result<Following, ApiError> {
    guard::check_host(console, request.headers())?;
    if request.method() != Method::GET {
        return Err(handle::invalid("events are read"));
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let wanted = query.get("page").unwrap_or_default();
    let (path, query) = wanted.split_once('?').unwrap_or((wanted, ""));
    let Some((place, Form::Html)) = ConsolePlace::parse(path) else {
        return Err(handle::not_found("there is no such page"));
    };
    let asker = handle::asker(console, request.headers())?;
    asker.caller.check(Right::Read)?;
    Ok(Following {
        console: Arc::clone(console),
        headers: request.headers().clone(),
        place,
        query: Query::parse(query),
        sent: HashMap::new(),
        said: None,
        has_begun: false,
        has_ended: false,
    })
}

/// A reader who has a page open.
struct Following {
    console: Arc<Console>,
    /// With the cookie: the session may end.
    headers: HeaderMap,
    place: ConsolePlace,
    query: Query,
    /// Hash of each part as the reader has it.
    sent: HashMap<&'static str, u64>,
    said: Option<String>,
    has_begun: bool,
    has_ended: bool,
}

impl Following {
    /// Waits for changes; `None`: the stream ends.
    async fn next(&mut self) -> Option<Vec<Event>> {
        while !self.has_ended && !self.console.serving.is_draining() {
            if std::mem::replace(&mut self.has_begun, true) {
                tokio::time::sleep(LOOK).await;
            }
            match self.poll().await {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Some(events),
                // The reader waits on: the next look may succeed.
                Err(error) if error.status.is_server_error() => {
                    tracing::debug!(error = error.line(), "following a page");
                }
                Err(_) => {
                    self.has_ended = true;
                    return Some(vec![Event::default().event("end").data("")]);
                }
            }
        }
        None
    }

    async fn poll(&mut self) -> Result<Vec<Event>, ApiError> {
        let asker = handle::asker(&self.console, &self.headers)?;
        let reader = PageReader::new(&self.console, &asker.caller);
        let view = pages::view(&reader, &self.place, &self.query).await?;
        let mut events = Vec::new();
        let live = view.sections.iter().filter(|_| view.is_live);
        let parts = live.map(|section| (section.id, view.draw_live(section, &self.query)));
        for (id, drawn) in parts.chain([("acts", view.draw_acts())]) {
            let drawn = drawn.into_string();
            let hash = xxh3_64(drawn.as_bytes());
            if self.sent.insert(id, hash) != Some(hash) {
                events.push(Event::default().event("part").data(drawn));
            }
        }
        if view.said.is_some() && self.said != view.said {
            let is_first = self.said.is_none();
            self.said = view.said;
            let said = self.said.as_deref().filter(|_| !is_first);
            events.extend(said.map(|said| Event::default().event("said").data(said)));
        }
        Ok(events)
    }
}
