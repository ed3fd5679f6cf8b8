//! Drift as runs have found it, and by a pass over the source without scoring.

mod scan;

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    domain::{
        evidence::drift::{Distribution, DriftVerdict},
        problem::Problem,
    },
    engine::{jobs, run::profiling::REFERENCE},
    failure::Failure,
    store::{
        Store,
        evidence::{
            drift::{DriftHistory, DriftRow},
            profiles::StoredProfile,
        },
    },
};

pub use scan::{Scanned, scan};

/// What a run found.
#[derive(Debug)]
pub struct DriftReport {
    pub job: String,
    pub run_id: Uuid,
    /// In the order of versions, the most serious verdicts first.
    pub rows: Vec<DriftRow>,
}

/// The distributions behind a report, for pictures.
#[derive(Debug)]
pub struct Shapes {
    /// By version: what the run read.
    pub now: Vec<StoredProfile>,
    /// By version and feature, over all rows: what it was compared with as `reference`.
    pub reference: BTreeMap<(i32, String), Distribution>,
    /// By version and feature, over all rows and against the reference: earlier runs, newest first.
    pub history: BTreeMap<(i32, String), Vec<DriftHistory>>,
}

/// Rows of earlier runs that are read for the history.
const HISTORY_ROWS: i32 = 20_000;

impl DriftReport {
    /// Returns the rows that say that something has changed.
    pub fn drifted(&self) -> impl Iterator<Item = &DriftRow> {
        self.rows
            .iter()
            .filter(|row| verdict(row).is_some_and(DriftVerdict::is_drift))
    }

