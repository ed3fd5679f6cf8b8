//! Writes scored batches and waits for their acknowledgement.

use futures::{StreamExt, stream::FuturesUnordered};

use super::{
    context::RunContext,
    lane::Lane,
    lineage::{Lineage, append_with_arm},
    outbox::{Outgoing, OutgoingMessage, SendError},
    pace::Turn,
    stored::Orphans,
};
use crate::{
    domain::job::served::Served,
    failpoint,
    store::{
        driver::{error::StoreError, fenced_lease::Fence},
        predictions::{Sent, mutations::Mutations},
    },
};

/// Requests of one batch that are in flight or wait for a permit.
const SENDS_OF_A_BATCH: usize = 32;

/// Why a batch was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The lease expired.
    Fenced,
    /// This process was asked to stop.
    Stopped,
    /// Cassandra failed.
    Store(StoreError),
    /// The predictions are stored, but could not be sent to their topic.
    Send(SendError),
}

/// Writes all versions' outcomes of a batch, and then sends those that go to a topic. The rows of one entity are adjacent, so that its
/// versions share a mutation.
pub async fn write(
    context: &RunContext,
    lane: &mut Lane,
    epoch: i32,
    fence: &Fence,
) -> Result<(), WriteError> {
    let timestamp = timestamp(context, epoch);
    let mut in_flight = FuturesUnordered::new();
    let mut rows = BatchRows::new(context, lane);
    loop {
        let mut mutations = context.writer.mutations(timestamp);
        rows.fill(&mut mutations);
        if mutations.is_empty() {
            break;
        }
        let paced = context.pace.take(mutations.rows());
        tokio::pin!(paced);
        // Keep polling requests in flight: an unread response would look slow to the adaptive
        // limit.
        loop {
            tokio::select! {
                turn = &mut paced => match turn {
                    Turn::Go => break,
                    Turn::Closed => return Err(WriteError::Stopped),
                },
                Some(sent) = in_flight.next() => acknowledge(sent)?,
            }
        }
        in_flight.push(context.writer.send(mutations, || {
            let may = fence.may_send();
            // An owner that is frozen at this point has passed the check, and sends however late it
            // wakes up.
            failpoint::hit("mid_split");
            may
        }));
        while in_flight.len() >= SENDS_OF_A_BATCH {
            if let Some(sent) = in_flight.next().await {
                acknowledge(sent)?;
            }
        }
    }
    while let Some(sent) = in_flight.next().await {
        acknowledge(sent)?;
    }
    drop(in_flight);
    if let Some(outbox) = &context.outbox {
        let messages = std::mem::take(&mut rows.messages);
        let sent = outbox.send(messages, fence).await;
        sent.map_err(|error| error.map_or(WriteError::Fenced, WriteError::Send))?;
    }
    for version in &lane.versions {
        lane.tally.acknowledged(version, &lane.batch.keys);
    }
    Ok(())
}

/// Returns a timestamp above everything that a dead owner of the split, or an earlier run, may
/// still send.
fn timestamp(context: &RunContext, epoch: i32) -> i64 {
    context.base + 2 * i64::from(epoch)
}

/// The rows of a scored batch, in order.
struct BatchRows<'l> {
    context: &'l RunContext,
    lane: &'l Lane,
    /// The lineage fields that all rows of this batch share.
    lineage: Lineage,
    row: usize,
    /// One entry per version.
    behind: Vec<Behind>,
    /// Which version's prediction of a row is the current one, if the job keeps a table of those.
    served: &'l Served,
    /// Whether an unchanged prediction that is only rewritten keeps the time when it was made. Then
    /// its history row is rewritten as well, and no new one is added. `false` if all rows are
    /// re-scored on request.
    keeps: bool,
    /// What is sent to topics once the rows are written.
    messages: Vec<OutgoingMessage>,
}

/// Read position in each of a version's outcome lists.
#[derive(Debug, Clone, Copy, Default)]
struct Behind {
    scored: usize,
    rejected: usize,
    kept: usize,
    copied: usize,
}

impl<'l> BatchRows<'l> {
    fn new(context: &'l RunContext, lane: &'l Lane) -> Self {
        Self {
            context,
            lane,
            lineage: Lineage {
                run_id: context.run.run_id,
                scored_at: chrono::Utc::now().timestamp_millis(),
                job_revision: context.run.job_revision,
            },
            row: 0,
            behind: vec![Behind::default(); lane.versions.len()],
            served: &context.job.served,
            keeps: !context.run.scope.rewrite,
            messages: Vec::new(),
        }
    }

