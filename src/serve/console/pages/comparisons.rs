//! A job's versions compared with each other.

use crate::serve::{
    console::{
        place::ConsolePlace,
        read::PageReader,
        table::{Table, TableCell},
        view::View,
    },
    error::ApiError,
};

const ROWS: i32 = 500;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, job: &str) -> Result<View, ApiError> {
    let lines = reader.read(format!("comparison_lines {job}"), {
        let job = job.to_owned();
        |store| async move { store.comparison_lines(&job, ROWS).await }
    });
    let lines = lines.await?;
    let mut view = View::new(
        ConsolePlace::Comparisons(job.to_owned()),
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
        let changes = changes.map(|(change, rows)| TableCell::text(format!("{change}: {rows}")));
        let warnings = line.warnings.iter().flatten();
        vec![
            TableCell::optional(line.finished_at, TableCell::Time),
            TableCell::Count(line.version.unsigned_abs().into()),
            TableCell::optional(line.baseline, |baseline| {
                TableCell::Count(baseline.unsigned_abs().into())
            }),
            TableCell::Count(line.compared),
            TableCell::Count(line.source_rows),
            TableCell::optional(line.agreement, TableCell::Share),
            TableCell::optional(line.mean_difference, TableCell::Number),
            TableCell::optional(line.largest_difference, TableCell::Number),
            TableCell::optional(line.rank_correlation, TableCell::Number),
            TableCell::List(changes.take(8).collect()),
            TableCell::List(warnings.map(TableCell::text).collect()),
            TableCell::optional(line.requested_by.as_ref(), TableCell::text),
        ]
    })));
    Ok(view)
}
