//! A request, and what came of it.

use chrono::Utc;
use uuid::Uuid;

use super::workers;
use crate::{
    serve::{
        console::{
            actions,
            handle::not_found,
            place::ConsolePlace,
            read::PageReader,
            table::{TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
        requests::days_of,
    },
    store::{
        console::requests::{AnswerLine, RunRequestLine, time_of},
        registry::alias_requests::AliasRequest,
    },
};

/// Time after which an unanswered request deserves a hint.
const PATIENT_SECONDS: i64 = 15;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, id: Uuid) -> Result<View, ApiError> {
    let days = days_of(id);
    let run = reader.read(format!("run_request_line {id}"), {
        let days = days.clone();
        move |store| async move { store.run_request_line(&days, id).await }
    });
    let alias = reader.read(format!("alias_request_of {id}"), {
        let days = days.clone();
        move |store| async move { store.alias_request_of(&days, id).await }
    });
    let answer = reader.read(format!("answer_line {id}"), move |store| async move {
        store.answer_line(&days, id).await
    });
    let (run, alias, answer) = futures::try_join!(run, alias, answer)?;
    let answer = answer.as_ref().as_ref();
    let (title, facts, links) = match (run.as_ref(), alias.as_ref()) {
        (Some(line), _) if super::requests::may_see_run(reader.caller, line) => {
            of_run(line, answer)
        }
        (_, Some(line)) if super::requests::may_see_alias(reader.caller, line) => of_alias(line),
        _ => {
            return Err(not_found(
                "there is no such request; they are kept for 30 days",
            ));
        }
    };
    let mut view = View::new(ConsolePlace::Request(id), title, format!("Request {id}"));
    view.is_live = true;
    let mut notices = vec![describe_answer(id, answer)];
    if answer.is_none() && !workers::has_any(&reader.workers().await?) {
        notices.push((Tone::Warn, workers::NONE.to_owned()));
    }
    if let Some(line) = alias.as_ref().as_ref() {
        notices.extend(moved(reader, line, answer).await?);
    }
    view.said = notices.first().map(|(_, text)| text.clone());
    view.notices(notices);
    view.add("about", None, Content::Facts(facts));
    if let Some((href, name)) = links {
        view.acts.push((href, name));
    }
    Ok(view)
}

fn describe_answer(id: Uuid, answer: Option<&AnswerLine>) -> (Tone, String) {
    let Some(answer) = answer else {
        let waited = time_of(id).map_or(0, |at| (Utc::now() - at).num_seconds());
        return match waited > PATIENT_SECONDS {
            true => (Tone::Warn, "No worker has answered yet. An alias that waits for rows to be scored is answered once they are.".to_owned()),
            false => (Tone::Busy, "A worker answers within seconds.".to_owned()),
        };
    };
    let word = answer.answer.as_deref().unwrap_or("answered");
    let reason = answer.reason.as_deref();
    let text = match (word, reason) {
        ("accepted", None) => "accepted: a run is under way".to_owned(),
        ("joined", None) => "joined: it shares a run that somebody else asked for".to_owned(),
        (word, None) => format!("{}.", word.replace('_', " ")),
        (word, Some(reason)) => format!("{}: {reason}", word.replace('_', " ")),
    };
    (Tone::from_state(word), text)
}

/// Says who moved an alias, if the request was refused because it had moved.
async fn moved(
    reader: &PageReader<'_>,
    line: &AliasRequest,
    answer: Option<&AnswerLine>,
) -> Result<Vec<(Tone, String)>, ApiError> {
    let is_refused = answer.is_some_and(|answer| answer.answer.as_deref() == Some("refused"));
    let (Some(model), Some(alias), Some(expected), true) =
        (&line.model, &line.alias, line.expected_version, is_refused)
    else {
        return Ok(Vec::new());
    };
    let told = actions::moved_from(reader, model, alias, expected).await?;
    Ok(told.into_iter().map(|told| (Tone::Warn, told)).collect())
}

type Told = (
    String,
    Vec<(&'static str, TableCell)>,
    Option<(String, String)>,
);

fn of_run(line: &RunRequestLine, answer: Option<&AnswerLine>) -> Told {
    let action = line.action.as_deref().unwrap_or("run");
    let job = line.job.clone().unwrap_or_default();
    let run = answer.and_then(|answer| answer.run_id).or(line.target_run);
    let facts = vec![
        (
            "Asked",
            TableCell::optional(time_of(line.id), TableCell::Time),
        ),
        (
            "By",
            TableCell::optional(line.requested_by.as_ref(), TableCell::text),
        ),
        (
            "Reason",
            TableCell::optional(line.note.as_ref(), TableCell::text),
        ),
        (
            "Job",
            TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone()),
        ),
        (
            "Rows",
            TableCell::text(line.scope.clone().unwrap_or_else(|| "pending".to_owned())),
        ),
        (
            "Run",
            super::run_cell(&job, run, |id| TableCell::Code(id.to_string())),
        ),
        (
            "Answered",
            TableCell::optional(
                answer.and_then(|answer| answer.answered_at),
                TableCell::Time,
            ),
        ),
    ];
    let link = run.map(|run| {
        (
            ConsolePlace::Run(job.clone(), run).path(),
            "Follow the run".to_owned(),
        )
    });
    (format!("{action} {job}"), facts, link)
}

fn of_alias(line: &AliasRequest) -> Told {
    let action = line.action.as_deref().unwrap_or("request");
    let model = line.model.clone().unwrap_or_default();
    let count = |version: Option<i32>| {
        TableCell::optional(version, |version| {
            TableCell::Count(version.unsigned_abs().into())
        })
    };
    let facts = vec![
        (
            "Asked",
            TableCell::optional(time_of(line.id), TableCell::Time),
        ),
        (
            "By",
            TableCell::optional(line.requested_by.as_ref(), TableCell::text),
        ),
        (
            "Reason",
            TableCell::optional(line.why.as_ref(), TableCell::text),
        ),
        (
            "Model",
            TableCell::link(ConsolePlace::Model(model.clone()).path(), model.clone()),
        ),
        (
            "Alias",
            TableCell::optional(line.alias.as_ref(), TableCell::text),
        ),
        ("To version", count(line.version)),
        ("From version", count(line.expected_version)),
        (
            "Before it moves",
            TableCell::text(
                line.coverage
                    .clone()
                    .unwrap_or_else(|| "full".to_owned())
                    .replace('_', " "),
            ),
        ),
        (
            "Gate",
            TableCell::optional(line.gate.as_ref(), TableCell::text),
        ),
    ];
    let link = (
        ConsolePlace::Aliases(model.clone()).path(),
        "Where aliases point".to_owned(),
    );
    (format!("{action} {model}"), facts, Some(link))
}
