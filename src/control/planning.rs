//! Plans runs: answers the job's row first, so that a run is planned with what people wrote last.

use std::collections::BTreeMap;

use super::jobs;
use crate::{
    engine::run::plan::{self, Planned, RunSpec},
    failure::Failure,
    store::Store,
};

/// Opens and plans the run that `wish` asks for, or finds the open run that does the same.
///
/// # Errors
/// Those of [`jobs::prepare`] and of [`plan::plan`].
pub async fn plan(store: &Store, wish: &RunSpec) -> Result<Planned, Failure> {
    Box::pin(plan_pointing(store, wish, &BTreeMap::new())).await
}

/// Plans like [`plan()`], as if these aliases of the job's model pointed there.
///
/// # Errors
/// Those of [`plan()`].
pub async fn plan_pointing(
    store: &Store,
    wish: &RunSpec,
    pointing: &BTreeMap<String, i32>,
) -> Result<Planned, Failure> {
    if let Some(run) = plan::planned_before(store, wish).await? {
        return Ok(Planned::Opened(Box::new(run)));
    }
    let versions = wish.versions.as_ref();
    let prepared = jobs::prepare_pointing(store, &wish.job, versions, pointing);
    let prepared = Box::pin(prepared).await?;
    Box::pin(plan::plan(store, wish, prepared)).await
}
