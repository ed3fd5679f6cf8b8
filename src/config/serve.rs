//! Settings of `helenus serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{layers::Layers, values};
use crate::domain::problem::Problem;

/// The settings of `helenus serve`, named `serve.…` in the file.
#[derive(Debug, Clone)]
pub struct Serve {
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// Address of the gRPC server; off if `None`.
    pub grpc_listen: Option<SocketAddr>,
    /// File of tokens; without one only this machine is served.
    pub tokens: Option<PathBuf>,
    pub tls: Option<ServeTls>,
    /// Memory limit on models that are loaded on demand, in MiB of model files.
    pub model_memory_mib: usize,
    /// Maximum size of a request's body.
    pub max_body_mib: usize,
    /// Maximum number of rows of a request.
    pub max_rows: usize,
    /// Maximum number of open connections.
    pub connections: usize,
    /// Maximum number of requests that wait for one version's model; more are refused (429).
    pub queue: usize,
    /// Time limit of one request.
    pub request_timeout: Duration,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// PEM files of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeTls {
    /// Certificate (chain).
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Authorities that signed the clients' certificates, which are then required.
    pub client_ca: Option<PathBuf>,
}

pub(super) fn resolve(layers: &mut Layers) -> Serve {
    Serve {
        listen: layers.required("serve.listen", values::listen),
        grpc_listen: layers.optional("serve.grpc_listen", values::listen),
        tokens: layers.optional("serve.tokens", values::path),
        tls: tls(layers),
        model_memory_mib: layers.required("serve.model_memory_mib", values::count::<1_048_576>),
        max_body_mib: layers.required("serve.max_body_mib", values::count::<1024>),
        max_rows: layers.required("serve.max_rows", values::count::<1_000_000>),
        connections: layers.required("serve.connections", values::count::<65_536>),
        queue: layers.required("serve.queue", values::count::<65_536>),
        request_timeout: layers.required("serve.request_timeout", values::time_out),
        access_log: layers.required("serve.access_log", values::boolean),
    }
}

fn tls(layers: &mut Layers) -> Option<ServeTls> {
    let cert = layers.optional("serve.tls_cert", values::path);
    let key = layers.optional("serve.tls_key", values::path);
    let client_ca = layers.optional("serve.tls_client_ca", values::path);
    match (cert, key, client_ca) {
        (Some(cert), Some(key), client_ca) => Some(ServeTls {
            cert,
            key,
            client_ca,
        }),
        (None, None, None) => None,
        _ => {
            layers.problems.push(
                Problem::new(
                    "config.incomplete",
                    "`serve.tls_cert` and `serve.tls_key` must be given together",
                )
                .help("give the server's certificate and its private key, or neither"),
            );
            None
        }
    }
}
