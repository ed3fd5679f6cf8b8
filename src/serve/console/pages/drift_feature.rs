//! A feature over time: its distribution beside the reference's, and its index run by run.

use maud::html;

use crate::{
    report,
    serve::{
        console::{
            handle::not_found,
            place::ConsolePlace,
            query::Query,
            read::PageReader,
            table::{Table, TableCell},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{console::requests::time_of, evidence::drift::DriftHistory},
};

const ROWS: i32 = 6_000;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(
    reader: &PageReader<'_>,
    job: &str,
    feature: &str,
    query: &Query,
) -> Result<View, ApiError> {
    let history = reader.read(format!("drift_history {job}"), {
        let job = job.to_owned();
        |store| async move { store.drift_history(&job, ROWS).await }
    });
    let history = history.await?;
    let wanted: Option<i32> = query
        .get("version")
        .and_then(|version| version.parse().ok());
    let is_own = |row: &&DriftHistory| {
        row.feature == feature && wanted.is_none_or(|wanted| row.version == wanted)
    };
    let own = || history.iter().filter(is_own);
    // What was compared with a reference says more than what was compared with the run before.
    let newest = own()
        .find(|row| row.against == "reference")
        .or_else(|| own().next());
    let newest = newest.ok_or_else(|| {
        not_found(&format!(
            "no run of job `{job}` found anything about `{feature}`"
        ))
    })?;
    let (version, run) = (newest.version, newest.run_id);
    let found = reader.read(format!("drift {job} {run}"), {
        let job = job.to_owned();
        move |store| async move { store.drift(&job, run).await }
    });
    // Two statements: the profile's list, and its distributions.
    let now = reader.read(format!("profile {job} {version} {run}"), {
        let job = job.to_owned();
        move |store| async move { store.profile(&job, version, run).await }
    });
    let (found, now) = futures::try_join!(found, now)?;
    let own = found
        .iter()
        .filter(|row| row.feature == feature && row.version == version && row.segment.is_empty());
    let own: Vec<_> = own.cloned().collect();
    let place = ConsolePlace::DriftFeature(job.to_owned(), feature.to_owned());
    let mut view = View::new(
        place,
        feature,
        format!("Version {version} of the model of job {job}, newest run first."),
    );
    let against = own.iter().find(|row| row.against == "reference");
    let lines: Vec<DriftHistory> = history
        .iter()
        .filter(|row| {
            row.feature == feature
                && row.version == version
                && row.against == "reference"
                && row.segment.is_empty()
        })
        .cloned()
        .collect();
    let shape = match (against, now.as_ref()) {
        (Some(row), Some(now)) => {
            // What it was compared with: the profile of a run, or the version's reference.
            let reference = reference(reader, job, row).await?;
            report::drift::shape(now, row, reference.as_ref(), version, 0)
        }
        _ => None,
    };
    let line = report::drift::history_of(&lines, version, 0);
    view.add(
        "pictures",
        None,
        Content::Drawn(html! {
            div .figures {
                @if let Some(shape) = shape { (shape) }
                @if let Some(line) = line { (line) }
            }
        }),
    );
    view.table(verdicts(&own));
    view.table(table(job, &lines));
    Ok(view)
}

async fn reference(
    reader: &PageReader<'_>,
    job: &str,
    row: &crate::store::evidence::drift::DriftRow,
) -> Result<Option<crate::domain::evidence::drift::Distribution>, ApiError> {
    let store = reader.store();
    let whole = (String::new(), row.feature.clone());
    if let Some(other) = row.other_run {
        let profile = Box::pin(store.profile(job, row.version, other)).await?;
        return Ok(profile.and_then(|mut profile| profile.distributions.remove(&whole)));
    }
    let statuses = Box::pin(store.job_statuses(job)).await?;
    let Some(model) = statuses.into_iter().find_map(|status| status.model) else {
        return Ok(None);
    };
    let mut stored = Box::pin(store.reference(&model, row.version)).await?;
    Ok(stored.features.remove(&row.feature))
}

fn verdicts(rows: &[crate::store::evidence::drift::DriftRow]) -> Table {
    let table = Table::new(
        "verdicts",
        "What the newest run found",
        &[
            ("against", "Against"),
            ("verdict", "Verdict"),
            ("cause", "Cause"),
            ("psi", "Index"),
            ("by_chance", "By chance up to"),
            ("p", "p, adjusted"),
            ("null_delta", "More nulls"),
            ("new_values", "New values"),
            ("rows", "Rows"),
            ("rows_before", "Rows before"),
        ],
    );
    table.with(rows.iter().map(|row| {
        vec![
            TableCell::text(row.against.clone()),
            TableCell::state(&row.verdict),
            TableCell::optional(row.cause.as_ref(), TableCell::text),
            TableCell::optional(row.psi, TableCell::Number),
            TableCell::optional(row.critical_value, TableCell::Number),
            TableCell::optional(row.adjusted_p, TableCell::Number),
            TableCell::optional(row.null_delta, TableCell::Number),
            TableCell::optional(row.new_category_share, TableCell::Share),
            TableCell::Count(row.n.unsigned_abs()),
            TableCell::Count(row.m.unsigned_abs()),
        ]
    }))
}

fn table(job: &str, lines: &[DriftHistory]) -> Table {
    let table = Table::new(
        "history",
        "Run by run",
        &[
            ("run", "Run (UTC)"),
            ("verdict", "Verdict"),
            ("psi", "Index"),
        ],
    );
    table.with(lines.iter().map(|row| {
        vec![
            super::run_cell(job, Some(row.run_id), |id| {
                TableCell::optional(time_of(id), TableCell::Time)
            }),
            TableCell::state(&row.verdict),
            TableCell::optional(row.psi, TableCell::Number),
        ]
    }))
}
