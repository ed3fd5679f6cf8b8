//! Answers `alias_requests`: promote, rollback, retire.
//!
//! One process at a time does it, under the lease `aliases`: a promotion and the retirement of the
//! same version touch two partitions and could not exclude each other otherwise. Requests are
//! served in the order of their ids. A change carries its request's id, so that a process which
//! dies between change and answer leaves a request that the next one recognises as done.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use crate::{
    domain::{
        alias::{Change, PREVIOUS, previous},
        model::{AdmissionState, check_name},
        problem::Problem,
        run_id,
    },
    store::{
        Store,
        admissions::Readiness,
        alias_requests::AliasRequest,
        answers::Answer,
        error::{StoreError, StoreErrorKind},
        leases::{Asked, Lease, Watches},
        statement::Applied,
    },
};

/// The lease's name.
const LEASE: &str = "aliases";

/// Requests that nobody answered for so long are not acted upon any more.
const EXPIRY: TimeDelta = TimeDelta::hours(24);

/// For how long requests stand: `default_time_to_live` of their table.
const KEPT: Days = Days::new(30);

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// Requests that got their answer.
    pub answered: usize,
    /// Another process is at it: its answers come without us.
    pub elsewhere: bool,
}

/// Answers all open requests of yesterday, today and tomorrow (UTC: people's clocks differ).
/// `watches` must live as long as the process: it remembers how long another one has been silent.
///
/// # Errors
/// As the store has them; open requests stay open. [`StoreErrorKind::Denied`]: this login may not
/// answer, a worker must.
pub async fn run_once(store: &Store, watches: &mut Watches) -> Result<Round, StoreError> {
    run_since(store, watches, today() - Days::new(1)).await
}

/// As [`run_once`], over all days whose requests still stand: what was asked while no worker ran,
/// and what stands under a wrong day.
///
/// # Errors
/// As [`run_once`].
pub async fn run_all(store: &Store, watches: &mut Watches) -> Result<Round, StoreError> {
    run_since(store, watches, today() - KEPT).await
}

