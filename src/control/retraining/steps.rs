//! The steps of a request: from the trained version to the gate's verdict.

use chrono::Utc;

use super::RetrainingRound;
use crate::{
    control::{
        Opened,
        aliases::{self, Acted},
        gates, planning,
        requests::day_of,
    },
    domain::{
        answer::AnswerKind,
        evidence::evaluation::{labels::Wording, target::Question},
        gate::Gate,
        model::{AdmissionState, alias::CHAMPION},
        problem::Problem,
        retraining::state::{RequestState, RetrainingRequest, TrainingState},
        run::{Part, Run, RunState, Scope},
    },
    engine::run::plan::{Planned, RunSpec},
    failpoint,
    failure::Failure,
    inspect::{
        evaluate::{self, EvaluateSpec, words},
        pass::{LabelSpec, Running},
    },
    process,
    store::{Store, admin::leases::Watches, registry::alias_requests::AliasRequest},
};

/// What a step did.
pub enum Stepped {
    /// The request waits; the reason is for people.
    Waits(Option<String>),
    /// The request as it is after the step.
    Moved(Box<RetrainingRequest>),
}

/// Makes the next step of a request.
///
/// # Errors
/// Why the request fails; or errors of Cassandra or this machine (retryable), after which the step
/// is repeated.
pub async fn step(
    store: &Store,
    watches: &mut Watches,
    request: &RetrainingRequest,
    round: &mut RetrainingRound,
) -> Result<Stepped, Failure> {
    match request.state {
        RequestState::Training => training(store, request).await,
        RequestState::Admission => admission(store, request).await,
        RequestState::Challenger => challenger(store, watches, request).await,
        RequestState::Scoring => scoring(store, request, round).await,
        RequestState::Evaluating => evaluating(store, request).await,
        RequestState::Judging => judging(store, request).await,
        RequestState::Passed
        | RequestState::NotPassed
        | RequestState::Evaluated
        | RequestState::Failed => Ok(Stepped::Waits(request.reason.clone())),
    }
}

fn moved(request: &RetrainingRequest, state: RequestState) -> RetrainingRequest {
    RetrainingRequest {
        state,
        reason: None,
        ..request.clone()
    }
}

fn failed(code: &str, message: String) -> Failure {
    Failure::no(Problem::new(code, message))
}

async fn training(store: &Store, request: &RetrainingRequest) -> Result<Stepped, Failure> {
    let (model, name) = (&request.model, &request.name);
    let Some(training) = store.training(model, name, request.id).await? else {
        return Ok(Stepped::Waits(unserved(store, request).await?));
    };
    match (training.state, training.version) {
        (TrainingState::Failed, _) => {
            let reason = training.reason.unwrap_or_default();
            Err(failed("retraining.training", format!("training: {reason}")))
        }
        (TrainingState::Trained, Some(version)) => {
            Ok(Stepped::Moved(Box::new(RetrainingRequest {
                version: Some(version),
                ..moved(request, RequestState::Admission)
            })))
        }
        // A trainer that is gone is followed by another one, if there is one.
        _ if training.owner.is_none() => Ok(Stepped::Waits(unserved(store, request).await?)),
        _ => Ok(Stepped::Waits(None)),
    }
}

/// Returns that no trainer serves the request's name, if that is so.
async fn unserved(store: &Store, request: &RetrainingRequest) -> Result<Option<String>, Failure> {
    let trainers = store.trainers().await?;
    let wanted = &request.spec.trainer;
    if trainers
        .iter()
        .any(|trainer| trainer.names.contains(wanted))
    {
        return Ok(None);
    }
    let mut names: Vec<_> = trainers.iter().flat_map(|trainer| &trainer.names).collect();
    names.sort();
    names.dedup();
    let names: Vec<_> = names.into_iter().map(String::as_str).collect();
    let running = match names.is_empty() {
        true => "no trainer runs".to_owned(),
        false => format!("the trainers that run serve {}", names.join(", ")),
    };
    Ok(Some(format!("no trainer serves `{wanted}`; {running}")))
}

