//! What a run counts of the rows that it reads, and what its counts are compared with.
//!
//! Only runs over the whole table are profiled: rows that were asked for by key or token are not a
//! sample of anything. Bins come from the reference of a version; without one from the newest
//! earlier profile, so that runs can be compared with each other; without either the run keeps the
//! values of some rows and makes bins of them at its end.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use crate::{
    domain::{
        evidence::drift::{Bins, CountingPlan, Distribution, MAX_FEATURES},
        job::CompiledJob,
        run::{Part, Run},
    },
    engine::predict::profile::{Layout, SegmentColumn, counted},
    store::{Store, driver::error::StoreError, evidence::profiles::StoredProfile},
};

/// The name of the comparison with the reference, and with the run before.
pub const REFERENCE: &str = "reference";
pub const PREVIOUS: &str = "previous";

/// What a run counts and compares.
#[derive(Debug)]
pub struct Profiling {
    pub layout: Layout,
    /// By version of the plan.
    pub partners: Vec<Partners>,
    /// What people should know about the references.
    pub warnings: Vec<String>,
}

/// What the profile of a version is compared with.
#[derive(Debug, Default)]
pub struct Partners {
    pub reference: Option<Partner>,
    pub previous: Option<Partner>,
}

/// Distributions by segment and feature; the segment of all rows is empty.
#[derive(Debug)]
pub struct Partner {
    /// The run whose profile it is; `None`: the rows that people gave.
    pub run_id: Option<Uuid>,
    pub distributions: BTreeMap<(String, String), Distribution>,
}

impl Partner {
    /// Returns the distribution of a feature over all rows.
    fn bins(&self, feature: &str) -> Option<&Bins> {
        let place = (String::new(), feature.to_owned());
        Some(&self.distributions.get(&place)?.bins)
    }
}

impl From<StoredProfile> for Partner {
    fn from(profile: StoredProfile) -> Self {
        let mut distributions = profile.distributions;
        let rejected = (
            String::new(),
            crate::domain::job::drift::REJECTED.to_owned(),
        );
        // A share has no bins that could differ.
        let share = Distribution::of_share(profile.rejected, profile.source_rows);
        distributions.insert(rejected, share);
        Self {
            run_id: Some(profile.run_id),
            distributions,
        }
    }
}

/// Returns what a run counts and compares; `None` if it is not profiled. `job` then reads the
/// segment column as well.
///
/// # Errors
/// Cassandra's errors.
pub async fn of_run(
    store: &Store,
    job: &mut CompiledJob,
    run: &Run,
) -> Result<Option<Profiling>, StoreError> {
    if run.scope.part != Part::Whole || !job.drift.is_profiled {
        return Ok(None);
    }
    let splits = run.plan.as_ref().map_or(1, |plan| plan.splits.len());
    let segment = read_segment(job);
    let profiling = of_job(store, job, segment, run.run_id, splits as u64).await?;
    Ok(Some(profiling))
}

/// Makes the job read its segment column, and returns where it is.
pub fn read_segment(job: &mut CompiledJob) -> Option<SegmentColumn> {
    let name = job.drift.segment.as_ref()?;
    let mut read = (0..).zip(job.key.iter().chain(&job.columns));
    if let Some((at, column)) = read.find(|(_, column)| column.name == *name) {
        return Some(SegmentColumn {
            column: column.clone(),
            at,
        });
    }
    let column = job.source.column(name)?.clone();
    let at = job.key.len() + job.columns.len();
    job.columns.push(column.clone());
    job.extra_columns += 1;
    Some(SegmentColumn { column, at })
}

/// Returns what is counted and compared where rows are read in `splits` parts under the id
/// `run_id`.
///
/// # Errors
/// Cassandra's errors.
pub async fn of_job(
    store: &Store,
    job: &CompiledJob,
    segment: Option<SegmentColumn>,
    run_id: Uuid,
    splits: u64,
) -> Result<Profiling, StoreError> {
    let baseline = store.baseline(&job.job).await?;
    let mut warnings = Vec::new();
    let (mut versions, mut partners) = (Vec::new(), Vec::new());
    for version in &job.versions {
        let number = version.ready.version;
        let mut found = Partners::default();
        if let Some(baseline) = baseline {
            match store.profile(&job.job, number, baseline).await? {
                Some(profile) => found.reference = Some(profile.into()),
                None => warnings.push(format!(
                    "no_baseline: run {baseline}, the job's baseline, has no profile of version {number}"
                )),
            }
        }
        if found.reference.is_none() {
            let stored = store.reference(&version.ready.model, number).await?;
            for (feature, why) in &stored.unusable {
                warnings.push(format!(
                    "unusable_reference: version {number}, feature `{feature}`: {why}"
                ));
            }
            let features = stored.features.into_iter();
            let whole = features.map(|(feature, of)| ((String::new(), feature), of));
            let distributions: BTreeMap<_, _> = whole.collect();
            found.reference = (!distributions.is_empty()).then_some(Partner {
                run_id: None,
                distributions,
            });
        }
        let previous = store.profile_before(&job.job, number, run_id).await?;
        found.previous = previous.map(Partner::from);
        let bins = |feature: &str| {
            let of = |partner: &Option<Partner>| partner.as_ref()?.bins(feature).cloned();
            of(&found.reference).or_else(|| of(&found.previous))
        };
        versions.push(counted(job, version, MAX_FEATURES, bins));
        partners.push(found);
    }
    Ok(Profiling {
        layout: Layout::new(Arc::new(CountingPlan { versions, splits }), job, segment),
        partners,
        warnings,
    })
}
