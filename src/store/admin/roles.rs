//! Manages roles and their grants.

use scylla::value::{CqlValue, Row};

use crate::{
    domain::access::{Grant, Resource},
    store::{
        Store,
        driver::{
            error::{StoreError, StoreErrorKind},
            quote::{name, table_name},
        },
    },
};

/// Returns `CREATE ROLE`, without a login: the role is to be granted to logins.
pub fn create_statement(role: &str) -> String {
    format!("CREATE ROLE IF NOT EXISTS {}", name(role))
}

pub fn grant_statement(grant: &Grant, role: &str) -> String {
    let resource = match &grant.resource {
        Resource::Keyspace(keyspace) => format!("KEYSPACE {}", name(keyspace)),
        Resource::Table(table) => format!("TABLE {}", table_name(&table.keyspace, &table.table)),
    };
    format!(
        "GRANT {} ON {resource} TO {}",
        grant.permission.as_str(),
        name(role)
    )
}

impl Store {
    /// Creates a role unless it exists; an existing one is not changed. With a password, the role
    /// may log in.
    ///
    /// # Errors
    /// Errors of Cassandra; they do not reveal the password.
    pub async fn create_role(&self, role: &str, password: Option<&str>) -> Result<(), StoreError> {
        let plain = create_statement(role);
        let statement = match password {
            None => plain.clone(),
            Some(password) => format!(
                "{plain} WITH PASSWORD = '{}' AND LOGIN = true",
                password.replace('\'', "''")
            ),
        };
        let sent = self.session().query_unpaged(statement, ()).await;
        sent.map(drop).map_err(|error| {
            let mut error = StoreError::execution(&error, &plain);
            if password.is_some() && error.kind == StoreErrorKind::Invalid {
                // A syntax error could quote the statement.
                error.detail = "Cassandra refused the role or its password".to_owned();
            }
            error
        })
    }

    /// Grants a permission; safe to repeat.
    pub async fn grant(&self, grant: &Grant, role: &str) -> Result<(), StoreError> {
        let statement = grant_statement(grant, role);
        let sent = self.session().query_unpaged(statement.as_str(), ()).await;
        sent.map(drop)
            .map_err(|error| StoreError::execution(&error, &statement))
    }

    /// Returns what a role was granted directly, in Cassandra's words: `SELECT on <keyspace
    /// clinic>`.
    pub async fn granted(&self, role: &str) -> Result<Vec<String>, StoreError> {
        let statement = format!("LIST ALL PERMISSIONS OF {} NORECURSIVE", name(role));
        let corrupt = |error: String| StoreError::corrupt(error, &statement);
        let sent = self.session().query_unpaged(statement.as_str(), ()).await;
        let result = sent.map_err(|error| StoreError::execution(&error, &statement))?;
        // Without any permission there is no table of rows either.
        let Ok(result) = result.into_rows_result() else {
            return Ok(Vec::new());
        };
        let place = |wanted: &str| {
            let mut columns = result.column_specs().iter();
            columns.position(|column| column.name() == wanted)
        };
        let (Some(resource), Some(permission)) = (place("resource"), place("permission")) else {
            return Err(corrupt("no columns resource and permission".to_owned()));
        };
        let rows = result.rows::<Row>();
        let mut granted = Vec::new();
        for row in rows.map_err(|error| corrupt(error.to_string()))? {
            let row = row.map_err(|error| corrupt(error.to_string()))?;
            let text = |at: usize| {
                let cell = row.columns.get(at).and_then(Option::as_ref);
                cell.and_then(CqlValue::as_text).map(String::as_str)
            };
            granted.push(format!(
                "{} on {}",
                text(permission).unwrap_or_default(),
                text(resource).unwrap_or_default()
            ));
        }
        Ok(granted)
    }
}

/// Returns a grant as Cassandra lists it.
pub fn listed(grant: &Grant) -> String {
    let resource = match &grant.resource {
        Resource::Keyspace(keyspace) => format!("<keyspace {keyspace}>"),
        Resource::Table(table) => format!("<table {table}>"),
    };
    format!("{} on {resource}", grant.permission.as_str())
}
