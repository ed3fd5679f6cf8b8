use std::collections::BTreeMap;

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;

pub(super) fn gate() -> Gate {
    Gate::read(&GateRow {
        model: "tumour".to_owned(),
        name: "better".to_owned(),
        metric: Some("roc_auc".to_owned()),
        labels: Some("clinic.outcomes.diagnosis".to_owned()),
        min_improvement: Some(0.001),
        min_labelled_rows: Some(1_000),
        ..GateRow::default()
    })
    .unwrap()
}

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_000_000_000).unwrap()
}

pub(super) fn evidence() -> Evidence {
    let map = |value: f64| BTreeMap::from([("roc_auc".to_owned(), value)]);
    Evidence {
        evaluation: Uuid::nil(),
        at: Some(now() - TimeDelta::hours(1)),
        version: 4,
        baseline: Some(3),
        labels: "clinic.outcomes.diagnosis".to_owned(),
        leakage_checked: true,
        labelled: 2_100,
        evaluated: 2_000,
        unusable: [Unusable::default(); 2],
        differences: map(0.02),
        standard_errors: map(0.004),
        bounds: map(0.0002),
        is_fine: true,
        segments: None,
        experiment: Vec::new(),
    }
}

#[test]
fn a_gate_may_require_that_the_version_is_better_in_an_experiment() {
    let gate = Gate {
        experiment: Some(("tumour".to_owned(), "sharper".to_owned())),
        ..gate()
    };
    assert!(why(&gate, &evidence()).contains("has no verdict on version 4"));
    let says = |verdict: &str| Evidence {
        experiment: vec![verdict.to_owned()],
        ..evidence()
    };
    assert!(why(&gate, &says("srm")).contains("says srm of version 4"));
    assert!(gate.judge(&says("better"), Some(3), now()).passes());
}

/// The one reason.
fn why(gate: &Gate, evidence: &Evidence) -> String {
    let verdict = gate.judge(evidence, Some(3), now());
    assert_eq!(verdict.reasons.len(), 1, "{:?}", verdict.reasons);
    verdict.reasons[0].clone()
}

#[test]
fn a_clear_improvement_passes_and_a_doubtful_one_does_not() {
    let verdict = gate().judge(&evidence(), Some(3), now());
    assert!(verdict.passes(), "{:?}", verdict.reasons);
    // Narrower than a single look would have it.
    assert!(verdict.low.unwrap() < 0.02 - 1.96 * 0.004 && verdict.low.unwrap() > 0.001);
    let doubtful = Evidence {
        standard_errors: BTreeMap::from([("roc_auc".to_owned(), 0.008)]),
        ..evidence()
    };
    // 1.96 x 0.008 below 0.02 is still better: one look would have passed it.
    assert!(why(&gate(), &doubtful).contains("better by"));
    let binned = Evidence {
        bounds: BTreeMap::from([("roc_auc".to_owned(), 0.02)]),
        ..evidence()
    };
    assert!(why(&gate(), &binned).contains("better by"));
}

#[test]
fn less_is_better_for_losses() {
    let gate = Gate {
        metric: "log_loss".to_owned(),
        better: Better::Lower,
        ..gate()
    };
    let map = |value: f64| BTreeMap::from([("log_loss".to_owned(), value)]);
    let of = |difference: f64| Evidence {
        differences: map(difference),
        standard_errors: map(0.001),
        bounds: BTreeMap::new(),
        ..evidence()
    };
    assert!(gate.judge(&of(-0.02), Some(3), now()).passes());
    assert!(!gate.judge(&of(0.02), Some(3), now()).passes());
}

#[test]
fn stale_partial_unlabelled_and_leaky_evidence_never_passes() {
    let leaky = Evidence {
        leakage_checked: false,
        ..evidence()
    };
    assert!(why(&gate(), &leaky).starts_with("leakage_unchecked"));
    let old = Evidence {
        at: Some(now() - TimeDelta::days(8)),
        ..evidence()
    };
    assert!(why(&gate(), &old).starts_with("stale"));
    let moved = gate().judge(&evidence(), Some(2), now());
    assert!(moved.reasons[0].starts_with("stale"), "{moved:?}");
    let alone = Evidence {
        baseline: None,
        ..evidence()
    };
    assert!(!gate().judge(&alone, None, now()).passes());
    let few = Evidence {
        evaluated: 999,
        standard_errors: BTreeMap::from([("roc_auc".to_owned(), 0.001)]),
        ..evidence()
    };
    assert!(why(&gate(), &few).starts_with("unlabelled"));
    let other = Evidence {
        labels: "clinic.outcomes.other".to_owned(),
        ..evidence()
    };
    assert!(why(&gate(), &other).contains("labels"));
    let mut partial = evidence();
    partial.unusable[1].all = 106;
    assert!(why(&gate(), &partial).starts_with("partial: the baseline"));
    let mut nearly = evidence();
    nearly.unusable[0] = Unusable {
        uncovered: 1,
        all: 1,
    };
    assert!(gate().judge(&nearly, Some(3), now()).passes());
    let full = Gate {
        full_coverage: true,
        ..gate()
    };
    assert!(why(&full, &nearly).starts_with("partial"));
    let blind = Evidence {
        standard_errors: BTreeMap::new(),
        ..evidence()
    };
    assert!(why(&gate(), &blind).contains("no difference with an interval"));
    let constant = Evidence {
        standard_errors: BTreeMap::from([("roc_auc".to_owned(), 0.0)]),
        ..evidence()
    };
    assert!(why(&gate(), &constant).contains("does not vary"));
}

