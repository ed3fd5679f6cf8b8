//! From scored batches to acknowledged predictions.

use std::collections::BTreeMap;

use futures::{StreamExt, stream::FuturesUnordered};
use rand::RngExt;

use super::{
    batch::{Batch, RejectedRow},
    context::RunContext,
    lease::Fence,
    lineage::Lineage,
    pace::Turn,
    stored::Orphans,
};
use crate::{
    domain::{
        cells::CellBuffer, outputs, run::Counts, statistics::OutputStatistics, tensor::OutputBatch,
    },
    failpoint,
    store::{
        error::StoreError,
        predictions::{Mutations, Sent},
        raw::push_cell,
        splits::Sampled,
    },
};

/// How many written rows of a split the closer may read back.
pub const SAMPLE: usize = 16;
/// Requests of one batch that are under way or wait for a permit.
const SENDS_OF_A_BATCH: usize = 32;
/// Rejected rows of one split that are listed for people.
const LISTED: usize = 1_000;

/// What a batch came to, once Cassandra has it.
#[derive(Default)]
pub struct Tally {
    /// Outcomes, counted where writes were acknowledged.
    pub counts: Counts,
    /// By version.
    pub statistics: BTreeMap<i32, OutputStatistics>,
    /// Written rows with a random priority; the highest of a split are its sample.
    pub sample: Vec<(u64, Sampled)>,
    /// Rejected rows for people: key cells (as bound), version, reason.
    pub rejected: Vec<(Vec<u8>, i32, String)>,
}

impl Tally {
    /// Takes another batch's tally in.
    pub fn add(&mut self, other: Self) {
        self.counts.add(&other.counts);
        for (version, statistics) in &other.statistics {
            self.statistics
                .entry(*version)
                .or_default()
                .merge(statistics);
        }
        self.sample.extend(other.sample);
        self.shrink_sample();
        let room = LISTED.saturating_sub(self.rejected.len());
        self.rejected.extend(other.rejected.into_iter().take(room));
    }

    fn shrink_sample(&mut self) {
        if self.sample.len() > SAMPLE {
            self.sample
                .sort_unstable_by_key(|(priority, _)| std::cmp::Reverse(*priority));
            self.sample.truncate(SAMPLE);
        }
    }
}

/// What one version made of its rows of a batch.
pub struct VersionOutcome {
    /// Aligned with the version's rows that were not refused.
    pub outputs: OutputBatch,
    /// Row of the batch and `input_hash` of each row of `outputs`.
    pub scored: Vec<(u32, u128)>,
    /// Untyped, and refused by the model.
    pub rejected: Vec<RejectedRow>,
}

/// Why a batch was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The lease ran out.
    Fenced,
    /// This process was asked to stop.
    Stopped,
    /// Cassandra.
    Store(StoreError),
}

/// Writes all versions' outcomes of a batch. Rows of one entity follow each other, so that their
/// versions share a mutation.
pub async fn write(
    context: &RunContext,
    batch: &Batch,
    outcomes: Vec<VersionOutcome>,
    epoch: i32,
    fence: &Fence,
) -> Result<Tally, WriteError> {
    let mut tally = Tally::default();
    let mut encoded = Vec::with_capacity(outcomes.len());
    for (at, outcome) in outcomes.into_iter().enumerate() {
        encoded.push(encode(context, at, outcome, &mut tally));
    }
    let timestamp = context.base + 2 * i64::from(epoch);
    let scored_at_ms = chrono::Utc::now().timestamp_millis();
    let ttl = context.writer.ttl();
    let mut in_flight = FuturesUnordered::new();
    let mut mutations = Mutations::default();
    let mut cursors = vec![(0, 0); encoded.len()];
    for row in 0..batch.rows() {
        let source_hash = batch.source_hashes[row];
        for (version, (scored_at, rejected_at)) in encoded.iter().zip(&mut cursors) {
            let lineage = Lineage {
                model_sha256: &version.sha256,
                source_hash,
                run_id: context.run.run_id,
                scored_at: scored_at_ms,
                job_revision: context.run.job_revision,
            };
            let key = batch.keys.row(row);
            if let Some((_, hash)) = version
                .scored
                .get(*scored_at)
                .filter(|next| next.0 == row as u32)
            {
                let bytes = lineage.encode(*hash, None);
                let outputs = version.cells.row(*scored_at);
                mutations.insert(key, version.number, outputs, &bytes, timestamp, ttl);
                *scored_at += 1;
            } else if let Some(next) = version
                .rejected
                .get(*rejected_at)
                .filter(|next| next.row == row as u32)
            {
                let bytes = lineage.encode(next.input_hash, Some(&next.reason));
                mutations.reject(key, version.number, &bytes, timestamp, ttl);
                *rejected_at += 1;
            }
        }
        if mutations.is_full() || row + 1 == batch.rows() {
            let full = std::mem::take(&mut mutations);
            if full.is_empty() {
                continue;
            }
            let paced = context.pace.take(full.rows());
            tokio::pin!(paced);
            // What is in flight goes on meanwhile: an answer that lies about would look slow.
            loop {
                tokio::select! {
                    turn = &mut paced => match turn {
                        Turn::Go => break,
                        Turn::Closed => return Err(WriteError::Stopped),
                    },
                    Some(sent) = in_flight.next() => acknowledge(sent)?,
                }
            }
            in_flight.push(async move {
                let may_send = || {
                    let may = fence.may_send();
                    // Whoever is frozen here sends in good faith, however late.
                    failpoint::hit("mid_split");
                    may
                };
                context.writer.send(&full, may_send).await
            });
            while in_flight.len() >= SENDS_OF_A_BATCH {
                if let Some(sent) = in_flight.next().await {
                    acknowledge(sent)?;
                }
            }
        }
    }
    while let Some(sent) = in_flight.next().await {
        acknowledge(sent)?;
    }
    sample(batch, &encoded, &mut tally);
    Ok(tally)
}

