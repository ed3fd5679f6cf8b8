//! The row of settings that every process must agree with before it does anything else.

use std::time::Duration;

use scylla::statement::SerialConsistency;

use crate::store::{Store, driver::error::StoreError};

/// The schema that this binary reads and writes: the number of the last file in `cql/`.
pub const SCHEMA_VERSION: i32 = super::migrate::LAST;

/// `settings`, written by migrate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The last applied file of `cql/`; 0 while the first migration is under way.
    pub schema_version: i32,
    /// How long a lease must stay unchanged before another process may take it over.
    pub lease: Duration,
    /// Serial consistency of all conditional writes.
    pub serial: Serial,
}

/// The replicas that conditional writes involve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serial {
    /// A quorum of all data centres.
    Everywhere,
    /// A quorum of this data centre, in which all processes must run.
    Local(String),
}

impl Serial {
    pub(in crate::store) fn driver(&self) -> SerialConsistency {
        match self {
            Self::Everywhere => SerialConsistency::Serial,
            Self::Local(_) => SerialConsistency::LocalSerial,
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Everywhere => "SERIAL",
            Self::Local(_) => "LOCAL_SERIAL",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            schema_version: 0,
            lease: Duration::from_secs(15),
            serial: Serial::Everywhere,
        }
    }
}

type SettingsRow = (Option<i32>, Option<i32>, Option<String>, Option<String>);

const SELECT: &str = "SELECT schema_version, lease_seconds, serial_consistency, control_datacenter FROM settings WHERE id = 'helenus'";

impl Store {
    /// Returns the stored row; `None` before migrate wrote it.
    ///
    /// # Errors
    /// [`crate::store::driver::error::StoreErrorKind::Missing`] if the table does not exist.
    pub async fn read_settings(&self) -> Result<Option<Settings>, StoreError> {
        let Some((version, lease, serial, datacenter)) =
            self.row::<SettingsRow>(SELECT, ()).await?
        else {
            return Ok(None);
        };
        let corrupt = |detail: String| StoreError::corrupt(detail, SELECT);
        let lease = lease
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| corrupt(format!("lease_seconds is {lease:?}")))?;
        let serial = match (serial.as_deref(), datacenter) {
            (Some("SERIAL"), _) => Serial::Everywhere,
            (Some("LOCAL_SERIAL"), Some(datacenter)) => Serial::Local(datacenter),
            (serial, datacenter) => {
                return Err(corrupt(format!(
                    "serial_consistency is {serial:?} and control_datacenter {datacenter:?}"
                )));
            }
        };
        Ok(Some(Settings {
            schema_version: version.ok_or_else(|| corrupt("schema_version is null".to_owned()))?,
            lease: Duration::from_secs(lease),
            serial,
        }))
    }
}
