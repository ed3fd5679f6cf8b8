//! `experiment_results`: what each look at an experiment found, written once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use crate::{
    domain::{
        evidence::experiment::{interval::Interval, sample_ratio::SampleRatio, units::Stage},
        experiment::{Compared, ExperimentVerdict, Look},
    },
    process,
    store::{
        Store,
        driver::{
            columns::{Cell, insert},
            error::StoreError,
        },
    },
};

const COLUMNS: &str = "job, name, look, revision, looked_at, is_final, assigned, scored, labelled, without_unit, outside, early, leaked, sample_ratio_p, sample_ratio_sequential_p, metric, metric_values, standard_errors, differences, difference_errors, low, high, p_values, fixed_low, fixed_high, fixed_p_values, adjusted_differences, adjusted_low, adjusted_high, paired_differences, paired_low, paired_high, verdict, verdicts, reason, warnings, looked_by";

type NumbersByArm = Option<BTreeMap<String, f64>>;
type CountsByArm = Option<BTreeMap<String, i64>>;

#[derive(Debug, Default, SerializeRow, DeserializeRow)]
struct ResultRow {
    job: String,
    name: String,
    look: Option<CqlTimeuuid>,
    revision: Option<i32>,
    looked_at: Option<CqlTimestamp>,
    is_final: Option<bool>,
    assigned: CountsByArm,
    scored: CountsByArm,
    labelled: CountsByArm,
    without_unit: Option<i64>,
    outside: Option<i64>,
    early: Option<i64>,
    leaked: Option<i64>,
    sample_ratio_p: NumbersByArm,
    sample_ratio_sequential_p: NumbersByArm,
    metric: Option<String>,
    metric_values: NumbersByArm,
    standard_errors: NumbersByArm,
    differences: NumbersByArm,
    difference_errors: NumbersByArm,
    low: NumbersByArm,
    high: NumbersByArm,
    p_values: NumbersByArm,
    fixed_low: NumbersByArm,
    fixed_high: NumbersByArm,
    fixed_p_values: NumbersByArm,
    adjusted_differences: NumbersByArm,
    adjusted_low: NumbersByArm,
    adjusted_high: NumbersByArm,
    paired_differences: NumbersByArm,
    paired_low: NumbersByArm,
    paired_high: NumbersByArm,
    verdict: Option<String>,
    verdicts: Option<BTreeMap<String, String>>,
    reason: Option<String>,
    warnings: Option<Vec<String>>,
    looked_by: Option<String>,
}

/// Returns one number of each arm's comparison, where there is one.
fn numbers(
    compared: &BTreeMap<String, Compared>,
    number: impl Fn(&Compared) -> Option<f64>,
) -> NumbersByArm {
    let numbers = compared.iter();
    let numbers = numbers.filter_map(|(arm, compared)| Some((arm.clone(), number(compared)?)));
    Some(numbers.collect())
}

/// The interval that is shown beside a difference that has two: the one that is valid now.
fn shown(compared: &Compared) -> Option<Interval> {
    compared.fixed.or(compared.always)
}

impl From<&Look> for ResultRow {
    fn from(look: &Look) -> Self {
        let counts = |stage: Stage| -> CountsByArm {
            let counts = look.counts.get(&stage).cloned().unwrap_or_default();
            Some(counts.cell())
        };
        let tests = |p: fn(&SampleRatio) -> f64| -> NumbersByArm {
            let tests = look.sample_ratio.iter();
            Some(
                tests
                    .map(|(stage, test)| (stage.as_str().to_owned(), p(test)))
                    .collect(),
            )
        };
        let (own, adjusted, paired) = (&look.differences, &look.adjusted, &look.paired);
        Self {
            job: look.job.clone(),
            name: look.experiment.clone(),
            look: Some(look.look.into()),
            revision: Some(look.revision),
            looked_at: look.at.cell(),
            is_final: Some(look.is_final),
            assigned: counts(Stage::Assigned),
            scored: counts(Stage::Scored),
            labelled: counts(Stage::Labelled),
            without_unit: Some(look.without_unit.cell()),
            outside: Some(look.outside.cell()),
            early: Some(look.early.cell()),
            leaked: Some(look.leaked.cell()),
            sample_ratio_p: tests(|test| test.p),
            sample_ratio_sequential_p: tests(|test| test.sequential_p),
            metric: Some(look.metric.clone()),
            metric_values: Some(look.values.clone()),
            standard_errors: Some(look.standard_errors.clone()),
            differences: numbers(own, |one| Some(one.difference)),
            difference_errors: numbers(own, |one| Some(one.standard_error)),
            low: numbers(own, |one| Some(one.always?.low)),
            high: numbers(own, |one| Some(one.always?.high)),
            p_values: numbers(own, |one| Some(one.always?.p)),
            fixed_low: numbers(own, |one| Some(one.fixed?.low)),
            fixed_high: numbers(own, |one| Some(one.fixed?.high)),
            fixed_p_values: numbers(own, |one| Some(one.fixed?.p)),
            adjusted_differences: numbers(adjusted, |one| Some(one.difference)),
            adjusted_low: numbers(adjusted, |one| Some(shown(one)?.low)),
            adjusted_high: numbers(adjusted, |one| Some(shown(one)?.high)),
            paired_differences: numbers(paired, |one| Some(one.difference)),
            paired_low: numbers(paired, |one| Some(shown(one)?.low)),
            paired_high: numbers(paired, |one| Some(shown(one)?.high)),
            verdict: Some(look.verdict.as_str().to_owned()),
            verdicts: Some(
                look.verdicts
                    .iter()
                    .map(|(arm, verdict)| (arm.clone(), verdict.as_str().to_owned()))
                    .collect(),
            ),
            reason: Some(look.reason.clone()),
            warnings: Some(look.warnings.clone()),
            looked_by: Some(process::readable(process::identity())),
        }
    }
}

