//! Erases one entity from every table that helenus writes.
//!
//! Forgetting is a run over all versions, so no other run of the job is open meanwhile, and its
//! deletes carry its timestamp: late writes of an earlier run lose, and a later run may write the
//! entity again. After a crash half-way, run it again: each step looks for what still exists.

mod people;
mod place;
mod run;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use self::place::Place;
use crate::{
    domain::{
        answer::{AnswerKind, RequestAnswer},
        job::entity::Entity,
        problem::Problem,
    },
    failpoint,
    failure::Failure,
    inspect::explain::KeyWords,
    store::{Store, runs::run_requests::RunRequest},
};

/// Passes over all traces, after which what remains counts as impossible to erase.
const PASSES: usize = 3;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only count what exists.
    Look,
    /// Erase; refuse while the source still has the row, since the next run would score it again.
    Erase,
    /// Erase in any case.
    Force,
}

/// What was stored about the entities, and what was done.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The run whose timestamp the deletes carry; `None`: nothing was erased.
    pub run_id: Option<Uuid>,
    /// Table → rows that held an entity.
    pub found: BTreeMap<String, u64>,
    /// Versions that had predictions.
    pub versions: BTreeSet<i32>,
    /// What helenus could not erase: whose table it is, and what to do.
    pub left: Vec<String>,
    /// Further notes for the user.
    pub warnings: Vec<String>,
}

/// The key or keys of the entities to forget, as given by the user.
#[derive(Debug, Clone)]
pub enum ForgetTarget {
    /// Words of a command line.
    Words(KeyWords),
    /// Values by column.
    Keys(Vec<BTreeMap<String, String>>),
}

/// Forgets entities of a job, for a command.
///
/// # Errors
/// The job does not exist (exit 5); a key is invalid (exit 2); another run is open, or the source
/// still has the row (exit 4, see [`Mode`]); something came back or could not be erased (exit 1);
/// errors of Cassandra, and another process took over (exit 3).
pub async fn forget(
    store: &Store,
    job: &str,
    asked: &ForgetTarget,
    mode: Mode,
) -> Result<Forgotten, Failure> {
    forget_for(store, job, asked, mode, None).await
}

async fn forget_for(
    store: &Store,
    job: &str,
    asked: &ForgetTarget,
    mode: Mode,
    request: Option<Uuid>,
) -> Result<Forgotten, Failure> {
    let place = Place::read(store, job, request).await?;
    let entities = place.entities(asked)?;
    let mut forgotten = Forgotten {
        warnings: place.warnings(&entities),
        ..Forgotten::default()
    };
    let standing = place.still_in_source(store, &entities).await?;
    match (standing, mode) {
        (Some(source), Mode::Erase) => {
            return Err(Failure::conflict(
                Problem::new(
                    "forget.source_row",
                    format!("the row still exists in {source}: the next run would score it again"),
                )
                .help("delete it there first, or say --force"),
            ));
        }
        (Some(source), _) => forgotten.warnings.push(format!(
            "source_row: the row still exists in {source}: the next run scores it again"
        )),
        (None, _) => {}
    }
    if mode == Mode::Look {
        traces::pass(store, &place, &entities, None, &mut forgotten).await?;
        return Ok(forgotten);
    }
    let run = run::ForgetRun::take(store, &place).await?;
    forgotten.run_id = Some(run.run_id);
    let work = async {
        let base = run.begin(store, &place, entities.len()).await?;
        // That of the only epoch of any other run.
        let timestamp = base.base + 2;
        let erased = erase(store, &place, &entities, timestamp, &mut forgotten).await;
        Ok((base, erased))
    };
    let (base, erased) = Box::pin(run.alive(store, work)).await?;
    run.finish(store, &erased).await?;
    run.free(store, &base).await?;
    erased.map(|()| forgotten)
}

