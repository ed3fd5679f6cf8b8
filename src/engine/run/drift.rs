//! Compares what a run has read with the reference and with the run before, and stores both.

use std::collections::BTreeMap;

use chrono::Utc;
use uuid::Uuid;

use super::{
    close::each_split,
    context::RunContext,
    profiling::{PREVIOUS, Partner, Profiling, REFERENCE},
};
use crate::{
    domain::{
        evidence::drift::{
            Counted, Counter, Distribution, DriftVerdict, Finding, Measure, Pair, Profile, judge,
        },
        job::{
            CompiledJob,
            drift::{DriftRules, REJECTED},
        },
        run::Counts,
    },
    metrics,
    store::{
        Store,
        driver::error::{StoreError, StoreErrorKind},
        evidence::{drift::DriftRow, profiles::StoredProfile},
    },
};

/// Features that a warning names.
const NAMED: usize = 3;

/// What was found about the rows of a run or a scan.
#[derive(Debug)]
pub struct Drift {
    /// By version.
    pub profiles: Vec<StoredProfile>,
    pub rows: Vec<DriftRow>,
}

/// Rows read and rejected of one version.
#[derive(Debug, Clone, Copy)]
pub struct Read {
    pub source_rows: u64,
    pub rejected: u64,
    /// Whether outputs are of a part of the rows only.
    pub is_partial: bool,
}

/// Returns whether so many rows were not scored that the outputs of the others are a biased sample.
pub fn is_partial(unscored: u64, source_rows: u64) -> bool {
    unscored.saturating_mul(100) > source_rows
}

/// Judges the rows of a run whose splits are all done, and stores the result. Returns warnings.
///
/// # Errors
/// Cassandra's errors, except that a missing permission is a warning.
pub(super) async fn measure(
    context: &RunContext,
    counts: &Counts,
) -> Result<Vec<String>, StoreError> {
    let Some(profiling) = &context.profiling else {
        return Ok(Vec::new());
    };
    let mut warnings = profiling.warnings.clone();
    let mut sum = Profile::new(&profiling.layout.plan);
    let splits = each_split(&context.run, |id| async move {
        context.store.split_profile(&id).await
    });
    for profile in splits.await?.into_iter().flatten() {
        if !sum.merge(&profile) {
            warnings.push(
                "drift_unmeasured: the reference changed while the run was under way".to_owned(),
            );
            return Ok(warnings);
        }
    }
    let of = |map: &BTreeMap<i32, u64>, version| map.get(&version).copied().unwrap_or(0);
    let versions = profiling.layout.plan.versions.iter();
    let read: Vec<Read> = versions
        .map(|counted| Read {
            source_rows: counts.source_rows,
            rejected: of(&counts.rejected, counted.version),
            is_partial: is_partial(of(&counts.unchanged, counted.version), counts.source_rows),
        })
        .collect();
    let drift = conclude(&context.job, context.run.run_id, profiling, sum, &read);
    match store(&context.store, &context.job, &drift).await {
        Err(error) if error.kind == StoreErrorKind::Denied => {
            warnings.push(
                "drift_not_stored: this login has no permission to write `drift` and `drift_profiles`; `helenus role create` grants it to workers"
                    .to_owned(),
            );
        }
        outcome => outcome?,
    }
    for verdict in drift.rows.iter().map(|row| row.verdict.as_str()) {
        metrics::DRIFT_VERDICTS
            .counter([&context.run.job, verdict])
            .increment(1);
    }
    warnings.extend(warning(&context.run.job, &drift.rows));
    Ok(warnings)
}

/// Stores profiles, then what was found.
///
/// # Errors
/// Cassandra's errors; what was stored may be stored again.
pub async fn store(store: &Store, job: &CompiledJob, drift: &Drift) -> Result<(), StoreError> {
    for profile in &drift.profiles {
        store.put_profile(&job.job, profile).await?;
    }
    store.put_drift(&drift.rows).await
}

/// Returns a sentence about what has drifted against the reference, the most serious first.
fn warning(job: &str, rows: &[DriftRow]) -> Option<String> {
    let verdict = |row: &DriftRow| DriftVerdict::parse(&row.verdict);
    let mut drifted: Vec<&DriftRow> = rows
        .iter()
        .filter(|row| row.against == REFERENCE && verdict(row).is_some_and(DriftVerdict::is_drift))
        .collect();
    drifted.sort_by_key(|row| verdict(row));
    let mut named: Vec<String> = Vec::new();
    for row in drifted {
        let segment = match row.segment.as_str() {
            "" => String::new(),
            segment => format!(" in `{segment}`"),
        };
        named.push(format!(
            "`{}`{segment} of version {} is {} against the reference",
            row.feature, row.version, row.verdict
        ));
    }
    let total = named.len();
    named.truncate(NAMED);
    let more = match total - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (total > 0).then(|| {
        format!(
            "drift: {}{more}; see `helenus drift {job}`",
            named.join(", ")
        )
    })
}

