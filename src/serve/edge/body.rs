//! A request's body: read as a whole, decompressed, bounded in size and time.

use std::{io::Read, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::{domain::problem::Problem, serve::error::ApiError};

/// Time for which the body of a refused request is read.
const LINGER: Duration = Duration::from_secs(1);

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    /// # Errors
    /// 415 for other encodings, and for several at once.
    fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (given.next(), given.next());
        let word = first.map_or(&b""[..], HeaderValue::as_bytes).trim_ascii();
        let word = word.to_ascii_lowercase();
        match (word.as_slice(), second) {
            (b"" | b"identity", None) => Ok(None),
            (b"gzip" | b"x-gzip", None) => Ok(Some(Self::Gzip)),
            (b"deflate", None) => Ok(Some(Self::Deflate)),
            _ => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Problem::new("request.encoding", "the body's encoding is not supported")
                    .at("Content-Encoding")
                    .help("use gzip or deflate, or send the body as it is"),
            )),
        }
    }
}

/// Returns the request with its body in one piece, not compressed.
///
/// # Errors
/// 413: the body is larger than `limit` bytes, also when it is decompressed; 415: it has an unknown
/// encoding; 408: it has not arrived until `until`; 400: it ends early or is not what its encoding
/// says.
pub async fn whole(request: Request, limit: usize, until: Instant) -> Result<Request, ApiError> {
    let encoding = match Encoding::from_headers(request.headers()) {
        Ok(encoding) => encoding,
        Err(error) => {
            refuse(request, limit).await;
            return Err(error);
        }
    };
    if request.body().is_end_stream() {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    // What the client announces; one that announces nothing is counted.
    let is_large = body.size_hint().lower() > limit as u64;
    let mut stream = body.into_data_stream();
    let collected = match is_large {
        true => Err(too_large(limit)),
        false => {
            let collected = timeout_at(until, collect(&mut stream, limit)).await;
            collected.map_err(|_| late())?
        }
    };
    let mut bytes = match collected {
        Ok(bytes) => bytes,
        Err(error) => {
            discard(&parts.headers, stream, limit).await;
            return Err(error);
        }
    };
    if let Some(encoding) = encoding {
        bytes = decompressed(encoding, bytes, limit).await?;
        parts.headers.remove(header::CONTENT_ENCODING);
        let length = HeaderValue::from(bytes.len());
        parts.headers.insert(header::CONTENT_LENGTH, length);
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Reads the body of a request that is refused, up to a limit, and forgets it. A client that still
/// sends when the connection is closed would not see the answer.
pub async fn refuse(request: Request, limit: usize) {
    let (parts, body) = request.into_parts();
    if !body.is_end_stream() {
        discard(&parts.headers, body.into_data_stream(), limit).await;
    }
}

async fn discard(headers: &HeaderMap, mut stream: BodyDataStream, limit: usize) {
    // A client that asks first sends nothing when it is refused.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut read = 0;
    let reading = async {
        while let Some(Ok(part)) = stream.next().await {
            read += part.len();
            if read > limit {
                return;
            }
        }
    };
    // Whether it ends or not, the answer is sent now.
    let _ = tokio::time::timeout(LINGER, reading).await;
}

async fn collect(stream: &mut BodyDataStream, limit: usize) -> Result<Bytes, ApiError> {
    let mut whole: Option<Bytes> = None;
    let mut joined = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| {
            let message = format!("the body ended early: {error}");
            ApiError::bad(Problem::new("request.incomplete", message))
        })?;
        let before = whole.as_ref().map_or(joined.len(), Bytes::len);
        if before + part.len() > limit {
            return Err(too_large(limit));
        }
        match whole.take() {
            // Most bodies come in one piece, which is not copied.
            None if joined.is_empty() => whole = Some(part),
            first => {
                joined.extend_from_slice(&first.unwrap_or_default());
                joined.extend_from_slice(&part);
            }
        }
    }
    Ok(whole.unwrap_or_else(|| joined.into()))
}

async fn decompressed(encoding: Encoding, bytes: Bytes, limit: usize) -> Result<Bytes, ApiError> {
    // A small body can become a large one, and other requests must not wait for that.
    let work = tokio::task::spawn_blocking(move || decompress(encoding, &bytes, limit));
    work.await.unwrap_or_else(|error| {
        let message = format!("the body could not be decompressed: {error}");
        Err(ApiError::unavailable(Problem::new("serve.failed", message)))
    })
}

fn decompress(encoding: Encoding, bytes: &[u8], limit: usize) -> Result<Bytes, ApiError> {
    let mut whole = Vec::new();
    let most = limit as u64 + 1;
    let read = match encoding {
        Encoding::Gzip => MultiGzDecoder::new(bytes)
            .take(most)
            .read_to_end(&mut whole),
        // The standard says zlib; some clients send its content alone.
        Encoding::Deflate if is_zlib(bytes) => {
            ZlibDecoder::new(bytes).take(most).read_to_end(&mut whole)
        }
        Encoding::Deflate => DeflateDecoder::new(bytes)
            .take(most)
            .read_to_end(&mut whole),
    };
    read.map_err(|error| {
        let message = format!("the body is not what its encoding says: {error}");
        ApiError::bad(Problem::new("request.encoding", message).at("Content-Encoding"))
    })?;
    match whole.len() > limit {
        true => Err(too_large(limit)),
        false => Ok(whole.into()),
    }
}

/// Returns whether the bytes begin with a header of zlib (RFC 1950).
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [first, second, ..] => {
            first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31)
        }
        _ => false,
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        Problem::new(
            "request.too_large",
            format!("the body has more than {limit} bytes"),
        )
        .help("send several requests, or raise serve.max_body_mib"),
    )
}

