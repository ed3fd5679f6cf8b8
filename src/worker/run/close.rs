//! The end of a run: counts summed, a sample read back, one terminal transition, the table freed.

use std::collections::BTreeMap;

use chrono::Utc;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};

use super::{context::RunContext, work::Worked};
use crate::{
    domain::{
        job::MaxRejected,
        manifest::TableName,
        ring::TokenRange,
        run::{Counts, Part, Run, RunState},
        statistics::OutputStatistics,
    },
    failpoint, metrics,
    store::{
        Store,
        error::StoreError,
        runs::Ending,
        splits::{Sampled, Split, SplitId, SplitState},
    },
};

/// Splits read at a time.
const AT_A_TIME: usize = 32;
/// Rows read back in all; each split has at least one among them.
const READ_BACK: usize = 2_000;

/// How often an ending is sent while it does not arrive.
const ENDING_TRIES: u32 = 5;

/// Closes a run whose splits are all done: it succeeds only when its counts add up, few enough
/// rows were rejected, and the rows read back are the ones that were written.
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
    warnings.extend(look_at(context, &statistics).await?);
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
    end(&context.store, run, ending).await
}

/// Ends a run that can't succeed.
pub async fn fail(store: &Store, run: &Run, reason: &str) -> Result<Worked, StoreError> {
    end_early(store, run, RunState::Failed, reason).await
}

/// Ends a run on request. Nobody may hold a split of it any more.
pub async fn cancel(store: &Store, run: &Run) -> Result<Worked, StoreError> {
    end_early(store, run, RunState::Cancelled, "cancelled on request").await
}

/// Ends a run that is to be cancelled and that nobody works on, as far as this machine can tell;
/// `false` where somebody may, who will end it.
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

async fn end(store: &Store, run: &Run, mut ending: Ending) -> Result<Worked, StoreError> {
    // A reader finds every version in every map.
    for version in &run.versions {
        let counts = &mut ending.counts;
        for map in [
            &mut counts.scored,
            &mut counts.unchanged,
            &mut counts.rejected,
        ] {
            map.entry(*version).or_default();
        }
    }
    // Refused or unknown: the row tells which ending stands, and whether any arrived.
    for _ in 0..ENDING_TRIES {
        let ended = store.finish_run(&run.job, run.run_id, &ending).await?;
        if ended {
            let state = ending.state.as_str();
            metrics::RUNS.counter([&run.job, state]).increment(1);
        }
        let stands = store.run(&run.job, run.run_id).await?;
        if ended || stands.is_none_or(|run| run.state.is_terminal()) {
            break;
        }
    }
    ended_elsewhere(store, run, "the run could not be ended").await
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

/// Frees the prediction table after a terminal transition. Safe to repeat and by anybody: what a
/// run leaves unfinished is derived from its splits.
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

/// Ranges that somebody claimed and did not finish: late writes may still arrive there.
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
        // Keys lie anywhere.
        .map(|(range, _)| range.unwrap_or(TokenRange::WHOLE))
        .collect())
}

/// All splits of a run, after every decided conditional write; `None`: never claimed.
pub fn read_splits<'a>(
    store: &'a Store,
    run: &'a Run,
) -> BoxFuture<'a, Result<Vec<Option<Split>>, StoreError>> {
    let total = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
    futures::stream::iter(0..total as i32)
        .map(move |split| {
            let id = SplitId {
                job: run.job.clone(),
                run_id: run.run_id,
                split,
            };
            async move { store.split(&id).await }
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

/// Every row that the scan returned must have an outcome for each version.
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
    let limit = match allowed {
        MaxRejected::Count(rows) => rows,
        MaxRejected::Share(share) => (share * counts.source_rows as f64).floor() as u64,
    };
    let (version, rows) = counts.rejected.iter().max_by_key(|(_, rows)| **rows)?;
    (*rows > limit).then(|| {
        format!(
            "too_many_rejected: version {version} rejected {rows} of {} rows, rules.max_rejected allows {limit}; `helenus run rejected` lists them with their reasons",
            counts.source_rows
        )
    })
}

/// A table that was dropped since this process read it, made anew or not, has nothing to do with
/// what was counted.
async fn other_tables(context: &RunContext) -> Result<Option<String>, StoreError> {
    let job = &context.job;
    let source = named(&job.source.keyspace, &job.source.table);
    let target = named(&job.target.keyspace, &job.target.table);
    let seen = context.store.table(&source).await?.map(|table| table.id);
    if seen != Some(job.source.id) {
        return Ok(Some(format!(
            "source_changed: {source} was dropped while the run was under way; if it was made anew, the next run scores what is in it"
        )));
    }
    if context.store.table(&target).await?.is_none() {
        return Ok(Some(format!(
            "target_dropped: {target} was dropped while the run was under way; the next run makes it anew"
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

/// Boxed, as [`read_splits`] is: the compiler can't tell otherwise that it may move between threads.
fn stored_hashes<'a>(
    context: &'a RunContext,
    sample: &'a [Sampled],
) -> BoxFuture<'a, Result<Vec<Option<u128>>, StoreError>> {
    futures::stream::iter(sample)
        .map(|row| {
            context
                .store
                .stored_hash(&context.job, &row.key, row.version)
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .boxed()
}

/// Reads the sample back: a row that is not there was shadowed by a delete from a clock that is
/// ahead of Cassandra's.
async fn read_back(context: &RunContext, sample: &[Sampled]) -> Result<Option<String>, StoreError> {
    let found = stored_hashes(context, sample).await?;
    let missing = found.iter().filter(|hash| hash.is_none()).count();
    let differing = sample
        .iter()
        .zip(&found)
        .filter(|(row, found)| found.is_some_and(|hash| hash != row.input_hash))
        .count();
    let total = sample.len();
    Ok(if missing > 0 {
        Some(format!(
            "shadowed: {missing} of {total} rows read back are missing, hidden by a delete newer than this run's writes; was it sent from a clock that is ahead?"
        ))
    } else if differing > 0 {
        Some(format!(
            "overwritten: {differing} of {total} rows read back are not the ones this run wrote; does anything else write to {}?",
            context.run.target
        ))
    } else {
        None
    })
}

async fn look_at(
    context: &RunContext,
    statistics: &BTreeMap<i32, OutputStatistics>,
) -> Result<Vec<String>, StoreError> {
    let runs = context.store.runs(&context.run.job, 20).await?;
    let before = |version: &i32| {
        runs.iter()
            .filter(|run| run.run_id != context.run.run_id && run.state == RunState::Succeeded)
            .filter_map(|run| run.output_statistics.get(version))
            .find_map(|json| {
                serde_json::from_str::<serde_json::Value>(json)
                    .ok()
                    .filter(|json| json.as_object().is_some_and(|columns| !columns.is_empty()))
            })
    };
    Ok(statistics
        .iter()
        .flat_map(|(version, statistics)| statistics.warnings(*version, before(version).as_ref()))
        .collect())
}
