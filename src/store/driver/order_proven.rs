//! `job_status.order_proven`: the versions that a revision's expected rows were compared with.

use std::collections::BTreeMap;

use super::error::StoreError;
use crate::store::Store;

const READ: &str = "SELECT order_proven FROM job_status WHERE job = ? AND revision = ?";
const NOTE: &str =
    "UPDATE job_status SET order_proven[?] = ? WHERE job = ? AND revision = ? IF EXISTS";

impl Store {
    /// Returns, by version, the fingerprint under which the revision's expected rows came out as
    /// expected.
    pub async fn order_proven(
        &self,
        job: &str,
        revision: i32,
    ) -> Result<BTreeMap<i32, Vec<u8>>, StoreError> {
        type Row = (Option<BTreeMap<i32, Vec<u8>>>,);
        let row: Option<Row> = self.serial_row(READ, (job, revision)).await?;
        Ok(row.and_then(|(proven,)| proven).unwrap_or_default())
    }

    /// Records that the expected rows came out as expected under a version. Safe to repeat.
    pub async fn note_order_proven(
        &self,
        job: &str,
        revision: i32,
        version: i32,
        fingerprint: &[u8],
    ) -> Result<(), StoreError> {
        let values = (version, fingerprint, job, revision);
        self.apply(NOTE, values).await.map(drop)
    }
}
