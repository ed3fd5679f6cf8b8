//! All jobs: is everything fine?

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{streams, workers};
use crate::{
    report::parts::Card,
    serve::{
        caller::Right,
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Column, Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{
        console::{jobs::JobHead, requests::time_of, runs::RunLine},
        streams::StreamRow,
    },
};

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>) -> Result<View, ApiError> {
    let heads = reader.read("job_heads".to_owned(), |store| store.job_heads());
    let runs = reader.read("last_runs".to_owned(), |store| store.last_runs());
    let alarms = reader.read("open_alarms".to_owned(), |store| store.open_alarms());
    let (heads, runs, alarms, workers, streams) =
        futures::try_join!(heads, runs, alarms, reader.workers(), reader.streams())?;
    let may_read = |job: &str| reader.caller.check_job(Right::Read, job).is_ok();
    let mut heads: Vec<&JobHead> = heads
        .iter()
        .filter(|head| head.revision.is_some() && !head.deleted && may_read(&head.job))
        .collect();
    let empty = BTreeMap::new();
    let open = |job: &str| alarms.get(job).unwrap_or(&empty);
    // What needs attention comes first, whatever its name.
    let has_failed = |head: &JobHead| {
        let run = runs.get(&head.job).and_then(|run| run.state.as_deref());
        run == Some("failed")
    };
    let is_stuck = |head: &JobHead| {
        let mut members = streams.iter().filter(|row| row.job == head.job);
        members.any(|row| row.state == "paused")
    };
    heads.sort_by_key(|head| {
        let is_fine = !is_stuck(head) && open(&head.job).is_empty();
        (!has_failed(head), is_fine, head.job.clone())
    });
    let mut view = View::new(ConsolePlace::Jobs, "Jobs", "");
    view.is_live = true;
    let all_open: usize = heads.iter().map(|head| open(&head.job).len()).sum();
    let state = |head: &&&JobHead| runs.get(&head.job).and_then(|run| run.state.as_deref());
    let failing = heads.iter().filter(|head| has_failed(head)).count();
    let stuck = heads.iter().filter(|head| is_stuck(head)).count();
    let running = heads
        .iter()
        .filter(|head| matches!(state(head), Some("planning" | "running" | "waiting")))
        .count();
    let paused = heads.iter().filter(|head| head.paused).count();
    let has_worker = workers::has_any(&workers);
    let said = summary(heads.len(), failing, stuck, all_open);
    view.said = Some(said.1.clone());
    let none = (!has_worker && !heads.is_empty()).then(|| (Tone::Warn, workers::NONE.to_owned()));
    // Without a worker, good last runs mean little.
    let said = (none.is_none() || said.0 != Tone::Good).then_some(said);
    view.notices(said.into_iter().chain(none).collect());
    let card = |name: &str, count: usize| Card {
        name: name.to_owned(),
        value: count.to_string(),
        notes: Vec::new(),
    };
    view.add(
        "counts",
        None,
        Content::Cards(vec![
            card("Open alarms", all_open),
            card("Jobs whose last run failed", failing),
            card("Running now", running),
            card("Paused", paused),
            card("Workers", workers.len()),
        ]),
    );
    let mut table = Table::new(
        "jobs",
        "All jobs",
        &[
            ("job", "Job"),
            ("last_run", "Last run"),
            ("at", "Began (UTC)"),
            ("took_s", "Took"),
            ("rows", "Rows read"),
            ("scored", "Scored"),
            ("rejected", "Rejected"),
            ("versions", "Versions"),
            ("alarms", "Open alarms"),
            ("paused", "Paused"),
        ],
    )
    .or("There are no jobs yet: `helenus job create` makes one.");
    // A column only where there is something to read.
    if !streams.is_empty() {
        let (id, name) = ("stream".to_owned(), "Stream".to_owned());
        table.columns.push(Column { id, name });
    }
    let rows = heads.iter().map(|head| {
        let run = runs.get(&head.job);
        let mut cells = row(head, run, open(&head.job).len());
        let members: Vec<&StreamRow> = streams.iter().filter(|row| row.job == head.job).collect();
        if !streams.is_empty() {
            cells.push(stream_cell(&head.job, &members));
        }
        cells
    });
    view.table(table.with(rows));
    view.table(alarm_table(&heads, open));
    Ok(view)
}

