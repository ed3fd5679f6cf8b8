//! The ways in which a statement is sent: read, serial read, plain write, conditional write.
//!
//! - A **read** or a **plain write** is idempotent: the driver may send it to another node when
//!   one breaks, and here it is tried again with a growing, jittered pause for [`PATIENCE`].
//!   A write binds its timestamp where order matters; it never depends on which try arrived.
//! - A **conditional write** takes place at most once. When its outcome is unknown
//!   ([`StoreErrorKind::Unknown`]) only its sender can tell, by reading back with a **serial
//!   read** and comparing what only it can have written (owner and epoch, a random id): the
//!   serial read completes or discards what the write left behind, so its answer is final
//!   once the coordinator of the write has given up (2 s with Cassandra's defaults).

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use rand::RngExt;
use scylla::{
    client::session::Session,
    deserialize::row::DeserializeRow,
    policies::retry::FallthroughRetryPolicy,
    response::{
        PagingState,
        query_result::{QueryResult, QueryRowsResult},
    },
    serialize::{batch::BatchValues, row::SerializeRow},
    statement::{
        Consistency, SerialConsistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
    value::{CqlValue, Row},
};
use tokio::{sync::RwLock, time::Instant};
use uuid::Uuid;

use super::{
    Store,
    error::{Failed, StoreError, StoreErrorKind},
};
use crate::metrics;

/// For how long reads and plain writes are tried again while Cassandra is away.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// SELECT at the configured consistency.
    Read,
    /// SELECT that sees every decided conditional write, and decides undecided ones.
    SerialRead,
    /// INSERT, UPDATE or DELETE without a condition.
    Write,
    /// A statement with IF.
    Conditional,
}

impl Mode {
    fn count(self) {
        let mode = match self {
            Self::Read => "read",
            Self::SerialRead => "serial_read",
            Self::Write => "write",
            Self::Conditional => "conditional",
        };
        metrics::STATEMENTS.counter([mode]).increment(1);
    }
}

/// Statements prepared once a process.
#[derive(Default)]
pub struct Cache(RwLock<HashMap<(Mode, String), PreparedStatement>>);

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// It took place.
    Yes,
    /// It did not. The rows as they stand, where Cassandra told: the columns of the conditions, or
    /// the whole row for IF NOT EXISTS; of a batch, each row a condition was about. A row that does
    /// not exist has only nulls, or is left out.
    No(Vec<CurrentRow>),
}

impl Applied {
    /// Whether it took place.
    pub fn yes(&self) -> bool {
        *self == Self::Yes
    }
}

/// A row as a refused conditional write found it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CurrentRow(HashMap<String, CqlValue>);

impl CurrentRow {
    /// A column's value; `None` when null or not told.
    pub fn get(&self, column: &str) -> Option<&CqlValue> {
        self.0.get(column)
    }

    /// A text column.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.get(column)
            .and_then(CqlValue::as_text)
            .map(String::as_str)
    }

    /// An int column.
    pub fn int(&self, column: &str) -> Option<i32> {
        self.get(column).and_then(CqlValue::as_int)
    }

    /// A bigint column.
    pub fn bigint(&self, column: &str) -> Option<i64> {
        self.get(column).and_then(CqlValue::as_bigint)
    }

    /// A uuid or timeuuid column.
    pub fn uuid(&self, column: &str) -> Option<Uuid> {
        match self.get(column)? {
            CqlValue::Uuid(id) => Some(*id),
            CqlValue::Timeuuid(id) => Some((*id).into()),
            _ => None,
        }
    }

    /// A blob column.
    pub fn blob(&self, column: &str) -> Option<&[u8]> {
        self.get(column)
            .and_then(CqlValue::as_blob)
            .map(Vec::as_slice)
    }
}

/// Keeps trying while Cassandra is away or silent: pauses of 50 ms growing to 2 s, each between
/// half and all of that, until `patience` is over.
///
/// Only for what may be done twice.
///
/// # Errors
/// The last one, at once if trying again cannot help.
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

