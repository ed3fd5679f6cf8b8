//! Ends a run: sums the counts, reads a sample back, makes the one terminal transition and frees
//! the table.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Utc;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use uuid::Uuid;

use super::{
    context::RunContext, drift, output_warnings::output_warnings, read_back::read_back,
    work::Worked,
};
use crate::{
    codec::ring::TokenRange,
    domain::{
        evidence::statistics::OutputStatistics,
        job::{MaxRejected, manifest::TableName},
        run::{Counts, Part, Run, RunState},
    },
    failpoint, metrics,
    store::{
        Store,
        driver::error::StoreError,
        runs::{
            Ending,
            splits::{Sampled, Split, SplitId, SplitState},
        },
    },
};

/// Splits read concurrently.
const AT_A_TIME: usize = 32;
/// Rows read back in total; every split contributes at least one.
const READ_BACK: usize = 2_000;

/// How often the terminal transition is sent while it is not applied.
const ENDING_TRIES: u32 = 5;

/// Closes a run whose splits are all done.
/// The run succeeds only if its counts add up, few enough rows were rejected, and the rows read
/// back are the rows that were written.
pub async fn close(context: &RunContext) -> Result<Worked, StoreError> {
    failpoint::hit("before_close");
    let run = &context.run;
    let splits = read_splits(&context.store, run).await?;
    let done = splits
        .iter()
        .flatten()
        .filter(|split| split.state == SplitState::Done)
        .count();
    if done < splits.len() {
        return ended_elsewhere(&context.store, run, "a split that was done is done no more").await;
    }
    let (counts, statistics, sample) = sum(splits);
    let reason = match unanswered(run, &counts)
        .or_else(|| too_many_rejected(context.job.rules.max_rejected, &counts))
    {
        Some(reason) => Some(reason),
        None => match other_tables(context).await? {
            Some(reason) => Some(reason),
            None => read_back(context, &sample).await?,
        },
    };
    let mut warnings = run.warnings.clone();
    warnings.extend(output_warnings(context, &statistics).await?);
    warnings.extend(Box::pin(drift::measure(context, &counts)).await?);
    if matches!(run.scope.part, Part::Keys(_)) && counts.source_rows < context.keys.len() as u64 {
        warnings.push(format!(
            "keys_missing: {} of {} keys have no source row",
            context.keys.len() as u64 - counts.source_rows,
            context.keys.len()
        ));
    }
    let ending = Ending {
        state: match reason {
            None => RunState::Succeeded,
            Some(_) => RunState::Failed,
        },
        whole: run.scope.part == Part::Whole,
        reason,
        warnings,
        late: run.is_late(Utc::now()),
        splits_done: done as i32,
        counts,
        output_statistics: statistics
            .iter()
            .map(|(version, statistics)| (*version, statistics.to_json().to_string()))
            .collect(),
    };
    // Before the run ends: whoever closes it after a crash of this process sends it again.
    if let Some(outbox) = &context.outbox {
        let (state, reason) = (ending.state, ending.reason.as_deref());
        let sent = outbox.end(&context.job, run, state, reason, &ending.counts);
        if let Err(error) = sent.await {
            let reason = format!("the end of the run could not be sent: {error}");
            return Ok(Worked::GaveUp(reason));
        }
    }
    end(&context.store, run, ending).await
}

/// Ends a run as failed, with its reason.
pub async fn fail(store: &Store, run: &Run, reason: &str) -> Result<Worked, StoreError> {
    end_early(store, run, RunState::Failed, reason).await
}

/// Ends a run as cancelled. No process may hold a split of it any more.
pub async fn cancel(store: &Store, run: &Run) -> Result<Worked, StoreError> {
    end_early(store, run, RunState::Cancelled, "cancelled on request").await
}

/// Cancels a run that no process is working on, as far as this machine can tell.
/// Returns `false` if another process may be working on it; that process will end the run.
pub async fn cancel_if_idle(store: &Store, run: &Run) -> Result<bool, StoreError> {
    let splits = read_splits(store, run).await?;
    let held = splits.iter().flatten().any(|split| {
        split.state == SplitState::Claimed && !crate::process::is_gone(&split.process)
    });
    Ok(!held && matches!(cancel(store, run).await?, Worked::Ended(_)))
}

