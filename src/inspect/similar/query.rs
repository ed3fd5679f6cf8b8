//! The vector to search with: a stored one, or that of a given row.

use super::SearchColumn;
use crate::{
    codec::{cells::CellBuffer, cql_type::CqlType, schema::Column},
    domain::{
        job::{CompiledJob, mapping::listed},
        model::proof::Prediction,
        problem::Problem,
        run::Counts,
    },
    engine::{
        predict::{Batch, Predicted, predict},
        run::source::AskedKey,
    },
    failure::Failure,
    scorer::pool::Pool,
    store::{Store, predictions::selects},
};

/// A vector to search with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchVector {
    /// A cell of the column.
    pub(super) cell: Vec<u8>,
    /// The key that it is stored under, as values to bind: it is not an answer.
    pub(super) own: Option<Vec<u8>>,
}

impl SearchVector {
    /// Returns the vector of a given row from its output cells, or why there is none: the reason of
    /// its rejection.
    ///
    /// # Errors
    /// Exit 1: the row was rejected.
    pub fn of_outputs<'a>(
        column: SearchColumn<'_>,
        outputs: Result<impl Iterator<Item = Option<&'a [u8]>>, &str>,
    ) -> Result<Self, Failure> {
        let mut outputs = outputs.map_err(|reason| {
            let message = format!("the row is rejected: {reason}");
            Failure::no(Problem::new("similar.rejected", message))
        })?;
        // Only columns of earlier revisions are null, and they have no index.
        match outputs.nth(column.at).flatten() {
            Some(cell) => Ok(Self {
                cell: cell.to_vec(),
                own: None,
            }),
            None => Err(no_vector(column)),
        }
    }
}

fn no_vector(column: SearchColumn<'_>) -> Failure {
    let message = format!("the prediction has no `{}`", column.name);
    Failure::no(
        Problem::new("similar.no_vector", message)
            .help("it was made before the job had that column; the next run makes it again"),
    )
}

/// Returns the vector that is stored for a key by a version.
///
/// # Errors
/// Exit 5: there is no such prediction; exit 1: it is a rejection; errors of Cassandra.
pub async fn vector_of_key(
    store: &Store,
    job: &CompiledJob,
    column: SearchColumn<'_>,
    version: i32,
    key: AskedKey,
) -> Result<SearchVector, Failure> {
    let select = selects::prediction_of_key(job, version);
    let page = store.by_key(&select, &key.cells).await?;
    if page.rows() == 0 {
        let table = format!("{}.{}", job.target.keyspace, job.target.table);
        let message = format!("{table} has no prediction of version {version} for this key");
        return Err(Failure::not_found(
            Problem::new("similar.no_prediction", message)
                .help("is the key right? a row that is not scored yet is found after the next run"),
        ));
    }
    let stored = page.copy_row(0, 0);
    let prediction = Prediction::new(&stored, 0);
    if let Some(reason) = prediction.rejected() {
        let message = format!("version {version} rejected this row: {reason}");
        let problem = Problem::new("similar.rejected", message);
        return Err(Failure::no(problem.help("a rejected row has no vector")));
    }
    match prediction.outputs().nth(column.at).flatten() {
        Some(cell) => Ok(SearchVector {
            cell: cell.to_vec(),
            own: Some(key.cells),
        }),
        None => Err(no_vector(column)),
    }
}

/// Returns the vector of a given row, scored by the function that runs use. `job` has this one
/// version; `row` has the cells of the job's columns.
///
/// # Errors
/// Exit 1: the row is rejected; exit 3: the model could not score.
pub async fn vector_of_row(
    job: &CompiledJob,
    column: SearchColumn<'_>,
    pool: &Pool,
    row: &CellBuffer,
) -> Result<SearchVector, Failure> {
    let version = &job.versions[0];
    let mut batch = Batch::new(job);
    let key = std::iter::repeat_n(None, job.key.len());
    let cells: Vec<_> = key.chain(row.row(0)).collect();
    let (mut counts, mut scratch) = (Counts::default(), Vec::new());
    batch.offer(job, &cells, true, None, &mut counts, &mut scratch);
    let mut predicted = Predicted::new(version);
    let rows = &mut batch.versions[0];
    let scored = predict(version, (pool, 0), rows, &mut predicted, |_, _| {}).await;
    scored.map_err(|error| Failure::system(Problem::new("scorer.failed", error.to_string())))?;
    match predicted.rejected.first() {
        Some(rejected) => {
            let none: Result<std::iter::Empty<_>, _> = Err(rejected.reason.as_str());
            SearchVector::of_outputs(column, none)
        }
        None => SearchVector::of_outputs(column, Ok(predicted.cells.row(0))),
    }
}

/// Returns a row whose only value is this text: that of the only text column that the job reads.
///
/// # Errors
/// Exit 2: the job reads no text column, or several.
pub fn row_of_text(job: &CompiledJob, text: &str) -> Result<CellBuffer, Failure> {
    let is_text = |column: &&Column| matches!(column.cql_type, CqlType::Text | CqlType::Ascii);
    let columns: Vec<&Column> = job.columns.iter().filter(is_text).collect();
    let [column] = columns.as_slice() else {
        let message = match columns.len() {
            0 => format!("job `{}` reads no text column", job.job),
            _ => format!("job `{}` reads several text columns", job.job),
        };
        let columns = listed(job.columns.iter().map(|column| column.name.as_str()));
        let help = format!("give a row instead, with {columns}");
        return Err(Failure::input(
            Problem::new("similar.text", message).at("text").help(help),
        ));
    };
    let mut row = CellBuffer::new(job.columns.len());
    for each in &job.columns {
        row.push((each.name == column.name).then_some(text.as_bytes()));
    }
    Ok(row)
}