/// Judges what was counted. `read` is aligned with the plan's versions.
pub fn conclude(
    job: &CompiledJob,
    run_id: Uuid,
    profiling: &Profiling,
    counts: Profile,
    read: &[Read],
) -> Drift {
    let versions = profiling.layout.plan.versions.iter().zip(counts.versions);
    let mut profiles = Vec::new();
    for ((counted, profile), read) in versions.zip(read) {
        let mut distributions = BTreeMap::new();
        let mut add =
            |segment: &str, counted: &[Counted], counters: Vec<Counter>, is_partial: bool| {
                for (one, counter) in counted.iter().zip(counters) {
                    let mut distribution: Distribution =
                        counter.into_distribution(one.bins.as_ref());
                    distribution.is_partial = is_partial;
                    distributions.insert((segment.to_owned(), one.name.clone()), distribution);
                }
            };
        add("", &counted.features, profile.features, false);
        add("", &counted.outputs, profile.outputs, read.is_partial);
        for (segment, counters) in profile.segments {
            // Without bins nothing was counted.
            let (known, counters): (Vec<Counted>, Vec<_>) = counted
                .features
                .iter()
                .cloned()
                .zip(counters)
                .filter(|(one, _)| one.bins.is_some())
                .unzip();
            add(&segment, &known, counters, false);
        }
        profiles.push(StoredProfile {
            run_id,
            version: counted.version,
            distributions,
            source_rows: read.source_rows,
            rejected: read.rejected,
        });
    }
    let rows = compare(job, run_id, profiling, &profiles);
    Drift { profiles, rows }
}

/// What a row of the result is about.
struct About<'a> {
    version: i32,
    segment: &'a str,
    feature: &'a str,
    against: &'static str,
    other_run: Option<Uuid>,
}

fn compare(
    job: &CompiledJob,
    run_id: Uuid,
    profiling: &Profiling,
    profiles: &[StoredProfile],
) -> Vec<DriftRow> {
    // Shares have no counters.
    let rejected: Vec<Distribution> = profiles
        .iter()
        .map(|profile| Distribution::of_share(profile.rejected, profile.source_rows))
        .collect();
    let (mut about, mut pairs) = (Vec::new(), Vec::new());
    let versions = profiling
        .layout
        .plan
        .versions
        .iter()
        .zip(&profiling.partners);
    for ((counted, partners), (profile, rejected)) in versions.zip(profiles.iter().zip(&rejected)) {
        let measures: BTreeMap<&str, Measure> = counted
            .features
            .iter()
            .chain(&counted.outputs)
            .map(|one| (one.name.as_str(), one.measure))
            .collect();
        let own = profile
            .distributions
            .iter()
            .map(|((segment, feature), now)| {
                let measure = measures.get(feature.as_str()).copied();
                (segment.as_str(), feature.as_str(), now, measure)
            });
        let own = own.chain([("", REJECTED, rejected, Some(Measure::Share))]);
        for (segment, feature, now, measure) in own {
            for (against, partner) in [
                (REFERENCE, &partners.reference),
                (PREVIOUS, &partners.previous),
            ] {
                let Some((partner, reference)) = known(partner, segment, feature) else {
                    continue;
                };
                about.push(About {
                    version: counted.version,
                    segment,
                    feature,
                    against,
                    other_run: partner.run_id,
                });
                pairs.push(pair(&job.drift, feature, measure, reference, now));
            }
        }
    }
    let now = Utc::now();
    about
        .into_iter()
        .zip(judge(&pairs))
        .map(|(about, found)| row(&job.job, run_id, &about, &found, now))
        .collect()
}

fn known<'a>(
    partner: &'a Option<Partner>,
    segment: &str,
    feature: &str,
) -> Option<(&'a Partner, &'a Distribution)> {
    let partner = partner.as_ref()?;
    let place = (segment.to_owned(), feature.to_owned());
    Some((partner, partner.distributions.get(&place)?))
}

fn pair<'a>(
    rules: &DriftRules,
    feature: &str,
    measure: Option<Measure>,
    reference: &'a Distribution,
    now: &'a Distribution,
) -> Pair<'a> {
    Pair {
        reference,
        now,
        measure: measure.unwrap_or(Measure::Index),
        thresholds: rules.thresholds_of(feature),
    }
}

fn row(
    job: &str,
    run_id: Uuid,
    about: &About<'_>,
    found: &Finding,
    measured_at: chrono::DateTime<Utc>,
) -> DriftRow {
    DriftRow {
        job: job.to_owned(),
        run_id,
        version: about.version,
        feature: about.feature.to_owned(),
        against: about.against.to_owned(),
        segment: about.segment.to_owned(),
        verdict: found.verdict.to_string(),
        cause: found.cause.map(|cause| cause.as_str().to_owned()),
        threshold: found.threshold,
        critical_value: found.critical,
        p: found.p,
        adjusted_p: found.adjusted_p,
        psi: found.psi,
        js: found.js,
        w1: found.w1,
        ks: found.ks,
        linf: found.linf,
        null_delta: Some(found.null_delta),
        nan_delta: Some(found.nan_delta),
        new_category_share: found.new_share,
        n: found.n as i64,
        m: found.m as i64,
        other_run: about.other_run,
        measured_at,
    }
}
