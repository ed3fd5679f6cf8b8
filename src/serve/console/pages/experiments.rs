//! All experiments.

use crate::{
    domain::experiment::ExperimentRow,
    serve::{
        caller::Right,
        console::{
            place::ConsolePlace,
            read::PageReader,
            table::{Table, TableCell},
            view::View,
        },
        error::ApiError,
    },
};

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>) -> Result<View, ApiError> {
    let rows = reader.read("experiments".to_owned(), |store| store.experiments());
    let lines = reader.read("experiment_lines".to_owned(), |store| {
        store.experiment_lines()
    });
    let (rows, lines) = futures::try_join!(rows, lines)?;
    let may_read = |row: &&ExperimentRow| reader.caller.check_job(Right::Read, &row.job).is_ok();
    let mut rows: Vec<&ExperimentRow> = rows.iter().filter(may_read).collect();
    rows.sort_by(|a, b| {
        let newest_first = b.revision.cmp(&a.revision);
        (&a.job, &a.name).cmp(&(&b.job, &b.name)).then(newest_first)
    });
    rows.dedup_by(|later, first| (&later.job, &later.name) == (&first.job, &first.name));
    let mut view = View::new(
        ConsolePlace::Experiments,
        "Experiments",
        "Versions tried on shares of the rows, and which one is better.",
    );
    view.is_live = true;
    let table = Table::new(
        "experiments",
        "All experiments",
        &[
            ("name", "Experiment"),
            ("job", "Job"),
            ("state", "State"),
            ("arms", "Arms"),
            ("metric", "Metric"),
            ("began", "Began (UTC)"),
            ("ends", "Planned end (UTC)"),
            ("reason", "Why"),
            ("by", "By"),
        ],
    )
    .or("There are no experiments: `helenus experiment start` begins one.");
    view.table(table.with(rows.into_iter().map(|row| {
        let line = lines.iter().find(|line| {
            line.job == row.job
                && line.name.as_deref() == Some(&row.name)
                && line.revision == Some(row.revision)
        });
        let arms = row.arms.iter().map(|(arm, version)| {
            let share = row.shares.get(arm).copied().unwrap_or_default();
            format!("{arm} = {version} ({:.0} %)", share * 100.0)
        });
        vec![
            TableCell::link(
                ConsolePlace::Experiment(row.job.clone(), row.name.clone()).path(),
                row.name.clone(),
            ),
            TableCell::link(ConsolePlace::Job(row.job.clone()).path(), row.job.clone()),
            TableCell::state(
                line.and_then(|line| line.state.as_deref())
                    .unwrap_or("unanswered"),
            ),
            TableCell::text(arms.collect::<Vec<_>>().join(", ")),
            TableCell::optional(row.metric.as_ref(), TableCell::text),
            TableCell::optional(line.and_then(|line| line.started_at), TableCell::Time),
            TableCell::optional(row.ends_at, TableCell::Time),
            TableCell::optional(line.and_then(|line| line.reason.as_ref()), TableCell::text),
            TableCell::optional(row.created_by.as_ref(), TableCell::text),
        ]
    })));
    Ok(view)
}