async fn end_early(
    store: &Store,
    run: &Run,
    state: RunState,
    reason: &str,
) -> Result<Worked, StoreError> {
    let splits = read_splits(store, run).await?;
    let is_done = |split: &Option<Split>| {
        split
            .as_ref()
            .is_some_and(|split| split.state == SplitState::Done)
    };
    let splits: Vec<_> = splits.into_iter().filter(is_done).collect();
    let done = splits.len();
    let (counts, statistics, _) = sum(splits);
    let ending = Ending {
        state,
        whole: run.scope.part == Part::Whole,
        reason: Some(reason.to_owned()),
        warnings: run.warnings.clone(),
        late: run.is_late(Utc::now()),
        splits_done: done as i32,
        counts,
        output_statistics: statistics
            .iter()
            .map(|(version, statistics)| (*version, statistics.to_json().to_string()))
            .collect(),
    };
    end(store, run, ending).await
}

async fn end(store: &Store, run: &Run, ending: Ending) -> Result<Worked, StoreError> {
    finish(store, (&run.job, run.run_id), &run.versions, ending).await?;
    ended_elsewhere(store, run, "the run could not be ended").await
}

/// Makes the one terminal transition of a run. Returns its row, which shows the ending that was
/// applied, this one or another process's; `None`: there is no such row any more.
///
/// # Errors
/// Cassandra's errors.
pub async fn finish(
    store: &Store,
    (job, run_id): (&str, Uuid),
    versions: &BTreeSet<i32>,
    mut ending: Ending,
) -> Result<Option<Run>, StoreError> {
    // Every version has an entry in every map, so that readers need no default.
    for version in versions {
        let counts = &mut ending.counts;
        for map in [
            &mut counts.scored,
            &mut counts.unchanged,
            &mut counts.rejected,
        ] {
            map.entry(*version).or_default();
        }
    }
    // If the transition was refused or its outcome is unknown, the run's row shows which ending was
    // applied, if any.
    let mut stands = None;
    for _ in 0..ENDING_TRIES {
        let ended = store.finish_run(job, run_id, &ending).await?;
        if ended {
            let state = ending.state.as_str();
            metrics::RUNS.counter([job, state]).increment(1);
        }
        if ended
            && ending.whole
            && let Err(error) = store.prune_whole_ended(job).await
        {
            tracing::debug!(%error, "the next run removes old ends");
        }
        stands = store.run(job, run_id).await?;
        if ended || stands.as_ref().is_none_or(|run| run.state.is_terminal()) {
            break;
        }
    }
    Ok(stands)
}

async fn ended_elsewhere(store: &Store, run: &Run, otherwise: &str) -> Result<Worked, StoreError> {
    match store.run(&run.job, run.run_id).await? {
        Some(run) if run.state.is_terminal() => {
            if run.state == RunState::Succeeded && run.current.is_some_and(|current| current.copies)
            {
                store.note_current(&run).await?;
            }
            failpoint::hit("before_free");
            free(store, &run).await?;
            Ok(Worked::Ended(Box::new(run)))
        }
        _ => Ok(Worked::GaveUp(otherwise.to_owned())),
    }
}

/// Frees the prediction table after a terminal transition.
/// Safe to repeat, by any process: the ranges that a run leaves unfinished are derived from its
/// splits.
pub async fn free(store: &Store, run: &Run) -> Result<(), StoreError> {
    let open = store.open_runs(&run.job).await?;
    let mut left = Vec::new();
    if run.state != RunState::Succeeded {
        left = unfinished(store, run).await?;
    }
    let versions: Vec<_> = open
        .into_iter()
        .filter(|row| row.run_id == Some(run.run_id))
        .map(|row| {
            let mut unfinished: Vec<TokenRange> = match (run.state, &run.scope.part) {
                (RunState::Succeeded, Part::Whole) => Vec::new(),
                (RunState::Succeeded, Part::Range(covered)) => row
                    .unfinished
                    .iter()
                    .flat_map(|range| range.minus(*covered))
                    .collect(),
                _ => row.unfinished,
            };
            unfinished.extend(&left);
            unfinished.sort_unstable();
            unfinished.dedup();
            (row.version, unfinished)
        })
        .collect();
    store
        .free_open_run(&run.job, run.run_id, run.run_base, &versions)
        .await
}

