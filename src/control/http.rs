//! Serves `/live`, `/ready` and `/metrics` of the long-running worker.
//!
//! There is no login and no TLS: the server returns names of jobs and numbers, and accepts no
//! input. Clients are limited in the number of connections and in the size and time of a request's
//! head; no body is read.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::health::Health;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    http::{Acceptor, Limits},
    metrics::{self, Recorder},
};

/// Answers are small, and a scraper reconnects.
const LIMITS: Limits = Limits {
    connections: 32,
    head_bytes: 8_192,
    headers: 64,
    head_time: Duration::from_secs(10),
    stall_time: Duration::from_secs(10),
    connection_time: Some(Duration::from_secs(300)),
};
/// Interval at which recorded histograms are folded if no client scrapes them.
const UPKEEP: Duration = Duration::from_secs(5);

/// The server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    /// Address it listens on, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens on `listen` and answers `/live` (200 while the loop turns), `/ready` (200, or 503 with
/// the reason) and `/metrics` (Prometheus text format 0.0.4); 404 elsewhere.
///
/// # Errors
/// The address cannot be bound (exit 3).
pub async fn serve(listen: SocketAddr, health: Arc<Health>) -> Result<Server, Failure> {
    let recorder = metrics::install();
    let failed = |error: std::io::Error| {
        Failure::system(
            Problem::new("listen.failed", format!("{listen}: {error}"))
                .at("listen")
                .help("another address, or port 0 for a free port"),
        )
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "answering /live, /ready and /metrics");
    let routes = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(scrape))
        .with_state(RenderedMetrics { health, recorder });
    Ok(Server {
        address,
        tasks: [
            tokio::spawn(Acceptor::new(LIMITS).accept(listener, routes, None)),
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(UPKEEP);
                loop {
                    ticks.tick().await;
                    recorder.upkeep();
                }
            }),
        ],
    })
}

#[derive(Clone)]
struct RenderedMetrics {
    health: Arc<Health>,
    recorder: &'static Recorder,
}

async fn live(State(shown): State<RenderedMetrics>) -> Response {
    respond(shown.health.is_live())
}

async fn ready(State(shown): State<RenderedMetrics>) -> Response {
    respond(shown.health.is_ready())
}

async fn scrape(State(shown): State<RenderedMetrics>) -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (text, shown.recorder.render()).into_response()
}

fn respond(answer: Result<(), String>) -> Response {
    match answer {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
