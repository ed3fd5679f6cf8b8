//! Rows that callers give, in a running experiment: each is answered by the version of its arm.

use super::{score, view::PredictionView};
use crate::{
    codec::{cells::CellBuffer, schema::Column},
    domain::job::CompiledJob,
    serve::{error::ApiError, residents::ServedJob},
};

/// Returns the columns to take from a caller's rows: those that the job reads, and those of the
/// running experiment's unit.
pub fn columns(job: &CompiledJob) -> Vec<Column> {
    let mut columns = job.columns.clone();
    for column in job.served.arms.iter().flat_map(|arms| arms.unit()) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// Returns the arm of each row; `None` if it is in none, or lacks a value of the unit. `rows` have
/// the cells of [`columns`].
pub fn arms(job: &CompiledJob, rows: &CellBuffer) -> Vec<Option<usize>> {
    let Some(arms) = &job.served.arms else {
        return vec![None; rows.rows()];
    };
    let columns = columns(job);
    let at = arms.unit().iter().map(|unit| {
        let found = columns.iter().position(|column| column == unit);
        found.unwrap_or(columns.len())
    });
    let (at, mut scratch) = (at.collect::<Vec<_>>(), Vec::new());
    let rows = (0..rows.rows()).map(|row| {
        let cells: Vec<_> = rows.row(row).collect();
        let unit = at.iter().map(|at| cells.get(*at).copied().flatten());
        let unit: Vec<_> = unit.collect();
        // A row without its key, or with a part of it, is no unit.
        match unit.contains(&None) {
            true => None,
            false => arms.of_unit(&unit, &mut scratch).arm(),
        }
    });
    rows.collect()
}

/// Returns the prediction of each row by the version that serves it.
///
/// # Errors
/// 429 or 503 from a model's queue.
pub async fn predictions(
    job: &ServedJob,
    rows: CellBuffer,
    arms: &[Option<usize>],
) -> Result<Vec<Vec<PredictionView>>, ApiError> {
    let mut views: Vec<Vec<PredictionView>> = Vec::new();
    views.resize_with(arms.len(), Vec::new);
    let count = job.job.served.arms.as_ref();
    let count = count.map_or(0, |arms| arms.allocation.arms.len());
    for arm in std::iter::once(None).chain((0..count).map(Some)) {
        let own: Vec<usize> = (0..arms.len()).filter(|row| arms[*row] == arm).collect();
        if own.is_empty() {
            continue;
        }
        let mut part = CellBuffer::new(rows.width());
        for row in &own {
            rows.row(*row).for_each(|cell| part.push(cell));
        }
        let version = [job.version_of_arm(arm)?.clone()];
        let labels = vec![job.job.served.label(arm); own.len()];
        let scored = score::predictions(job, &version, part, &labels).await?;
        for (row, view) in own.into_iter().zip(scored) {
            views[row] = view;
        }
    }
    Ok(views)
}
