//! Which version's predictions a run writes to the table of current predictions.
//!
//! That table has one row per entity, so runs of different versions could write the same row. It
//! stays correct for these reasons:
//! - A run knows one move of the champion and one allocation of units to the arms of an experiment,
//!   fixed after its base was taken ([`plan`]). It writes to that table only the predictions of the
//!   version that serves the row by both: that of its arm, else the champion.
//! - **Bases and moves come in the same order**: of two runs of a job, the one with the higher base
//!   knows the same move or a later one. A run takes its base in `open_runs`, then reads the
//!   champion, then reads `open_runs` again ([`is_newest`]). If another run has a higher base by
//!   then, the run takes a new base and reads the champion again.
//! - Proof of that order: assume that run Y has a higher base than run X and knows an earlier move.
//!   Y took its base before it read the champion. Y read the champion before X did, because moves
//!   are never undone and both reads are linearizable. So Y's base was in `open_runs` (as that of
//!   an open run, or as `last_base`) at X's second look, and X took a base above it: a
//!   contradiction.
//! - Taking the base first and reading the champion second is not enough. A run that stalls in
//!   between reads a move that runs with higher bases do not know, and what it copies loses against
//!   what they write.
//! - After a promotion, the first run through the whole source with the new champion also copies
//!   what is stored unchanged. If no such run is requested, [`crate::control::current`] requests one
//!   (scope `current`). Like every run, it has the version to itself. Runs that knew an earlier
//!   champion have lower bases, so their writes lose against it. A run that scored the new champion
//!   without knowing of the move had ended before, so its predictions are copied.
//! - The same holds for allocations, whose changes are numbered and never undone, too: an experiment
//!   that starts, changes or stops is followed like a promotion.
//! - "Lower" means further apart than a run's epochs reach, so bases are kept that far apart across
//!   all versions of the job.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    domain::{
        evidence::experiment::allocation::Allocation,
        model::alias::CHAMPION,
        problem::Problem,
        run::{Current, Part, Scope},
    },
    engine::jobs::PreparedJob,
    failure::Failure,
    store::{
        Store, driver::error::StoreError, evidence::experiments::JobAllocation,
        runs::open_runs::OpenRun,
    },
};

/// Problem code of a run that was planned for a job revision that another revision has replaced
/// meanwhile.
pub const OUTDATED: &str = "run.outdated";

/// Returns what a run over these versions writes to the table of current predictions, and the arms of
/// the job's running experiment. Call it once the run's base is known.
/// The former is `None` if the job keeps no such table, or none of the versions serves a row.
///
/// # Errors
/// [`OUTDATED`] if a later revision keeps the table: a run that ignores that revision would leave
/// rows that no later run finds pending. Cassandra's errors.
pub async fn plan(
    store: &Store,
    prepared: &PreparedJob,
    scope: &Scope,
) -> Result<(Option<Current>, Option<Allocation>), Failure> {
    let job = &prepared.job;
    let JobAllocation { seq, allocation } = store.allocation_now(&job.job).await?;
    let allocation_seq = seq;
    let table = store.current_table(&job.job).await?;
    if let Some(table) = &table
        && table.revision > prepared.revision
    {
        let message = format!(
            "revision {} of job `{}` came while a run of revision {} was planned",
            table.revision, job.job, prepared.revision
        );
        return Err(Failure::system(
            Problem::new(OUTDATED, message).help("ask again"),
        ));
    }
    let Some(first) = job
        .versions
        .first()
        .filter(|_| job.target.current.is_some())
    else {
        return Ok((None, allocation));
    };
    let Some((version, seq)) = store.alias_now(&first.ready.model, CHAMPION).await? else {
        return Ok((None, allocation));
    };
    let serving = serving(version, allocation.as_ref());
    let mine = job.versions.iter().map(|version| version.ready.version);
    let mine: BTreeSet<i32> = mine.filter(|version| serving.contains(version)).collect();
    if mine.is_empty() {
        return Ok((None, allocation));
    }
    let holds = table.and_then(|table| table.holds);
    let is_there = holds.is_some_and(|holds| {
        (holds.version, holds.last_seq, holds.revision) == (version, seq, prepared.revision)
            && holds.allocation_seq == allocation_seq
    });
    let current = Current {
        version,
        seq,
        // A run over some of the versions that serve rows does not fill the table.
        copies: scope.part == Part::Whole && mine == serving && (scope.refresh || !is_there),
        allocation_seq,
    };
    Ok((Some(current), allocation))
}

/// Returns the versions that serve some rows.
fn serving(champion: i32, allocation: Option<&Allocation>) -> BTreeSet<i32> {
    let arms = allocation
        .into_iter()
        .flat_map(|allocation| &allocation.arms);
    arms.map(|arm| arm.version).chain([champion]).collect()
}

/// Returns the highest base that any of these `open_runs` rows has or had.
pub fn newest_base(opened: &[OpenRun]) -> Option<i64> {
    let bases = opened.iter().map(|row| row.written_at.max(row.last_base));
    bases.flatten().max()
}

/// Returns whether no other run of the job has a higher base than this one. If so, each run with a
/// higher base reads the champion later than this run did. Call it after [`plan`].
///
/// # Errors
/// Cassandra's errors.
pub async fn is_newest(
    store: &Store,
    job: &str,
    run_id: Uuid,
    base: i64,
) -> Result<bool, StoreError> {
    let mut others = store.open_runs(job).await?;
    others.retain(|row| row.run_id != Some(run_id));
    Ok(newest_base(&others).is_none_or(|other| other < base))
}

/// Keeps only the champion and the versions of the running experiment's arms.
///
/// # Errors
/// The job keeps no table of current predictions, or the champion is not among the versions.
pub fn only_served(
    prepared: &mut PreparedJob,
    allocation: Option<&Allocation>,
) -> Result<(), Failure> {
    let job = &mut prepared.job;
    if job.target.current.is_none() {
        return Err(Failure::input(
            Problem::new(
                "run.no_current_table",
                format!(
                    "job `{}` keeps no table of the champion's predictions",
                    job.job
                ),
            )
            .at("scope")
            .help("a new revision of it with `current = true` in [outputs] makes one"),
        ));
    }
    let champion = prepared.aliases.get(CHAMPION).copied();
    let mut served = job.versions.iter().map(|version| version.ready.version);
    match champion.filter(|champion| served.any(|version| version == *champion)) {
        Some(champion) => {
            let serving = serving(champion, allocation);
            job.versions
                .retain(|version| serving.contains(&version.ready.version));
            Ok(())
        }
        None => Err(Failure::input(
            Problem::new(
                "run.no_champion",
                "the versions asked for lack the champion",
            )
            .at("versions")
            .help("leave them out: scope `current` is about the versions that are served"),
        )),
    }
}