/// As [`run_once`], from an earlier day on.
///
/// # Errors
/// As [`run_once`].
async fn run_since(
    store: &Store,
    watches: &mut Watches,
    oldest: NaiveDate,
) -> Result<Round, StoreError> {
    if open(store, oldest).await?.is_empty() {
        return Ok(Round::default());
    }
    let lease = match store.ask_lease(LEASE, watches).await? {
        Asked::Granted(lease) => lease,
        Asked::Held(_) => {
            return Ok(Round {
                answered: 0,
                elsewhere: true,
            });
        }
    };
    let outcome = answer_all(store, &lease, oldest).await;
    lease.release().await?;
    outcome.map(|answered| Round {
        answered,
        elsewhere: false,
    })
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

async fn open(store: &Store, oldest: NaiveDate) -> Result<Vec<AliasRequest>, StoreError> {
    let mut requests = Vec::new();
    for day in oldest
        .iter_days()
        .take_while(|day| *day <= today() + Days::new(1))
    {
        requests.extend(store.open_alias_requests(day).await?);
    }
    Ok(requests)
}

async fn answer_all(store: &Store, lease: &Lease, oldest: NaiveDate) -> Result<usize, StoreError> {
    let mut answered = 0;
    // Read again: what was open before the lease was ours may have been answered meanwhile.
    for request in open(store, oldest).await? {
        lease.check()?;
        let outcome = match serve(store, lease, &request).await {
            Ok(outcome) => outcome,
            // One request that can't be served must not keep the others waiting.
            Err(error) if error.kind == StoreErrorKind::Corrupt => {
                Outcome::refused(Problem::new("store.corrupt", error.to_string()))
            }
            Err(error) => return Err(error),
        };
        tracing::info!(id = %request.id, action = request.action, model = request.model, answer = outcome.answer, reason = outcome.reason, "alias request");
        let answer = Answer {
            answer: outcome.answer.to_owned(),
            reason: Some(outcome.reason),
            run_id: None,
        };
        store
            .insert_answer(request.day, request.id, &answer)
            .await?;
        answered += 1;
    }
    Ok(answered)
}

/// An answer to be.
struct Outcome {
    answer: &'static str,
    reason: String,
}

impl Outcome {
    fn done(reason: String) -> Self {
        Self {
            answer: "done",
            reason,
        }
    }

    fn refused(problem: Problem) -> Self {
        Self {
            answer: "refused",
            reason: problem.line(),
        }
    }
}

/// What a well-formed request wants.
enum Wish<'a> {
    Promote(&'a str, i32),
    Rollback(&'a str),
    Retire(i32),
}

async fn serve(
    store: &Store,
    lease: &Lease,
    request: &AliasRequest,
) -> Result<Outcome, StoreError> {
    if let Some(outcome) = untimely(request) {
        return Ok(outcome);
    }
    let (model, wish) = match understand(request) {
        Ok(understood) => understood,
        Err(problem) => return Ok(Outcome::refused(problem)),
    };
    match wish {
        Wish::Promote(alias, version) => {
            promote(store, lease, request, model, alias, Some(version)).await
        }
        Wish::Rollback(alias) => promote(store, lease, request, model, alias, None).await,
        Wish::Retire(version) => retire(store, request, model, version).await,
    }
}

/// Whether it was asked too long ago, or under another day than its own.
fn untimely(request: &AliasRequest) -> Option<Outcome> {
    let asked_at = run_id::time_100ns(request.id)
        .and_then(|time| i64::try_from(time / 10_000).ok())
        .and_then(DateTime::from_timestamp_millis)
        // An id from before 1970 is old, too.
        .unwrap_or_default();
    if Utc::now() - asked_at > EXPIRY {
        return Some(Outcome {
            answer: "expired",
            reason: format!(
                "it was asked at {} and nobody answered for 24 hours",
                asked_at.format("%FT%TZ")
            ),
        });
    }
    // Either side of midnight may differ by the time between two calls of now().
    let apart = (asked_at.date_naive() - request.day).num_days().abs();
    (apart > 1).then(|| {
        Outcome::refused(
            Problem::new(
                "alias_request.day",
                format!(
                    "its day is {}, its id is of {}",
                    request.day,
                    asked_at.format("%FT%TZ")
                ),
            )
            .help("use toDate(now()) and now()"),
        )
    })
}

fn required<T>(column: &str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| {
        Problem::new("alias_request.incomplete", format!("`{column}` is null")).help(
            "promote needs model, alias, version; rollback model, alias; retire model, version",
        )
    })
}

fn understand(request: &AliasRequest) -> Result<(&str, Wish<'_>), Problem> {
    let action = required("action", request.action.as_deref())?;
    let model = required("model", request.model.as_deref())?;
    check_name("a model", model)?;
    let version = || required("version", request.version);
    let alias = || {
        let alias = required("alias", request.alias.as_deref())?;
        check_name("an alias", alias)?;
        if alias == PREVIOUS {
            return Err(
                Problem::new("alias.reserved", "`previous` is not moved by itself")
                    .help("it is always the version before the champion"),
            );
        }
        Ok(alias)
    };
    let wish = match action {
        "promote" => Wish::Promote(alias()?, version()?),
        "rollback" => Wish::Rollback(alias()?),
        "retire" => Wish::Retire(version()?),
        other => {
            return Err(
                Problem::new("alias_request.action", format!("`{other}` is no action"))
                    .help("promote, rollback or retire"),
            );
        }
    };
    Ok((model, wish))
}

/// Moves an alias to `version`, or back when there is none.
async fn promote(
    store: &Store,
    lease: &Lease,
    request: &AliasRequest,
    model: &str,
    alias: &str,
    version: Option<i32>,
) -> Result<Outcome, StoreError> {
    loop {
        let history = store.recent_alias_history(model, alias).await?;
        let mut ours = history.iter();
        if let Some(done) = ours.find(|change| change.request_id == Some(request.id)) {
            return Ok(Outcome::done(moved(model, alias, done)));
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
            return Ok(Outcome::refused(Problem::new(
                "alias.moved",
                format!("alias `{alias}` of model `{model}` {points}, not at {expected}"),
            )));
        }
        let Some(target) = version.or_else(|| previous(&history)) else {
            return Ok(Outcome::refused(Problem::new(
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
            return Ok(Outcome::done(format!(
                "`{model}` {alias} is version {target} already"
            )));
        }
        if let Some(problem) = unready(store, model, target).await? {
            return Ok(Outcome::refused(problem));
        }
        let change = next(model, alias, request, history.first(), target);
        lease.check()?;
        match store.move_alias(model, alias, &change).await {
            Ok(Applied::Yes) => return Ok(Outcome::done(moved(model, alias, &change))),
            // Somebody moved it meanwhile, or it is not known whether we did: the history tells.
            Ok(Applied::No(_)) => {}
            Err(error) if error.kind == StoreErrorKind::Unknown => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error),
        }
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

async fn retire(
    store: &Store,
    request: &AliasRequest,
    model: &str,
    version: i32,
) -> Result<Outcome, StoreError> {
    match store.readiness(model, version).await? {
        Readiness::Ready(_) => {}
        Readiness::Retired => {
            return Ok(Outcome::done(format!(
                "version {version} of `{model}` is retired already"
            )));
        }
        other => {
            let problem = other.problem(model, version);
            return Ok(Outcome::refused(
                problem.unwrap_or_else(|| Problem::new("model.state", "not ready")),
            ));
        }
    }
    let pointing: Vec<String> = store
        .aliases(model)
        .await?
        .into_iter()
        .filter(|(_, points_at)| *points_at == version)
        .map(|(alias, _)| format!("`{alias}`"))
        .collect();
    if !pointing.is_empty() {
        return Ok(Outcome::refused(
            Problem::new(
                "model.in_use",
                format!("version {version} of `{model}` is {}", pointing.join(", ")),
            )
            .help("promote another version first"),
        ));
    }
    let (from, to) = (AdmissionState::Ready, AdmissionState::Retired);
    let why = request.why.as_deref();
    if store.move_admission(model, version, from, to, why).await? {
        Ok(Outcome::done(format!(
            "version {version} of `{model}` is retired"
        )))
    } else {
        Ok(Outcome::refused(Problem::new(
            "model.state",
            format!("version {version} of `{model}` changed its state meanwhile"),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_row_that_lacks_something_is_told_what() {
        let said =
            |request: AliasRequest| understand(&request).err().map(|problem| problem.message);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(said(request()), text("`action` is null"));
        let promote = AliasRequest {
            action: text("promote"),
            model: text("tumour"),
            ..request()
        };
        assert_eq!(said(promote.clone()), text("`alias` is null"));
        let promote = AliasRequest {
            alias: text("champion"),
            ..promote
        };
        assert_eq!(said(promote.clone()), text("`version` is null"));
        assert_eq!(
            said(AliasRequest {
                version: Some(1),
                ..promote.clone()
            }),
            None
        );
        assert_eq!(
            said(AliasRequest {
                alias: text("previous"),
                ..promote.clone()
            }),
            text("`previous` is not moved by itself")
        );
        assert_eq!(
            said(AliasRequest {
                action: text("demote"),
                ..promote
            }),
            text("`demote` is no action")
        );
    }
}
