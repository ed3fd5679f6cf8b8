//! Erasing one entity from every table that helenus writes.
//!
//! It is a run of its own over all versions, so no other run of the job is open meanwhile, and its
//! deletes carry its timestamp: what a late writer of an earlier run still sends loses, and a later
//! run may write the entity anew. Whoever dies half-way runs it again: each step looks for what
//! still stands.

mod place;
mod run;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use self::place::Place;
use crate::{
    domain::{entity::Entity, problem::Problem},
    failure::{Exit, Failure},
    store::{Store, answers::Answer, run_requests::RunRequest},
    worker::explain::KeyWords,
};

/// Passes over all traces before what is left counts as not to be erased.
const PASSES: usize = 3;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only count what stands.
    Look,
    /// Erase; refuse while the source still has the row, for the next run would score it again.
    Erase,
    /// Erase in any case.
    Force,
}

/// What stood about the entities, and what was done.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// The run whose timestamp the deletes carry; `None`: nothing was erased.
    pub run_id: Option<Uuid>,
    /// Table → rows that held an entity.
    pub found: BTreeMap<String, u64>,
    /// Versions of which predictions stood.
    pub versions: BTreeSet<i32>,
    /// What helenus could not erase: whose table it is, and what to do.
    pub left: Vec<String>,
    /// What to know besides.
    pub warnings: Vec<String>,
}

/// A key as somebody gave it.
#[derive(Debug, Clone)]
pub enum Asked {
    /// Words of a command line.
    Words(KeyWords),
    /// By column.
    Keys(Vec<BTreeMap<String, String>>),
}

/// Forgets entities of a job.
///
/// # Errors
/// No such job (exit 5); a key that is none (exit 2); another run is open, or the source still has
/// the row (exit 4, see [`Mode`]); something came back or would not go (exit 1); Cassandra's.
pub async fn forget(
    store: &Store,
    job: &str,
    asked: &Asked,
    mode: Mode,
) -> Result<Forgotten, Failure> {
    let place = Place::of(store, job).await?;
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
                    format!("the row still stands in {source}: the next run would score it again"),
                )
                .help("delete it there first, or say --force"),
            ));
        }
        (Some(source), _) => forgotten.warnings.push(format!(
            "source_row: the row still stands in {source}: the next run scores it again"
        )),
        (None, _) => {}
    }
    if mode == Mode::Look {
        traces::pass(store, &place, &entities, None, &mut forgotten).await?;
        return Ok(forgotten);
    }
    let run = run::open(store, &place, entities.len()).await?;
    forgotten.run_id = Some(run.run_id);
    let erased = erase(store, &place, &entities, &run, &mut forgotten).await;
    run::close(store, &run, &erased).await?;
    erased.map(|()| forgotten)
}

async fn erase(
    store: &Store,
    place: &Place,
    entities: &[Entity],
    run: &run::Open,
    forgotten: &mut Forgotten,
) -> Result<(), Failure> {
    traces::pass(store, place, entities, Some(run.timestamp()), forgotten).await?;
    let mut again = Forgotten::default();
    for _ in 0..PASSES {
        again = Forgotten::default();
        traces::pass(store, place, entities, None, &mut again).await?;
        let denied = |table: &String| forgotten.left.iter().any(|left| left.starts_with(table));
        again.found.retain(|table, _| !denied(table));
        if again.found.is_empty() {
            return Ok(());
        }
        traces::pass(store, place, entities, Some(run.timestamp()), &mut again).await?;
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

/// Answers a request with action `forget`, which itself names the entity: whatever the answer is,
/// the keys are taken from the request.
///
/// # Errors
/// Cassandra's: the request stays unanswered for another worker.
pub async fn answer(store: &Store, request: &RunRequest) -> Result<Answer, Failure> {
    let done = |reason: String, run_id: Option<Uuid>| Answer {
        answer: "done".to_owned(),
        reason: Some(reason),
        run_id,
    };
    let keys = request.keys.clone().unwrap_or_default();
    if !keys.is_empty() && keys.iter().all(BTreeMap::is_empty) {
        // Whoever erased them died before the answer.
        return Ok(done("erased".to_owned(), None));
    }
    let outcome = match (&request.job, keys.is_empty()) {
        (Some(job), false) => forget(store, job, &Asked::Keys(keys.clone()), Mode::Erase).await,
        _ => Err(Failure::input(
            Problem::new("request.missing_column", "`job` or `keys` is null")
                .help("action `forget` needs both"),
        )),
    };
    match outcome {
        Ok(forgotten) => Ok(done(spoken(&forgotten), forgotten.run_id)),
        Err(failure) if failure.exit == Exit::System => Err(failure),
        Err(failure) => {
            traces::blank_own_keys(store, request, keys.len()).await?;
            Err(failure)
        }
    }
}

/// What was erased, in a line that names nobody.
fn spoken(forgotten: &Forgotten) -> String {
    let found: Vec<_> = forgotten
        .found
        .iter()
        .map(|(table, rows)| format!("{rows} in {table}"))
        .collect();
    let mut said = match found.is_empty() {
        true => "nothing stood about it".to_owned(),
        false => format!("erased {}", found.join(", ")),
    };
    for more in forgotten.left.iter().chain(&forgotten.warnings) {
        said.push_str("; ");
        said.push_str(more);
    }
    said
}
