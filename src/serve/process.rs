//! The process: listens, serves, drains.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    console::{self, Console},
    edge::Edge,
    follow,
    grpc::{self, GrpcServer},
    routes,
    state::Serving,
    tokens::Tokens,
    watch::watch,
};
use crate::{
    config::{Serve, ServeTls},
    domain::problem::Problem,
    failure::Failure,
    http::{Acceptor, Limits, tls::Certificates},
    metrics::{self, Recorder},
    store::Store,
};

/// Interval at which recorded histograms are folded if no client scrapes them. At 50,000 requests
/// a second their samples take less than a megabyte meanwhile.
const UPKEEP: Duration = Duration::from_secs(1);
/// Longest time in which the server is not ready but still accepts connections, so that a load
/// balancer can see it.
const GRACE: Duration = Duration::from_secs(2);

/// A running server; dropping it stops it.
pub struct Server {
    /// Address of the HTTP server, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    /// The gRPC server, if it is on.
    pub grpc: Option<GrpcServer>,
    /// Who may call.
    pub tokens: Arc<Tokens>,
    serving: Arc<Serving>,
    acceptor: Acceptor,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What `helenus serve` is asked for, beside its settings.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// The jobs to serve; all if empty.
    pub jobs: Vec<String>,
    /// Other machines may call without tokens.
    pub open: bool,
    /// How long a session of the console lasts; `None`: there is no console.
    pub console: Option<Duration>,
}

/// Starts to listen and to load models.
///
/// # Errors
/// Exit 2: other machines could call without tokens, or the files of tokens or certificates are
/// invalid; exit 3: the address cannot be bound.
pub async fn start(store: Store, options: ServeOptions) -> Result<Server, Failure> {
    let ServeOptions {
        jobs,
        open,
        console,
    } = options;
    let recorder = metrics::install();
    let settings = store.config().serve.clone();
    let listen = settings.listen;
    check_open(&settings, open)?;
    if console.is_some() {
        check_console(&settings)?;
    }
    let tokens = Arc::new(match &settings.tokens {
        Some(path) => Tokens::read(path)?,
        None => Tokens::anyone(),
    });
    let tls = match &settings.tls {
        Some(files) => Some(Arc::new(Certificates::read(files, &["http/1.1"])?)),
        None => None,
    };
    let failed = |error: std::io::Error| {
        Failure::system(
            Problem::new("listen.failed", format!("{listen}: {error}"))
                .at("serve.listen")
                .help("another address, or port 0 for a free port"),
        )
    };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let serving = Arc::new(Serving::new(store, jobs));
    let callers = Arc::clone(&tokens);
    let authorize = Arc::new(move |given: Option<&str>| callers.caller(given));
    let grpc = grpc::start(&serving, authorize, open).await?;
    let edge = Edge::new(
        Arc::clone(&serving),
        Arc::clone(&tokens),
        address,
        console.is_some(),
    );
    let mut routes = routes::router(Arc::clone(&serving));
    if let Some(session) = console {
        let console = Console::new(Arc::clone(&serving), Arc::clone(&tokens), session);
        routes = routes.merge(console::router(Arc::new(console)));
    }
    let routes = edge.before(routes);
    let acceptor = Acceptor::new(limits(&settings));
    tracing::info!(%address, "serving over HTTP");
    let mut tasks = vec![
        tokio::spawn(acceptor.clone().accept(listener, routes, tls.clone())),
        tokio::spawn(follow::keep(Arc::clone(&serving))),
        tokio::spawn(Arc::clone(&tokens).follow()),
        tokio::spawn(upkeep(recorder)),
    ];
    if let (Some(certificates), Some(files)) = (tls, settings.tls) {
        tasks.push(tokio::spawn(follow_certificates(certificates, files)));
    }
    Ok(Server {
        address,
        grpc,
        tokens,
        serving,
        acceptor,
        tasks,
    })
}

fn check_open(settings: &Serve, open: bool) -> Result<(), Failure> {
    let listen = settings.listen;
    if settings.tokens.is_some() || open || listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::input(
        Problem::new(
            "serve.open",
            format!("{listen} is reached by other machines, and there are no tokens"),
        )
        .at("serve.listen")
        .help("make tokens with `helenus token new`, or accept all callers with --open"),
    ))
}

/// Browsers keep a session's cookie to encrypted connections, and to this machine.
fn check_console(settings: &Serve) -> Result<(), Failure> {
    let listen = settings.listen;
    if settings.tls.is_some() || listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::input(
        Problem::new(
            "serve.console_plain",
            format!("the console needs TLS at {listen}, which other machines reach"),
        )
        .at("serve.listen")
        .help("set serve.tls_cert and serve.tls_key, or listen on 127.0.0.1 behind a proxy that has TLS"),
    ))
}

fn limits(settings: &Serve) -> Limits {
    Limits {
        connections: settings.connections,
        head_bytes: 16_384,
        headers: 100,
        head_time: Duration::from_secs(30),
        stall_time: Duration::from_secs(30),
        connection_time: None,
    }
}

async fn upkeep(recorder: &'static Recorder) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder.upkeep();
    }
}

async fn follow_certificates(certificates: Arc<Certificates>, files: ServeTls) {
    let paths = [Some(files.cert), Some(files.key), files.client_ca];
    watch(paths.into_iter().flatten().collect(), || async {
        match certificates.reload() {
            Ok(()) => tracing::info!("read the certificate"),
            Err(failure) => tracing::warn!(%failure, "the certificate stays as it was"),
        }
    })
    .await;
}

impl Server {
    /// Stops being ready, soon after that accepts no more connections, and waits until requests in
    /// progress are answered or the time is over. Returns the number of connections whose requests
    /// were not answered.
    pub async fn drain(&self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        self.serving.drain();
        sleep(GRACE.min(limit / 4)).await;
        let left = until.saturating_duration_since(Instant::now());
        let grpc = async {
            let Some(grpc) = &self.grpc else { return };
            if timeout(left, grpc.finish()).await.is_err() {
                tracing::warn!("gRPC requests were not finished within the time limit");
            }
        };
        let (aborted, ()) = tokio::join!(self.acceptor.stop(left), grpc);
        if aborted > 0 {
            tracing::warn!(aborted, "requests were not finished within the time limit");
        }
        aborted
    }
}
