//! Sends statements: read, serial read, plain write, conditional write.
//!
//! - A **read** or a **plain write** is idempotent: the driver may send it to another node if one
//!   fails, and it is retried here with a growing, jittered pause for [`PATIENCE`]. A write binds
//!   its timestamp where order matters; it never depends on which attempt arrived.
//! - A **conditional write** takes place at most once: see `conditional`.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rand::RngExt;
use scylla::{
    client::session::Session,
    deserialize::row::DeserializeRow,
    policies::{
        retry::FallthroughRetryPolicy, speculative_execution::SimpleSpeculativeExecutionPolicy,
    },
    response::{
        PagingState,
        query_result::{QueryResult, QueryRowsResult},
    },
    serialize::row::SerializeRow,
    statement::{Consistency, SerialConsistency, prepared::PreparedStatement},
};
use tokio::time::Instant;

use super::error::{Failed, StoreError, StoreErrorKind};
use crate::{metrics, store::Store};

/// How long reads and plain writes are retried while Cassandra is unavailable.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Shortest time limit of a renewal, for short leases; it is less than any lease.
const LEAST_RENEWAL: Duration = Duration::from_secs(1);

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// SELECT at the configured consistency.
    Read,
    /// The same, of columns that are named and read as bytes: Cassandra leaves out their
    /// description, which takes longer to read than a row.
    ReadCells,
    /// SELECT that sees every decided conditional write, and decides undecided ones.
    SerialRead,
    /// INSERT, UPDATE or DELETE without a condition.
    Write,
    /// A statement with IF.
    Conditional,
}

impl Mode {
    pub(in crate::store) fn count(self) {
        let mode = match self {
            Self::Read | Self::ReadCells => "read",
            Self::SerialRead => "serial_read",
            Self::Write => "write",
            Self::Conditional => "conditional",
        };
        metrics::STATEMENTS.counter([mode]).increment(1);
    }
}

/// Statements, each prepared once per process.
#[derive(Default)]
pub struct Cache(RwLock<HashMap<Mode, HashMap<String, Arc<PreparedStatement>>>>);

impl Cache {
    fn get(&self, mode: Mode, cql: &str) -> Option<Arc<PreparedStatement>> {
        let statements = self.0.read().unwrap_or_else(PoisonError::into_inner);
        statements.get(&mode)?.get(cql).map(Arc::clone)
    }

    fn insert(&self, mode: Mode, cql: &str, prepared: &Arc<PreparedStatement>) {
        let mut statements = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let of_mode = statements.entry(mode).or_default();
        of_mode.insert(cql.to_owned(), Arc::clone(prepared));
    }
}

/// Retries while Cassandra is unavailable or silent, with pauses of 50 ms growing to 2 s, each
/// jittered between half and all of that, until `patience` is over.
///
/// Only for statements that may be executed twice.
///
/// # Errors
/// The last error; at once if a retry cannot help.
pub async fn patiently<T, F>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let attempt = || {
        let next = attempt();
        async { next.await.map_err(Failed::from) }
    };
    retried(patience, attempt).await
}

