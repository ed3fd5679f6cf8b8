//! Runs one claimed split, from its lease to its last conditional write.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{
    context::RunContext,
    lease::Lease,
    split::{self, SplitError},
    tally::Tally,
};
use crate::{
    failpoint, metrics,
    store::runs::splits::{Claimant, Finished, Held},
};

/// Scores one claimed split and marks it done, or releases it with its reason.
#[tracing::instrument(level = "debug", name = "split", skip_all, fields(split = lease.id.split, epoch = lease.epoch))]
pub async fn score_and_finish(
    context: &Arc<RunContext>,
    by: &Claimant,
    lease: &Lease,
    stop: &AtomicBool,
) -> Result<(), SplitError> {
    failpoint::hit("after_claim");
    let plan = context.run.plan.as_ref();
    let range = plan.and_then(|plan| plan.splits.get(lease.id.split as usize).copied().flatten());
    let unfinished = |range| context.unfinished.iter().any(|other| other.overlaps(range));
    let rewrite = context.run.scope.rewrite || lease.epoch > 1 || range.is_some_and(unfinished);
    let scored = split::score(context, range, lease.epoch, rewrite, &lease.fence, stop).await;
    let outcome = match scored {
        Ok(tally) => finish(context, by, lease, tally).await,
        Err(error) => Err(error),
    };
    measure(&context.run.job, &outcome);
    if let Err(error) = &outcome
        && !matches!(error, SplitError::Fenced)
    {
        let reason = error.to_string();
        // A lease that can't be released expires on its own.
        if let Err(error) = context
            .store
            .release_split(&lease.id, by.owner, lease.epoch, Some(&reason))
            .await
        {
            tracing::warn!(split = lease.id.split, %error, "giving a split up");
        }
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

async fn finish(
    context: &RunContext,
    by: &Claimant,
    lease: &Lease,
    tally: Tally,
) -> Result<(), SplitError> {
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
        let held = context
            .store
            .finish_split(&lease.id, by.owner, lease.epoch, &finished)
            .await;
        tries += 1;
        match held {
            Ok(Held::Yes) => {
                failpoint::hit("after_finish");
                return Ok(());
            }
            Ok(Held::Lost) => return Err(SplitError::Fenced),
            Err(error) if error.kind.may_pass() && tries < 10 && lease.fence.may_send() => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
