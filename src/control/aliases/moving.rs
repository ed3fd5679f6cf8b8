//! Moves an alias: one conditional write changes alias and history, under the request's id.

use std::time::Duration;

use chrono::Utc;

use super::{
    Due, Turn,
    coverage::{self, Gate, Move},
    order,
    understand::Mode,
};
use crate::{
    control::gates,
    domain::{
        answer::RequestAnswer,
        model::{
            AdmissionState,
            alias::{Change, previous},
        },
        problem::Problem,
        run::run_id,
    },
    failpoint,
    store::{
        Store,
        admin::{leases::Lease, signals::EVIDENCE},
        driver::error::{StoreError, StoreErrorKind},
        registry::{admissions::Readiness, alias_requests::AliasRequest},
    },
};

/// Moves an alias to `version`, or back if `version` is `None`.
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
            return done(RequestAnswer::done(moved(model, alias, change)));
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
            return done(RequestAnswer::refused_for(&Problem::new(
                "alias.moved",
                format!("alias `{alias}` of model `{model}` {points}, not at {expected}"),
            )));
        }
        let Some(target) = version.or_else(|| previous(&history)) else {
            return done(RequestAnswer::refused_for(&Problem::new(
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
            return done(RequestAnswer::done(format!(
                "`{model}` {alias} is version {target} already"
            )));
        }
        if let Some(problem) = unready(store, model, target).await? {
            return done(RequestAnswer::refused_for(&problem));
        }
        let approved = match gates::approve(store, request, (model, alias, target)).await? {
            Ok(approved) => approved,
            Err(problem) => return done(RequestAnswer::refused_for(&problem)),
        };
        let to = Move {
            request,
            model,
            alias,
            from: history.first(),
            to: target,
        };
        let proofs = order::due(store, &to).await?;
        if !proofs.is_empty() {
            return Ok(Turn::Waits(proofs.into_iter().map(Due::Proof).collect()));
        }
        let passed = match coverage::gate(store, &to, mode).await? {
            Gate::Open(passed) => passed,
            Gate::Shut(problem) => return done(RequestAnswer::refused_for(&problem)),
            Gate::Wait(runs) => {
                return Ok(Turn::Waits(runs.into_iter().map(Due::Run).collect()));
            }
        };
        let change = Change {
            evidence: together(approved, passed.evidence),
            ..next(model, alias, request, history.first(), target)
        };
        lease.check()?;
        match store.move_alias(model, alias, &change).await {
            Ok(true) => {
                failpoint::hit("after_promotion");
                // Without this signal, gates are judged a few minutes later.
                if let Err(error) = store.raise(EVIDENCE).await {
                    tracing::debug!(%error, "workers were not notified of the move");
                }
                let outcome = RequestAnswer::done(moved(model, alias, &change));
                return done(RequestAnswer {
                    run_id: passed.run_id,
                    ..outcome
                });
            }
            // Another process moved the alias meanwhile, or it is unknown whether this one did: the
            // history shows which.
            Ok(false) => {}
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

/// Returns the change that follows `last`; its time is later than that of `last` even if the clock
/// stepped back.
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
        // Whole milliseconds: the resolution of CQL's minTimeuuid and maxTimeuuid.
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

/// Returns why a version must not get an alias. A version that was altered since its admission is
/// marked as tampered.
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
    use crate::control::aliases::today;

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
