//! Finds blobs that no version names, and deletes exactly what was found.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use crate::store::{Store, driver::error::StoreError};

const ALL: &str = "SELECT DISTINCT sha256, chunk FROM model_chunks";
const NAMED: &str = "SELECT sha256, golden_sha256, artifacts FROM model_versions";
const WRITTEN: &str =
    "SELECT WRITETIME(data), WRITETIME(checksum) FROM model_chunks WHERE sha256 = ? AND chunk = ?";
const DELETE: &str = "DELETE FROM model_chunks USING TIMESTAMP ? WHERE sha256 = ? AND chunk = ?";
/// Chunks that are checked concurrently.
const AT_A_TIME: usize = 16;

pub type Sha = Vec<u8>;

impl Store {
    /// Returns the stored chunks, by file. Reads all partition keys of the table, no data.
    pub async fn stored_chunks(&self) -> Result<BTreeMap<Sha, Vec<i32>>, StoreError> {
        let rows: Vec<(Sha, i32)> = self.rows(ALL, ()).await?;
        let mut files: BTreeMap<Sha, Vec<i32>> = BTreeMap::new();
        for (sha256, chunk) in rows {
            files.entry(sha256).or_default().push(chunk);
        }
        Ok(files)
    }

    /// Returns the files that a version of any model names: the model itself, its golden rows, its
    /// artifacts.
    pub async fn named_files(&self) -> Result<BTreeSet<Sha>, StoreError> {
        type Row = (Option<Sha>, Option<Sha>, Option<BTreeMap<String, Sha>>);
        let rows: Vec<Row> = self.rows(NAMED, ()).await?;
        let mut named = BTreeSet::new();
        for (model, golden, artifacts) in rows {
            named.extend(model.into_iter().chain(golden));
            named.extend(artifacts.into_iter().flat_map(BTreeMap::into_values));
        }
        Ok(named)
    }

    /// Returns when each of a file's chunks was last written, in microseconds, without chunks that
    /// are gone.
    pub async fn chunks_written(
        &self,
        sha256: &[u8],
        chunks: &[i32],
    ) -> Result<Vec<(i32, i64)>, StoreError> {
        let times: Vec<Option<(i32, i64)>> = futures::stream::iter(chunks)
            .map(|chunk| async move {
                let written = self.chunk_written(sha256, *chunk).await?;
                Ok::<_, StoreError>(written.map(|at| (*chunk, at)))
            })
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        Ok(times.into_iter().flatten().collect())
    }

    /// Returns when a chunk was last written, in microseconds.
    pub(in crate::store) async fn chunk_written(
        &self,
        sha256: &[u8],
        chunk: i32,
    ) -> Result<Option<i64>, StoreError> {
        type Row = (Option<i64>, Option<i64>);
        let row: Option<Row> = self.row(WRITTEN, (sha256, chunk)).await?;
        Ok(row.and_then(|(data, checksum)| data.max(checksum)))
    }

    /// Deletes chunks with the timestamps at which they were written: a chunk that is written again
    /// meanwhile remains.
    pub async fn delete_chunks(
        &self,
        sha256: &[u8],
        written: &[(i32, i64)],
    ) -> Result<(), StoreError> {
        futures::stream::iter(written)
            .map(|(chunk, at)| self.write(DELETE, (at, sha256, chunk)))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await
    }
}
