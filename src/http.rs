//! HTTP connections with limits: their number, and the size and time of a request's head.

mod activity;
pub mod client;
mod conversation;
mod places;
mod stalled;
pub mod tls;
pub mod validity;

use std::{sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use self::{activity::Activity, places::Places, stalled::Unstalled, tls::Certificates};
use crate::metrics;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Concurrent connections. When all are taken, a new one takes the place of the connection that
    /// has waited longest for a request; others wait, all but one in the kernel's queue.
    pub connections: usize,
    /// Bytes of a request's head; hyper accepts 8,192 or more.
    pub head_bytes: usize,
    /// Number of headers of a request.
    pub headers: usize,
    /// Time for a request's head to arrive, also on an idle connection, and for a TLS handshake.
    pub head_time: Duration,
    /// Time for which a client may take nothing of an answer.
    pub stall_time: Duration,
    /// Time after which a connection is closed in any case; `None`: never.
    pub connection_time: Option<Duration>,
}

/// Accepts connections on a socket, and ends them.
#[derive(Debug, Clone)]
pub struct Acceptor {
    limits: Limits,
    places: Arc<Places>,
    stop: watch::Sender<bool>,
}

impl Acceptor {
    /// Returns an acceptor without connections.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Arc::new(Places::new(limits.connections)),
            stop: watch::Sender::new(false),
        }
    }

    /// Answers connections until [`Acceptor::stop`], or until the task is dropped. With
    /// certificates the connections must speak TLS.
    pub async fn accept(
        self,
        listener: TcpListener,
        routes: Router,
        tls: Option<Arc<Certificates>>,
    ) {
        let mut stop = self.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    // After the connection is there: asking earlier would close an idle one for
                    // nobody.
                    let place = tokio::select! {
                        place = self.places.take() => place,
                        _ = stop.wait_for(|stop| *stop) => return,
                    };
                    let open = metrics::HTTP_CONNECTIONS.hold([]);
                    let (one, routes, tls) = (self.clone(), routes.clone(), tls.clone());
                    tokio::spawn(async move {
                        one.serve(stream, routes, tls).await;
                        drop((place, open));
                    });
                }
                // Out of file descriptors, or the peer is already gone: neither ends the server.
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Accepts no more connections, closes those without a request, and lets the others finish
    /// theirs. Returns the number of connections that have not finished within the time.
    pub async fn stop(&self, limit: Duration) -> usize {
        self.stop.send_replace(true);
        self.places.wait_until_free(limit).await
    }

    async fn serve(&self, stream: TcpStream, routes: Router, tls: Option<Arc<Certificates>>) {
        // Answers are small; waiting to fill a packet would cost up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let activity = Arc::<Activity>::default();
        let stream = Unstalled::new(stream, self.limits.stall_time, Arc::clone(&activity));
        let Some(tls) = tls else {
            return self.converse(stream, activity, routes).await;
        };
        let handshake = tls.acceptor().accept(stream);
        match tokio::time::timeout(self.limits.head_time, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, activity, routes).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMITS: Limits = Limits {
        connections: 1,
        head_bytes: 8192,
        headers: 10,
        head_time: Duration::from_secs(60),
        stall_time: Duration::from_secs(60),
        connection_time: None,
    };

    async fn ask(stream: &mut TcpStream) -> String {
        let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn an_idle_connection_keeps_its_place_until_another_one_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", get(async || "answered"));
        let accepting = tokio::spawn(Acceptor::new(LIMITS).accept(listener, routes, None));
        let mut first = TcpStream::connect(address).await.unwrap();
        // Longer than several demands for a place would take.
        tokio::time::sleep(10 * places::ASK).await;
        assert!(ask(&mut first).await.contains("answered"));
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut second).await.contains("answered"));
        assert_eq!(first.read(&mut [0]).await.unwrap(), 0, "both have a place");
        accepting.abort();
    }
}
