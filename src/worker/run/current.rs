//! Which version's predictions a run writes to the table of the current ones.
//!
//! That table has one row an entity, so the runs of several versions could write the same row. What
//! keeps it right:
//! - A run knows one champion from its base on ([`of`]), and writes there only what it scores with
//!   that version.
//! - After a promotion the first run through the whole source with the new champion also copies what
//!   stands unchanged. If nobody asks for one, [`crate::worker::current`] does (scope `current`).
//!   Like every run it has the version to itself, and a base above those of all runs that were opened
//!   before: of those the ones that knew the old champion lose against it, and one that scored the
//!   new champion without knowing it had ended before. Above means further than their epochs reach, so bases are told
//!   apart across all versions of the job.

use crate::{
    domain::{
        alias::CHAMPION,
        problem::Problem,
        run::{Current, Part, Scope},
    },
    failure::Failure,
    store::{Store, open_runs::OpenRun},
    worker::jobs::PreparedJob,
};

/// The code of a run that was planned for a revision which another one has replaced meanwhile.
pub const OUTDATED: &str = "run.outdated";

/// What a run over these versions writes there; `None` where the job keeps no such table, or the
/// champion is none of them. To be asked once the run's base is known.
///
/// # Errors
/// [`OUTDATED`] when a later revision keeps the table: a run that knows nothing of it would leave
/// behind rows that no later run finds pending. Cassandra's.
pub async fn of(
    store: &Store,
    prepared: &PreparedJob,
    scope: &Scope,
) -> Result<Option<Current>, Failure> {
    let job = &prepared.job;
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
        return Ok(None);
    };
    let champion = store.alias_now(&first.ready.model, CHAMPION).await?;
    let mut mine = job.versions.iter().map(|version| version.ready.version);
    let Some((version, seq)) = champion.filter(|champion| mine.any(|mine| mine == champion.0))
    else {
        return Ok(None);
    };
    let holds = table.and_then(|table| table.holds);
    let is_there = holds.is_some_and(|holds| {
        (holds.version, holds.last_seq, holds.revision) == (version, seq, prepared.revision)
    });
    Ok(Some(Current {
        version,
        seq,
        copies: scope.part == Part::Whole && (scope.refresh || !is_there),
    }))
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
