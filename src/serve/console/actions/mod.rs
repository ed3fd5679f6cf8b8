//! What people may do: actions, each a form that says what will happen, and a row.
//!
//! A form carries the state that its reader saw, on the server. When it is sent, the state is looked
//! at again: what has moved is told, with who moved it, and nothing is written. Where two people
//! are faster than that, the worker refuses the second (`expected_version`).

mod acknowledge;
mod approve;
mod cancel;
mod form;
mod pause;
mod promote;
mod resume_stream;
mod run;

use axum::response::{IntoResponse, Redirect, Response};
use uuid::Uuid;

use super::{
    handle,
    place::{ActPlace, ConsolePlace},
    query::Query,
    read::PageReader,
    session::{FormRefusal, Login},
};
use crate::{
    domain::problem::Problem,
    serve::{
        caller::{Caller, Right},
        error::ApiError,
    },
};

/// Longest reason that is stored.
const MAX_WHY: usize = 500;

/// An action, with the state that its reader saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Run {
        job: String,
        revision: Option<i32>,
        /// The newest run that a person asked for.
        asked: Option<Uuid>,
    },
    Cancel {
        job: String,
        run: Uuid,
    },
    Pause {
        job: String,
        /// Paused from now on, or not any more.
        to: bool,
    },
    Move {
        model: String,
        alias: String,
        /// The version to promote; `None`: back to the one before.
        version: Option<i32>,
        from: Option<i32>,
        /// Number of the alias's last move; 0: there was none.
        seq: i32,
    },
    Approve {
        model: String,
        gate: String,
        alias: String,
        version: i32,
        from: Option<i32>,
        evaluation: Uuid,
    },
    Acknowledge {
        job: String,
        alarm: Uuid,
    },
    ResumeStream {
        job: String,
        /// What paused it.
        events: Vec<Uuid>,
    },
}

/// A choice: its name, its label, its options with their labels.
type FormChoice = (
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
);

/// A form, before it is given to its reader.
struct Draft {
    act: Act,
    title: String,
    /// What will happen.
    what: Vec<String>,
    /// Why it cannot be done now; there is no button then.
    blocked: Option<String>,
    /// The first option is chosen.
    choice: Option<FormChoice>,
    button: &'static str,
    back: ConsolePlace,
}

/// What became of a form.
enum ActOutcome {
    /// The row is written.
    Written,
    /// The state has moved since; by whom, in sentences.
    Moved(Vec<String>),
}

/// Returns whether a caller may take the action at a place.
///
/// # Errors
/// 403.
pub fn check(caller: &Caller, place: &ActPlace) -> Result<(), ApiError> {
    match place {
        ActPlace::Run(job)
        | ActPlace::Cancel(job, _)
        | ActPlace::Pause(job)
        | ActPlace::Resume(job)
        | ActPlace::ResumeStream(job)
        | ActPlace::Acknowledge(job, _) => caller.check_job(Right::Run, job),
        ActPlace::Promote(model) | ActPlace::Rollback(model) => {
            caller.check_model(Right::Promote, model)
        }
        ActPlace::Approve(model, _) => caller.check_model(Right::Approve, model),
    }
}

/// Returns the name of who acts, as rows have it.
fn requested_by(caller: &Caller) -> String {
    format!("{}@console", caller.name)
}

/// Answers with the form of an action.
///
/// # Errors
/// 403, 404, and those of Cassandra.
pub async fn show(
    reader: &PageReader<'_>,
    login: &Login,
    place: &ActPlace,
    query: &Query,
) -> Result<Response, ApiError> {
    check(reader.caller, place)?;
    let draft = draft(reader, place, query).await?;
    Ok(form::drawn(reader, login, place, draft, None))
}

async fn draft(
    reader: &PageReader<'_>,
    place: &ActPlace,
    query: &Query,
) -> Result<Draft, ApiError> {
    match place {
        ActPlace::Run(job) => run::draft(reader, job).await,
        ActPlace::Cancel(job, run) => cancel::draft(reader, job, *run).await,
        ActPlace::Pause(job) => pause::draft(reader, job, true).await,
        ActPlace::Resume(job) => pause::draft(reader, job, false).await,
        ActPlace::Promote(model) => promote::draft(reader, model, query).await,
        ActPlace::Rollback(model) => promote::draft_rollback(reader, model, query).await,
        ActPlace::Approve(model, gate) => approve::draft(reader, model, gate).await,
        ActPlace::Acknowledge(job, id) => acknowledge::draft(reader, job, *id).await,
        ActPlace::ResumeStream(job) => resume_stream::draft(reader, job).await,
    }
}

