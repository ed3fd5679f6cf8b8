//! Which version's predictions a run writes to the table of the current ones.
//!
//! That table has one row an entity, so the runs of several versions could write the same row. What
//! keeps it right:
//! - A run knows one champion from its base on ([`champion`]), and writes there only what it scores
//!   with that version.
//! - After a promotion a run of scope `current` over the new champion goes through the source as any
//!   run does, and copies what stands unchanged instead of leaving it alone. Like every run it has
//!   the version to itself, and a base above those of all runs that were opened before: of those the
//!   ones that knew the old champion lose against it, and one that scored the new champion without
//!   knowing it had ended before. Above means further than their epochs reach, so bases are told
//!   apart across all versions of the job.

use crate::{
    domain::{alias::CHAMPION, job::CompiledJob, problem::Problem},
    failure::Failure,
    store::{Store, error::StoreError, open_runs::OpenRun},
    worker::jobs::PreparedJob,
};

/// The champion now and the number of the move that led to it, where `job` keeps a table of its
/// predictions and this run is over it. To be asked once the run's base is known.
///
/// # Errors
/// Cassandra's.
pub async fn champion(store: &Store, job: &CompiledJob) -> Result<Option<(i32, i32)>, StoreError> {
    let Some(version) = job
        .versions
        .first()
        .filter(|_| job.target.current.is_some())
    else {
        return Ok(None);
    };
    let champion = store.alias_now(&version.ready.model, CHAMPION).await?;
    let mut mine = job.versions.iter().map(|version| version.ready.version);
    Ok(champion.filter(|(champion, _)| mine.any(|mine| mine == *champion)))
}

/// The newest base that a run over these versions has or had.
pub fn newest_base(opened: &[OpenRun]) -> Option<i64> {
    let bases = opened.iter().map(|row| row.written_at.max(row.last_base));
    bases.flatten().max()
}

/// Leaves the champion alone of the job's versions.
///
/// # Errors
/// A job that keeps no table of its predictions.
pub fn only_champion(prepared: &mut PreparedJob) -> Result<(), Failure> {
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
    let champion = prepared.aliases.get(CHAMPION);
    job.versions
        .retain(|version| champion == Some(&version.ready.version));
    match job.versions.is_empty() {
        false => Ok(()),
        true => Err(Failure::input(
            Problem::new(
                "run.no_champion",
                "the versions asked for are not the champion",
            )
            .at("versions")
            .help("leave them out: scope `current` is about the champion alone"),
        )),
    }
}
