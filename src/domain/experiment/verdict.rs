//! Decides what an experiment's intervals say.

use std::collections::BTreeMap;

use super::{Compared, Experiment};
use crate::domain::{
    evidence::{
        evaluation::report::Better,
        experiment::{
            interval::Interval,
            sample_ratio::{LEVEL, SampleRatio},
            units::Stage,
        },
    },
    spelling::spelled,
};

/// Observations of each arm from which its interval counts: the intervals are asymptotic.
pub const MIN_OBSERVATIONS: u64 = 50;

/// `experiment_results.verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExperimentVerdict {
    /// Nothing is decided yet.
    Running,
    /// The arms do not have the sizes that they should have: no difference means anything.
    SampleRatioMismatch,
    /// The arm is better than the control.
    Better,
    /// The arm is worse than the control.
    Worse,
    /// At the end: the difference is smaller than the margin.
    NoDifference,
    /// At the end: neither of these is shown.
    Inconclusive,
}

spelled! {
    ExperimentVerdict {
        Running => "running",
        SampleRatioMismatch => "srm",
        Better => "better",
        Worse => "worse",
        NoDifference => "no_difference",
        Inconclusive => "inconclusive",
    }
}

/// What is judged.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Tests of the arms' sizes.
    pub sample_ratio: &'a BTreeMap<Stage, SampleRatio>,
    /// Arm → its difference to the control; `None`: there is none, and why.
    pub differences: &'a BTreeMap<String, Result<Compared, String>>,
    /// Whether the planned end has come.
    pub is_final: bool,
}

/// The verdict on an experiment and on each arm, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub verdict: ExperimentVerdict,
    pub arms: BTreeMap<String, ExperimentVerdict>,
    pub reason: String,
}

/// Judges the evidence of one look. A sample ratio mismatch blocks every other verdict.
///
/// While the experiment runs, only the interval that is valid at every look decides; at the planned
/// end the fixed one does.
pub fn judge(experiment: &Experiment, evidence: &Evidence<'_>) -> Judgement {
    // Chi-square finds small samples sooner, and the test for every look remembers earlier ones.
    // Repeated looks at chi-square may block a verdict by chance, but never make one.
    let mismatched = |test: &SampleRatio| test.p.min(test.sequential_p) < LEVEL;
    let mut stages = evidence.sample_ratio.iter();
    let mismatch = stages.find(|(_, test)| mismatched(test));
    if let Some((stage, test)) = mismatch {
        let reason = format!(
            "the arms' {} units do not have the planned shares (p = {:.2e}); rows are lost in one arm and not in another",
            stage.as_str(),
            test.p.min(test.sequential_p)
        );
        let arms = evidence.differences.keys().cloned();
        return Judgement {
            verdict: ExperimentVerdict::SampleRatioMismatch,
            arms: arms
                .map(|arm| (arm, ExperimentVerdict::SampleRatioMismatch))
                .collect(),
            reason,
        };
    }
    let judged = evidence.differences.iter().map(|(arm, difference)| {
        let (verdict, reason) = match difference {
            Ok(difference) => of_arm(experiment, difference, evidence.is_final),
            Err(why) => (undecided(evidence.is_final), why.clone()),
        };
        (arm.clone(), verdict, format!("{arm}: {reason}"))
    });
    let judged: Vec<_> = judged.collect();
    let reasons: Vec<_> = judged
        .iter()
        .map(|(_, _, reason)| reason.as_str())
        .collect();
    Judgement {
        verdict: overall(judged.iter().map(|(_, verdict, _)| *verdict)),
        reason: reasons.join("; "),
        arms: judged
            .iter()
            .map(|(arm, verdict, _)| (arm.clone(), *verdict))
            .collect(),
    }
}

fn undecided(is_final: bool) -> ExperimentVerdict {
    match is_final {
        true => ExperimentVerdict::Inconclusive,
        false => ExperimentVerdict::Running,
    }
}

fn of_arm(
    experiment: &Experiment,
    compared: &Compared,
    is_final: bool,
) -> (ExperimentVerdict, String) {
    let interval = match is_final {
        true => compared.fixed,
        false => compared.always,
    };
    let Some(interval) = interval else {
        return (
            undecided(is_final),
            format!("too few observations ({}), or no variation", compared.n),
        );
    };
    let Interval { low, high, .. } = interval;
    let (low, high) = match experiment.better {
        Better::Higher => (low, high),
        Better::Lower => (-high, -low),
    };
    let said = format!(
        "{} {:+.6} [{:+.6}, {:+.6}] on {} observations",
        experiment.metric, compared.difference, interval.low, interval.high, compared.n
    );
    let within = |margin: f64| low > -margin && high < margin;
    let verdict = if low > 0.0 {
        ExperimentVerdict::Better
    } else if high < 0.0 {
        ExperimentVerdict::Worse
    } else if is_final && experiment.margin.is_some_and(within) {
        ExperimentVerdict::NoDifference
    } else {
        undecided(is_final)
    };
    (verdict, said)
}

/// Returns the verdict on all arms: better if one is, worse or no different if all are, undecided
/// otherwise.
fn overall(arms: impl Iterator<Item = ExperimentVerdict>) -> ExperimentVerdict {
    let arms: Vec<ExperimentVerdict> = arms.collect();
    let any = |verdict| arms.contains(&verdict);
    [
        ExperimentVerdict::Better,
        ExperimentVerdict::Running,
        ExperimentVerdict::Inconclusive,
    ]
    .into_iter()
    .find(|verdict| any(*verdict))
    .unwrap_or_else(|| match any(ExperimentVerdict::NoDifference) {
        true => ExperimentVerdict::NoDifference,
        false => ExperimentVerdict::Worse,
    })
}
