//! `/live`, `/ready` and `/metrics` of the long-running worker.
//!
//! No login and no TLS: it tells names of jobs and numbers, and takes nothing. Whoever connects is
//! bounded: connections at a time, size and time of a request's head, and no body is read.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

use super::health::Health;
use crate::{
    domain::problem::Problem,
    failure::Failure,
    metrics::{self, Recorder},
};

/// Connections at a time; others wait in the kernel's queue.
const CONNECTIONS: usize = 32;
/// Bytes of a request's head: the least that hyper takes.
const HEAD_BYTES: usize = 8_192;
/// Header fields.
const HEADERS: usize = 64;
/// For a request's head to arrive, and for an idle connection to say something.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A connection is closed after this, whatever it does: a scraper connects again.
const CONNECTION_TIME: Duration = Duration::from_secs(300);
/// How often what histograms have gathered is folded, where nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// The server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens, with the port that was taken for port 0.
    pub address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Listens at `listen` and answers `/live` (200 while the loop turns), `/ready` (200, or 503 with
/// the reason), `/metrics` (Prometheus text format 0.0.4); 404 elsewhere.
///
/// # Errors
/// The address can't be listened at (exit 3).
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
        .with_state(Shown { health, recorder });
    Ok(Server {
        address,
        tasks: [
            tokio::spawn(accept(listener, routes)),
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
struct Shown {
    health: Arc<Health>,
    recorder: &'static Recorder,
}

async fn accept(listener: TcpListener, routes: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let place = Arc::clone(&places).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    converse(stream, routes).await;
                    drop(place);
                });
            }
            // Out of file descriptors, or the peer is gone already: neither ends the worker.
            Err(error) => {
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, routes: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    // Whoever takes longer is cut off.
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIME, connection).await {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn live(State(shown): State<Shown>) -> Response {
    said(shown.health.is_live())
}

async fn ready(State(shown): State<Shown>) -> Response {
    said(shown.health.is_ready())
}

async fn scrape(State(shown): State<Shown>) -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (text, shown.recorder.render()).into_response()
}

fn said(answer: Result<(), String>) -> Response {
    match answer {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
