//! Are the rows of a run's sample stored as they were written?

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};

use super::context::RunContext;
use crate::store::{driver::error::StoreError, runs::splits::Sampled};

/// Sampled rows that are read at a time.
const AT_A_TIME: usize = 32;

/// Reads the sampled rows' `input_hash` values. Boxed, because otherwise the compiler can't prove that
/// the future is `Send`.
fn stored_hashes<'a>(
    context: &'a RunContext,
    sample: &'a [Sampled],
) -> BoxFuture<'a, Result<Vec<Option<u128>>, StoreError>> {
    futures::stream::iter(sample)
        .map(|row| {
            context
                .store
                .stored_hash(&context.job, &row.key, row.version)
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .boxed()
}

/// Reads the sample back and returns a reason to fail the run if rows are missing or differ.
/// A missing row was shadowed by a delete from a clock that is ahead of Cassandra's.
pub(super) async fn read_back(
    context: &RunContext,
    sample: &[Sampled],
) -> Result<Option<String>, StoreError> {
    let found = stored_hashes(context, sample).await?;
    let missing = found.iter().filter(|hash| hash.is_none()).count();
    let differing = sample
        .iter()
        .zip(&found)
        .filter(|(row, found)| found.is_some_and(|hash| hash != row.input_hash))
        .count();
    let total = sample.len();
    Ok(if missing > 0 {
        Some(format!(
            "shadowed: {missing} of {total} rows read back are missing, hidden by a delete newer than this run's writes; was it sent from a clock that is ahead?"
        ))
    } else if differing > 0 {
        Some(format!(
            "overwritten: {differing} of {total} rows read back are not the ones this run wrote; does anything else write to {}?",
            context.run.target
        ))
    } else {
        None
    })
}