async fn erase(
    store: &Store,
    place: &Place,
    entities: &[Entity],
    timestamp: i64,
    forgotten: &mut Forgotten,
) -> Result<(), Failure> {
    traces::pass(store, place, entities, Some(timestamp), forgotten).await?;
    let mut again = Forgotten::default();
    for _ in 0..PASSES {
        again = Forgotten::default();
        traces::pass(store, place, entities, None, &mut again).await?;
        let denied = |table: &String| forgotten.left.iter().any(|left| left.starts_with(table));
        again.found.retain(|table, _| !denied(table));
        if again.found.is_empty() {
            failpoint::hit("after_forget_verify");
            return Ok(());
        }
        traces::pass(store, place, entities, Some(timestamp), &mut again).await?;
    }
    let tables: Vec<_> = again.found.keys().map(String::as_str).collect();
    Err(Failure::no(
        Problem::new(
            "forget.stays",
            format!(
                "{} still names the entity after it was erased",
                tables.join(", ")
            ),
        )
        .help("was it written with a clock that is ahead of Cassandra's? Ask again once that time has passed"),
    ))
}

/// Answers a request with action `forget`. The request itself names the entity, so its keys are
/// erased whatever the answer is, and only after the answer is known. A request without keys is
/// done only if a run that was made for it says so.
///
/// # Errors
/// Errors of Cassandra: the request stays unanswered, with its keys, for another worker.
pub async fn answer(store: &Store, request: &RunRequest) -> Result<RequestAnswer, Failure> {
    let outcome = match (&request.job, request.keys.as_deref()) {
        (Some(job), Some(keys @ [_, ..])) if keys.iter().all(BTreeMap::is_empty) => {
            nobody(store, request.id, job).await
        }
        (Some(job), Some(keys @ [_, ..])) => {
            let asked = ForgetTarget::Keys(keys.to_vec());
            forget_for(store, job, &asked, Mode::Erase, Some(request.id)).await
        }
        _ => Err(Failure::input(
            Problem::new("request.missing_column", "`job` or `keys` is null")
                .help("action `forget` needs both"),
        )),
    };
    let outcome = match outcome {
        Err(failure) if failure.is_retryable() => return Err(failure),
        outcome => outcome,
    };
    let unreached = people::blank_own(store, request).await?;
    let mut forgotten = outcome?;
    if let Some(left) = unreached
        && !forgotten.left.contains(&left)
    {
        forgotten.left.push(left);
    }
    Ok(RequestAnswer {
        kind: match forgotten.left.is_empty() {
            true => AnswerKind::Done,
            false => AnswerKind::Refused,
        },
        reason: Some(describe(&forgotten)),
        run_id: forgotten.run_id,
    })
}

/// Erases the keys from a request, however it is answered.
///
/// # Errors
/// Errors of Cassandra.
pub async fn blank_own(store: &Store, request: &RunRequest) -> Result<(), Failure> {
    people::blank_own(store, request).await.map(drop)
}

/// Handles a request that names no entity. If its own run succeeded, a worker erased everything and
/// crashed before it could answer.
async fn nobody(store: &Store, request: Uuid, job: &str) -> Result<Forgotten, Failure> {
    match store.forgotten_for(job, request).await? {
        Some(run_id) => Ok(Forgotten {
            run_id: Some(run_id),
            ..Forgotten::default()
        }),
        None => Err(Failure::input(
            Problem::new("forget.nobody", "`keys` is empty, so this request erased nothing")
                .help("ask again with all primary key columns; the keys are also gone where another forget of the same entity, or a refusal, took them"),
        )),
    }
}

/// Describes what was erased, in a line that names no entity.
fn describe(forgotten: &Forgotten) -> String {
    let found: Vec<_> = forgotten
        .found
        .iter()
        .map(|(table, rows)| format!("{rows} in {table}"))
        .collect();
    let mut said = match found.is_empty() {
        true => "nothing is stored about it".to_owned(),
        false => format!("erased {}", found.join(", ")),
    };
    if !forgotten.left.is_empty() {
        said = format!("not done: {said}");
    }
    for more in forgotten.left.iter().chain(&forgotten.warnings) {
        said.push_str("; ");
        said.push_str(more);
    }
    said
}
