//! Opens the runs that an alias waits for.
//!
//! The id of such a run is derived from the request's id and from the number of the alias's last
//! change. So a process that crashes at any point loses nothing, and the run of a request whose
//! alias was moved meanwhile is recognised.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    coverage::Move,
    followers::{Follower, ticks},
};
use crate::{
    control::planning,
    domain::{
        model::alias::{CHAMPION, PREVIOUS},
        problem::Problem,
        run::{Part, Scope},
    },
    engine::run::plan::RunSpec,
    failure::Exit,
    store::{Store, driver::error::StoreError, registry::alias_requests::AliasRequest},
};

/// A run that must be opened.
#[derive(Debug)]
pub(super) struct DueRun {
    job: String,
    version: i32,
    cause: String,
    /// Where the aliases will point: the run's rows must be those of the version under its new
    /// name.
    pointing: BTreeMap<String, i32>,
    note: String,
}

impl DueRun {
    /// Returns the run that scores the rest of a job for the move.
    pub fn new(to: &Move<'_>, follower: &Follower, cause: &str) -> Self {
        let mut pointing = BTreeMap::from([(to.alias.to_owned(), to.to)]);
        if to.alias == CHAMPION
            && let Some(last) = to.from
        {
            pointing.insert(PREVIOUS.to_owned(), last.to);
        }
        Self {
            job: follower.job.clone(),
            version: to.to,
            cause: cause.to_owned(),
            pointing,
            note: format!(
                "so that `{}` of `{}` can move to version {}",
                to.alias, to.model, to.to
            ),
        }
    }
}

/// Opens the run, or finds it open. Returns the reason if it cannot be opened and a retry would not
/// help.
///
/// # Errors
/// Errors of Cassandra. Temporary failures are left for the next round.
pub(super) async fn open_run(
    store: &Store,
    request: &AliasRequest,
    due: &DueRun,
) -> Result<Option<Problem>, StoreError> {
    let micros = i64::try_from(ticks(request) / 10).unwrap_or_default();
    let wish = RunSpec {
        job: due.job.clone(),
        scope: Scope {
            rewrite: false,
            refresh: false,
            part: Part::Whole,
        },
        versions: Some([due.version].into()),
        trigger: "alias".to_owned(),
        cause: due.cause.clone(),
        due_at: DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default(),
        request_id: Some(request.id),
        requested_by: request.requested_by.clone(),
        note: Some(due.note.clone()),
        priority: 0,
        max_rows_per_s: None,
        deadline: None,
        after: None,
    };
    match Box::pin(planning::plan_pointing(store, &wish, &due.pointing)).await {
        Ok(_) => Ok(None),
        Err(failure) if failure.is_retryable() || failure.exit == Exit::Conflict => {
            tracing::info!(job = due.job, request = %request.id, %failure, "no run for an alias yet");
            Ok(None)
        }
        Err(failure) => {
            let reasons: Vec<String> = failure.problems.iter().map(Problem::line).collect();
            Ok(Some(Problem::new(
                "alias.not_covered",
                format!(
                    "job `{}` can't score version {}: {}",
                    due.job,
                    due.version,
                    reasons.join("; ")
                ),
            )))
        }
    }
}