/// As [`patiently`], for tries that know what a failure says about Cassandra.
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
    /// The statement, prepared once a process and set up for its mode.
    pub async fn prepared(&self, mode: Mode, cql: &str) -> Result<PreparedStatement, StoreError> {
        let key = (mode, cql.to_owned());
        if let Some(prepared) = self.statements.0.read().await.get(&key) {
            return Ok(prepared.clone());
        }
        let mut prepared = prepare(&self.session, cql).await?;
        let serial = self.settings.serial.driver();
        match mode {
            Mode::Read | Mode::Write => prepared.set_is_idempotent(true),
            Mode::SerialRead => {
                prepared.set_is_idempotent(true);
                prepared.set_consistency(match serial {
                    SerialConsistency::Serial => Consistency::Serial,
                    SerialConsistency::LocalSerial => Consistency::LocalSerial,
                });
            }
            Mode::Conditional => {
                // The driver tells conditional statements by their consistency, which misses
                // them: an idempotent one would be sent again on a broken connection.
                prepared.set_is_idempotent(false);
                prepared.set_serial_consistency(Some(serial));
                prepared.set_retry_policy(Some(Arc::new(FallthroughRetryPolicy)));
            }
        }
        self.statements
            .0
            .write()
            .await
            .insert(key, prepared.clone());
        Ok(prepared)
    }

    /// All rows of a SELECT.
    pub async fn rows<R>(&self, cql: &str, values: impl SerializeRow) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm>,
    {
        self.select(Mode::Read, cql, &values).await
    }

    /// The first row of a SELECT.
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

    /// All rows of a SELECT (of one partition) after every decided conditional write.
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

    /// The first row of a SELECT (of one partition) after every decided conditional write.
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
                let (page, next) = self
                    .session
                    .execute_single_page(&prepared, values, state)
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

    /// A write without a condition, tried again while Cassandra is away. Bind the timestamp where
    /// it matters which of two writes wins.
    pub async fn write(&self, cql: &str, values: impl SerializeRow) -> Result<(), StoreError> {
        retried(PATIENCE, || async {
            let prepared = self.prepared(Mode::Write, cql).await?;
            Mode::Write.count();
            self.session
                .execute_unpaged(&prepared, &values)
                .await
                .map(drop)
                .map_err(|error| Failed::execution(&error, cql))
        })
        .await
    }

    /// A conditional write that takes place at most once: it is sent again only while Cassandra is
    /// away and has certainly not seen it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unknown`] when it may or may not have taken place: read back with
    /// [`Store::serial_row`] what only this write can have written.
    pub async fn apply(&self, cql: &str, values: impl SerializeRow) -> Result<Applied, StoreError> {
        at_most_once(|| async {
            let prepared = self.prepared(Mode::Conditional, cql).await?;
            Mode::Conditional.count();
            let result = self
                .session
                .execute_unpaged(&prepared, &values)
                .await
                .map_err(|error| StoreError::execution(&error, cql))?;
            applied(result, cql)
        })
        .await
    }

    /// Several conditional or plain writes of **one partition of one table**, together or not at all.
    ///
    /// # Errors
    /// As [`Store::apply`].
    pub async fn apply_batch(
        &self,
        statements: &[&str],
        values: impl BatchValues,
    ) -> Result<Applied, StoreError> {
        let cql = statements.join("; ");
        at_most_once(|| async {
            let mut batch = Batch::new(BatchType::Unlogged);
            for statement in statements {
                batch.append_statement(self.prepared(Mode::Conditional, statement).await?);
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
}

/// Tries again only what was certainly not applied: a broken connection to the only node must not
/// end a run, and what may have been applied is its sender's to read back.
async fn at_most_once<F>(mut attempt: impl FnMut() -> F) -> Result<Applied, StoreError>
where
    F: Future<Output = Result<Applied, StoreError>>,
{
    patiently(PATIENCE, || {
        let attempt = attempt();
        async {
            match attempt.await {
                Err(error) if error.kind == StoreErrorKind::Unknown => Ok(Err(error)),
                outcome => outcome.map(Ok),
            }
        }
    })
    .await?
}

/// Prepares a statement.
pub(super) async fn prepare(session: &Session, cql: &str) -> Result<PreparedStatement, StoreError> {
    session
        .prepare(cql)
        .await
        .map_err(|error| StoreError::execution(&error.into(), cql))
}

/// The rows of an answer that must have some.
pub(super) fn into_rows(result: QueryResult, cql: &str) -> Result<QueryRowsResult, StoreError> {
    result
        .into_rows_result()
        .map_err(|error| StoreError::corrupt(error.to_string(), cql))
}

/// `[applied]` is the first column; how many follow varies.
fn applied(result: QueryResult, cql: &str) -> Result<Applied, StoreError> {
    let corrupt = |error: String| StoreError::corrupt(error, cql);
    let result = into_rows(result, cql)?;
    let names: Vec<String> = result
        .column_specs()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let mut current = Vec::new();
    for row in result
        .rows::<Row>()
        .map_err(|error| corrupt(error.to_string()))?
    {
        let row = row.map_err(|error| corrupt(error.to_string()))?;
        let mut row: HashMap<_, _> = names
            .iter()
            .cloned()
            .zip(row.columns)
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect();
        match row.remove("[applied]") {
            Some(CqlValue::Boolean(true)) => return Ok(Applied::Yes),
            Some(CqlValue::Boolean(false)) => current.push(CurrentRow(row)),
            _ => return Err(corrupt("no [applied] in the answer".to_owned())),
        }
    }
    if current.is_empty() {
        return Err(corrupt("an empty answer to a conditional write".to_owned()));
    }
    Ok(Applied::No(current))
}

impl StoreErrorKind {
    /// Whether the same statement may succeed a little later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::Unknown)
    }
}
