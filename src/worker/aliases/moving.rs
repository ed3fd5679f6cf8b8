//! Moving an alias: alias and history in one conditional write, under the request's id.

use std::time::Duration;

use chrono::Utc;

use super::{
    Outcome, Turn,
    coverage::{self, Gate, Move},
    understand::Mode,
};
use crate::{
    domain::{
        alias::{Change, previous},
        model::AdmissionState,
        problem::Problem,
        run_id,
    },
    failpoint,
    store::{
        Store,
        admissions::Readiness,
        alias_requests::AliasRequest,
        error::{StoreError, StoreErrorKind},
        leases::Lease,
        signals::EVIDENCE,
        statement::Applied,
    },
    worker::gates,
};

/// Moves an alias to `version`, or back when there is none.
pub(super) async fn promote(
    store: &Store,
    lease: &Lease,
    request: &AliasRequest,
    model: &str,
    alias: &str,
    version: Option<i32>,
    mode: Mode,
) -> Result<Turn, StoreError> {
    let done = |outcome| Ok(Turn::Answered(outcome));
    loop {
        let history = store.recent_alias_history(model, alias).await?;
        let mut ours = history.iter();
        if let Some(change) = ours.find(|change| change.request_id == Some(request.id)) {
            return done(Outcome::done(moved(model, alias, change)));
        }
        let current = history.first().map(|change| change.to);
        if let Some(expected) = request
            .expected_version
            .filter(|expected| current != Some(*expected))
        {
            let points = current.map_or_else(
                || "does not exist".to_owned(),
                |version| format!("points at version {version}"),
            );
            return done(Outcome::refused(Problem::new(
                "alias.moved",
                format!("alias `{alias}` of model `{model}` {points}, not at {expected}"),
            )));
        }
        let Some(target) = version.or_else(|| previous(&history)) else {
            return done(Outcome::refused(Problem::new(
                "alias.nothing_before",
                match current {
                    None => format!("model `{model}` has no alias `{alias}`"),
                    Some(version) => format!(
                        "alias `{alias}` of model `{model}` never pointed elsewhere than at version {version}"
                    ),
                },
            )));
        };
        if current == Some(target) {
            return done(Outcome::done(format!(
                "`{model}` {alias} is version {target} already"
            )));
        }
        if let Some(problem) = unready(store, model, target).await? {
            return done(Outcome::refused(problem));
        }
        let approved = match gates::approve(store, request, (model, alias, target)).await? {
            Ok(approved) => approved,
            Err(problem) => return done(Outcome::refused(problem)),
        };
        let to = Move {
            request,
            model,
            alias,
            from: history.first(),
            to: target,
        };
        let passed = match coverage::gate(store, &to, mode).await? {
            Gate::Open(passed) => passed,
            Gate::Shut(problem) => return done(Outcome::refused(problem)),
            Gate::Wait(runs) => return Ok(Turn::Waits(runs)),
        };
        let change = Change {
            evidence: together(approved, passed.evidence),
            ..next(model, alias, request, history.first(), target)
        };
        lease.check()?;
        match store.move_alias(model, alias, &change).await {
            Ok(Applied::Yes) => {
                failpoint::hit("after_promotion");
                // Without it gates are judged a few minutes later.
                if let Err(error) = store.raise(EVIDENCE).await {
                    tracing::debug!(%error, "nobody was told of the move");
                }
                let outcome = Outcome::done(moved(model, alias, &change));
                return done(Outcome {
                    run_id: passed.run_id,
                    ..outcome
                });
            }
            // Somebody moved it meanwhile, or it is not known whether we did: the history tells.
            Ok(Applied::No(_)) => {}
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn together(approved: Option<String>, covered: Option<String>) -> Option<String> {
    match (approved, covered) {
        (Some(approved), Some(covered)) => Some(format!("{approved}; {covered}")),
        (approved, covered) => approved.or(covered),
    }
}

fn moved(model: &str, alias: &str, change: &Change) -> String {
    let from = change
        .from
        .map_or_else(|| "new".to_owned(), |from| format!("was {from}"));
    format!("`{model}` {alias} is version {} ({from})", change.to)
}

/// The change that follows `last`: its time is later than that one's even if the clock stepped back.
fn next(
    model: &str,
    alias: &str,
    request: &AliasRequest,
    last: Option<&Change>,
    to: i32,
) -> Change {
    let now = u64::try_from(Utc::now().timestamp_micros()).unwrap_or(0) * 10;
    let earliest = last
        .and_then(|last| run_id::time_100ns(last.changed_at))
        // Whole milliseconds: that is how finely CQL's minTimeuuid and maxTimeuuid tell times apart.
        .map_or(0, |time| (time / 10_000 + 1) * 10_000);
    Change {
        changed_at: run_id::derive(
            &format!("{model}/{alias}"),
            &request.id.to_string(),
            now.max(earliest),
        ),
        seq: last.map_or(0, |last| last.seq) + 1,
        from: last.map(|last| last.to),
        to,
        who: request.requested_by.clone(),
        why: request.why.clone(),
        evidence: None,
        request_id: Some(request.id),
    }
}

/// Why a version may not get an alias. One that was altered since its admission is marked.
async fn unready(store: &Store, model: &str, version: i32) -> Result<Option<Problem>, StoreError> {
    let readiness = store.readiness(model, version).await?;
    if let Readiness::Tampered(reason) = &readiness {
        let (from, to) = (AdmissionState::Ready, AdmissionState::Tampered);
        store
            .move_admission(model, version, from, to, Some(reason))
            .await?;
    }
    Ok(readiness.problem(model, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::aliases::today;

    fn request() -> AliasRequest {
        AliasRequest {
            day: today(),
            id: crate::process::timeuuid(),
            ..AliasRequest::default()
        }
    }

    #[test]
    fn a_change_is_later_than_the_one_before_even_if_the_clock_stepped_back() {
        let first = next("m", "champion", &request(), None, 1);
        let ahead = run_id::time_100ns(first.changed_at).unwrap() + 36_000_000_000;
        let last = Change {
            changed_at: run_id::derive("m", "x", ahead),
            ..first
        };
        let second = next("m", "champion", &request(), Some(&last), 2);
        assert!(run_id::time_100ns(second.changed_at).unwrap() / 10_000 > ahead / 10_000);
        assert_eq!((second.seq, second.from, second.to), (2, Some(1), 2));
    }
}
