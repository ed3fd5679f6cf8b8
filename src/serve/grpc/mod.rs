//! The Open Inference Protocol, version 2, over gRPC, with the services of health and reflection.
//!
//! Requests are answered by the code of [`super::oip`]; here are only the messages, the limits and
//! the listener.

mod contents;
mod generated;
mod incoming;
mod service;
mod status;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::{ServingStatus, server::HealthReporter};

use self::{
    generated::grpc_inference_service_server::GrpcInferenceServiceServer, incoming::Incoming,
    service::InferenceService,
};
use super::{caller::Caller, error::ApiError, state::Serving};
use crate::{config::ServeTls, domain::problem::Problem, failure::Failure};

/// Returns the caller of a request from its `authorization` metadata.
pub type Authorize = Arc<dyn Fn(Option<&str>) -> Result<Arc<Caller>, ApiError> + Send + Sync>;

/// Interval at which readiness is told to the health service.
const HEALTH: Duration = Duration::from_millis(250);
/// Interval at which an idle connection is asked whether its client is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The service whose health is told, beside that of the whole server.
const SERVICE: &str = "inference.GRPCInferenceService";

/// A running gRPC server; dropping it stops it at once.
pub struct GrpcServer {
    /// Its address, with the actual port if port 0 was requested.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    server: JoinHandle<()>,
    health: JoinHandle<()>,
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.server.abort();
        self.health.abort();
    }
}

impl GrpcServer {
    /// Accepts no further connections, and waits until the requests in progress are answered. The
    /// caller limits the time.
    pub async fn finish(&self) {
        self.stop.send_replace(true);
        // An error means that the server's task is gone, which is an end as well.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Starts to listen on `serve.grpc_listen`; `None` if that is off. `open`: other machines may call
/// without tokens.
///
/// # Errors
/// Exit 2: other machines could call without tokens, or the certificate is unusable; exit 3: the
/// address cannot be bound, or a file cannot be read.
pub async fn start(
    serving: &Arc<Serving>,
    authorize: Authorize,
    open: bool,
) -> Result<Option<GrpcServer>, Failure> {
    let settings = serving.settings().clone();
    let Some(listen) = settings.grpc_listen else {
        return Ok(None);
    };
    if settings.tokens.is_none() && !open && !listen.ip().is_loopback() {
        return Err(Failure::input(
            Problem::new(
                "serve.open",
                format!("{listen} is reached by other machines, and there are no tokens"),
            )
            .at("serve.grpc_listen")
            .help("make tokens with `helenus token new`, or accept all callers with --open"),
        ));
    }
    let failed = |error: std::io::Error| {
        Failure::system(
            Problem::new("listen.failed", format!("{listen}: {error}"))
                .at("serve.grpc_listen")
                .help("another address, or port 0 for a free port"),
        )
    };
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .max_concurrent_streams(u32::try_from(settings.connections).ok());
    if let Some(files) = &settings.tls {
        server = server
            .tls_config(certificates(files).await?)
            .map_err(|error| {
                let message = format!("the gRPC server cannot use the certificate: {error:?}");
                Failure::input(Problem::new("serve.tls", message).at("serve.tls_cert"))
            })?;
    }
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let health_task = tokio::spawn(report(Arc::clone(serving), reporter));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(generated::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let unusable = |error| {
        let message = format!("the descriptors are unusable: {error}");
        Failure::system(Problem::new("serve.reflection", message))
    };
    let size = settings.max_body_mib << 20;
    let service = InferenceService::new(Arc::clone(serving), authorize, settings.connections);
    let router = server
        .add_service(
            GrpcInferenceServiceServer::new(service)
                .max_decoding_message_size(size)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(health)
        // Clients of both generations are about.
        .add_service(reflection().build_v1().map_err(unusable)?)
        .add_service(reflection().build_v1alpha().map_err(unusable)?);
    let (stop, mut stopped) = watch::channel(false);
    let (end, ended) = watch::channel(false);
    let incoming = Incoming::new(listener, settings.connections);
    let server = tokio::spawn(async move {
        let stopped = async {
            // An error means that nothing can ask for the end any more, which is one as well.
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, stopped).await {
            tracing::error!(?error, "the gRPC server ended");
        }
        end.send_replace(true);
    });
    tracing::info!(%address, "serving over gRPC");
    Ok(Some(GrpcServer {
        address,
        stop,
        ended,
        server,
        health: health_task,
    }))
}

async fn certificates(files: &ServeTls) -> Result<ServerTlsConfig, Failure> {
    let read = async |setting: &str, path: &std::path::Path| {
        tokio::fs::read(path).await.map_err(|error| {
            let message = format!("{}: {error}", path.display());
            Failure::system(Problem::new("serve.tls", message).at(setting))
        })
    };
    let cert = read("serve.tls_cert", &files.cert).await?;
    let key = read("serve.tls_key", &files.key).await?;
    let config = ServerTlsConfig::new().identity(Identity::from_pem(cert, key));
    Ok(match &files.client_ca {
        Some(file) => {
            let authorities = read("serve.tls_client_ca", file).await?;
            config.client_ca_root(Certificate::from_pem(authorities))
        }
        None => config,
    })
}

/// Tells the health service whether requests should be sent here.
async fn report(serving: Arc<Serving>, reporter: HealthReporter) {
    let mut told = None;
    loop {
        let status = match serving.is_ready() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        if told != Some(status) {
            reporter.set_service_status("", status).await;
            reporter.set_service_status(SERVICE, status).await;
            told = Some(status);
        }
        tokio::time::sleep(HEALTH).await;
    }
}