/// Returns the ranges that were claimed and not finished: late writes may still arrive there.
async fn unfinished(store: &Store, run: &Run) -> Result<Vec<TokenRange>, StoreError> {
    let Some(plan) = &run.plan else {
        return Ok(Vec::new());
    };
    let splits = read_splits(store, run).await?;
    Ok(plan
        .splits
        .iter()
        .zip(splits)
        .filter(|(_, split)| {
            split
                .as_ref()
                .is_some_and(|split| split.state != SplitState::Done)
        })
        // A split of keys has no range: its keys can be anywhere on the ring.
        .map(|(range, _)| range.unwrap_or(TokenRange::WHOLE))
        .collect())
}

/// Reads all splits of a run, after every decided conditional write. `None`: never claimed.
pub fn read_splits<'a>(
    store: &'a Store,
    run: &'a Run,
) -> BoxFuture<'a, Result<Vec<Option<Split>>, StoreError>> {
    each_split(run, move |id| async move { store.split(&id).await })
}

/// Reads something of each split of a run, in order.
pub(super) fn each_split<'a, T, F>(
    run: &'a Run,
    read: impl Fn(SplitId) -> F + Send + 'a,
) -> BoxFuture<'a, Result<Vec<T>, StoreError>>
where
    T: Send + 'a,
    F: Future<Output = Result<T, StoreError>> + Send + 'a,
{
    let total = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
    futures::stream::iter(0..total as i32)
        .map(move |split| {
            read(SplitId {
                job: run.job.clone(),
                run_id: run.run_id,
                split,
            })
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .boxed()
}

type Summed = (Counts, BTreeMap<i32, OutputStatistics>, Vec<Sampled>);

fn sum(splits: Vec<Option<Split>>) -> Summed {
    let mut counts = Counts::default();
    let mut statistics: BTreeMap<i32, OutputStatistics> = BTreeMap::new();
    let each = (READ_BACK / splits.len().max(1)).max(1);
    let mut sample = Vec::new();
    for split in splits.into_iter().flatten() {
        counts.add(&split.counts);
        for (version, theirs) in &split.statistics {
            statistics.entry(*version).or_default().merge(theirs);
        }
        sample.extend(split.sample.into_iter().take(each));
    }
    (counts, statistics, sample)
}

/// Checks that every row that the scan returned has an outcome for each version. Returns the reason
/// if not.
fn unanswered(run: &Run, counts: &Counts) -> Option<String> {
    let of = |map: &BTreeMap<i32, u64>, version| map.get(version).copied().unwrap_or(0);
    run.versions.iter().find_map(|version| {
        let answered = of(&counts.scored, version)
            + of(&counts.unchanged, version)
            + of(&counts.rejected, version);
        (answered != counts.source_rows).then(|| {
            format!(
                "counts_differ: version {version} has {answered} outcomes for {} source rows",
                counts.source_rows
            )
        })
    })
}

fn too_many_rejected(allowed: MaxRejected, counts: &Counts) -> Option<String> {
    let limit = allowed.max_rows(counts.source_rows);
    let (version, rows) = counts.rejected.iter().max_by_key(|(_, rows)| **rows)?;
    (*rows > limit).then(|| {
        format!(
            "too_many_rejected: version {version} rejected {rows} of {} rows, rules.max_rejected allows {limit}; `helenus run rejected` lists them with their reasons",
            counts.source_rows
        )
    })
}

/// Returns a reason to fail the run if its source or target table was dropped since this process
/// read it. The counts then say nothing about a table of the same name that was created again.
async fn other_tables(context: &RunContext) -> Result<Option<String>, StoreError> {
    let job = &context.job;
    let source = named(&job.source.keyspace, &job.source.table);
    let target = named(&job.target.keyspace, &job.target.table);
    let seen = context.store.table(&source).await?.map(|table| table.id);
    if seen != Some(job.source.id) {
        return Ok(Some(format!(
            "source_changed: {source} was dropped during the run; if it was created again, the next run scores its rows"
        )));
    }
    if context.store.table(&target).await?.is_none() {
        return Ok(Some(format!(
            "target_dropped: {target} was dropped during the run; the next run creates it again"
        )));
    }
    Ok(None)
}

fn named(keyspace: &str, table: &str) -> TableName {
    TableName {
        keyspace: keyspace.to_owned(),
        table: table.to_owned(),
    }
}
