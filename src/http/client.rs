//! One request to a URL, over HTTP/1.1 and TLS: posts a message, or gets a body of any size.
//!
//! Redirects are not followed, and no proxy is used: the request goes where the settings say.

use std::{path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, Uri, header},
};
use futures::StreamExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::tls::read_chain;

/// The authorities that a server's certificate must be signed by.
#[derive(Debug, Clone, Copy)]
pub struct Authorities<'a> {
    /// A PEM file; the system's if `None`.
    pub file: Option<&'a Path>,
    /// The setting that names the file, for errors.
    pub setting: &'static str,
}

/// Bytes of an answer's body that are read, so that the server can end in order.
const MAX_ANSWER: usize = 64 << 10;

/// Posts `body` with `content-type: application/json` and these headers; returns the status.
/// There is no time limit; drop the future to give up.
///
/// # Errors
/// A message for people: the URL or a header is invalid, no connection, no TLS, no answer.
pub async fn post(
    url: &str,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
    ca: Authorities<'_>,
) -> Result<StatusCode, String> {
    let uri = parsed(url)?;
    let request = Request::post(target(&uri))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len());
    let request = request_with(request, &uri, headers, Body::from(body))?;
    // Only the status counts; the rest is read so that the server can end in order.
    let mut left = MAX_ANSWER;
    let mut sink = |bytes: &[u8]| {
        left = left.saturating_sub(bytes.len());
        match left {
            0 => Err(String::new()),
            _ => Ok(()),
        }
    };
    send(&uri, request, ca, Unread::Ignored, &mut sink).await
}

/// Gets a URL with these headers; passes the body to `sink` piece by piece, whatever the status, and
/// returns the status. There is no time limit, as for [`post`].
///
/// # Errors
/// As [`post`]; the body does not arrive whole; an error of `sink`.
pub async fn get(
    url: &str,
    headers: &[(&'static str, String)],
    ca: Authorities<'_>,
    sink: &mut BodySink<'_>,
) -> Result<StatusCode, String> {
    let uri = parsed(url)?;
    let request = request_with(Request::get(target(&uri)), &uri, headers, Body::empty())?;
    send(&uri, request, ca, Unread::Failed, sink).await
}

/// Takes the pieces of a body.
pub type BodySink<'a> = dyn FnMut(&[u8]) -> Result<(), String> + Send + 'a;

/// What it means that a body was not read to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unread {
    Ignored,
    Failed,
}

fn parsed(url: &str) -> Result<Uri, String> {
    url.parse().map_err(|error| format!("the URL: {error}"))
}

fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

async fn send(
    uri: &Uri,
    request: Request<Body>,
    ca: Authorities<'_>,
    unread: Unread,
    sink: &mut BodySink<'_>,
) -> Result<StatusCode, String> {
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
        return exchange(stream, request, unread, sink).await;
    }
    let name = ServerName::try_from(host).map_err(|error| format!("the host: {error}"))?;
    let connector = TlsConnector::from(Arc::new(client_config(ca)?));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| format!("no TLS connection: {error}"))?;
    exchange(stream, request, unread, sink).await
}

fn request_with(
    request: axum::http::request::Builder,
    uri: &Uri,
    headers: &[(&'static str, String)],
    body: Body,
) -> Result<Request<Body>, String> {
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = request
        .header(header::HOST, host)
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("helenus/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
        request = request.header(*name, value);
    }
    let request = request.body(body);
    request.map_err(|error| format!("the request: {error}"))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
    unread: Unread,
    sink: &mut BodySink<'_>,
) -> Result<StatusCode, String> {
    let unanswered = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(unanswered)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(unanswered)?;
        let status = answer.status();
        let mut body = Body::new(answer.into_body()).into_data_stream();
        while let Some(bytes) = body.next().await {
            let taken = bytes
                .map_err(|error| format!("the answer was cut off: {error}"))
                .and_then(|bytes| sink(&bytes));
            match (taken, unread) {
                (Ok(()), _) => {}
                (Err(_), Unread::Ignored) => break,
                (Err(error), Unread::Failed) => return Err(error),
            }
        }
        Ok(status)
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

fn client_config(ca: Authorities<'_>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca.file {
        Some(path) => {
            let chain = read_chain(path, ca.setting).map_err(|error| error.to_string())?;
            for authority in chain {
                let added = roots.add(authority);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // Unreadable certificates of the system are skipped, as browsers do.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(format!(
                    "the system has no certificate authorities: set {}",
                    ca.setting
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
