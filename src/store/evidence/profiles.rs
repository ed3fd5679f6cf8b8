//! `drift_profiles`: what runs over the whole table read, feature by feature.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use scylla::{SerializeRow, value::CqlTimeuuid};
use uuid::Uuid;

use super::distributions::{COLUMNS, DistributionColumns, distribution_row};
use crate::{
    domain::evidence::drift::Distribution,
    store::{
        Store,
        driver::{
            columns::{Cell, insert},
            error::StoreError,
        },
    },
};

/// Rows written or segments read at a time.
const AT_A_TIME: usize = 16;
/// The feature of the row that lists the others, and the segment of all rows.
const WHOLE: &str = "";

const NEWEST: &str = "SELECT run_id FROM drift_profiles WHERE job = ? AND version = ? AND segment = '' AND feature = '' AND run_id < ? LIMIT 1";
const LISTED: &str = "SELECT features, segments, source_rows, rejected FROM drift_profiles WHERE job = ? AND version = ? AND segment = '' AND feature = '' AND run_id = ?";
const LIST: &str = "INSERT INTO drift_profiles (job, version, segment, feature, run_id, features, segments, source_rows, rejected) VALUES (?, ?, '', '', ?, ?, ?, ?, ?)";

/// What a run read, for one version.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredProfile {
    pub run_id: Uuid,
    pub version: i32,
    /// By segment and feature; the segment of all rows is empty.
    pub distributions: BTreeMap<(String, String), Distribution>,
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows that the version rejected.
    pub rejected: u64,
}

#[derive(SerializeRow)]
struct PutProfile<'a> {
    job: &'a str,
    version: i32,
    segment: &'a str,
    feature: &'a str,
    run_id: CqlTimeuuid,
    #[scylla(flatten)]
    distribution: DistributionColumns,
    partial: bool,
}

distribution_row! {
    struct ProfileRow {
        feature: String,
        partial: Option<bool>,
    }
}

type ListRow = (
    Option<Vec<String>>,
    Option<Vec<String>>,
    Option<i64>,
    Option<i64>,
);

impl Store {
    /// Writes a profile; the row without which it does not count comes last. Safe to repeat.
    pub async fn put_profile(&self, job: &str, profile: &StoredProfile) -> Result<(), StoreError> {
        let columns = format!("job, version, segment, feature, run_id, {COLUMNS}, partial");
        let cql = insert("drift_profiles", &columns);
        let run_id = CqlTimeuuid::from(profile.run_id);
        let writes: Vec<_> = profile
            .distributions
            .iter()
            .map(|((segment, feature), distribution)| {
                let row = PutProfile {
                    job,
                    version: profile.version,
                    segment,
                    feature,
                    run_id,
                    distribution: distribution.into(),
                    partial: distribution.is_partial,
                };
                self.write(&cql, row)
            })
            .collect();
        futures::stream::iter(writes)
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        let keys = profile.distributions.keys();
        let features: BTreeSet<&String> = keys.clone().map(|(_, feature)| feature).collect();
        let segments: BTreeSet<&String> = keys.map(|(segment, _)| segment).collect();
        let values = (
            job,
            profile.version,
            run_id,
            features.into_iter().collect::<Vec<_>>(),
            segments.into_iter().collect::<Vec<_>>(),
            profile.source_rows as i64,
            profile.rejected as i64,
        );
        self.write(LIST, values).await
    }

    /// Returns the newest profile of a version that was made for a run with a lower id.
    pub async fn profile_before(
        &self,
        job: &str,
        version: i32,
        run_id: Uuid,
    ) -> Result<Option<StoredProfile>, StoreError> {
        let key = (job, version, CqlTimeuuid::from(run_id));
        match self.row::<(CqlTimeuuid,)>(NEWEST, key).await? {
            Some((run_id,)) => self.profile(job, version, run_id.into()).await,
            None => Ok(None),
        }
    }

    /// Returns the profile that a run made of a version; `None` if it made none.
    pub async fn profile(
        &self,
        job: &str,
        version: i32,
        run_id: Uuid,
    ) -> Result<Option<StoredProfile>, StoreError> {
        let key = (job, version, CqlTimeuuid::from(run_id));
        let Some((features, segments, source_rows, rejected)) =
            self.row::<ListRow>(LISTED, key).await?
        else {
            return Ok(None);
        };
        let features = features.unwrap_or_default();
        let segments = segments.unwrap_or_else(|| vec![WHOLE.to_owned()]);
        let cql = format!(
            "SELECT feature, partial, {COLUMNS} FROM drift_profiles WHERE job = ? AND version = ? AND segment = ? AND feature IN ? AND run_id = ?"
        );
        let mut profile = StoredProfile {
            run_id,
            version,
            distributions: BTreeMap::new(),
            source_rows: source_rows.cell(),
            rejected: rejected.cell(),
        };
        for segment in segments {
            let values = (job, version, &segment, &features, key.2);
            let rows: Vec<ProfileRow> = self.rows(&cql, values).await?;
            for mut row in rows {
                let mut distribution = row
                    .distribution()
                    .map_err(|error| StoreError::corrupt(error, &cql))?;
                distribution.is_partial = row.partial == Some(true);
                let place = (segment.clone(), row.feature);
                profile.distributions.insert(place, distribution);
            }
        }
        Ok(Some(profile))
    }
}
