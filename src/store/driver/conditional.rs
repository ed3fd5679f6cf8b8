//! Conditional writes, and what to do when their outcome is unknown.
//!
//! A conditional write takes place at most once: it is sent again only while Cassandra is
//! unavailable and has certainly not received it. If its outcome is unknown
//! ([`StoreErrorKind::Unknown`]), only its  sender can find out. It reads back with a **serial
//! read** and compares what only it can have written (owner and epoch, a random id). The serial
//! read completes or discards what the write left  behind, so its result is final once the
//! coordinator of the write has given up (2 s with Cassandra's defaults).
//!
//! An unknown outcome is handled in one of three ways:
//!
//! - [`Store::apply_or_read_back`] reads back whether this write took place.
//! - [`Store::apply_ignoring_unknown`] is for callers that read the row next in any case, and for
//!   writes that a later round repeats.
//! - [`known`] returns it as a value, for callers that read back after a refusal, too.

use std::{future::Future, sync::Arc};

use scylla::{
    policies::retry::FallthroughRetryPolicy,
    response::query_result::QueryResult,
    serialize::{batch::BatchValues, row::SerializeRow},
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
    value::{CqlValue, Row},
};

use super::{
    error::{StoreError, StoreErrorKind},
    statement::{Mode, PATIENCE, into_rows, patiently},
};
use crate::store::Store;

impl Store {
    /// Sends a conditional write; returns `true` if it took place.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] if it is not known whether it took place.
    pub async fn apply(&self, cql: &str, values: impl SerializeRow) -> Result<bool, StoreError> {
        at_most_once(|| async {
            let prepared = self.prepared(Mode::Conditional, cql).await?;
            Mode::Conditional.count();
            let result = Box::pin(self.session.execute_unpaged(&prepared, &values))
                .await
                .map_err(|error| StoreError::execution(&error, cql))?;
            applied(result, cql)
        })
        .await
    }

    /// Sends several conditional or plain writes of **one partition of one table**, which take
    /// place together or not at all.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub async fn apply_batch(
        &self,
        statements: &[&str],
        values: impl BatchValues,
    ) -> Result<bool, StoreError> {
        let cql = statements.join("; ");
        at_most_once(|| async {
            let mut batch = Batch::new(BatchType::Unlogged);
            for statement in statements {
                let prepared = self.prepared(Mode::Conditional, statement).await?;
                batch.append_statement(PreparedStatement::clone(&prepared));
            }
            batch.set_is_idempotent(false);
            batch.set_serial_consistency(Some(self.settings.serial.driver()));
            batch.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy)));
            Mode::Conditional.count();
            let result = self
                .session
                .batch(&batch, &values)
                .await
                .map_err(|error| StoreError::execution(&error, &cql))?;
            applied(result, &cql)
        })
        .await
    }

    /// Sends a conditional write that renews a lease. It may be sent twice, since its condition is
    /// that the lease still belongs to this process. A node that does not answer must not cost the
    /// lease: another node is asked meanwhile, and after a part of the lease time the outcome is
    /// unknown.
    ///
    /// # Errors
    /// As [`Store::apply`]; the write is not sent again.
    pub async fn renew(&self, cql: &str, values: impl SerializeRow) -> Result<bool, StoreError> {
        let prepared = self.prepared(Mode::Conditional, cql).await?;
        let mut prepared = PreparedStatement::clone(&prepared);
        prepared.set_is_idempotent(true);
        let result = self.promptly(prepared, cql, &values).await?;
        applied(result, cql)
    }

    /// [`Store::apply`], then [`or_read_back`].
    pub(in crate::store) async fn apply_or_read_back(
        &self,
        cql: &str,
        values: impl SerializeRow,
        read_back: impl Future<Output = Result<Option<bool>, StoreError>>,
    ) -> Result<bool, StoreError> {
        or_read_back(self.apply(cql, values).await, read_back).await
    }

    /// [`Store::apply`] for callers to which it makes no difference whether the write took place,
    /// was refused or has an unknown outcome. Other errors are returned.
    pub(in crate::store) async fn apply_ignoring_unknown(
        &self,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        known(self.apply(cql, values).await).map(drop)
    }
}

/// Resolves an unknown outcome by `read_back`, which runs only then. It returns whether the write
/// took place, or `None` if that cannot be determined; the error is then returned.
pub(in crate::store) async fn or_read_back(
    outcome: Result<bool, StoreError>,
    read_back: impl Future<Output = Result<Option<bool>, StoreError>>,
) -> Result<bool, StoreError> {
    match known(outcome)? {
        Ok(applied) => Ok(applied),
        Err(unknown) => read_back.await?.ok_or(unknown),
    }
}

/// Moves an unknown outcome from the errors into the inner result.
///
/// # Errors
/// All other errors.
pub(in crate::store) fn known<T>(
    outcome: Result<T, StoreError>,
) -> Result<Result<T, StoreError>, StoreError> {
    match outcome {
        Err(error) if error.kind == StoreErrorKind::Unknown => Ok(Err(error)),
        outcome => outcome.map(Ok),
    }
}

/// Retries only an attempt that was certainly not applied: a broken connection to the only node
/// must not end a run. A write that may have been applied is left to its sender to read back.
async fn at_most_once<F>(mut attempt: impl FnMut() -> F) -> Result<bool, StoreError>
where
    F: Future<Output = Result<bool, StoreError>>,
{
    let outcome = patiently(PATIENCE, || {
        let attempt = attempt();
        async { known(attempt.await) }
    });
    // Boxed: otherwise its size would add to that of the read-back in every caller.
    let outcome = Box::pin(outcome).await?;
    outcome.inspect_err(|error| tracing::debug!(%error, "outcome unknown"))
}

/// Reads `[applied]`. A refused batch gives a row for each of its conditions.
fn applied(result: QueryResult, cql: &str) -> Result<bool, StoreError> {
    let corrupt = |error: String| StoreError::corrupt(error, cql);
    let result = into_rows(result, cql)?;
    let columns = result.column_specs().iter();
    let mut names = columns.map(|column| column.name());
    let at = names.position(|name| name == "[applied]");
    let at = at.ok_or_else(|| corrupt("no [applied] in the answer".to_owned()))?;
    let mut refused = false;
    for row in result
        .rows::<Row>()
        .map_err(|error| corrupt(error.to_string()))?
    {
        let row = row.map_err(|error| corrupt(error.to_string()))?;
        match row.columns.get(at) {
            Some(Some(CqlValue::Boolean(true))) => return Ok(true),
            Some(Some(CqlValue::Boolean(false))) => refused = true,
            _ => return Err(corrupt("no [applied] in the answer".to_owned())),
        }
    }
    if !refused {
        return Err(corrupt("an empty answer to a conditional write".to_owned()));
    }
    Ok(false)
}
