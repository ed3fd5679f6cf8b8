//! The ceiling of a run: the same rows read and predictions of the same shape written, straight on
//! the driver, with nothing in between. No part of helenus is used here.
//!
//! Constant predictions, no hashes, no claims, no checks: whatever helenus does beyond this is its
//! own cost. The settings are flags, so that they can be tuned as hard as helenus's.

mod load;
mod rows;

use std::{sync::Arc, time::Instant};

use clap::{Parser, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::client::{session::Session, session_builder::SessionBuilder};
use serde_json::json;

use load::Load;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum What {
    /// Read the source.
    Read,
    /// Write predictions of keys 0, 1, 2 ... without reading (the key must be one int).
    Write,
    /// Read the source and write a prediction of each row.
    Both,
    /// Read the source and the predictions, range by range, both at a time.
    ReadBoth,
    /// Read the source, and then the predictions.
    ReadInTurn,
}

/// Reads a table and writes constant predictions of its rows as fast as Cassandra allows.
#[derive(Parser)]
struct Flags {
    what: What,
    #[arg(long, default_value = "127.0.0.1:9042")]
    contact: String,
    /// keyspace.table that is read: every column of it.
    #[arg(long)]
    source: String,
    /// keyspace.table that is written: the source's key, model_version, outputs, lineage.
    #[arg(long)]
    target: String,
    /// Versions written of each row, in one mutation.
    #[arg(long, default_value_t = 1)]
    versions: i32,
    /// Rows that are written without reading.
    #[arg(long, default_value_t = 0)]
    rows: i32,
    /// Ranges read at a time.
    #[arg(long, default_value_t = 8)]
    readers: usize,
    /// Ranges that the ring is cut into.
    #[arg(long, default_value_t = 32)]
    ranges: u64,
    #[arg(long, default_value_t = 2_000)]
    page_rows: i32,
    /// Predictions of an unlogged batch.
    #[arg(long, default_value_t = 21)]
    batch: usize,
    /// Batches under way, all readers together.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Hashes in the lineages that differ in every prediction, as real ones do, so that they do not
    /// compress.
    #[arg(long)]
    differ: bool,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(flags.threads)
        .enable_all()
        .build()?;
    let (done, seconds) = runtime.block_on(measure(&flags))?;
    println!(
        "{}",
        json!({
            "source_rows": done.source_rows,
            "stored_rows": done.stored_rows,
            "written": done.written,
            "seconds": seconds,
        })
    );
    Ok(())
}

/// What a range, or all of them, came to.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    source_rows: u64,
    stored_rows: u64,
    written: u64,
}

async fn measure(flags: &Flags) -> Result<(Done, f64), Failure> {
    let session: Session = SessionBuilder::new()
        .known_node(&flags.contact)
        .build()
        .await?;
    let load = Arc::new(Load::prepare(session, flags).await?);
    let began = Instant::now();
    let each = match flags.what {
        What::Write => flags.rows as u64,
        _ => flags.ranges,
    };
    let width = match flags.what {
        What::Write => each.div_ceil(flags.ranges),
        _ => 1,
    };
    let starts: Vec<u64> = (0..each).step_by(width as usize).collect();
    let what = flags.what;
    let ranges = flags.ranges;
    // A task for each range, so that both cores take part.
    let done: Vec<Done> = stream::iter(starts)
        .map(|start| {
            let load = Arc::clone(&load);
            tokio::spawn(async move {
                match what {
                    What::Write => load.write(start..each.min(start + width)).await,
                    What::Read => load.read(start, ranges).await,
                    What::Both => load.read_and_write(start, ranges).await,
                    What::ReadBoth => load.read_both(start, ranges).await,
                    What::ReadInTurn => load.read_in_turn(start, ranges).await,
                }
            })
        })
        .buffer_unordered(flags.readers)
        .map(|joined| joined.unwrap_or_else(|panic| Err(panic.into())))
        .try_collect()
        .await?;
    let sum = |of: fn(&Done) -> u64| done.iter().map(of).sum();
    let total = Done {
        source_rows: sum(|done| done.source_rows),
        stored_rows: sum(|done| done.stored_rows),
        written: sum(|done| done.written),
    };
    Ok((total, began.elapsed().as_secs_f64()))
}
