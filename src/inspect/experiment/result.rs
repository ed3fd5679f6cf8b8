//! What a pass over an experiment found, as a result.

use std::collections::BTreeMap;

use super::{
    LookSpec,
    fold::{ExperimentFold, ExperimentPart, Measured},
};
use crate::domain::{
    evidence::{
        evaluation::{jackknife::Spread, measure::Measure},
        experiment::{
            arm_sums::ArmSums,
            cuped,
            interval::{ArmDifference, Estimate, Interval},
            sample_ratio::SampleRatio,
            units::Stage,
        },
    },
    experiment::{Compared, Evidence, Experiment, MIN_OBSERVATIONS},
};

/// An arm's estimate, with the error that binning of scores can have made.
struct ArmEstimate {
    estimate: Estimate,
    bound: f64,
}

/// The numbers of one look.
pub struct LookNumbers {
    pub counts: BTreeMap<Stage, BTreeMap<String, u64>>,
    pub sample_ratio: BTreeMap<Stage, SampleRatio>,
    pub values: BTreeMap<String, f64>,
    pub standard_errors: BTreeMap<String, f64>,
    /// Arm → its difference to the control, or why there is none.
    pub differences: BTreeMap<String, Result<Compared, String>>,
    pub adjusted: BTreeMap<String, Compared>,
    pub paired: BTreeMap<String, Compared>,
}

impl LookNumbers {
    /// Computes the numbers. `before`: the sequential p of the look before, by stage.
    pub fn compute(
        spec: &LookSpec<'_>,
        fold: &ExperimentFold,
        part: &ExperimentPart,
        before: &BTreeMap<Stage, SampleRatio>,
    ) -> Self {
        let experiment = spec.experiment;
        let names: Vec<&str> = experiment
            .arms
            .iter()
            .map(|arm| arm.name.as_str())
            .collect();
        let counted = |stage: Stage| -> Vec<u64> {
            match fold.is_clustered {
                true => part.units.counts(names.len(), stage),
                false => part.rows.iter().map(|rows| rows[stage as usize]).collect(),
            }
        };
        let shares = spec.allocation.shares();
        let sample_ratio = Stage::ALL.into_iter().map(|stage| {
            let before = before.get(&stage).map(|test| test.sequential_p);
            (stage, SampleRatio::test(&counted(stage), &shares, before))
        });
        let by_arm = |counts: Vec<u64>| -> BTreeMap<String, u64> {
            let counts = names.iter().zip(counts);
            counts
                .map(|(arm, count)| ((*arm).to_owned(), count))
                .collect()
        };
        let labelled = counted(Stage::Labelled);
        let estimates: Vec<_> = (0..names.len())
            .map(|arm| arm_estimate(experiment, fold, part, arm, labelled[arm]))
            .collect();
        let collect = |number: fn(&ArmEstimate) -> f64| -> BTreeMap<String, f64> {
            let found = names.iter().zip(&estimates);
            let found = found.filter_map(|(arm, estimate)| {
                Some(((*arm).to_owned(), number(estimate.as_ref().ok()?)))
            });
            found.collect()
        };
        let others = || (0..names.len()).filter(|arm| *arm != experiment.control);
        let differences = others().map(|arm| {
            let control = &estimates[experiment.control];
            let difference = difference(spec, &estimates[arm], control);
            (names[arm].to_owned(), difference)
        });
        Self {
            counts: Stage::ALL
                .map(|stage| (stage, by_arm(counted(stage))))
                .into(),
            sample_ratio: sample_ratio.collect(),
            values: collect(|arm| arm.estimate.value),
            standard_errors: collect(|arm| arm.estimate.standard_error),
            differences: differences.collect(),
            adjusted: adjusted(spec, &part.with_covariate, &names),
            paired: others()
                .filter_map(|arm| {
                    let compared = paired(spec, fold, part, arm)?;
                    Some((names[arm].to_owned(), compared))
                })
                .collect(),
        }
    }

    /// Returns what is judged: with a covariate, the adjusted differences, if enough outcomes have one.
    pub fn decisive(&self, experiment: &Experiment) -> BTreeMap<String, Result<Compared, String>> {
        let mut decisive = self.differences.clone();
        if experiment.covariate.is_some() {
            let usable = self.adjusted.iter().filter(|(_, it)| it.always.is_some());
            for (arm, adjusted) in usable {
                decisive.insert(arm.clone(), Ok(*adjusted));
            }
        }
        decisive
    }

    /// Returns the evidence to judge.
    pub fn evidence<'n>(
        &'n self,
        decisive: &'n BTreeMap<String, Result<Compared, String>>,
        is_final: bool,
    ) -> Evidence<'n> {
        Evidence {
            sample_ratio: &self.sample_ratio,
            differences: decisive,
            is_final,
        }
    }
}

