//! Counts the rows of the source and their stored predictions, without scoring anything.

use std::sync::Arc;

use serde_json::json;

use super::{DriftReport, report};
use crate::{
    domain::model::tensor::{Element, TensorData},
    engine::{
        jobs,
        predict::profile::{SegmentColumn, SplitCounts, count_outputs},
        run::{
            drift::{self, Read},
            profiling::{self, Profiling},
        },
    },
    failure::Failure,
    inspect::pass::{self, Entity, Fold, PassSpec, Running, Scope, Standing},
    process,
    store::{Store, driver::error::StoreErrorKind},
};

/// What a scan found.
#[derive(Debug)]
pub struct Scanned {
    pub report: DriftReport,
    pub source_rows: u64,
    pub warnings: Vec<String>,
    /// Whether it was stored in `drift`.
    pub stored: bool,
}

/// The number of splits for which the rows to count are chosen: the least that a pass has. A scan of
/// a larger table has more, and counts more rows.
const SPLITS: u64 = 16;

/// What a split of a scan counts.
#[derive(serde::Serialize, serde::Deserialize)]
struct Part {
    counted: SplitCounts,
    /// By version: rows that it has rejected.
    rejected: Vec<u64>,
    /// By version: rows without a prediction of their present values.
    unscored: Vec<u64>,
}

struct CountingFold {
    scope: Arc<Scope>,
    profiling: Arc<Profiling>,
    /// By version of the plan: its index among the versions of the scope.
    order: Vec<usize>,
}

impl Fold for CountingFold {
    type Part = Part;

    fn empty(&self) -> Part {
        let plan = &self.profiling.layout.plan;
        Part {
            counted: SplitCounts::new(plan),
            rejected: vec![0; plan.versions.len()],
            unscored: vec![0; plan.versions.len()],
        }
    }

    fn fold(&self, part: &mut Part, entity: &Entity<'_>) {
        let (job, layout) = (&self.scope.job, &self.profiling.layout);
        let taken = part.counted.taken;
        let mut values = TensorData::new(Element::Float);
        let cells = entity.cells;
        let is_taken = layout.visit(&mut part.counted, &mut values, job, cells, entity.hash);
        for (at, scoped) in self.order.iter().enumerate() {
            match entity.versions.get(*scoped) {
                Some(Standing::Rejected(_)) => part.rejected[at] += 1,
                Some(Standing::Current(prediction)) if is_taken => {
                    let counted = &layout.plan.versions[at];
                    count_outputs(
                        job,
                        &counted.outputs,
                        prediction.outputs(),
                        taken < layout.plan.kept_rows(counted),
                        &mut part.counted.profile.versions[at].outputs,
                    );
                }
                Some(Standing::Current(_)) => {}
                Some(Standing::Stale(_) | Standing::Missing) | None => part.unscored[at] += 1,
            }
        }
    }

    fn merge(&self, sum: &mut Part, part: Part) {
        // All parts of a pass are of one plan: its fingerprint identifies the pass.
        sum.counted.profile.merge(&part.counted.profile);
        sum.counted.read += part.counted.read;
        sum.counted.taken += part.counted.taken;
        for (mine, theirs) in [
            (&mut sum.rejected, part.rejected),
            (&mut sum.unscored, part.unscored),
        ] {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }
}

/// Reads the source and compares it with the references of the job's versions.
///
/// # Errors
/// Those of [`Scope::resolve`] and [`pass::run`].
pub async fn scan(store: &Store, job: &str, running: &Running) -> Result<Scanned, Failure> {
    let prepared = Box::pin(jobs::read_ready(store, job)).await?;
    let versions = prepared.job.versions.iter();
    let spec = PassSpec {
        job: job.to_owned(),
        versions: versions
            .map(|version| version.ready.version.to_string())
            .collect(),
        segment: prepared.job.drift.segment.clone(),
        labels: None,
    };
    let scope = Arc::new(Box::pin(Scope::resolve(store, &spec)).await?);
    let segment = scope.segment.as_ref().map(|segment| SegmentColumn {
        column: segment.column.clone(),
        at: segment.at,
    });
    let now = process::timeuuid();
    let profiling = profiling::of_job(store, &scope.job, segment, now, SPLITS).await?;
    let profiling = Arc::new(profiling);
    let plan = &profiling.layout.plan;
    let options = json!({"plan": format!("{:032x}", plan.fingerprint())});
    let settings = async { Ok(Vec::new()) };
    let begun = pass::begin(store, &scope, "drift", &options, settings).await?;
    let order = plan.versions.iter().filter_map(|counted| {
        let mut versions = scope.versions.iter();
        versions.position(|version| *version == counted.version)
    });
    let fold = Arc::new(CountingFold {
        order: order.collect(),
        profiling: Arc::clone(&profiling),
        scope: Arc::clone(&scope),
    });
    let found = pass::run(store, &scope, &begun, &fold, running).await?;
    let mut warnings = profiling.warnings.clone();
    warnings.extend(pass::resumed(&begun, &found));
    let (drift, source_rows) = concluded(&scope, &profiling, begun.id(), found.part);
    let stored = match drift::store(store, &scope.job, &drift).await {
        Err(error) if error.kind == StoreErrorKind::Denied => false,
        outcome => {
            outcome?;
            true
        }
    };
    pass::end(store, &begun, &found.large).await?;
    Ok(Scanned {
        report: report(job, begun.id(), drift.rows),
        source_rows,
        warnings,
        stored,
    })
}

fn concluded(
    scope: &Scope,
    profiling: &Profiling,
    id: uuid::Uuid,
    part: Part,
) -> (drift::Drift, u64) {
    let read: Vec<Read> = part
        .rejected
        .iter()
        .zip(&part.unscored)
        .map(|(rejected, unscored)| Read {
            source_rows: part.counted.read,
            rejected: *rejected,
            is_partial: drift::is_partial(*unscored, part.counted.read),
        })
        .collect();
    let drift = drift::conclude(&scope.job, id, profiling, part.counted.profile, &read);
    (drift, read.first().map_or(0, |read| read.source_rows))
}
