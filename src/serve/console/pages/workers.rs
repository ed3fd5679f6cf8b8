//! The workers: which run, and what they do.

use crate::{
    serve::{
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::admin::workers::WorkerRow,
};

/// What is said where nobody does the work.
pub const NONE: &str = "No worker reported within the last minute: runs, requests, triggers and alarms wait until one is started (`helenus worker`).";

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>) -> Result<View, ApiError> {
    let workers = reader
        .read("workers now".to_owned(), |store| store.workers())
        .await?;
    let mut view = View::new(
        ConsolePlace::Workers,
        "Workers",
        "Processes that run jobs, fire triggers and answer requests, as they last reported.",
    );
    view.is_live = true;
    let none = (!has_any(&workers)).then(|| (Tone::Warn, NONE.to_owned()));
    view.notices(none.into_iter().collect());
    let table = Table::new(
        "workers",
        "Workers of the last minute",
        &[
            ("host", "Machine"),
            ("pid", "Process"),
            ("state", "State"),
            ("doing", "Does"),
            ("started", "Began (UTC)"),
            ("reported", "Reported (UTC)"),
            ("version", "helenus"),
            ("runtime", "ONNX Runtime"),
        ],
    )
    .or("None reported.");
    // What a worker does names jobs and models.
    let caller = reader.caller;
    let sees_all = caller.jobs.is_none() && caller.models.is_none();
    view.table(table.with(workers.iter().map(|worker| row(worker, sees_all))));
    Ok(view)
}

/// Returns whether a worker is there to do something.
pub fn has_any(workers: &[WorkerRow]) -> bool {
    workers.iter().any(|worker| worker.state != "left")
}

fn row(worker: &WorkerRow, sees_all: bool) -> Vec<TableCell> {
    let doing = worker.doing.iter().filter(|_| sees_all);
    let doing: Vec<TableCell> = doing.map(TableCell::text).collect();
    vec![
        TableCell::text(worker.host.clone()),
        TableCell::Code(worker.pid.to_string()),
        TableCell::state(&worker.state),
        match doing.is_empty() {
            true => TableCell::Empty,
            false => TableCell::List(doing),
        },
        TableCell::Time(worker.started_at),
        TableCell::Time(worker.beat_at),
        TableCell::text(worker.version.clone()),
        TableCell::optional(worker.runtime_version.as_ref(), TableCell::text),
    ]
}
