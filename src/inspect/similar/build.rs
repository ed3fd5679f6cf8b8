//! Waits for indexes: Cassandra builds them after it has accepted their statements.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    codec::cql_type::CqlType,
    domain::job::{CompiledJob, similarity::Similarity},
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        predictions::nearest::{Among, nearest},
    },
};

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(250);
/// Versions begin at 1. Cassandra refuses an index that it builds before it looks for rows.
const NO_VERSION: i32 = 0;

/// Waits until all indexes of the job for search by similarity can be searched on enough nodes, at
/// most for `patience`. Returns the columns whose indexes are still being built then.
///
/// # Errors
/// Errors of Cassandra.
pub async fn wait_built(
    store: &Store,
    job: &CompiledJob,
    patience: Duration,
) -> Result<Vec<String>, StoreError> {
    let until = Instant::now() + patience;
    let mut unbuilt = Vec::new();
    for column in &job.target.outputs {
        let similarity = column.index.and_then(|index| index.similarity());
        let (Some(similarity), CqlType::Vector(_, width)) = (similarity, &column.cql_type) else {
            continue;
        };
        let width = usize::from(*width);
        while !is_built(store, job, (&column.name, width), similarity).await? {
            if Instant::now() + PAUSE > until {
                unbuilt.push(column.name.clone());
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(unbuilt)
}

/// Returns whether searches succeed: those among all versions, and those among one, for which the
/// index on `model_version` must be built, too.
async fn is_built(
    store: &Store,
    job: &CompiledJob,
    (column, width): (&str, usize),
    similarity: Similarity,
) -> Result<bool, StoreError> {
    let select = nearest(job, column, similarity);
    let vector: Vec<u8> = (0..width).flat_map(|_| 1.0_f32.to_be_bytes()).collect();
    for among in [Among::AllVersions, Among::Version(NO_VERSION)] {
        match store.nearest(&select, &vector, among, 1).await {
            Ok(_) => {}
            Err(error) if error.kind == StoreErrorKind::NotBuilt => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
