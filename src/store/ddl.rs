//! Changing the schema: by one process at a time, with schema agreement before and after.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{
    Store,
    error::{StoreError, StoreErrorKind},
    leases::{Lease, LeaseRow},
    statement::{PATIENCE, patiently},
};
use crate::failpoint;

/// The name of the lease.
const DDL: &str = "ddl";

/// The right to change the schema. Release it when done; dropped, it is free after the lease time.
#[derive(Debug)]
pub struct Ddl {
    lease: Lease,
    store: Store,
}

impl Store {
    /// Waits for the DDL lease: at most a lease time (its holder may be dead) and a minute.
    /// `told` hears once who holds it.
    ///
    /// # Errors
    /// [`StoreErrorKind::Held`] when it was not granted in time.
    pub async fn ddl(&self, told: impl FnOnce(&LeaseRow)) -> Result<Ddl, StoreError> {
        let patience = self.settings().lease + Duration::from_secs(60);
        let lease = self.wait_lease(DDL, patience, told).await?;
        Ok(Ddl {
            lease,
            store: self.clone(),
        })
    }

    /// Sends a schema change that two processes may send at the same time without harm
    /// (`IF NOT EXISTS`, with an id), between two schema agreements.
    pub(super) async fn change_schema(&self, cql: &str) -> Result<(), StoreError> {
        patiently(PATIENCE, || async {
            self.agree(cql).await?;
            let mut statement = scylla::statement::Statement::new(cql);
            // Sending it twice is fine: every change says IF NOT EXISTS.
            statement.set_is_idempotent(true);
            self.session()
                .query_unpaged(statement, ())
                .await
                .map_err(|error| StoreError::execution(&error, cql))?;
            self.agree(cql).await
        })
        .await
    }

    async fn agree(&self, cql: &str) -> Result<(), StoreError> {
        self.session()
            .await_schema_agreement()
            .await
            .map(drop)
            .map_err(|error| StoreError {
                kind: StoreErrorKind::Unavailable,
                detail: format!("the nodes do not agree on the schema: {error}"),
                cql: cql.to_owned(),
            })
    }
}

/// What another process has just created shows in `system_schema` a moment before statements may
/// use it: tries again for a few seconds while it is missing.
pub(super) async fn once_visible<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt().await {
            Err(error) if error.kind == StoreErrorKind::Missing && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            outcome => return outcome,
        }
    }
}

impl Ddl {
    /// Makes one change: `CREATE TABLE IF NOT EXISTS … WITH id = …` (see
    /// [`super::script::table_id`]), `ALTER TABLE … ADD IF NOT EXISTS`, and their like, which may
    /// be sent twice.
    ///
    /// # Errors
    /// When the lease was lost, or as Cassandra says.
    pub async fn run(&self, cql: &str) -> Result<(), StoreError> {
        failpoint::hit("between_ddl");
        self.lease.check()?;
        tracing::info!(cql, "changing the schema");
        self.store.change_schema(cql).await
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// As [`Lease::release`].
    pub async fn release(self) -> Result<(), StoreError> {
        self.lease.release().await
    }
}
