//! A job's triggers: when it runs by itself, next and last, and why not.

use crate::{
    domain::trigger::{TriggerRow, TriggerStatus},
    serve::{
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
};

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str) -> Result<View, ApiError> {
    let rows = reader.read("triggers".to_owned(), |store| store.triggers());
    let statuses = reader.read("trigger_statuses".to_owned(), |store| {
        store.trigger_statuses()
    });
    let (rows, statuses) = futures::try_join!(rows, statuses)?;
    let mut view = View::new(
        ConsolePlace::Triggers(job.to_owned()),
        format!("{job}: triggers"),
        "When the job runs by itself.",
    );
    view.is_live = true;
    let own = rows
        .iter()
        .filter(|row| row.job == job && row.removed != Some(true));
    let mut own: Vec<(&TriggerRow, Option<&TriggerStatus>)> = own
        .map(|row| {
            let is_own = |status: &&TriggerStatus| status.job == job && status.name == row.name;
            (row, statuses.iter().find(is_own))
        })
        .collect();
    own.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let problems = own.iter().flat_map(|(row, status)| {
        let problems = status.iter().flat_map(|status| &status.problems);
        problems.map(move |problem| (Tone::Bad, format!("{}: {problem}", row.name)))
    });
    view.notices(problems.collect());
    let table = Table::new(
        "triggers",
        "Triggers",
        &[
            ("name", "Name"),
            ("fires", "Fires"),
            ("state", "State"),
            ("next", "Next (UTC)"),
            ("last", "Last due (UTC)"),
            ("outcome", "What came of it"),
            ("why", "Why"),
            ("run", "Run"),
            ("by", "Made by"),
            ("note", "Note"),
        ],
    )
    .or("The job has no trigger: it runs when somebody asks.");
    view.table(table.with(own.into_iter().map(|(row, status)| cells(job, row, status))));
    Ok(view)
}

fn cells(job: &str, row: &TriggerRow, status: Option<&TriggerStatus>) -> Vec<TableCell> {
    vec![
        TableCell::text(row.name.clone()),
        TableCell::optional(
            status.and_then(|status| status.fires.as_ref()),
            TableCell::text,
        ),
        TableCell::state(status.map_or("unanswered", |status| status.state.as_str())),
        TableCell::optional(status.and_then(|status| status.next_due), TableCell::Time),
        TableCell::optional(status.and_then(|status| status.last_due), TableCell::Time),
        TableCell::optional(
            status.and_then(|status| status.last_outcome.as_deref()),
            TableCell::state,
        ),
        TableCell::optional(
            status.and_then(|status| status.last_reason.as_ref()),
            TableCell::text,
        ),
        super::run_cell(job, status.and_then(|status| status.last_run), super::short),
        TableCell::optional(row.created_by.as_ref(), TableCell::text),
        TableCell::optional(row.note.as_ref(), TableCell::text),
    ]
}
