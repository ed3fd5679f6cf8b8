//! The queue between the thread that polls and the pipeline: bounded by messages and bytes, so that
//! a slow pipeline is felt by the thread.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rdkafka::{Message, message::OwnedMessage};
use tokio::sync::mpsc;

use crate::stream::generation::Generation;

/// Messages and bytes that may wait in the queue.
const MAX_QUEUED: usize = 8_192;
const MAX_QUEUED_BYTES: usize = 32 << 20;

/// What happened.
pub enum Event {
    Message(Received),
    /// Messages were gone before they were read.
    Lost(Lost),
    /// This reader cannot go on; another one may.
    Failed(String),
}

/// A message with the generation in which it was read.
pub struct Received {
    pub generation: Arc<Generation>,
    pub message: OwnedMessage,
}

/// Messages of a partition that are no longer in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    pub partition: i32,
    /// Offset of the first one.
    pub from: i64,
    /// Where reading goes on.
    pub to: i64,
}

/// The end of the queue that is written to.
pub struct Queue {
    events: mpsc::UnboundedSender<Event>,
    queued: Arc<Queued>,
}

/// The end of the queue that is read.
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    queued: Arc<Queued>,
}

/// What waits in the queue.
#[derive(Debug, Default)]
struct Queued {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// Makes a queue.
pub fn queue() -> (Queue, Events) {
    let (sender, events) = mpsc::unbounded_channel();
    let queued = Arc::<Queued>::default();
    let queue = Queue {
        events: sender,
        queued: Arc::clone(&queued),
    };
    (queue, Events { events, queued })
}

impl Queue {
    /// Adds an event, whether the queue is full or not.
    pub fn send(&self, event: Event) {
        if let Event::Message(received) = &event {
            let size = size(&received.message);
            self.queued.messages.fetch_add(1, Ordering::Relaxed);
            self.queued.bytes.fetch_add(size, Ordering::Relaxed);
        }
        // While the reader is dropped, the other end is gone.
        let _ = self.events.send(event);
    }

    pub fn is_full(&self) -> bool {
        self.queued.messages.load(Ordering::Relaxed) >= MAX_QUEUED
            || self.queued.bytes.load(Ordering::Relaxed) >= MAX_QUEUED_BYTES
    }
}

impl Events {
    /// Returns the next event; `None` once the other end has gone.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.taken(event)
    }

    /// Returns an event that has happened already.
    pub fn next_now(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.taken(event)
    }

    /// Returns how many messages wait.
    pub fn messages(&self) -> usize {
        self.queued.messages.load(Ordering::Relaxed)
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        if let Some(Event::Message(received)) = &event {
            let size = size(&received.message);
            self.queued.messages.fetch_sub(1, Ordering::Relaxed);
            self.queued.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        event
    }
}

/// Returns the size of a message that counts.
pub fn size(message: &OwnedMessage) -> usize {
    message.payload().map_or(0, <[u8]>::len) + message.key().map_or(0, <[u8]>::len)
}
