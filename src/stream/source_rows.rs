//! The messages of a batch, written as rows of the source.

use futures::{StreamExt, stream};

use super::{
    batch::{MessageOutcome, NotReady},
    decode::{Decoded, DecodedRows, RowLayout},
    generation::Generation,
};
use crate::{
    domain::problem::Problem,
    store::{
        driver::error::{StoreError, StoreErrorKind},
        streams::source_rows::{SourceCell, SourceWriter},
    },
};

/// Rows of a batch that are written at the same time; the store's own limit is usually lower.
const WRITES: usize = 64;

/// Writes the rows. Those that Cassandra will never accept are rejected.
pub(super) async fn write_rows(
    writer: &SourceWriter,
    layout: &RowLayout,
    rows: &DecodedRows,
    outcomes: &mut [MessageOutcome],
    generation: &Generation,
) -> Result<(), NotReady> {
    let work = outcomes.iter().enumerate().filter_map(|(at, outcome)| {
        let (decoded, row) = outcome.decoded.as_ref().ok()?;
        Some((at, *decoded, (*row)?, outcome.timestamp))
    });
    let writes = work.filter(|(_, decoded, ..)| *decoded != Decoded::Ignored);
    let writes: Vec<_> = writes.collect();
    let mut written = stream::iter(writes)
        .map(|(at, decoded, row, timestamp)| async move {
            let cell = |column: usize| match rows.cells.cell(row, column) {
                Some(bytes) => SourceCell::Value(bytes),
                None if rows.is_present(row, column) => SourceCell::Null,
                None => SourceCell::Unset,
            };
            let outcome = match decoded {
                Decoded::Delete => {
                    let key: Vec<_> = (0..layout.table_key).map(cell).collect();
                    writer.delete(&key, timestamp).await
                }
                _ => {
                    let cells: Vec<_> = (0..layout.columns.len()).map(cell).collect();
                    writer.upsert(&cells, timestamp).await
                }
            };
            (at, outcome)
        })
        .buffer_unordered(WRITES);
    let mut refused: Vec<(usize, StoreError)> = Vec::new();
    while let Some((at, outcome)) = written.next().await {
        if generation.is_over() {
            return Err(NotReady::Over);
        }
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind == StoreErrorKind::Invalid => refused.push((at, error)),
            Err(error) => return Err(NotReady::Waiting(error.to_string())),
        }
    }
    drop(written);
    for (at, error) in refused {
        let message = format!("Cassandra refuses the row: {}", error.detail);
        outcomes[at].decoded = Err(Problem::new("row.refused", message));
    }
    Ok(())
}