    /// Adds rows until the mutations are full, or no row is left.
    fn fill(&mut self, mutations: &mut Mutations) {
        let batch = &self.lane.batch;
        let (job, outbox) = (&self.context.job, self.context.outbox.as_ref());
        // All versions of an entity share its mutation.
        let versions = self.lane.versions.len();
        while self.row < batch.rows() && !mutations.is_full(versions) {
            let (row, source_hash) = (self.row as u32, batch.source_hashes[self.row]);
            let key = || batch.keys.row(row as usize);
            let key_cells: Vec<_> = outbox.iter().flat_map(|_| key()).collect();
            let arm = batch.arms[self.row];
            let (label, current) = (self.served.label(arm), self.served.version_of(arm));
            let versions = self.lane.versions.iter().zip(&mut self.behind);
            for (at, (version, behind)) in versions.enumerate() {
                let rows = &batch.versions[at];
                let scored = version.scored.get(behind.scored);
                let rejected = version.rejected.get(behind.rejected);
                let kept = rows.kept.get(behind.kept).filter(|kept| kept.0 == row);
                behind.kept += usize::from(kept.is_some());
                let mut lineage = self.lineage;
                let outgoing = |lineage, input_hash| Outgoing {
                    key: &key_cells,
                    at,
                    lineage,
                    input_hash,
                    source_hash,
                    arm,
                };
                if let Some((_, made_at)) = kept.filter(|_| self.keeps) {
                    lineage.scored_at = *made_at;
                }
                if let Some((_, hash)) = scored.filter(|next| next.0 == row) {
                    let outputs = version.cells.row(behind.scored);
                    mutations.insert(key(), version.number, outputs, |bytes| {
                        lineage.append(&version.sha256, *hash, source_hash, label, None, bytes);
                    });
                    mutations.remember(lineage.scored_at);
                    if let Some(outbox) = outbox {
                        let row = outgoing(lineage, *hash);
                        let outputs = version.cells.row(behind.scored);
                        outbox.add(job, &row, Ok(outputs), &mut self.messages);
                    }
                    behind.scored += 1;
                } else if let Some(next) = rejected.filter(|next| next.row == row) {
                    mutations.reject(key(), version.number, |bytes| {
                        let (hash, reason) = (next.input_hash, Some(next.reason.as_str()));
                        lineage.append(&version.sha256, hash, source_hash, label, reason, bytes);
                    });
                    mutations.remember(lineage.scored_at);
                    if let Some(outbox) = outbox {
                        let row = outgoing(lineage, next.input_hash);
                        let none = None::<std::iter::Empty<_>>;
                        let outcome = none.ok_or(next.reason.as_str());
                        outbox.add(job, &row, outcome, &mut self.messages);
                    }
                    behind.rejected += 1;
                } else {
                    if rows.copied.get(behind.copied) == Some(&row) {
                        let cells = rows.copies.row(behind.copied);
                        mutations.copy(key(), version.number, cells, |stored, bytes| {
                            append_with_arm(stored, label, bytes);
                        });
                        behind.copied += 1;
                    }
                    continue;
                }
                if current == Some(version.number) {
                    mutations.make_current();
                }
            }
            self.row += 1;
        }
    }
}

/// Deletes predictions whose source row is gone, if the job says so, with the run's own timestamp.
pub async fn delete_orphans(
    context: &RunContext,
    orphans: &Orphans,
    epoch: i32,
    fence: &Fence,
) -> Result<(), WriteError> {
    let timestamp = timestamp(context, epoch);
    let mut mutations = context.writer.mutations(timestamp);
    for (row, version) in orphans.versions.iter().enumerate() {
        mutations.delete(orphans.keys.row(row), *version);
        if context.run.current.is_some() {
            // The row may hold the prediction of any version.
            mutations.delete_current(orphans.keys.row(row));
        }
        if mutations.is_full(1) || row + 1 == orphans.versions.len() {
            let full = std::mem::replace(&mut mutations, context.writer.mutations(timestamp));
            acknowledge(context.writer.send(full, || fence.may_send()).await)?;
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