/// The state of a job's stream, if anybody reads it.
fn stream_cell(job: &str, members: &[&StreamRow]) -> TableCell {
    match members.is_empty() {
        true => TableCell::Empty,
        false => TableCell::Link(
            ConsolePlace::Stream(job.to_owned()).path(),
            Box::new(streams::states(members)),
        ),
    }
}

fn summary(jobs: usize, failing: usize, stuck: usize, alarms: usize) -> (Tone, String) {
    let plural = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    match (failing, stuck, alarms) {
        (0, 0, 0) if jobs == 0 => (Tone::Idle, "There are no jobs yet.".to_owned()),
        (0, 0, 0) => {
            let jobs = plural(jobs, "job is", "jobs are");
            (
                Tone::Good,
                format!("Everything is fine: {jobs} without an alarm."),
            )
        }
        _ => {
            let mut parts = Vec::new();
            if failing > 0 {
                parts.push(plural(
                    failing,
                    "job whose last run failed",
                    "jobs whose last run failed",
                ));
            }
            if stuck > 0 {
                parts.push(plural(stuck, "paused stream", "paused streams"));
            }
            if alarms > 0 {
                parts.push(plural(alarms, "open alarm", "open alarms"));
            }
            (Tone::Bad, format!("Needs attention: {}.", parts.join(", ")))
        }
    }
}

fn row(head: &JobHead, run: Option<&RunLine>, alarms: usize) -> Vec<TableCell> {
    let job = &head.job;
    let rejected: u64 = run.map_or(0, |run| run.rejected.values().sum());
    let began = run.and_then(|run| run.started_at.or(run.due_at));
    let took = run.and_then(|run| Some(run.finished_at? - run.started_at?));
    vec![
        TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone()),
        match run {
            None => TableCell::Toned(Tone::Idle, "never ran".to_owned()),
            Some(run) => super::run_cell(job, run.run_id, |_| {
                TableCell::state(run.state.as_deref().unwrap_or_default())
            }),
        },
        TableCell::optional(began, TableCell::Time),
        TableCell::optional(took, |took| {
            TableCell::Seconds(took.num_milliseconds() as f64 / 1_000.0)
        }),
        TableCell::optional(run.map(|run| run.source_rows), TableCell::Count),
        TableCell::optional(run.map(|run| run.scored.values().sum()), TableCell::Count),
        TableCell::optional(run.map(|_| rejected), TableCell::Count),
        TableCell::optional(run.and_then(|run| run.versions.as_ref()), |versions| {
            TableCell::text(super::versions(versions))
        }),
        TableCell::Count(alarms as u64),
        match head.paused {
            true => TableCell::state("paused"),
            false => TableCell::Empty,
        },
    ]
}

fn alarm_table<'a>(heads: &[&JobHead], open: impl Fn(&str) -> &'a BTreeMap<String, Uuid>) -> Table {
    let table = Table::new(
        "alarms",
        "Open alarms",
        &[
            ("job", "Job"),
            ("kind", "Kind"),
            ("about", "About"),
            ("since", "Since (UTC)"),
        ],
    )
    .or("No alarm is open.");
    let rows = heads.iter().flat_map(|head| {
        let job = head.job.clone();
        open(&head.job).iter().map(move |(key, id)| {
            let (kind, about) = key.split_once('/').unwrap_or((key, ""));
            vec![
                TableCell::link(ConsolePlace::Alarms.path(), job.clone()),
                TableCell::Toned(Tone::Bad, kind.to_owned()),
                TableCell::text(about),
                TableCell::optional(time_of(*id), TableCell::Time),
            ]
        })
    });
    table.with(rows)
}