/// Deletes predictions whose source row is gone, as the job says, with the run's own timestamp.
pub async fn delete_orphans(
    context: &RunContext,
    orphans: &Orphans,
    epoch: i32,
    fence: &Fence,
) -> Result<(), WriteError> {
    let timestamp = context.base + 2 * i64::from(epoch);
    let mut mutations = Mutations::default();
    for (row, version) in orphans.versions.iter().enumerate() {
        mutations.delete(orphans.keys.row(row), *version, timestamp);
        if mutations.is_full() || row + 1 == orphans.versions.len() {
            let full = std::mem::take(&mut mutations);
            acknowledge(context.writer.send(&full, || fence.may_send()).await)?;
        }
    }
    Ok(())
}

fn acknowledge(sent: Result<Sent, StoreError>) -> Result<(), WriteError> {
    match sent {
        Ok(Sent::Acknowledged) => Ok(()),
        Ok(Sent::Fenced) => Err(WriteError::Fenced),
        Err(error) => Err(WriteError::Store(error)),
    }
}

/// One version's cells, ready to bind.
struct Encoded {
    number: i32,
    sha256: [u8; 32],
    cells: CellBuffer,
    scored: Vec<(u32, u128)>,
    rejected: Vec<RejectedRow>,
}

fn encode(context: &RunContext, at: usize, outcome: VersionOutcome, tally: &mut Tally) -> Encoded {
    let version = &context.job.versions[at];
    let number = version.ready.version;
    let columns = &context.job.target.outputs;
    let mut encoded = Encoded {
        number,
        sha256: version.ready.admitted.sha256,
        cells: CellBuffer::new(columns.len()),
        scored: Vec::with_capacity(outcome.scored.len()),
        rejected: outcome.rejected,
    };
    let statistics = tally.statistics.entry(number).or_default();
    for (at, (row, input_hash)) in outcome.scored.into_iter().enumerate() {
        match outputs::encode(version, &outcome.outputs, at, &mut encoded.cells) {
            Ok(()) => {
                statistics.add_row(columns, &encoded.cells, encoded.scored.len());
                encoded.scored.push((row, input_hash));
            }
            Err(rejection) => encoded.rejected.push(RejectedRow {
                row,
                input_hash,
                reason: rejection.to_string(),
            }),
        }
    }
    encoded.rejected.sort_by_key(|rejected| rejected.row);
    *tally.counts.scored.entry(number).or_default() += encoded.scored.len() as u64;
    *tally.counts.rejected.entry(number).or_default() += encoded.rejected.len() as u64;
    encoded
}

fn sample(batch: &Batch, encoded: &[Encoded], tally: &mut Tally) {
    let key = |row: u32| {
        let mut bytes = Vec::new();
        let cells = batch.keys.row(row as usize);
        cells.for_each(|cell| push_cell(&mut bytes, cell));
        bytes
    };
    let mut random = rand::rng();
    for version in encoded {
        let scored = version.scored.iter().copied();
        let rejected = version.rejected.iter().map(|row| (row.row, row.input_hash));
        for (row, input_hash) in scored.chain(rejected) {
            let priority: u64 = random.random();
            // The sample of a batch is the highest priorities: look before copying a key.
            if tally.sample.len() < SAMPLE
                || tally.sample.iter().any(|(least, _)| *least < priority)
            {
                let sampled = Sampled {
                    key: key(row),
                    version: version.number,
                    input_hash,
                };
                tally.sample.push((priority, sampled));
                tally.shrink_sample();
            }
        }
        for rejected in version.rejected.iter().take(LISTED) {
            let reason = rejected.reason.clone();
            tally
                .rejected
                .push((key(rejected.row), version.number, reason));
        }
    }
}
