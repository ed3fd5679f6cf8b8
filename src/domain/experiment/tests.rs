use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    verdict::{Evidence, Judgement},
    *,
};
use crate::domain::evidence::experiment::{
    interval::Interval, sample_ratio::SampleRatio, units::Stage,
};

fn at(text: &str) -> Option<DateTime<Utc>> {
    Some(text.parse().unwrap())
}

fn row() -> ExperimentRow {
    let text = |text: &str| Some(text.to_owned());
    ExperimentRow {
        job: "tumour".to_owned(),
        name: "sharper".to_owned(),
        revision: 1,
        arms: [("a", "champion"), ("b", "4")]
            .map(|(arm, version)| (arm.to_owned(), version.to_owned()))
            .into(),
        shares: [("a", 0.5), ("b", 0.5)]
            .map(|(arm, share)| (arm.to_owned(), share))
            .into(),
        metric: text("log_loss"),
        labels: text("clinic.outcomes.diagnosis"),
        ends_at: at("2026-12-01T00:00:00Z"),
        ..ExperimentRow::default()
    }
}

#[track_caller]
fn refused(change: impl FnOnce(&mut ExperimentRow)) -> String {
    let mut row = row();
    change(&mut row);
    let problems = Experiment::read(&row).unwrap_err();
    let lines = problems.iter().map(super::super::problem::Problem::line);
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn what_is_left_out_has_a_default() {
    let experiment = Experiment::read(&row()).unwrap();
    assert_eq!(experiment.control, 0);
    assert_eq!(experiment.better, Better::Lower);
    assert_eq!((experiment.alpha, experiment.level()), (0.05, 0.05));
    assert_eq!(experiment.unit, None);
    let allocation = experiment.allocation("tumour", &[3, 4]);
    assert_eq!(allocation.salt, "sharper/1");
    assert_eq!(
        (allocation.traffic, allocation.arms[1].to),
        (10_000, 10_000)
    );
    assert_eq!(allocation.arms[1].version, 4);
    assert_eq!(allocation.label(1), "sharper/b");
}

#[test]
fn a_new_revision_has_other_salts() {
    let next = ExperimentRow {
        revision: 2,
        ..row()
    };
    let next = Experiment::read(&next).unwrap();
    assert_eq!(next.allocation("tumour", &[3, 4]).salt, "sharper/2");
}

#[test]
fn bad_rows_are_refused_with_what_and_where() {
    let wrong = refused(|row| row.shares.extend([("b".to_owned(), 0.4)]));
    assert!(
        wrong.contains("shares: the shares sum to 0.9; they must sum to 1"),
        "{wrong}"
    );
    let wrong = refused(|row| row.shares.retain(|arm, _| arm != "b"));
    assert!(wrong.contains("arm `b` has no share"), "{wrong}");
    let wrong = refused(|row| row.shares.extend([("c".to_owned(), 0.1)]));
    assert!(wrong.contains("there is no arm `c`"), "{wrong}");
    let wrong = refused(|row| row.shares.extend([("a".to_owned(), f64::NAN)]));
    assert!(wrong.contains("a share is not more than 0"), "{wrong}");
    let wrong = refused(|row| drop(row.arms.remove("b")));
    assert!(wrong.contains("arms: 1 arms"), "{wrong}");
    let wrong = refused(|row| drop(row.arms.insert("a".to_owned(), "3".to_owned())));
    assert!(wrong.contains("control: no arm is the control"), "{wrong}");
    let wrong = refused(|row| row.ends_at = None);
    assert!(wrong.contains("no planned end"), "{wrong}");
    let wrong = refused(|row| row.starts_at = row.ends_at);
    assert!(wrong.contains("the end is not after the start"), "{wrong}");
    let wrong = refused(|row| row.metric = Some("mean_error".to_owned()));
    assert!(
        wrong.contains("neither higher nor lower values of `mean_error`"),
        "{wrong}"
    );
    let wrong = refused(|row| row.covariate = Some("p_1".to_owned()));
    assert!(
        wrong.contains("a covariate does not apply to metric `log_loss`"),
        "{wrong}"
    );
    let wrong = refused(|row| row.better = Some("higher".to_owned()));
    assert!(
        wrong.contains("`log_loss` has a direction of its own"),
        "{wrong}"
    );
    let wrong = refused(|row| row.traffic = Some(0.0));
    assert!(wrong.contains("invalid traffic 0"), "{wrong}");
    let wrong = refused(|row| drop(row.options.insert("lable_time".to_owned(), String::new())));
    assert!(wrong.contains("unknown option `lable_time`"), "{wrong}");
    // All of them at once.
    let wrong = refused(|row| {
        row.labels = None;
        row.alpha = Some(0.0);
    });
    assert!(
        wrong.contains("is not a column") && wrong.contains("invalid alpha 0"),
        "{wrong}"
    );
}

fn interval(low: f64, high: f64) -> Option<Interval> {
    Some(Interval { low, high, p: 0.5 })
}

/// Judges a difference whose always-valid interval is wider than the fixed one by a factor of 2.
fn judged(low: f64, high: f64, is_final: bool, p: f64, margin: Option<f64>) -> Judgement {
    let experiment = Experiment::read(&ExperimentRow {
        metric: Some("mean".to_owned()),
        margin,
        ..row()
    })
    .unwrap();
    let (middle, half) = ((low + high) / 2.0, high - low);
    let compared = Compared {
        difference: middle,
        standard_error: half / 4.0,
        n: 1_000,
        always: interval(middle - half, middle + half),
        fixed: interval(low, high).filter(|_| is_final),
    };
    let test = SampleRatio { p, sequential_p: p };
    judge(
        &experiment,
        &Evidence {
            sample_ratio: &BTreeMap::from([(Stage::Scored, test)]),
            differences: &BTreeMap::from([("b".to_owned(), Ok(compared))]),
            is_final,
        },
    )
}

#[test]
fn the_fixed_interval_decides_at_the_planned_end_only() {
    // Excludes zero as a fixed interval, but not as one for every look.
    assert_eq!(
        judged(0.1, 0.5, false, 1.0, None).verdict,
        ExperimentVerdict::Running
    );
    assert_eq!(
        judged(0.1, 0.5, true, 1.0, None).verdict,
        ExperimentVerdict::Better
    );
    assert_eq!(
        judged(-0.5, -0.1, true, 1.0, None).verdict,
        ExperimentVerdict::Worse
    );
    assert_eq!(
        judged(0.4, 0.5, false, 1.0, None).verdict,
        ExperimentVerdict::Better
    );
}

#[test]
fn no_difference_needs_a_margin() {
    let judged = |margin| judged(-0.1, 0.2, true, 1.0, margin).verdict;
    assert_eq!(judged(None), ExperimentVerdict::Inconclusive);
    assert_eq!(judged(Some(0.15)), ExperimentVerdict::Inconclusive);
    assert_eq!(judged(Some(0.25)), ExperimentVerdict::NoDifference);
}

#[test]
fn a_sample_ratio_mismatch_blocks_every_verdict() {
    for is_final in [false, true] {
        let judged = judged(0.4, 0.5, is_final, 0.0009, None);
        assert_eq!(judged.verdict, ExperimentVerdict::SampleRatioMismatch);
        assert!(judged.reason.contains("scored units"), "{}", judged.reason);
    }
    assert_eq!(
        judged(0.4, 0.5, true, 0.0011, None).verdict,
        ExperimentVerdict::Better
    );
}
