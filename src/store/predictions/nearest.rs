//! The vectors of a prediction table that are most similar to a given one, by the column's index.

use scylla::statement::{Consistency, prepared::PreparedStatement};

use super::selects::{KeySelect, columns, key_conditions};
use crate::{
    codec::schema::Column,
    domain::job::{CompiledJob, similarity::Similarity},
    store::{
        Store,
        driver::{
            error::{Failed, StoreError},
            quote::{name, table_name},
            raw::{Page, RawValues, push_cell},
            statement::{Mode, PATIENCE, into_rows, retried},
        },
    },
};

/// Cassandra's limit on the rows of such a query.
pub const MAX_NEAREST: usize = 1_000;

/// Which rows a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// Rows of all versions, whose vectors are in spaces of their own. The index is walked.
    AllVersions,
    /// Rows of one version. Cassandra first collects all of them, which takes time in proportion to
    /// their number, and then walks the index.
    Version(i32),
}

/// A search by the index of a vector column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearestSelect {
    of_version: String,
    of_all: String,
}

/// Selects rows by their similarity, most similar first: the key's columns, `model_version` and the
/// similarity, a float.
pub fn nearest(job: &CompiledJob, column: &str, similarity: Similarity) -> NearestSelect {
    let (vector, function) = (name(column), similarity.name());
    let select = format!(
        "SELECT {}, model_version, similarity_{function}({vector}, ?) FROM {}",
        columns(job.key.iter()),
        table_name(&job.target.keyspace, &job.target.table),
    );
    let order = format!("ORDER BY {vector} ANN OF ? LIMIT ?");
    NearestSelect {
        of_version: format!("{select} WHERE model_version = ? {order}"),
        of_all: format!("{select} {order}"),
    }
}

/// Selects columns of the source by key; at least one.
pub fn source_columns(job: &CompiledJob, wanted: &[Column]) -> KeySelect {
    let mut more_values = Vec::new();
    if let Some(version) = job.source_version {
        push_cell(&mut more_values, Some(&version.to_be_bytes()));
    }
    KeySelect {
        cql: format!(
            "SELECT {} FROM {} WHERE {}{}",
            columns(wanted.iter()),
            table_name(&job.source.keyspace, &job.source.table),
            key_conditions(job),
            job.source_version.map_or("", |_| " AND model_version = ?"),
        ),
        more_values,
    }
}

impl Store {
    /// Returns at most `limit` rows, [`MAX_NEAREST`] at most. `vector` is a cell of the column.
    ///
    /// Cassandra asks one replica of each range, whatever consistency is configured.
    ///
    /// # Errors
    /// [`StoreErrorKind::NotBuilt`](crate::store::driver::error::StoreErrorKind) while the index is
    /// being built; errors of Cassandra.
    pub async fn nearest(
        &self,
        select: &NearestSelect,
        vector: &[u8],
        among: Among,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let mut values = Vec::new();
        push_cell(&mut values, Some(vector));
        let cql = match among {
            Among::AllVersions => &select.of_all,
            Among::Version(version) => {
                push_cell(&mut values, Some(&version.to_be_bytes()));
                &select.of_version
            }
        };
        push_cell(&mut values, Some(vector));
        let limit = limit.min(MAX_NEAREST) as i32;
        push_cell(&mut values, Some(&limit.to_be_bytes()));
        retried(PATIENCE, || async {
            let prepared = self.prepared(Mode::ReadCells, cql).await?;
            let mut prepared = PreparedStatement::clone(&prepared);
            // With any other consistency Cassandra falls back to this one, and warns.
            prepared.set_consistency(Consistency::LocalOne);
            let request = async {
                let values = RawValues(&values);
                let answer = self.session().execute_unpaged(&prepared, values).await;
                answer.map_err(|error| Failed::execution(&error, cql))
            };
            let result = self.reads().enter().await.send(request).await?;
            Ok(Page::new(&into_rows(result, cql)?, cql)?)
        })
        .await
    }
}
