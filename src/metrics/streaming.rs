//! What `helenus stream` measures.

use super::{JOB, Kind::*, Metric, metric};
use metrics::Unit;

/// What becomes of messages, as labels.
const OUTCOMES: [&str; 6] = [
    "scored", "rejected", "upserted", "deleted", "ignored", "lost",
];

#[rustfmt::skip]
mod table {
    use super::*;

    pub static STREAM_RECEIVED: Metric = metric("helenus_stream_messages_total", Counter, Unit::Count, &[JOB],
        "Messages whose outcome is committed.");
    pub static STREAM_OUTCOMES: Metric = metric("helenus_stream_outcomes_total", Counter, Unit::Count,
        &[JOB, ("outcome", &OUTCOMES)],
        "What became of messages: predictions sent, dead letters, rows written and deleted, messages ignored, and messages lost before they were read.");
    pub static STREAM_LAG: Metric = metric("helenus_stream_lag", Gauge, Unit::Count, &[JOB],
        "Offsets that the partitions of this process have not read yet; markers of transactions are among them.");
    pub static STREAM_STATE: Metric = metric("helenus_stream_running", Gauge, Unit::Count, &[JOB],
        "1 while the stream reads, 0 while it starts, waits or is paused.");
    pub static STREAM_TRANSACTION_SECONDS: Metric = metric("helenus_stream_transaction_seconds", Histogram, Unit::Seconds, &[],
        "One transaction, from its first message to its commit.");

    /// The metrics that only `helenus stream` changes.
    pub static STREAMING: &[&Metric] = &[
        &STREAM_RECEIVED, &STREAM_OUTCOMES, &STREAM_LAG, &STREAM_STATE, &STREAM_TRANSACTION_SECONDS,
    ];
}

pub use table::*;