/// Does what a form asks for.
///
/// # Errors
/// 403, 404, 409: the state has moved, or the form was sent already; those of Cassandra.
pub async fn send(
    reader: &PageReader<'_>,
    login: &Login,
    place: &ActPlace,
    fields: &Query,
) -> Result<Response, ApiError> {
    check(reader.caller, place)?;
    let why = fields.get("why").unwrap_or_default().trim();
    let is_text = |c: char| !c.is_control() || c == '\n' || c == '\r' || c == '\t';
    let problem = match () {
        () if why.is_empty() => Some("say why, in a few words"),
        () if why.chars().count() > MAX_WHY => Some("say it in 500 characters"),
        () if !why.chars().all(is_text) => Some("the reason has control characters"),
        () => None,
    };
    let name = fields.get("form").unwrap_or_default();
    if let Some(problem) = problem {
        // The reader gets a new form, of the state as it is now.
        let draft = draft(reader, place, fields).await?;
        return Ok(form::drawn(reader, login, place, draft, Some(problem)));
    }
    let sessions = &reader.console.sessions;
    let sent = sessions.send_form(login, name, answer_of);
    let (act, request) = match sent {
        Ok(sent) => sent,
        Err(refusal) => return Ok(form::refused(reader, login, place, &refusal)),
    };
    if !is_of(&act, place) {
        return Ok(form::refused(reader, login, place, &FormRefusal::Unknown));
    }
    let outcome = match &act {
        Act::Run { .. } => run::send(reader, &act, request, fields, why).await,
        Act::Cancel { job, run } => cancel::send(reader, job, *run, request, why).await,
        Act::Pause { job, to } => pause::send(reader, job, *to, why).await,
        Act::Move { .. } => promote::send(reader, &act, request, fields, why).await,
        Act::Approve { .. } => approve::send(reader, &act, request, why).await,
        Act::Acknowledge { job, alarm } => acknowledge::send(reader, job, *alarm, why).await,
        Act::ResumeStream { job, events } => resume_stream::send(reader, job, events, why).await,
    };
    match outcome {
        Ok(ActOutcome::Written) => {
            reader.console.cache.forget();
            tracing::info!(caller = reader.caller.name, ?act, %request, "acted in the console");
            Ok(Redirect::to(&answer_of(&act, request)).into_response())
        }
        Ok(ActOutcome::Moved(told)) => Ok(form::moved(reader, login, &again(&act, place), &told)),
        Err(error) => {
            // Nothing is known to be written; the same form makes the same row.
            sessions.reopen_form(login, name);
            Err(error)
        }
    }
}

/// Returns the URL of a form of the state as it is now.
fn again(act: &Act, place: &ActPlace) -> String {
    let query = match act {
        Act::Move { alias, version, .. } => {
            let version = version.map(|version| version.to_string());
            Query::default().with(&[("alias", Some(alias)), ("version", version.as_deref())])
        }
        _ => Query::default(),
    };
    query.url(&place.path())
}

fn answer_of(act: &Act, request: Uuid) -> String {
    match act {
        Act::Pause { job, .. } => ConsolePlace::Job(job.clone()).path(),
        Act::Acknowledge { .. } => ConsolePlace::Alarms.path(),
        Act::ResumeStream { job, .. } => ConsolePlace::Stream(job.clone()).path(),
        _ => ConsolePlace::Request(request).path(),
    }
}

/// Whether a form is the one of this place.
fn is_of(act: &Act, place: &ActPlace) -> bool {
    match (act, place) {
        (Act::Run { job, .. }, ActPlace::Run(of)) => job == of,
        (Act::Cancel { job, run }, ActPlace::Cancel(of, id)) => (job, run) == (of, id),
        (Act::Pause { job, to: true }, ActPlace::Pause(of)) => job == of,
        (Act::Pause { job, to: false }, ActPlace::Resume(of)) => job == of,
        (Act::Move { model, version, .. }, ActPlace::Promote(of)) => {
            model == of && version.is_some()
        }
        (Act::Move { model, version, .. }, ActPlace::Rollback(of)) => {
            model == of && version.is_none()
        }
        (Act::Approve { model, gate, .. }, ActPlace::Approve(of, name)) => {
            (model, gate) == (of, name)
        }
        (Act::ResumeStream { job, .. }, ActPlace::ResumeStream(of)) => job == of,
        (Act::Acknowledge { job, alarm }, ActPlace::Acknowledge(of, id)) => {
            (job, alarm) == (of, id)
        }
        _ => false,
    }
}

/// Returns a sentence for each move of an alias since it pointed at a version, newest first; nothing
/// if it still does.
///
/// # Errors
/// Those of Cassandra.
pub async fn moved_from(
    reader: &PageReader<'_>,
    model: &str,
    alias: &str,
    version: i32,
) -> Result<Vec<String>, ApiError> {
    let history = Box::pin(reader.store().recent_alias_history(model, alias)).await?;
    match history.iter().find(|change| change.to == version) {
        Some(seen) => promote::moved_since(reader, model, alias, seen.seq).await,
        None => Ok(Vec::new()),
    }
}

/// Returns the error for a choice that the form does not have.
fn no_such_choice(name: &str) -> ApiError {
    handle::invalid(&format!("`{name}` is not one of the choices"))
}

/// Returns the error for a missing parameter or row.
fn missing(message: String) -> ApiError {
    ApiError::not_found(Problem::new("console.not_found", message))
}

/// Renders a time for a sentence.
fn at(time: Option<chrono::DateTime<chrono::Utc>>) -> String {
    time.map_or_else(String::new, |at| format!(" at {}", at.format("%F %T UTC")))
}

/// Renders who did something, for a sentence.
fn by(who: Option<&str>) -> &str {
    who.unwrap_or("someone who gave no name")
}

/// Renders a reason, for a sentence.
fn because(why: Option<&str>) -> String {
    why.map_or_else(String::new, |why| format!(": “{why}”"))
}
