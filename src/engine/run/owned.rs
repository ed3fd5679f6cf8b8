//! Runs one claimed split, from its lease to its last conditional write.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{context::RunContext, split, split_error::SplitError, tally::Tally};
use crate::{
    failpoint, metrics,
    store::runs::split_leases::{Finish, Finished, SplitLease},
};

/// Scores one claimed split and marks it done, or releases it with its reason.
#[tracing::instrument(level = "debug", name = "split", skip_all, fields(split = lease.id.split, epoch = lease.epoch))]
pub async fn score_and_finish(
    context: &Arc<RunContext>,
    lease: SplitLease,
    stop: &AtomicBool,
) -> Result<(), SplitError> {
    failpoint::hit("after_claim");
    let plan = context.run.plan.as_ref();
    let range = plan.and_then(|plan| plan.splits.get(lease.id.split as usize).copied().flatten());
    let unfinished = |range| context.unfinished.iter().any(|other| other.overlaps(range));
    let rewrite = context.run.scope.rewrite || lease.epoch > 1 || range.is_some_and(unfinished);
    let scored = split::score(context, range, lease.epoch, rewrite, lease.fence(), stop).await;
    let outcome = match scored {
        Ok(tally) => finish(context, &lease, tally).await,
        Err(error) => Err(error),
    };
    measure(&context.run.job, &outcome);
    if let Err(error) = &outcome
        && !matches!(error, SplitError::Fenced)
    {
        lease.release(Some(&error.to_string())).await;
    }
    outcome
}

fn measure(job: &str, outcome: &Result<(), SplitError>) {
    let state = match outcome {
        Ok(()) => "done",
        Err(SplitError::Stopped) => "given_up",
        Err(SplitError::Fenced) => return metrics::LEASE_LOSSES.counter([]).increment(1),
        Err(SplitError::Store(_) | SplitError::Send(_) | SplitError::Score(_)) => "failed",
    };
    metrics::SPLITS.counter([job, state]).increment(1);
}

async fn finish(context: &RunContext, lease: &SplitLease, tally: Tally) -> Result<(), SplitError> {
    context
        .store
        .list_rejected(&context.run, &context.job, &tally.rejected)
        .await?;
    failpoint::hit("before_finish");
    let columns = &context.job.target.outputs;
    let statistics = tally.statistics.into_iter();
    let finished = Finished {
        counts: tally.counts,
        profile: tally.profile,
        statistics: statistics
            .map(|(version, statistics)| (version, statistics.into_statistics(columns)))
            .collect(),
        sample: tally
            .sample
            .into_iter()
            .map(|(_, sampled)| sampled)
            .collect(),
    };
    let mut tries = 0;
    loop {
        let outcome = lease.finish(&finished).await;
        tries += 1;
        match outcome {
            Ok(Finish::Done) => {
                failpoint::hit("after_finish");
                return Ok(());
            }
            Ok(Finish::Lost) => return Err(SplitError::Fenced),
            Err(error) if error.kind.may_pass() && tries < 10 && lease.fence().may_send() => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