/// A stored look, as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLook {
    pub look: Uuid,
    pub revision: i32,
    pub at: DateTime<Utc>,
    pub is_final: bool,
    /// Stage → arm → units.
    pub counts: BTreeMap<Stage, BTreeMap<String, u64>>,
    pub without_unit: u64,
    pub outside: u64,
    pub early: u64,
    pub leaked: u64,
    /// Tests of the arms' sizes by stage.
    pub sample_ratio: BTreeMap<Stage, SampleRatio>,
    pub metric: String,
    /// The metric by arm.
    pub values: BTreeMap<String, f64>,
    pub standard_errors: BTreeMap<String, f64>,
    /// Arm against control.
    pub differences: BTreeMap<String, StoredDifference>,
    /// Arm against control, with what the covariate explains removed.
    pub adjusted: BTreeMap<String, StoredDifference>,
    /// Arm against control, both versions' predictions of the same rows.
    pub paired: BTreeMap<String, StoredDifference>,
    pub verdict: ExperimentVerdict,
    pub verdicts: BTreeMap<String, String>,
    pub reason: String,
    pub warnings: Vec<String>,
}

/// A difference and the ends of its intervals, as far as it has them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StoredDifference {
    pub difference: f64,
    /// Valid at every look; for adjusted and paired differences at the planned end, the fixed one.
    pub interval: Option<(f64, f64)>,
    /// The fixed interval, at the planned end.
    pub fixed: Option<(f64, f64)>,
}

impl ResultRow {
    fn into_look(self) -> Option<StoredLook> {
        let counts = [
            (Stage::Assigned, self.assigned),
            (Stage::Scored, self.scored),
            (Stage::Labelled, self.labelled),
        ];
        let unsigned = |counts: CountsByArm| -> BTreeMap<String, u64> {
            let counts = counts.unwrap_or_default().into_iter();
            counts
                .map(|(arm, units)| (arm, Some(units).cell()))
                .collect()
        };
        let p = self.sample_ratio_p.unwrap_or_default();
        let sequential = self.sample_ratio_sequential_p.unwrap_or_default();
        let tests = Stage::ALL.into_iter().filter_map(|stage| {
            let test = SampleRatio {
                p: *p.get(stage.as_str())?,
                sequential_p: *sequential.get(stage.as_str())?,
            };
            Some((stage, test))
        });
        Some(StoredLook {
            look: self.look?.into(),
            revision: self.revision?,
            at: self.looked_at.cell(),
            is_final: self.is_final == Some(true),
            sample_ratio: tests.collect(),
            counts: counts
                .map(|(stage, counts)| (stage, unsigned(counts)))
                .into(),
            without_unit: self.without_unit.cell(),
            outside: self.outside.cell(),
            early: self.early.cell(),
            leaked: self.leaked.cell(),
            metric: self.metric.unwrap_or_default(),
            values: self.metric_values.unwrap_or_default(),
            standard_errors: self.standard_errors.unwrap_or_default(),
            differences: differences(
                self.differences,
                (self.low, self.high),
                (self.fixed_low, self.fixed_high),
            ),
            adjusted: differences(
                self.adjusted_differences,
                (self.adjusted_low, self.adjusted_high),
                (None, None),
            ),
            paired: differences(
                self.paired_differences,
                (self.paired_low, self.paired_high),
                (None, None),
            ),
            verdict: ExperimentVerdict::parse(&self.verdict?)?,
            verdicts: self.verdicts.unwrap_or_default(),
            reason: self.reason.unwrap_or_default(),
            warnings: self.warnings.unwrap_or_default(),
        })
    }
}

fn differences(
    differences: NumbersByArm,
    interval: (NumbersByArm, NumbersByArm),
    fixed: (NumbersByArm, NumbersByArm),
) -> BTreeMap<String, StoredDifference> {
    let ends = |(low, high): &(NumbersByArm, NumbersByArm), arm: &str| {
        let end = |ends: &NumbersByArm| ends.as_ref()?.get(arm).copied();
        end(low).zip(end(high))
    };
    let differences = differences.unwrap_or_default().into_iter();
    differences
        .map(|(arm, difference)| {
            let stored = StoredDifference {
                difference,
                interval: ends(&interval, &arm),
                fixed: ends(&fixed, &arm),
            };
            (arm, stored)
        })
        .collect()
}

impl Store {
    /// Writes a look. Safe to repeat.
    pub async fn insert_look(&self, look: &Look) -> Result<(), StoreError> {
        let cql = insert("experiment_results", COLUMNS);
        self.write(&cql, ResultRow::from(look)).await
    }

    /// Returns an experiment's newest looks, the newest first.
    pub async fn looks(
        &self,
        job: &str,
        experiment: &str,
        limit: i32,
    ) -> Result<Vec<StoredLook>, StoreError> {
        let cql =
            format!("SELECT {COLUMNS} FROM experiment_results WHERE job = ? AND name = ? LIMIT ?");
        let rows: Vec<ResultRow> = self.rows(&cql, (job, experiment, limit)).await?;
        Ok(rows.into_iter().filter_map(ResultRow::into_look).collect())
    }
}