fn late() -> ApiError {
    ApiError::new(
        StatusCode::REQUEST_TIMEOUT,
        Problem::new("request.late", "the body did not arrive in time")
            .help("send it faster or in several requests, or raise serve.request_timeout"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write};

    use super::*;

    async fn read(encoding: &str, body: Vec<u8>) -> Result<Bytes, ApiError> {
        let request = Request::builder().header(header::CONTENT_ENCODING, encoding);
        let request = request.body(Body::from(body)).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let request = whole(request, 1000, until).await?;
        assert!(
            !request.headers().contains_key(header::CONTENT_ENCODING) || encoding == "identity"
        );
        collect(&mut request.into_body().into_data_stream(), usize::MAX).await
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn every_encoding_gives_the_same_body() {
        let text = b"predictions".repeat(20);
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let mut raw = write::DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(&text).unwrap();
        for (encoding, body) in [
            ("identity", text.clone()),
            ("gzip", gzip(&text)),
            ("X-GZIP", gzip(&text)),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
        ] {
            assert_eq!(read(encoding, body).await.unwrap(), text, "{encoding}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_broken_is_refused() {
        for (encoding, body, status) in [
            ("identity", vec![0; 1001], 413),
            ("gzip", gzip(&vec![0; 1001]), 413),
            ("gzip", gzip(&vec![0; 50_000_000]), 413),
            ("gzip", b"not gzip".to_vec(), 400),
            ("gzip", gzip(b"cut off")[..12].to_vec(), 400),
            ("deflate", vec![0xff; 20], 400),
            ("br", vec![0; 10], 415),
            ("gzip, gzip", gzip(b"x"), 415),
        ] {
            let error = read(encoding, body).await.unwrap_err();
            assert_eq!(error.status.as_u16(), status, "{encoding}: {error:?}");
        }
        assert_eq!(read("gzip", gzip(&[0; 1000])).await.unwrap().len(), 1000);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let request = Request::new(Body::from_stream(never));
        let until = Instant::now() + Duration::from_millis(50);
        let error = whole(request, 1000, until).await.unwrap_err();
        assert_eq!(error.status, StatusCode::REQUEST_TIMEOUT);
    }
}
