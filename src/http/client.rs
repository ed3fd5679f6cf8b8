//! Posts one message to a URL, or gets one document, over HTTP/1.1 and TLS.
//!
//! Redirects are not followed, and no proxy is used: the message goes where the settings say.

use std::{path::Path, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{HeaderValue, Request, StatusCode, Uri, header, request::Builder},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::tls::read_chain;

/// Bytes of an answer's body that are read.
const MAX_ANSWER: usize = 1 << 20;

/// Posts `body` with `content-type: application/json` and these headers; returns the status.
/// `ca` is a PEM file of the authorities that are trusted; the system's if `None`. There is no time
/// limit; drop the future to give up.
///
/// # Errors
/// A message for people: the URL or a header is invalid, no connection, no TLS, no answer.
pub async fn post(
    url: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
    ca: Option<&Path>,
) -> Result<StatusCode, String> {
    let uri: Uri = url.parse().map_err(|error| format!("the URL: {error}"))?;
    let request = request(&uri, headers, body)?;
    let answered = call(
        &uri,
        request,
        Trusted {
            ca,
            setting: "alarms.webhook_ca",
        },
    )
    .await?;
    Ok(answered.0)
}

/// Gets a document; returns the status and the body, of which a megabyte is read. `accept`: the
/// media type. There is no time limit; drop the future to give up.
///
/// # Errors
/// A message for people: the URL is invalid, no connection, no TLS, no answer, too long an answer.
pub async fn get(
    url: &str,
    accept: &str,
    trusted: Trusted<'_>,
) -> Result<(StatusCode, Bytes), String> {
    let uri: Uri = url.parse().map_err(|error| format!("the URL: {error}"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = base(Request::get(path), &uri)
        .header(header::ACCEPT, accept)
        .body(Body::empty())
        .map_err(|error| format!("the request: {error}"))?;
    let (status, body) = call(&uri, request, trusted).await?;
    Ok((status, body.ok_or("the answer is longer than a megabyte")?))
}

/// The authorities that a server's certificate is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// PEM file; the system's if `None`.
    pub ca: Option<&'a Path>,
    /// The setting that names the file.
    pub setting: &'static str,
}

async fn call(
    uri: &Uri,
    request: Request<Body>,
    trusted: Trusted<'_>,
) -> Result<(StatusCode, Option<Bytes>), String> {
    let host = uri.host().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    if !is_tls {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(host).map_err(|error| format!("the host: {error}"))?;
    let connector = TlsConnector::from(Arc::new(client_config(trusted)?));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| format!("no TLS connection: {error}"))?;
    exchange(stream, request).await
}

fn request(
    uri: &Uri,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> Result<Request<Body>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = base(Request::post(path), uri)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len());
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
        request = request.header(*name, value);
    }
    let request = request.body(Body::from(body));
    request.map_err(|error| format!("the request: {error}"))
}

fn base(request: Builder, uri: &Uri) -> Builder {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    request
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("helenus/", env!("CARGO_PKG_VERSION")),
        )
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<(StatusCode, Option<Bytes>), String> {
    let unanswered = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unanswered)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(unanswered)?;
        let status = answer.status();
        // The server's part is over with the status; a body that is cut or too long counts as none.
        let body = to_bytes(Body::new(answer.into_body()), MAX_ANSWER).await;
        Ok((status, body.ok()))
    };
    // The connection is driven by this future, so that dropping it closes the connection.
    tokio::pin!(answered, connection);
    tokio::select! {
        status = &mut answered => status,
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(unanswered(error)),
        },
    }
}

fn client_config(trusted: Trusted<'_>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match trusted.ca {
        Some(path) => {
            let chain = read_chain(path, trusted.setting).map_err(|error| error.to_string())?;
            for authority in chain {
                let added = roots.add(authority);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // Unreadable certificates of the system are skipped, as browsers do.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let setting = trusted.setting;
                return Err(format!(
                    "the system has no certificate authorities: set {setting}"
                ));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
