//! `model_references` and `drift_baselines`: what people give runs to be compared with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{SerializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use super::distributions::{COLUMNS, DistributionColumns, distribution_row};
use crate::{
    domain::evidence::drift::{Distribution, Reference},
    process,
    store::{
        Store,
        driver::{columns::insert, error::StoreError},
    },
};

const PUT_BASELINE: &str =
    "INSERT INTO drift_baselines (job, id, run_id, requested_by, note) VALUES (?, ?, ?, ?, ?)";
const BASELINE: &str = "SELECT id, run_id FROM drift_baselines WHERE job = ? LIMIT 1";

distribution_row! {
    struct ReferenceRow {
        feature: String,
    }
}

#[derive(SerializeRow)]
struct PutReference<'a> {
    model: &'a str,
    version: i32,
    feature: &'a str,
    #[scylla(flatten)]
    distribution: DistributionColumns,
    created_by: String,
    created_at: DateTime<Utc>,
}

/// A version's reference as it is stored.
#[derive(Debug, Default)]
pub struct StoredReference {
    pub features: Reference,
    /// Features whose rows cannot be used, with the reason.
    pub unusable: BTreeMap<String, String>,
}

impl Store {
    /// Writes a version's reference, feature by feature.
    pub async fn put_reference(
        &self,
        model: &str,
        version: i32,
        reference: &Reference,
    ) -> Result<(), StoreError> {
        let columns = format!("model, version, feature, {COLUMNS}, created_by, created_at");
        let cql = insert("model_references", &columns);
        let now = Utc::now();
        for (feature, distribution) in reference {
            let row = PutReference {
                model,
                version,
                feature,
                distribution: distribution.into(),
                created_by: process::user(),
                created_at: now,
            };
            self.write(&cql, row).await?;
        }
        Ok(())
    }

    /// Returns a version's reference; empty if it has none.
    pub async fn reference(
        &self,
        model: &str,
        version: i32,
    ) -> Result<StoredReference, StoreError> {
        let cql = format!(
            "SELECT feature, {COLUMNS} FROM model_references WHERE model = ? AND version = ?"
        );
        let rows: Vec<ReferenceRow> = self.rows(&cql, (model, version)).await?;
        let mut stored = StoredReference::default();
        for mut row in rows {
            match row.distribution() {
                Ok(distribution) => {
                    stored.features.insert(row.feature, distribution);
                }
                Err(why) => {
                    stored.unusable.insert(row.feature, why);
                }
            }
        }
        Ok(stored)
    }

    /// Names the run that a job's later runs are compared with; `None`: the versions' references.
    pub async fn put_baseline(
        &self,
        job: &str,
        run_id: Option<Uuid>,
        note: Option<&str>,
    ) -> Result<(), StoreError> {
        let id = CqlTimeuuid::from(process::timeuuid());
        let values = (
            job,
            id,
            run_id.map(CqlTimeuuid::from),
            process::user(),
            note,
        );
        self.write(PUT_BASELINE, values).await
    }

    /// Returns the run that people have named as a job's baseline.
    pub async fn baseline(&self, job: &str) -> Result<Option<Uuid>, StoreError> {
        type Row = (CqlTimeuuid, Option<CqlTimeuuid>);
        let row: Option<Row> = self.row(BASELINE, (job,)).await?;
        Ok(row.and_then(|(_, run_id)| run_id).map(Uuid::from))
    }
}