#[test]
fn evidence_from_the_future_has_no_age() {
    let ahead = |minutes: i64| Evidence {
        at: Some(now() + TimeDelta::minutes(minutes)),
        ..evidence()
    };
    assert!(why(&gate(), &ahead(6)).contains("dated in the future"));
    assert!(why(&gate(), &ahead(100 * 24 * 60)).starts_with("stale"));
    let nearly = gate().judge(&ahead(4), Some(3), now());
    assert!(nearly.passes(), "clocks differ a little: {nearly:?}");
}

#[test]
fn intervals_of_an_earlier_helenus_are_not_believed() {
    let coarse = Evidence {
        is_fine: false,
        ..evidence()
    };
    assert!(why(&gate(), &coarse).starts_with("coarse"));
    let map = |value: f64| BTreeMap::from([("log_loss".to_owned(), value)]);
    let loss = Evidence {
        differences: map(-0.02),
        standard_errors: map(0.001),
        ..coarse
    };
    let gate = Gate {
        metric: "log_loss".to_owned(),
        better: Better::Lower,
        ..gate()
    };
    assert!(gate.judge(&loss, Some(3), now()).passes());
}

#[test]
fn a_metric_with_a_sign_makes_no_gate() {
    for metric in ["mean_error", "best_threshold"] {
        let row = GateRow {
            model: "m".to_owned(),
            name: "g".to_owned(),
            metric: Some(metric.to_owned()),
            labels: Some("a.b.c".to_owned()),
            min_labelled_rows: Some(100),
            ..GateRow::default()
        };
        let problems = Gate::read(&row).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].place.as_deref(), Some("metric"));
        assert!(
            problems[0].message.contains("neither higher nor lower"),
            "{problems:?}"
        );
    }
}

#[test]
fn a_gain_over_all_does_not_pay_for_a_loss_in_a_segment() {
    let gate = Gate {
        segment_margin: Some(0.01),
        ..gate()
    };
    assert!(why(&gate, &evidence()).contains("segments"));
    let with = |difference: Option<f64>, error: f64| {
        let segment = SegmentEvidence {
            rows: 1_000,
            difference,
            standard_error: difference.map(|_| error),
            bound: 0.0,
        };
        Evidence {
            segments: Some(BTreeMap::from([("north".to_owned(), segment)])),
            ..evidence()
        }
    };
    assert!(gate.judge(&with(Some(0.0), 0.002), Some(3), now()).passes());
    assert!(why(&gate, &with(Some(-0.02), 0.002)).contains("may be worse"));
    assert!(why(&gate, &with(Some(0.0), 0.02)).contains("may be worse"));
    assert!(why(&gate, &with(None, 0.0)).contains("no difference"));
    // As for all rows: what does not vary is no evidence, and binning may have made the rest.
    assert!(why(&gate, &with(Some(0.0), 0.0)).contains("segment `north`: roc_auc does not vary"));
    let mut binned = with(Some(0.0), 0.002);
    for segment in binned.segments.iter_mut().flat_map(|all| all.values_mut()) {
        segment.bound = 0.01;
    }
    assert!(why(&gate, &binned).contains("may be worse"));
}

#[test]
fn rows_under_the_old_names_of_columns_are_read() {
    let row = GateRow {
        model: "tumour".to_owned(),
        name: "old".to_owned(),
        metric: Some("roc_auc".to_owned()),
        labels: Some("clinic.outcomes.diagnosis".to_owned()),
        least_improvement: Some(0.002),
        least_labelled: Some(500),
        ..GateRow::default()
    };
    let gate = Gate::read(&row).unwrap();
    assert_eq!((gate.min_improvement, gate.min_labelled_rows), (0.002, 500));
    let mended = GateRow {
        min_labelled_rows: Some(600),
        ..row
    };
    assert_eq!(Gate::read(&mended).unwrap().min_labelled_rows, 600);
}

#[test]
fn a_row_is_told_all_that_is_wrong_with_it() {
    let row = GateRow {
        alias: Some("previous".to_owned()),
        min_improvement: Some(f64::NAN),
        confidence: Some(95.0),
        max_age: Some("soon".to_owned()),
        ..GateRow::default()
    };
    let problems = Gate::read(&row).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .flat_map(|problem| problem.place.as_deref())
        .collect();
    assert_eq!(
        places,
        [
            "alias",
            "metric",
            "labels",
            "min_improvement",
            "confidence",
            "min_labelled_rows",
            "max_age"
        ]
    );
}
