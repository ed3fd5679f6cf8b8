//! A job: its runs, as a grid by day and as a list.

use uuid::Uuid;

use crate::{
    serve::{
        console::{
            figures,
            handle::not_found,
            place::{ActPlace, ConsolePlace},
            query::Query,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{
        console::{jobs::JobHead, runs::RunLine},
        jobs::JobStatus,
    },
};

/// Runs that are read; older ones have a page of their own.
const RUNS: i32 = 1_000;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str, query: &Query) -> Result<View, ApiError> {
    let before = query
        .get("before")
        .and_then(|before| Uuid::try_parse(before).ok());
    let revisions = reader.read(format!("job_revisions {job}"), {
        let job = job.to_owned();
        |store| async move { store.job_revisions(&job).await }
    });
    let statuses = reader.read(format!("job_statuses {job}"), {
        let job = job.to_owned();
        |store| async move { store.job_statuses(&job).await }
    });
    let runs = reader.read(format!("run_lines {job} {before:?}"), {
        let job = job.to_owned();
        move |store| async move { store.run_lines(&job, before, RUNS).await }
    });
    let (revisions, statuses, runs) = futures::try_join!(revisions, statuses, runs)?;
    let head = revisions.iter().find(|head| head.revision.is_some());
    let head = head.ok_or_else(|| not_found(&format!("there is no job `{job}`")))?;
    let status = statuses
        .iter()
        .find(|status| Some(status.revision) == head.revision);
    let mut view = View::new(ConsolePlace::Job(job.to_owned()), job, "");
    view.is_live = true;
    let last = runs.first().and_then(|run| run.state.clone());
    view.said = last.map(|state| format!("The last run is {state}."));
    let pause = match head.paused {
        true => super::action_link(reader, ActPlace::Resume(job.to_owned()), "Resume"),
        false => super::action_link(reader, ActPlace::Pause(job.to_owned()), "Pause"),
    };
    let run = super::action_link(reader, ActPlace::Run(job.to_owned()), "Run now");
    view.acts.extend(run.into_iter().chain(pause));
    view.notices(notices(
        head,
        status,
        runs.first().filter(|_| before.is_none()),
    ));
    view.add("about", None, Content::Facts(facts(head, status)));
    if before.is_none() {
        view.add(
            "days",
            Some("Runs by day"),
            Content::Drawn(figures::days(job, &runs)),
        );
    }
    view.table(table(job, &runs));
    if let Some(oldest) = runs.last().filter(|_| runs.len() == RUNS as usize) {
        let oldest = oldest.run_id.map(|id| id.to_string());
        let url = query.with(&[("before", oldest.as_deref()), ("runs.page", None)]);
        let url = url.url(&view.place.path());
        view.add(
            "older",
            None,
            Content::Drawn(maud::html! { p { a href=(url) { "Older runs" } } }),
        );
    }
    view.table(revision_table(&revisions, &statuses));
    Ok(view)
}

fn notices(
    head: &JobHead,
    status: Option<&JobStatus>,
    last: Option<&RunLine>,
) -> Vec<(Tone, String)> {
    let mut notices = Vec::new();
    if head.deleted {
        notices.push((
            Tone::Warn,
            "This job is deleted; its predictions stay.".to_owned(),
        ));
    }
    if head.paused {
        let by = head
            .paused_by
            .as_deref()
            .map_or_else(String::new, |by| format!(" by {by}"));
        let why = head
            .paused_note
            .as_deref()
            .map_or_else(String::new, |why| format!(": {why}"));
        notices.push((
            Tone::Warn,
            format!("Paused{by}{why}. Triggers start no runs."),
        ));
    }
    match status {
        None => notices.push((
            Tone::Busy,
            "No worker has looked at the newest revision yet.".to_owned(),
        )),
        Some(status) => {
            let problems = status.problems.iter();
            notices.extend(problems.map(|problem| (Tone::Bad, problem.clone())));
            let warnings = status.warnings.iter();
            notices.extend(warnings.map(|warning| (Tone::Warn, warning.clone())));
        }
    }
    if let Some(last) = last.filter(|last| last.state.as_deref() == Some("failed")) {
        let why = last.reason.as_deref().unwrap_or("no reason was recorded");
        notices.push((Tone::Bad, format!("The last run failed: {why}")));
    }
    notices
}

fn facts(head: &JobHead, status: Option<&JobStatus>) -> Vec<(&'static str, TableCell)> {
    let text = |text: Option<&String>| TableCell::optional(text, TableCell::text);
    let model = status.and_then(|status| status.model.as_ref());
    vec![
        (
            "Revision",
            TableCell::optional(head.revision, |revision| {
                TableCell::Count(revision.unsigned_abs().into())
            }),
        ),
        (
            "State",
            TableCell::state(status.map_or("unanswered", |status| status.state.as_str())),
        ),
        (
            "Model",
            TableCell::optional(model, |model| {
                TableCell::link(ConsolePlace::Model(model.clone()).path(), model.clone())
            }),
        ),
        (
            "Rows from",
            text(status.and_then(|status| status.source.as_ref())),
        ),
        (
            "Predictions to",
            text(status.and_then(|status| status.target.as_ref())),
        ),
    ]
}

fn table(job: &str, runs: &[RunLine]) -> Table {
    let table = Table::new(
        "runs",
        "Runs, newest first",
        &[
            ("began", "Began (UTC)"),
            ("state", "State"),
            ("took_s", "Took"),
            ("splits", "Splits done"),
            ("rows", "Rows read"),
            ("scored", "Scored"),
            ("unchanged", "Unchanged"),
            ("rejected", "Rejected"),
            ("versions", "Versions"),
            ("trigger", "Started by"),
            ("reason", "Reason"),
            ("run", "Run"),
        ],
    )
    .or("This job has not run yet.");
    table.with(runs.iter().map(|run| {
        let took = run
            .started_at
            .and_then(|from| Some(run.finished_at? - from));
        let by = match (&run.requested_by, &run.trigger) {
            (Some(by), _) => Some(by),
            (None, trigger) => trigger.as_ref(),
        };
        let share = f64::from(run.splits_done) / f64::from(run.splits_total.max(1));
        let sum =
            |counts: &std::collections::BTreeMap<i32, u64>| TableCell::Count(counts.values().sum());
        vec![
            super::run_cell(job, run.run_id, |_| {
                TableCell::optional(run.started_at.or(run.due_at), TableCell::Time)
            }),
            match (run.late, run.state.as_deref().unwrap_or_default()) {
                (true, state) => {
                    TableCell::List(vec![TableCell::state(state), TableCell::state("late")])
                }
                (false, state) => TableCell::state(state),
            },
            TableCell::optional(took, |took| {
                TableCell::Seconds(took.num_milliseconds() as f64 / 1_000.0)
            }),
            match run.splits_total {
                0 => TableCell::Empty,
                _ => TableCell::Share(share),
            },
            TableCell::Count(run.source_rows),
            sum(&run.scored),
            sum(&run.unchanged),
            sum(&run.rejected),
            TableCell::optional(run.versions.as_ref(), |versions| {
                TableCell::text(super::versions(versions))
            }),
            TableCell::optional(by, TableCell::text),
            TableCell::optional(run.reason.as_ref(), TableCell::text),
            TableCell::optional(run.run_id, |id| TableCell::Code(id.to_string())),
        ]
    }))
}

fn revision_table(revisions: &[JobHead], statuses: &[JobStatus]) -> Table {
    let table = Table::new(
        "revisions",
        "Revisions",
        &[
            ("revision", "Revision"),
            ("state", "State"),
            ("at", "Made (UTC)"),
            ("by", "By"),
            ("note", "Note"),
        ],
    );
    let rows = revisions.iter().filter_map(|head| {
        let revision = head.revision?;
        let status = statuses.iter().find(|status| status.revision == revision);
        Some(vec![
            TableCell::Count(revision.unsigned_abs().into()),
            TableCell::state(status.map_or("unanswered", |status| status.state.as_str())),
            TableCell::optional(head.created_at, TableCell::Time),
            TableCell::optional(head.created_by.as_ref(), TableCell::text),
            TableCell::optional(head.note.as_ref(), TableCell::text),
        ])
    });
    table.with(rows)
}