/// Returns an arm's metric, or why there is none. `n`: labelled units.
fn arm_estimate(
    experiment: &Experiment,
    fold: &ExperimentFold,
    part: &ExperimentPart,
    arm: usize,
    n: u64,
) -> Result<ArmEstimate, String> {
    let name = &experiment.arms[arm].name;
    if n < 2 {
        return Err(format!("arm `{name}` has {n} labelled units"));
    }
    match &fold.measured {
        Measured::Metric { .. } => {
            let measures = part.metrics[arm].all.versions[0].measures();
            let measure = measures.get(&experiment.metric);
            let measure = measure.ok_or_else(|| {
                let known: Vec<_> = measures.keys().map(String::as_str).collect();
                format!(
                    "there is no metric `{}`; there are {}",
                    experiment.metric,
                    known.join(", ")
                )
            })?;
            let value = measure
                .value
                .map_err(|why| format!("arm `{name}`: {}", why.as_str()))?;
            let spread = measure.spread();
            let spread = spread.ok_or_else(|| {
                format!("arm `{name}` has too few labelled units for an interval, or the metric has none")
            })?;
            Ok(ArmEstimate {
                estimate: jackknifed(value, spread, n),
                bound: measure.bound.unwrap_or(0.0),
            })
        }
        Measured::Mean(_) => {
            let outcomes = &part.outcomes[arm];
            let estimate = match fold.is_clustered {
                false => merged(outcomes.iter()).estimate(),
                true => clustered(outcomes, n),
            };
            let estimate = estimate.ok_or_else(|| {
                format!("arm `{name}` has too few labelled units for an interval")
            })?;
            Ok(ArmEstimate {
                estimate,
                bound: 0.0,
            })
        }
    }
}

fn jackknifed(value: f64, spread: Spread, n: u64) -> Estimate {
    Estimate {
        value,
        standard_error: spread.standard_error,
        degrees_of_freedom: spread.groups as f64 - 1.0,
        n,
    }
}

fn merged<'a>(sums: impl Iterator<Item = &'a ArmSums>) -> ArmSums {
    let mut all = ArmSums::default();
    sums.for_each(|sums| all.merge(sums));
    all
}

/// Returns the mean of outcomes whose units have several rows: a jackknife over groups of units.
fn clustered(groups: &[ArmSums], n: u64) -> Option<Estimate> {
    let used = || groups.iter().enumerate().filter(|(_, group)| group.n > 0);
    let left_out = used().map(|(at, _)| {
        let rest = used().filter(|(other, _)| *other != at);
        merged(rest.map(|(_, group)| group)).mean
    });
    let left_out: Vec<f64> = left_out.collect();
    let spread = Spread::from_estimates(&left_out)?;
    Some(jackknifed(merged(groups.iter()).mean, spread, n))
}

fn difference(
    spec: &LookSpec<'_>,
    arm: &Result<ArmEstimate, String>,
    control: &Result<ArmEstimate, String>,
) -> Result<Compared, String> {
    let (arm, control) = (arm.as_ref(), control.as_ref());
    let (arm, control) = (arm.map_err(Clone::clone)?, control.map_err(Clone::clone)?);
    let least = arm.estimate.n.min(control.estimate.n);
    let difference = arm.estimate.minus(&control.estimate);
    Ok(compared(spec, difference, arm.bound + control.bound, least))
}

/// Returns a difference with its intervals; none below [`MIN_OBSERVATIONS`] observations (`least`: of
/// the smaller arm).
fn compared(spec: &LookSpec<'_>, difference: ArmDifference, bound: f64, least: u64) -> Compared {
    let level = spec.experiment.level();
    let enough = least >= MIN_OBSERVATIONS;
    let wide = |interval: Interval| Interval {
        low: interval.low - bound,
        high: interval.high + bound,
        ..interval
    };
    let always = difference.always_valid(level, spec.experiment.expected_rows);
    let fixed = difference.fixed(level).filter(|_| spec.is_final);
    Compared {
        difference: difference.value,
        standard_error: difference.standard_error,
        n: difference.n,
        always: always.filter(|_| enough).map(wide),
        fixed: fixed.filter(|_| enough).map(wide),
    }
}

fn adjusted(spec: &LookSpec<'_>, arms: &[ArmSums], names: &[&str]) -> BTreeMap<String, Compared> {
    let experiment = spec.experiment;
    let Some(theta) = cuped::theta(arms) else {
        return BTreeMap::new();
    };
    let Some(control) = cuped::adjusted(&arms[experiment.control], theta) else {
        return BTreeMap::new();
    };
    let others = (0..names.len()).filter(|arm| *arm != experiment.control);
    let compared = others.filter_map(|arm| {
        let own = cuped::adjusted(&arms[arm], theta)?;
        let least = own.n.min(control.n);
        Some((
            names[arm].to_owned(),
            compared(spec, own.minus(&control), 0.0, least),
        ))
    });
    compared.collect()
}

/// Returns the difference of an arm's version to the control's on the same rows, of all units.
fn paired(
    spec: &LookSpec<'_>,
    fold: &ExperimentFold,
    part: &ExperimentPart,
    arm: usize,
) -> Option<Compared> {
    let paired = part.paired.as_ref()?;
    let (own, control) = (fold.versions[arm], fold.versions[spec.experiment.control]);
    if own == control {
        return None;
    }
    let measure = |version: usize| -> Option<Measure> {
        let measures = paired.all.versions[version].measures();
        measures.get(&spec.experiment.metric).cloned()
    };
    let difference = measure(own)?.minus(&measure(control)?)?;
    let spread = difference.spread?;
    let n = paired.all.rows;
    let estimate = jackknifed(difference.value, spread, n);
    let difference = ArmDifference {
        value: estimate.value,
        standard_error: estimate.standard_error,
        degrees_of_freedom: estimate.degrees_of_freedom,
        n,
    };
    Some(compared(
        spec,
        difference,
        measure(own)?.bound.unwrap_or(0.0) + measure(control)?.bound.unwrap_or(0.0),
        n,
    ))
}
