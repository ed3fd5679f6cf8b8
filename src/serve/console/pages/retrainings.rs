//! A model's retrainings: when it is trained again, and what became of each request.

use crate::{
    domain::retraining::RetrainingRow,
    serve::{
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::View,
        },
        error::ApiError,
    },
    store::console::lists::RetrainingLine,
};

/// Requests of each retraining that are read.
const REQUESTS: i32 = 50;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str) -> Result<View, ApiError> {
    let rows = reader
        .read("retrainings".to_owned(), |store| store.retrainings())
        .await?;
    let own = rows
        .iter()
        .filter(|row| row.model == model && row.removed != Some(true));
    let own: Vec<&RetrainingRow> = own.collect();
    let names: Vec<String> = own.iter().map(|row| row.name.clone()).collect();
    let lines = reader.read(format!("retraining_lines {model} {names:?}"), {
        let model = model.to_owned();
        |store| async move { store.retraining_lines(&model, &names, REQUESTS).await }
    });
    let lines = lines.await?;
    let mut view = View::new(
        ConsolePlace::Retrainings(model.to_owned()),
        format!("{model}: retrainings"),
        "When the model is trained again, and what became of it.",
    );
    view.is_live = true;
    let problems = own.iter().flat_map(|row| {
        let line = lines.iter().find(|line| line.name == row.name);
        let problems = line
            .and_then(|line| line.problems.clone())
            .unwrap_or_default();
        let name = row.name.clone();
        problems
            .into_iter()
            .map(move |problem| (Tone::Bad, format!("{name}: {problem}")))
    });
    view.notices(problems.collect());
    view.table(rules(&own, &lines));
    view.table(requests(model, &own, &lines));
    Ok(view)
}

fn rules(own: &[&RetrainingRow], lines: &[RetrainingLine]) -> Table {
    let table = Table::new(
        "retrainings",
        "Retrainings",
        &[
            ("name", "Name"),
            ("when", "When"),
            ("next", "Next (UTC)"),
            ("job", "Job"),
            ("trainer", "Trainer"),
            ("labels", "Labels"),
            ("gate", "Gate"),
            ("paused", "Paused"),
            ("by", "Made by"),
        ],
    )
    .or("The model is not trained again by itself: `helenus retraining add` makes it so.");
    table.with(own.iter().map(|row| {
        let line = lines.iter().find(|line| line.name == row.name);
        let mut when = Vec::new();
        when.extend(row.cron.as_ref().map(|cron| format!("cron {cron}")));
        when.extend(
            row.on_alarm
                .as_ref()
                .map(|alarm| format!("on alarm {alarm}")),
        );
        when.extend(
            row.labelled_rows
                .map(|rows| format!("{rows} more labelled rows")),
        );
        if when.is_empty() {
            when.push("when somebody asks".to_owned());
        }
        vec![
            TableCell::text(row.name.clone()),
            TableCell::text(when.join(", or ")),
            TableCell::optional(line.and_then(|line| line.next_due), TableCell::Time),
            TableCell::optional(row.job.as_ref(), |job| {
                TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone())
            }),
            TableCell::optional(row.trainer.as_ref(), TableCell::text),
            TableCell::optional(row.labels.as_ref(), TableCell::text),
            TableCell::optional(row.gate.as_ref(), TableCell::text),
            match row.paused {
                Some(true) => TableCell::state("paused"),
                _ => TableCell::Empty,
            },
            TableCell::optional(row.created_by.as_ref(), TableCell::text),
        ]
    }))
}

fn requests(model: &str, own: &[&RetrainingRow], lines: &[RetrainingLine]) -> Table {
    let table = Table::new(
        "requests",
        "What became of each request",
        &[
            ("at", "Asked (UTC)"),
            ("name", "Retraining"),
            ("state", "State"),
            ("cause", "Cause"),
            ("version", "Version"),
            ("run", "Run"),
            ("reason", "Reason"),
        ],
    )
    .or("Nothing was trained again yet.");
    let mut lines: Vec<&RetrainingLine> = lines.iter().filter(|line| line.id.is_some()).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.asked_at));
    table.with(lines.into_iter().map(|line| {
        let job = own
            .iter()
            .find(|row| row.name == line.name)
            .and_then(|row| row.job.clone());
        vec![
            TableCell::optional(line.asked_at, TableCell::Time),
            TableCell::text(line.name.clone()),
            TableCell::state(line.state.as_deref().unwrap_or_default()),
            TableCell::optional(line.cause.as_ref(), TableCell::text),
            TableCell::optional(line.version, |version| {
                let place = ConsolePlace::Version(model.to_owned(), version);
                TableCell::Link(
                    place.path(),
                    Box::new(TableCell::Count(version.unsigned_abs().into())),
                )
            }),
            super::run_cell(&job.unwrap_or_default(), line.run_id, super::short),
            TableCell::optional(line.reason.as_ref(), TableCell::text),
        ]
    }))
}
