//! A job's versions compared with each other.

use crate::serve::{
    console::{
        place::Place,
        read::Reader,
        table::{Cell, Table},
        view::View,
    },
    error::ApiError,
};

const ROWS: i32 = 500;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &Reader<'_>, job: &str) -> Result<View, ApiError> {
    let lines = reader.read(format!("comparison_lines {job}"), {
        let job = job.to_owned();
        |store| async move { store.comparison_lines(&job, ROWS).await }
    });
    let lines = lines.await?;
    let mut view = View::new(
        Place::Comparisons(job.to_owned()),
        format!("{job}: comparisons"),
        "What versions predict differently for the same rows (`helenus compare`).",
    );
    let table = Table::new(
        "comparisons",
        "Versions against a baseline, newest first",
        &[
            ("at", "At (UTC)"),
            ("version", "Version"),
            ("baseline", "Baseline"),
            ("compared", "Rows compared"),
            ("of", "Of rows"),
            ("agreement", "Same label"),
            ("mean_difference", "Mean difference"),
            ("largest_difference", "Largest"),
            ("rank_correlation", "Rank correlation"),
            ("changes", "Changed labels"),
            ("warnings", "Warnings"),
            ("by", "Asked by"),
        ],
    )
    .or("No versions of this job were compared yet: `helenus compare` does it.");
    view.table(table.with(lines.iter().map(|line| {
        let changes = line.label_changes.iter().flatten();
        let changes = changes.map(|(change, rows)| Cell::text(format!("{change}: {rows}")));
        let warnings = line.warnings.iter().flatten();
        vec![
            Cell::of(line.finished_at, Cell::Time),
            Cell::Count(line.version.unsigned_abs().into()),
            Cell::of(line.baseline, |baseline| {
                Cell::Count(baseline.unsigned_abs().into())
            }),
            Cell::Count(line.compared),
            Cell::Count(line.source_rows),
            Cell::of(line.agreement, Cell::Share),
            Cell::of(line.mean_difference, Cell::Number),
            Cell::of(line.largest_difference, Cell::Number),
            Cell::of(line.rank_correlation, Cell::Number),
            Cell::List(changes.take(8).collect()),
            Cell::List(warnings.map(Cell::text).collect()),
            Cell::of(line.requested_by.as_ref(), Cell::text),
        ]
    })));
    Ok(view)
}
