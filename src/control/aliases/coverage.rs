//! Decides, before an alias moves, whether the version covers the jobs that follow the alias, and
//! which runs must score the rest first.

use uuid::Uuid;

use super::{
    due_run::DueRun,
    followers::{Follower, followers, ticks},
    understand::Mode,
};
use crate::{
    domain::{
        model::alias::Change,
        problem::Problem,
        run::{RunState, run_id},
    },
    store::{Store, driver::error::StoreError, registry::alias_requests::AliasRequest},
};

/// The alias change that a request asks for.
pub(super) struct Move<'a> {
    pub request: &'a AliasRequest,
    pub model: &'a str,
    pub alias: &'a str,
    /// The last change; `None`: the alias is new.
    pub from: Option<&'a Change>,
    pub to: i32,
}

/// Whether the alias may move.
pub(super) enum Gate {
    Open(Passed),
    Shut(Problem),
    /// The alias waits for runs; these must be opened first.
    Wait(Vec<DueRun>),
}

/// Evidence on which the alias may move.
#[derive(Debug, Default)]
pub(super) struct Passed {
    pub evidence: Option<String>,
    /// The run that covers the first of the jobs.
    pub run_id: Option<Uuid>,
}

pub(super) async fn gate(store: &Store, to: &Move<'_>, mode: Mode) -> Result<Gate, StoreError> {
    // An alias that does not exist has no readers.
    let Some(last) = to.from else {
        return Ok(Gate::Open(Passed::default()));
    };
    let request = Some(to.request);
    let followers = followers(store, to.model, to.alias, to.to, request).await?;
    if followers.is_empty() {
        return Ok(Gate::Open(Passed::default()));
    }
    match mode {
        Mode::Now => {
            let told: Vec<String> = followers.iter().map(Follower::describe).collect();
            Ok(Gate::Open(Passed {
                evidence: Some(format!("moved at once; {}", told.join("; "))),
                run_id: None,
            }))
        }
        Mode::Full => Ok(match not_covered(to.model, to.to, &followers) {
            Some(problem) => Gate::Shut(problem),
            None => Gate::Open(passed(&followers)),
        }),
        Mode::WhenCovered => Ok(when_covered(to, last, &followers)),
    }
}

/// Returns why an alias must not move to a version yet, or `None` if the version covers all jobs
/// that follow.
pub fn not_covered(model: &str, version: i32, followers: &[Follower]) -> Option<Problem> {
    let lacking: Vec<String> = followers
        .iter()
        .filter(|follower| !follower.coverage.is_full())
        .map(Follower::describe)
        .collect();
    (!lacking.is_empty()).then(|| {
        Problem::new(
            "alias.not_covered",
            format!(
                "readers would miss predictions of version {version} of `{model}`: {}",
                lacking.join("; ")
            ),
        )
        .help("coverage `when_covered` (--when-covered) scores the rest first, then moves; `now` (--now) moves at once")
    })
}

fn passed(followers: &[Follower]) -> Passed {
    let runs: Vec<(&str, Uuid)> = followers
        .iter()
        .filter_map(|one| Some((one.job.as_str(), one.coverage.run.as_ref()?.run_id)))
        .collect();
    let told: Vec<String> = runs
        .iter()
        .map(|(job, run)| format!("run {run} of job `{job}`"))
        .collect();
    Passed {
        evidence: Some(format!("covered by {}", told.join(", "))),
        run_id: runs.first().map(|(_, run)| *run),
    }
}

fn when_covered(to: &Move<'_>, last: &Change, followers: &[Follower]) -> Gate {
    let cause = format!("{}/{}", to.request.id, last.seq);
    let mut dues = Vec::new();
    let mut waits = false;
    for follower in followers {
        let mut heads = follower.heads.iter();
        let ours = heads.find(|head| head.request_id == Some(to.request.id));
        let Some(ours) = ours else {
            match (follower.coverage.is_full(), follower.coverage.obstacle) {
                (true, _) => {}
                // The open run may score exactly that, and it blocks a run that would.
                (false, Some((_, state))) if !state.is_terminal() => waits = true,
                (false, _) => dues.push(DueRun::new(to, follower, &cause)),
            }
            continue;
        };
        if ours.run_id != run_id::derive(&follower.job, &cause, ticks(to.request)) {
            return Gate::Shut(
                Problem::new(
                    "alias.moved",
                    format!(
                        "alias `{}` was moved while run {} of job `{}` scored for this request",
                        to.alias, ours.run_id, follower.job
                    ),
                )
                .help("ask again if it is still wanted"),
            );
        }
        match (
            ours.state,
            &follower.coverage.run,
            follower.coverage.obstacle,
        ) {
            (RunState::Succeeded, Some(_), None) => {}
            (RunState::Succeeded, Some(_), Some((run, state))) => {
                return Gate::Shut(Problem::new(
                    "alias.not_covered",
                    format!(
                        "run {} of job `{}` succeeded, and a newer one of that version is {state}: {run}",
                        ours.run_id, follower.job
                    ),
                ));
            }
            (RunState::Succeeded, None, _) => {
                return Gate::Shut(
                    Problem::new(
                        "alias.not_covered",
                        format!(
                            "job `{}` was changed while run {} scored for this request",
                            follower.job, ours.run_id
                        ),
                    )
                    .help("ask again"),
                );
            }
            (state, ..) if state.is_terminal() => {
                return Gate::Shut(
                    Problem::new(
                        "alias.not_covered",
                        format!("run {} of job `{}` {state}", ours.run_id, follower.job),
                    )
                    .help("its row in `runs` says why"),
                );
            }
            _ => waits = true,
        }
    }
    match waits || !dues.is_empty() {
        true => Gate::Wait(dues),
        false => Gate::Open(passed(followers)),
    }
}