fn version(request: &RetrainingRequest) -> Result<i32, Failure> {
    let missing = || {
        failed(
            "retraining.version",
            "the request has no version".to_owned(),
        )
    };
    request.version.ok_or_else(missing)
}

async fn admission(store: &Store, request: &RetrainingRequest) -> Result<Stepped, Failure> {
    let version = version(request)?;
    let admission = store.admission(&request.model, version).await?;
    let Some(admission) = admission else {
        return Ok(Stepped::Waits(None));
    };
    match admission.state {
        AdmissionState::Admitting => Ok(Stepped::Waits(None)),
        AdmissionState::Ready => Ok(Stepped::Moved(Box::new(RetrainingRequest {
            alias_request: Some(process::timeuuid()),
            ..moved(request, RequestState::Challenger)
        }))),
        state => {
            let reason = admission.reason.unwrap_or_default();
            let message = format!("version {version} is {state}: {reason}");
            Err(failed("retraining.admission", message))
        }
    }
}

async fn challenger(
    store: &Store,
    watches: &mut Watches,
    request: &RetrainingRequest,
) -> Result<Stepped, Failure> {
    let version = version(request)?;
    let id = request.alias_request.unwrap_or(request.id);
    let asked = AliasRequest {
        day: day_of(id),
        id,
        action: Some("promote".to_owned()),
        model: Some(request.model.clone()),
        alias: Some(request.spec.challenger.clone()),
        version: Some(version),
        requested_by: Some(format!("retraining {}", request.name)),
        why: Some(request.cause.clone()),
        // It is scored next; a challenger is never served.
        coverage: Some("now".to_owned()),
        ..AliasRequest::default()
    };
    let acted = aliases::serve_directly(store, watches, &asked).await?;
    failpoint::hit("after_challenger");
    match acted {
        Acted::Waits | Acted::Elsewhere => Ok(Stepped::Waits(None)),
        Acted::Answered(answer) if answer.kind == AnswerKind::Done => Ok(Stepped::Moved(Box::new(
            moved(request, RequestState::Scoring),
        ))),
        Acted::Answered(answer) => {
            let reason = answer.reason.unwrap_or_default();
            let alias = &request.spec.challenger;
            let message = format!("`{alias}` could not be moved to version {version}: {reason}");
            Err(failed("retraining.alias", message))
        }
    }
}

async fn scoring(
    store: &Store,
    request: &RetrainingRequest,
    round: &mut RetrainingRound,
) -> Result<Stepped, Failure> {
    let job = &request.spec.job;
    let Some(run_id) = request.run_id else {
        return open_run(store, request, round).await;
    };
    let Some(run) = store.run(job, run_id).await? else {
        return Err(failed("retraining.run", format!("run {run_id} is gone")));
    };
    match run.state {
        RunState::Succeeded => Ok(Stepped::Moved(Box::new(moved(
            request,
            RequestState::Evaluating,
        )))),
        RunState::Failed | RunState::Cancelled => {
            let reason = run.reason.unwrap_or_default();
            let message = format!("run {run_id} {}: {reason}", run.state);
            Err(failed("retraining.run", message))
        }
        _ => {
            round.waiting += 1;
            Ok(Stepped::Waits(None))
        }
    }
}

