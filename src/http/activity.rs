//! Whether a connection can be closed without cutting a request or an answer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// What a connection does at the moment. Its task alone reads and writes it.
#[derive(Debug, Default)]
pub struct Activity {
    /// A request is being answered, or its answer is not at its end.
    is_answering: AtomicBool,
    /// Bytes wait until the client reads.
    is_writing: AtomicBool,
}

impl Activity {
    /// Returns whether the connection waits for a request, or for the rest of its head.
    pub fn is_idle(&self) -> bool {
        !self.is_answering.load(Ordering::Relaxed) && !self.is_writing.load(Ordering::Relaxed)
    }

    pub fn writes(&self, is_waiting: bool) {
        self.is_writing.store(is_waiting, Ordering::Relaxed);
    }
}

/// Notes that a request is being answered, until it is dropped.
#[derive(Debug)]
pub struct Answering(Arc<Activity>);

impl Answering {
    pub fn begin(activity: &Arc<Activity>) -> Self {
        activity.is_answering.store(true, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// An answer's body, which notes its own end.
pub struct NotedBody {
    body: Body,
    /// Dropped with the body.
    _answering: Answering,
}

impl NotedBody {
    pub fn new(body: Body, answering: Answering) -> Self {
        Self {
            body,
            _answering: answering,
        }
    }
}

impl HttpBody for NotedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
