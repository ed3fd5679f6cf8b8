//! An experiment: its arms, their differences look by look, and the verdict. The pictures are those
//! of `helenus experiment show --html`.

use maud::html;

use crate::{
    inspect::experiment::state::ExperimentView,
    report::{experiment as drawn, metric, number},
    serve::{
        console::{
            handle::not_found,
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::evidence::experiment_results::StoredLook,
};

/// Looks that are read.
const LOOKS: i32 = 200;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str, name: &str) -> Result<View, ApiError> {
    let rows = reader.read(format!("experiments_of {job}"), {
        let job = job.to_owned();
        |store| async move { store.experiments_of(&job).await }
    });
    let statuses = reader.read(format!("experiment_statuses {job}"), {
        let job = job.to_owned();
        |store| async move { store.experiment_statuses(&job).await }
    });
    let looks = reader.read(format!("looks {job} {name}"), {
        let (job, name) = (job.to_owned(), name.to_owned());
        |store| async move { store.looks(&job, &name, LOOKS).await }
    });
    let (rows, statuses, looks) = futures::try_join!(rows, statuses, looks)?;
    let own = rows.iter().filter(|row| row.name == name);
    let row = own.max_by_key(|row| row.revision);
    let row = row.ok_or_else(|| not_found(&format!("job `{job}` has no experiment `{name}`")))?;
    let status = statuses
        .iter()
        .find(|status| (status.name.as_str(), status.revision) == (name, row.revision));
    let state = ExperimentView {
        row: row.clone(),
        status: status.cloned(),
        looks: looks
            .iter()
            .filter(|look| look.revision == row.revision)
            .cloned()
            .collect(),
    };
    let metric = metric::name(row.metric.as_deref().unwrap_or_default());
    let mut view = View::new(
        ConsolePlace::Experiment(job.to_owned(), name.to_owned()),
        format!("{name} of {job}"),
        format!(
            "{metric} on {}. Revision {}.",
            row.labels.as_deref().unwrap_or("no labels"),
            row.revision
        ),
    );
    view.is_live = true;
    view.said = Some(format!("The experiment is {}.", state.state()));
    view.notices(notices(&state));
    view.add("about", None, Content::Facts(facts(&state)));
    if let Some(look) = state.looks.first() {
        view.add(
            "verdict",
            None,
            Content::Cards(drawn::cards(&state, look, &metric)),
        );
        view.add(
            "differences",
            Some("The difference, look by look"),
            Content::Drawn(drawn::history(&state, &metric)),
        );
        view.add(
            "arms",
            Some("The arms"),
            Content::Drawn(html! { (drawn::arms(&state, look)) (drawn::ratios(look)) (drawn::differences(look)) }),
        );
    }
    view.table(table(&state.looks));
    Ok(view)
}

fn notices(state: &ExperimentView) -> Vec<(Tone, String)> {
    let mut notices = Vec::new();
    let reason = state
        .status
        .as_ref()
        .and_then(|status| status.reason.clone());
    notices.extend(reason.map(|reason| (Tone::from_state(state.state()), reason)));
    match state.looks.first() {
        Some(look) => {
            notices.push((Tone::from_state(look.verdict.as_str()), look.reason.clone()));
            notices.extend(
                look.warnings
                    .iter()
                    .map(|warning| (Tone::Warn, warning.clone())),
            );
        }
        None => notices.push((
            Tone::Idle,
            "No worker has looked at it yet; one does every hour.".to_owned(),
        )),
    }
    notices
}

fn facts(state: &ExperimentView) -> Vec<(&'static str, TableCell)> {
    let row = &state.row;
    let status = state.status.as_ref();
    vec![
        ("State", TableCell::state(state.state())),
        (
            "Job",
            TableCell::link(ConsolePlace::Job(row.job.clone()).path(), row.job.clone()),
        ),
        (
            "Unit",
            TableCell::text(row.unit.clone().unwrap_or_else(|| "the key".to_owned())),
        ),
        (
            "Began",
            TableCell::optional(status.and_then(|status| status.started_at), TableCell::Time),
        ),
        (
            "Planned end",
            TableCell::optional(row.ends_at, TableCell::Time),
        ),
        (
            "Ended",
            TableCell::optional(status.and_then(|status| status.ended_at), TableCell::Time),
        ),
        ("Alpha", TableCell::Number(row.alpha.unwrap_or(0.05))),
        (
            "By",
            TableCell::optional(row.created_by.as_ref(), TableCell::text),
        ),
        (
            "Note",
            TableCell::optional(row.note.as_ref(), TableCell::text),
        ),
    ]
}

fn table(looks: &[StoredLook]) -> Table {
    let table = Table::new(
        "looks",
        "Looks, newest first",
        &[
            ("at", "At (UTC)"),
            ("verdict", "Verdict"),
            ("differences", "Differences"),
            ("reason", "Reason"),
        ],
    )
    .or("No worker has looked at it yet.");
    table.with(looks.iter().map(|look| {
        let differences = look.differences.iter().map(|(arm, one)| {
            let interval = number::interval(one.fixed.or(one.interval), number::signed);
            TableCell::text(format!(
                "{arm}: {} ({interval})",
                number::signed(one.difference)
            ))
        });
        vec![
            TableCell::Time(look.at),
            TableCell::state(look.verdict.as_str()),
            TableCell::List(differences.collect()),
            TableCell::text(look.reason.clone()),
        ]
    }))
}
