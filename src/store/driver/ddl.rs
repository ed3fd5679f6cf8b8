//! Changes the schema: one process at a time, with schema agreement before and after.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{
    error::{StoreError, StoreErrorKind},
    statement::{PATIENCE, patiently},
};
use crate::{
    failpoint,
    store::{
        Store,
        admin::leases::{Lease, LeaseRow},
    },
};

const DDL: &str = "ddl";

/// The right to change the schema. Release it when done; if it is dropped, it becomes free after
/// the lease time.
#[derive(Debug)]
pub struct Ddl {
    lease: Lease,
    store: Store,
}

impl Store {
    /// Waits for the DDL lease: at most a lease time (its holder may have crashed) and a minute.
    /// `told` is called once with the current holder.
    ///
    /// # Errors
    /// [`StoreErrorKind::Held`] if it was not granted in time.
    pub async fn ddl(&self, told: impl FnOnce(&LeaseRow)) -> Result<Ddl, StoreError> {
        let patience = self.settings().lease + Duration::from_secs(60);
        let lease = self.wait_lease(DDL, patience, told).await?;
        Ok(Ddl {
            lease,
            store: self.clone(),
        })
    }

    /// Sends schema changes that two processes may send at the same time without harm (`IF NOT
    /// EXISTS`, with an id), one after the other, between two schema agreements.
    ///
    /// No change may depend on an earlier one of the same list on another node.
    pub(in crate::store) async fn change_schema(
        &self,
        changes: &[String],
    ) -> Result<(), StoreError> {
        self.change_schema_while(changes, || Ok(())).await
    }

    /// As [`Store::change_schema`]; `may` is called before each change and can stop it.
    async fn change_schema_while(
        &self,
        changes: &[String],
        may: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
            return Ok(());
        };
        patiently(PATIENCE, || self.agree(first)).await?;
        for cql in changes {
            failpoint::hit("between_ddl");
            may()?;
            tracing::info!(cql, "changing the schema");
            patiently(PATIENCE, || self.send_change(cql)).await?;
        }
        patiently(PATIENCE, || self.agree(last)).await
    }

    async fn send_change(&self, cql: &str) -> Result<(), StoreError> {
        let mut statement = scylla::statement::Statement::new(cql);
        // Sending it twice is safe: every change says IF NOT EXISTS.
        statement.set_is_idempotent(true);
        self.session()
            .query_unpaged(statement, ())
            .await
            .map(drop)
            .map_err(|error| StoreError::execution(&error, cql))
    }

    async fn agree(&self, cql: &str) -> Result<(), StoreError> {
        self.session()
            .await_schema_agreement()
            .await
            .map(drop)
            .map_err(|error| {
                let detail = format!("the nodes do not agree on the schema: {error}");
                StoreError::new(StoreErrorKind::Unavailable, detail, cql)
            })
    }
}

/// Retries for a few seconds while a table or keyspace is missing. What another process has just
/// created appears in `system_schema` a moment before statements can use it.
pub(in crate::store) async fn once_visible<T, F>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
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
    /// Makes one change that may be sent twice: `CREATE TABLE IF NOT EXISTS … WITH id = …` (see
    /// [`super::script::table_id`]), `ALTER TABLE … ADD IF NOT EXISTS`, and the like.
    ///
    /// # Errors
    /// The lease was lost; errors of Cassandra.
    pub async fn run(&self, cql: &str) -> Result<(), StoreError> {
        self.run_all(&[cql.to_owned()]).await
    }

    /// Makes several such changes, none of which depends on an earlier one.
    ///
    /// # Errors
    /// As [`Ddl::run`].
    pub async fn run_all(&self, changes: &[String]) -> Result<(), StoreError> {
        let may = || self.lease.check();
        self.store.change_schema_while(changes, may).await
    }
    /// Releases the lease.
    ///
    /// # Errors
    /// As [`Lease::release`].
    pub async fn release(self) -> Result<(), StoreError> {
        self.lease.release().await
    }
}