    /// Returns the versions that rows are about, ascending.
    pub fn versions(&self) -> Vec<i32> {
        let mut versions: Vec<i32> = self.rows.iter().map(|row| row.version).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

/// Returns the verdict of a row; `None`: one that this helenus does not know.
pub fn verdict(row: &DriftRow) -> Option<DriftVerdict> {
    DriftVerdict::parse(&row.verdict)
}

/// Reads what a run found; without `run_id`, the newest run that found anything.
///
/// # Errors
/// The job does not exist, the run does not, or nothing was found about it (exit 5); Cassandra's
/// errors.
pub async fn read(store: &Store, job: &str, run_id: Option<Uuid>) -> Result<DriftReport, Failure> {
    let run_id = match run_id {
        Some(run_id) => Some(run_id),
        None => store.newest_drift(job).await?,
    };
    let rows = match run_id {
        Some(run_id) => store.drift(job, run_id).await?,
        None => Vec::new(),
    };
    match run_id {
        Some(run_id) if !rows.is_empty() => Ok(report(job, run_id, rows)),
        _ => {
            // An unknown job is reported as such.
            Box::pin(jobs::read_ready(store, job)).await?;
            Err(nothing(job, run_id))
        }
    }
}

fn report(job: &str, run_id: Uuid, mut rows: Vec<DriftRow>) -> DriftReport {
    rows.sort_by(|a, b| {
        let key = |row: &DriftRow| (row.version, verdict(row), row.against == REFERENCE);
        let ((a1, a2, a3), (b1, b2, b3)) = (key(a), key(b));
        (a1, a2)
            .cmp(&(b1, b2))
            .then(b3.cmp(&a3))
            .then_with(|| (&a.segment, &a.feature).cmp(&(&b.segment, &b.feature)))
    });
    DriftReport {
        job: job.to_owned(),
        run_id,
        rows,
    }
}

fn nothing(job: &str, run_id: Option<Uuid>) -> Failure {
    let message = match run_id {
        Some(run_id) => format!("run {run_id} of job `{job}` was compared with nothing"),
        None => format!("no run of job `{job}` was compared with anything yet"),
    };
    Failure::not_found(Problem::new("drift.none", message).help(format!(
        "runs over the whole table are compared with a version's reference (`model push --reference`), a baseline (`helenus drift baseline {job}`), and the run before"
    )))
}

/// Reads the distributions behind a report.
///
/// # Errors
/// The job has no ready revision (exit 2, 5); Cassandra's errors.
pub async fn shapes(store: &Store, report: &DriftReport) -> Result<Shapes, Failure> {
    let job = &report.job;
    let mut shapes = Shapes {
        now: Vec::new(),
        reference: BTreeMap::new(),
        history: BTreeMap::new(),
    };
    for version in report.versions() {
        let now = store.profile(job, version, report.run_id).await?;
        shapes.now.extend(now);
        let mut against = report
            .rows
            .iter()
            .filter(|row| row.version == version && row.against == REFERENCE);
        let Some(first) = against.next() else {
            continue;
        };
        let features: Vec<(String, Distribution)> = match first.other_run {
            Some(run_id) => {
                let profile = store.profile(job, version, run_id).await?;
                let distributions = profile.map(|profile| profile.distributions);
                let distributions = distributions.unwrap_or_default().into_iter();
                let whole = distributions.filter(|((segment, _), _)| segment.is_empty());
                whole.map(|((_, feature), of)| (feature, of)).collect()
            }
            None => {
                let prepared = Box::pin(jobs::read_ready(store, job)).await?;
                let stored = store.reference(&prepared.manifest.model, version).await?;
                stored.features.into_iter().collect()
            }
        };
        let features = features.into_iter();
        shapes
            .reference
            .extend(features.map(|(feature, of)| ((version, feature), of)));
    }
    for row in until(store.drift_history(job, HISTORY_ROWS).await?, report.run_id) {
        if row.against == REFERENCE && row.segment.is_empty() {
            let place = (row.version, row.feature.clone());
            shapes.history.entry(place).or_default().push(row);
        }
    }
    Ok(shapes)
}

/// Leaves out the rows of runs after `run_id`. Rows come newest run first, as Cassandra orders the ids
/// of runs: the order of their bytes is another one, for a timeuuid begins with the low bits of its
/// time, which start again every seven minutes.
fn until(rows: Vec<DriftHistory>, run_id: Uuid) -> impl Iterator<Item = DriftHistory> {
    rows.into_iter().skip_while(move |row| row.run_id != run_id)
}

/// Names a run, or none, as a job's baseline.
///
/// # Errors
/// The job does not exist (exit 5); the run has no profile of any version of the job (exit 2);
/// Cassandra's errors.
pub async fn check_baseline(store: &Store, job: &str, run_id: Uuid) -> Result<Vec<i32>, Failure> {
    let prepared = Box::pin(jobs::read_ready(store, job)).await?;
    let mut versions = Vec::new();
    for version in &prepared.job.versions {
        let number = version.ready.version;
        if store.profile(job, number, run_id).await?.is_some() {
            versions.push(number);
        }
    }
    if versions.is_empty() {
        let message = format!("run {run_id} has no profile of a version of job `{job}`");
        return Err(Failure::input(
            Problem::new("drift.no_profile", message)
                .at("--run")
                .help("name a run over the whole table that ended since helenus profiles runs, at most 90 days ago"),
        ));
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_runs_are_those_before_in_time_whatever_their_bytes() {
        // A second apart; the low bits of the time start again between them.
        let earlier = Uuid::from_u128(0xffff_ff00_27ed_11f1_b516_0d10_9e40_5aa6);
        let later = Uuid::from_u128(0x0098_9600_27ee_11f1_b516_0d10_9e40_5aa6);
        assert!(later < earlier);
        let row = |run_id| DriftHistory {
            run_id,
            version: 1,
            feature: "mean radius".to_owned(),
            against: REFERENCE.to_owned(),
            segment: String::new(),
            verdict: "stable".to_owned(),
            psi: Some(0.1),
        };
        let rows = || vec![row(later), row(earlier)];
        let runs = |run_id| -> Vec<Uuid> { until(rows(), run_id).map(|row| row.run_id).collect() };
        assert_eq!(runs(later), [later, earlier]);
        assert_eq!(runs(earlier), [earlier]);
    }
}
