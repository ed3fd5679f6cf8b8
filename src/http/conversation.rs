//! One connection: its requests one after the other, until either side ends it.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::Router;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Acceptor,
    activity::{Activity, Answering, NotedBody},
};

impl Acceptor {
    /// Answers a connection's requests until the client ends it, its place is wanted while it is
    /// idle, or the server stops.
    pub(super) async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        activity: Arc<Activity>,
        routes: Router,
    ) {
        let limits = self.limits;
        let noted = NotedRoutes {
            routes: TowerToHyperService::new(routes),
            activity: Arc::clone(&activity),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(limits.head_bytes)
            .max_headers(limits.headers)
            .serve_connection(TokioIo::new(stream), noted);
        let mut connection = pin!(connection);
        let mut stopping = self.stop.subscribe();
        let mut stop = pin!(stopping.wait_for(|stop| *stop));
        let mut is_stopping = false;
        let mut wanted = None;
        let conversation = poll_fn(|context| {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if !is_stopping && stop.as_mut().poll(context).is_ready() {
                is_stopping = true;
                // Ends after the answer to the request in progress.
                connection.as_mut().graceful_shutdown();
                if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                    return Poll::Ready(ended);
                }
            }
            if !activity.is_idle() {
                wanted = None;
                return Poll::Pending;
            }
            if is_stopping {
                return Poll::Ready(Ok(()));
            }
            let wanted = wanted.get_or_insert_with(|| Box::pin(self.places.wanted()));
            wanted.as_mut().poll(context).map(Ok)
        });
        let ended = match limits.connection_time {
            Some(time) => tokio::time::timeout(time, conversation).await,
            None => Ok(conversation.await),
        };
        // A connection that takes longer is closed.
        if let Ok(Err(error)) = ended {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// The routes; notes when they answer.
struct NotedRoutes {
    routes: TowerToHyperService<Router>,
    activity: Arc<Activity>,
}

type RouterFuture = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

impl Service<hyper::Request<Incoming>> for NotedRoutes {
    type Response = hyper::Response<NotedBody>;
    type Error = Infallible;
    type Future = NotedAnswer;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        NotedAnswer {
            answering: Some(Answering::begin(&self.activity)),
            answer: Box::pin(self.routes.call(request)),
        }
    }
}

/// An answer in the making.
struct NotedAnswer {
    answering: Option<Answering>,
    answer: Pin<Box<RouterFuture>>,
}

impl Future for NotedAnswer {
    type Output = Result<hyper::Response<NotedBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.answer.as_mut().poll(context))?;
        let answering = self.answering.take();
        // A future is not polled again after its end.
        let answering = answering.unwrap_or_else(|| unreachable!("polled after its end"));
        Poll::Ready(Ok(response.map(|body| NotedBody::new(body, answering))))
    }
}
