//! Who asked for what on a day, and the answers.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, Utc};
use maud::html;
use uuid::Uuid;

use crate::{
    serve::{
        caller::{Caller, Right},
        console::{
            place::ConsolePlace,
            query::Query,
            read::PageReader,
            table::{Table, TableCell},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{
        console::requests::{AnswerLine, RunRequestLine, time_of},
        registry::alias_requests::AliasRequest,
    },
};

/// Requests of a day that are read, of each kind.
const OF_A_DAY: i32 = 2_000;

/// Returns the page. The query's `day` says which day; today without it.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, query: &Query) -> Result<View, ApiError> {
    let today = Utc::now().date_naive();
    let day: NaiveDate = query
        .get("day")
        .and_then(|day| day.parse().ok())
        .unwrap_or(today);
    let runs = reader.read(format!("run_request_lines {day}"), move |store| {
        store.run_request_lines(day, OF_A_DAY)
    });
    let aliases = reader.read(format!("newest_alias_requests {day}"), move |store| {
        store.newest_alias_requests(day, OF_A_DAY)
    });
    let answers = reader.read(format!("answer_lines {day}"), move |store| {
        store.answer_lines(day, OF_A_DAY * 2)
    });
    let (runs, aliases, answers) = futures::try_join!(runs, aliases, answers)?;
    let answers: HashMap<Uuid, &AnswerLine> = answers.iter().map(|line| (line.id, line)).collect();
    let mut view = View::new(
        ConsolePlace::Requests,
        "Requests",
        format!("Who asked for what on {day} (UTC), and the answers. They are kept for 30 days."),
    );
    view.is_live = true;
    let path = view.place.path();
    let to = |day: Option<NaiveDate>| {
        let day = day.map(|day| day.to_string());
        query
            .with(&[("day", day.as_deref()), ("requests.page", None)])
            .url(&path)
    };
    let days = html! {
        nav .pager aria-label="Days" {
            a rel="prev" href=(to(day.checked_sub_days(Days::new(1)))) { "The day before" }
            @if day < today { a rel="next" href=(to(day.checked_add_days(Days::new(1)))) { "The day after" } a href=(to(None)) { "Today" } }
        }
    };
    view.add("days", None, Content::Drawn(days));
    let mut rows: Vec<(Option<chrono::DateTime<Utc>>, Vec<TableCell>)> = Vec::new();
    let own_runs = runs.iter().filter(|line| may_see_run(reader.caller, line));
    rows.extend(own_runs.map(|line| {
        (
            time_of(line.id),
            of_run(line, answers.get(&line.id).copied()),
        )
    }));
    let own_aliases = aliases
        .iter()
        .filter(|line| may_see_alias(reader.caller, line));
    rows.extend(own_aliases.map(|line| {
        (
            time_of(line.id),
            of_alias(line, answers.get(&line.id).copied()),
        )
    }));
    rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let table = Table::new(
        "requests",
        "Requests, newest first",
        &[
            ("at", "Asked (UTC)"),
            ("action", "Action"),
            ("about", "About"),
            ("by", "By"),
            ("why", "Why"),
            ("answer", "Answer"),
            ("reason", "What came of it"),
            ("run", "Run"),
            ("request", "Request"),
        ],
    )
    .or("Nobody asked for anything on this day.");
    view.table(table.with(rows.into_iter().map(|(_, row)| row)));
    Ok(view)
}

/// Returns whether a caller may see a request for a run. One that names no job is for those who may
/// see all.
pub fn may_see_run(caller: &Caller, line: &RunRequestLine) -> bool {
    match &line.job {
        Some(job) => caller.check_job(Right::Read, job).is_ok(),
        None => caller.jobs.is_none(),
    }
}

/// Returns whether a caller may see a request for an alias.
pub fn may_see_alias(caller: &Caller, line: &AliasRequest) -> bool {
    match &line.model {
        Some(model) => caller.check_model(Right::Read, model).is_ok(),
        None => caller.models.is_none(),
    }
}

fn of_run(line: &RunRequestLine, answer: Option<&AnswerLine>) -> Vec<TableCell> {
    let action = line.action.as_deref().unwrap_or("run");
    let about = TableCell::optional(line.job.as_ref(), |job| {
        TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone())
    });
    let scope = line
        .scope
        .as_deref()
        .map(|scope| format!("{action} ({scope})"));
    cells(
        (line.id, scope.unwrap_or_else(|| action.to_owned())),
        about,
        (line.requested_by.as_ref(), line.note.as_ref()),
        (answer, line.job.as_deref()),
    )
}

fn of_alias(line: &AliasRequest, answer: Option<&AnswerLine>) -> Vec<TableCell> {
    let action = line.action.as_deref().unwrap_or("no action");
    let what = [
        line.version.map(|version| format!("version {version}")),
        line.alias.as_ref().map(|alias| format!("as {alias}")),
        line.gate.as_ref().map(|gate| format!("by gate {gate}")),
    ];
    let what: Vec<String> = what.into_iter().flatten().collect();
    let action = format!("{action} {}", what.join(" "));
    let about = TableCell::optional(line.model.as_ref(), |model| {
        TableCell::link(ConsolePlace::Model(model.clone()).path(), model.clone())
    });
    cells(
        (line.id, action.trim().to_owned()),
        about,
        (line.requested_by.as_ref(), line.why.as_ref()),
        (answer, None),
    )
}

fn cells(
    (id, action): (Uuid, String),
    about: TableCell,
    (by, why): (Option<&String>, Option<&String>),
    (answer, job): (Option<&AnswerLine>, Option<&str>),
) -> Vec<TableCell> {
    let run = answer.and_then(|answer| answer.run_id);
    vec![
        TableCell::Link(
            ConsolePlace::Request(id).path(),
            Box::new(TableCell::optional(time_of(id), TableCell::Time)),
        ),
        TableCell::text(action),
        about,
        TableCell::optional(by, TableCell::text),
        TableCell::optional(why, TableCell::text),
        TableCell::state(
            answer
                .and_then(|answer| answer.answer.as_deref())
                .unwrap_or("waiting"),
        ),
        TableCell::optional(
            answer.and_then(|answer| answer.reason.as_ref()),
            TableCell::text,
        ),
        match job {
            Some(job) => super::run_cell(job, run, super::short),
            None => TableCell::optional(run, super::short),
        },
        TableCell::Code(id.to_string()),
    ]
}
