//! Searches the index, and reads what is shown of the rows that it finds.

use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::{Search, SearchVector, SimilarResult, SimilarRow};
use crate::{
    codec::{cell_json, key::append_clustering_key},
    domain::problem::Problem,
    failure::Failure,
    store::{
        driver::{
            error::{StoreError, StoreErrorKind},
            raw::{Page, cells_of, push_cell},
        },
        predictions::nearest::{self, Among, MAX_NEAREST},
    },
};

/// Least number of rows that the index is asked for. It is approximate, and the more rows it looks
/// for, the fewer of the nearest it misses (`docs/similar.md` has the figures).
const CANDIDATES: usize = 100;
/// Rows that the index is asked for, for each row that is wanted.
const CANDIDATES_PER_ROW: usize = 4;
/// Source rows that are read at a time.
const READS: usize = 16;

/// A row that the index found: the key's cells, as values to bind, and its similarity.
struct NearestRow {
    key: Vec<u8>,
    similarity: f32,
}

impl Search<'_> {
    /// Returns the rows whose vectors are most similar to `vector`.
    ///
    /// # Errors
    /// Exit 3: the index is missing or is being built; errors of Cassandra.
    pub async fn run(&self, vector: &SearchVector) -> Result<SimilarResult, Failure> {
        let found = self.nearest(vector).await?;
        let search = *self;
        let rows = found
            .into_iter()
            .map(|found| async move { search.row(&found).await });
        Ok(SimilarResult {
            job: self.job.job.clone(),
            version: self.version,
            column: self.column.name.to_owned(),
            function: self.column.similarity.name(),
            rows: futures::stream::iter(rows)
                .buffered(READS)
                .try_collect()
                .await?,
        })
    }

    /// Finds the nearest rows of the version. Cassandra collects all rows of a version before it
    /// searches among them, which takes as long as there are many. So the index is first asked for
    /// rows of any version: where enough of those are of this one, they are its nearest.
    async fn nearest(&self, vector: &SearchVector) -> Result<Vec<NearestRow>, Failure> {
        let found = self.among(Among::AllVersions, vector).await?;
        if found.len() >= self.top {
            return Ok(found);
        }
        self.among(Among::Version(self.version), vector).await
    }

    async fn among(&self, among: Among, vector: &SearchVector) -> Result<Vec<NearestRow>, Failure> {
        let column = self.column;
        let select = nearest::nearest(self.job, column.name, column.similarity);
        // With the key itself.
        let limit = CANDIDATES_PER_ROW * (self.top + 1);
        let limit = limit.clamp(CANDIDATES, MAX_NEAREST);
        let searched = self.store.nearest(&select, &vector.cell, among, limit);
        let page = searched.await.map_err(|error| self.explained(error))?;
        Ok(self.found(&page, vector))
    }

    /// Returns the first rows of the version, without the key that the vector is of.
    fn found(&self, page: &Page, vector: &SearchVector) -> Vec<NearestRow> {
        let width = self.job.key.len();
        let own = vector.own.as_ref().map(|own| self.identity(own));
        let rows = (0..page.rows()).filter_map(|row| {
            let version = page.cell(row, width)?;
            if version != self.version.to_be_bytes() {
                return None;
            }
            let mut key = Vec::new();
            page.row(row)
                .take(width)
                .for_each(|cell| push_cell(&mut key, cell));
            if own.as_ref().is_some_and(|own| *own == self.identity(&key)) {
                return None;
            }
            let similarity = page.cell(row, width + 1)?.try_into().ok()?;
            Some(NearestRow {
                key,
                similarity: f32::from_be_bytes(similarity),
            })
        });
        rows.take(self.top).collect()
    }

    /// Returns bytes that are equal for two keys if Cassandra considers them equal.
    fn identity(&self, key: &[u8]) -> Vec<u8> {
        let mut identity = Vec::new();
        append_clustering_key(self.job.key.iter(), cells_of(key), &mut identity);
        identity
    }

    async fn row(&self, found: &NearestRow) -> Result<SimilarRow, StoreError> {
        let cells = self.job.key.iter().zip(cells_of(&found.key));
        let key = cells.map(|(column, cell)| {
            let value = cell_json::cell(&column.cql_type, cell);
            (column.name.clone(), value)
        });
        Ok(SimilarRow {
            key: key.collect(),
            similarity: found.similarity,
            source: match self.show {
                [] => None,
                _ => Some(self.source(&found.key).await?),
            },
        })
    }

    /// Returns the columns to show; null if the source does not have the row any more.
    async fn source(&self, key: &[u8]) -> Result<Value, StoreError> {
        let select = nearest::source_columns(self.job, self.show);
        let page = self.store.by_key(&select, key).await?;
        if page.rows() == 0 {
            return Ok(Value::Null);
        }
        let cells = self.show.iter().zip(page.row(0));
        let shown: Map<_, _> = cells
            .map(|(column, cell)| {
                let value = cell_json::cell(&column.cql_type, cell);
                (column.name.clone(), value)
            })
            .collect();
        Ok(Value::Object(shown))
    }

    /// Returns a failure that says what is wrong with the index.
    fn explained(&self, error: StoreError) -> Failure {
        let column = self.column.name;
        let (keyspace, table) = (&self.job.target.keyspace, &self.job.target.table);
        if error.kind == StoreErrorKind::Invalid && error.detail.contains("ANN ordering") {
            let message = format!("column `{column}` of {keyspace}.{table} lacks its index");
            let help = format!(
                "`helenus score {}` or a worker's next run makes it again",
                self.job.job
            );
            return Failure::system(Problem::new("similar.index_missing", message).help(help));
        }
        error.into()
    }
}