/// As [`patiently`], for attempts that know what a failure says about Cassandra.
///
/// # Errors
/// As [`patiently`].
pub async fn retried<T, F>(
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, Failed>>,
{
    let until = Instant::now() + patience;
    let mut pause = Duration::from_millis(50);
    loop {
        match attempt().await {
            Err(Failed { error, cause })
                if error.kind.may_pass() && Instant::now() + pause < until =>
            {
                tracing::debug!(%error, "trying again");
                metrics::RETRIES.counter([cause.as_str()]).increment(1);
                let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
                tokio::time::sleep(jittered).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            outcome => return outcome.map_err(|failed| failed.error),
        }
    }
}

impl Store {
    /// Returns the statement, prepared once per process and configured for its mode.
    pub(in crate::store) async fn prepared(
        &self,
        mode: Mode,
        cql: &str,
    ) -> Result<Arc<PreparedStatement>, StoreError> {
        if let Some(prepared) = self.statements.get(mode, cql) {
            return Ok(prepared);
        }
        let mut prepared = Box::pin(prepare(&self.session, cql)).await?;
        let serial = self.settings.serial.driver();
        match mode {
            Mode::Read | Mode::Write => prepared.set_is_idempotent(true),
            Mode::ReadCells => {
                prepared.set_is_idempotent(true);
                prepared.set_use_cached_result_metadata(true);
            }
            Mode::SerialRead => {
                prepared.set_is_idempotent(true);
                prepared.set_consistency(match serial {
                    SerialConsistency::Serial => Consistency::Serial,
                    SerialConsistency::LocalSerial => Consistency::LocalSerial,
                });
            }
            Mode::Conditional => {
                // The driver recognises conditional statements by their consistency, which misses
                // these: an idempotent one would be sent again on a broken connection.
                prepared.set_is_idempotent(false);
                prepared.set_serial_consistency(Some(serial));
                prepared.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy)));
            }
        }
        let prepared = Arc::new(prepared);
        self.statements.insert(mode, cql, &prepared);
        Ok(prepared)
    }

    /// Returns all rows of a SELECT.
    pub async fn rows<R>(&self, cql: &str, values: impl SerializeRow) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        self.select(Mode::Read, cql, &values).await
    }

    /// Returns the first row of a SELECT.
    pub async fn row<R>(
        &self,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        Ok(self.rows(cql, values).await?.into_iter().next())
    }

    /// Returns all rows of a SELECT (of one partition) after every decided conditional write.
    pub async fn serial_rows<R>(
        &self,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        self.select(Mode::SerialRead, cql, &values).await
    }

    /// Returns the first row of a SELECT (of one partition) after every decided conditional write.
    pub async fn serial_row<R>(
        &self,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        Ok(self.serial_rows(cql, values).await?.into_iter().next())
    }

    async fn select<R>(
        &self,
        mode: Mode,
        cql: &str,
        values: &impl SerializeRow,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        retried(PATIENCE, || async {
            let prepared = self.prepared(mode, cql).await?;
            let mut rows = Vec::new();
            let mut state = PagingState::start();
            loop {
                mode.count();
                let (page, next) =
                    Box::pin(self.session.execute_single_page(&prepared, values, state))
                        .await
                        .map_err(|error| Failed::execution(&error, cql))?;
                let page = into_rows(page, cql)?;
                for row in page
                    .rows::<R>()
                    .map_err(|error| StoreError::corrupt(error.to_string(), cql))?
                {
                    rows.push(row.map_err(|error| StoreError::corrupt(error.to_string(), cql))?);
                }
                match next.into_paging_control_flow() {
                    std::ops::ControlFlow::Break(()) => return Ok(rows),
                    std::ops::ControlFlow::Continue(next) => state = next,
                }
            }
        })
        .await
    }

    /// Sends a write without a condition, and retries it while Cassandra is unavailable. Bind the
    /// timestamp where it matters which of two writes wins.
    pub async fn write(&self, cql: &str, values: impl SerializeRow) -> Result<(), StoreError> {
        retried(PATIENCE, || async {
            let prepared = self.prepared(Mode::Write, cql).await?;
            Mode::Write.count();
            Box::pin(self.session.execute_unpaged(&prepared, &values))
                .await
                .map(drop)
                .map_err(|error| Failed::execution(&error, cql))
        })
        .await
    }

    /// Returns the first row of a SELECT (of one partition) after every decided conditional write,
    /// sent in the same way as by [`Store::renew`].
    pub async fn serial_row_promptly<R>(
        &self,
        cql: &str,
        values: impl SerializeRow,
    ) -> Result<Option<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        let prepared = self.prepared(Mode::SerialRead, cql).await?;
        let prepared = PreparedStatement::clone(&prepared);
        let result = self.promptly(prepared, cql, &values).await?;
        into_rows(result, cql)?
            .maybe_first_row()
            .map_err(|error| StoreError::corrupt(error.to_string(), cql))
    }

    /// Sends the statement to another node as well if one does not answer, and gives up after a
    /// part of the lease time.
    pub(in crate::store) async fn promptly(
        &self,
        mut prepared: PreparedStatement,
        cql: &str,
        values: &impl SerializeRow,
    ) -> Result<QueryResult, StoreError> {
        let lease = self.settings.lease;
        let usual = self.session.get_default_execution_profile_handle();
        let another = SimpleSpeculativeExecutionPolicy {
            max_retry_count: 2,
            retry_interval: lease / 12,
        };
        let profile = usual
            .pointee_to_builder()
            .request_timeout(Some((lease / 3).max(LEAST_RENEWAL)))
            .speculative_execution_policy(Some(Arc::new(another)))
            .build();
        prepared.set_execution_profile_handle(Some(profile.into_handle()));
        Mode::Conditional.count();
        Box::pin(self.session.execute_unpaged(&prepared, values))
            .await
            .map_err(|error| StoreError::execution(&error, cql))
    }
}

pub(in crate::store) async fn prepare(
    session: &Session,
    cql: &str,
) -> Result<PreparedStatement, StoreError> {
    session
        .prepare(cql)
        .await
        .map_err(|error| StoreError::execution(&error.into(), cql))
}

/// Returns the rows of a result that must have some.
pub(in crate::store) fn into_rows(
    result: QueryResult,
    cql: &str,
) -> Result<QueryRowsResult, StoreError> {
    result
        .into_rows_result()
        .map_err(|error| StoreError::corrupt(error.to_string(), cql))
}

impl StoreErrorKind {
    /// Returns whether the same statement may succeed a little later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::Unknown)
    }
}