async fn open_run(
    store: &Store,
    request: &RetrainingRequest,
    round: &mut RetrainingRound,
) -> Result<Stepped, Failure> {
    let job = request.spec.job.clone();
    let wish = RunSpec {
        job: job.clone(),
        scope: Scope {
            rewrite: false,
            refresh: false,
            part: Part::Whole,
        },
        versions: None,
        trigger: "retraining".to_owned(),
        cause: request.id.to_string(),
        due_at: request.asked_at.unwrap_or_else(Utc::now),
        request_id: None,
        requested_by: Some(format!("retraining {}", request.name)),
        note: Some(request.cause.clone()),
        priority: 0,
        max_rows_per_s: None,
        deadline: None,
        after: None,
    };
    let planned = match Box::pin(planning::plan(store, &wish)).await {
        Ok(planned) => planned,
        // A run of another scope is open over these versions: after it.
        Err(failure) if failure.is("run.conflict") => {
            round.waiting += 1;
            return Ok(Stepped::Waits(Some(failure.to_string())));
        }
        Err(failure) => return Err(failure),
    };
    let run: Box<Run> = match planned {
        Planned::Opened(run) | Planned::Joined(run) => run,
        Planned::Behind(run) => {
            round.waiting += 1;
            return Ok(Stepped::Waits(Some(format!("behind run {}", run.run_id))));
        }
    };
    failpoint::hit("after_retraining_run");
    round.runs.push(Opened {
        job,
        run_id: run.run_id,
        cause: format!("retraining `{}`", request.name),
    });
    Ok(Stepped::Moved(Box::new(RetrainingRequest {
        run_id: Some(run.run_id),
        ..moved(request, RequestState::Scoring)
    })))
}

async fn evaluating(store: &Store, request: &RetrainingRequest) -> Result<Stepped, Failure> {
    let version = version(request)?;
    let gate = gate(store, request).await?;
    let alias = gate.as_ref().map_or(CHAMPION, |gate| gate.alias.as_str());
    let baseline = store.alias(&request.model, alias).await?;
    let baseline = baseline.filter(|baseline| *baseline != version);
    let mut versions: Vec<String> = baseline.map(|_| alias.to_owned()).into_iter().collect();
    versions.push(version.to_string());
    let (table, column) = words::place(&request.spec.labels).map_err(Failure::input)?;
    let wish = EvaluateSpec {
        job: request.spec.job.clone(),
        versions,
        labels: LabelSpec {
            table,
            column,
            time: None,
        },
        segment: request.spec.segment.clone(),
        question: Question {
            positive: None,
            column: None,
            thresholds: words::thresholds(&[]).map_err(Failure::input)?,
        },
        wording: Wording::default(),
        held_out: true,
        gap: std::time::Duration::ZERO,
        mature_after: None,
        requested_by: Some(format!("retraining {}", request.name)),
        // The same evaluation whoever makes it.
        request_id: Some(request.id),
    };
    let evaluated = Box::pin(evaluate::evaluate(store, &wish, &Running::new(None))).await?;
    failpoint::hit("after_retraining_evaluated");
    let next = match gate.is_some() {
        true => RequestState::Judging,
        false => RequestState::Evaluated,
    };
    Ok(Stepped::Moved(Box::new(RetrainingRequest {
        evaluation: Some(evaluated.id),
        ..moved(request, next)
    })))
}

async fn gate(store: &Store, request: &RetrainingRequest) -> Result<Option<Gate>, Failure> {
    match &request.spec.gate {
        None => Ok(None),
        Some(name) => gates::find(store, &request.model, name).await.map(Some),
    }
}

async fn judging(store: &Store, request: &RetrainingRequest) -> Result<Stepped, Failure> {
    let Some(gate) = gate(store, request).await? else {
        return Ok(Stepped::Moved(Box::new(moved(
            request,
            RequestState::Evaluated,
        ))));
    };
    let evaluation = request.evaluation.unwrap_or(request.id);
    gates::run_once(store, Some(&request.model)).await?;
    let verdict = store.gate_verdict(&gate, evaluation).await?;
    let (state, reason) = match verdict {
        Some((verdict, _)) if verdict == "passes" => (RequestState::Passed, None),
        Some((_, reasons)) => (RequestState::NotPassed, Some(reasons.join("; "))),
        // The gate looks at the newest evaluation of the version that challenges now.
        None => {
            let reason = "the gate judged another evaluation: the challenger has changed";
            (RequestState::NotPassed, Some(reason.to_owned()))
        }
    };
    Ok(Stepped::Moved(Box::new(RetrainingRequest {
        reason,
        ..moved(request, state)
    })))
}
