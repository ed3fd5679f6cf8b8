//! Held against scikit-learn and scipy: tests/metrics/make.py makes the cases and their answers.

mod size;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    GROUPS, Merge, Precision,
    binary::Scores,
    measure::{Absent, Measure},
    moments::Moments,
    paired::{Discordant, paired_t},
    partial::{Kind, OfVersion, Partial, Predicted, Segments, Truth},
    room,
    room::MEMORY_BYTES,
    score_bins::Scale,
};

#[derive(Deserialize)]
struct Oracle {
    cases: Vec<Case>,
    mcnemar: Vec<(u64, u64, f64)>,
    paired_t: Vec<PairedCase>,
}

#[derive(Deserialize)]
struct PairedCase {
    differences: Vec<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    say: BTreeMap<String, Option<f64>>,
    truth: Vec<f64>,
    #[serde(flatten)]
    rows: Rows,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Rows {
    Binary {
        single: bool,
        probabilities: bool,
        /// As texts, since a reader of JSON may round the last digit.
        scores: Vec<String>,
        decided: BTreeMap<String, BTreeMap<String, Option<f64>>>,
        roc_auc_standard_error: Option<f64>,
        calibration: Option<(Vec<f64>, Vec<f64>)>,
    },
    Classes {
        single: bool,
        classes: u16,
        said: Vec<u16>,
        probabilities: Vec<Vec<f64>>,
        confusion: Vec<Vec<u64>>,
    },
    Regression {
        said: Vec<f64>,
        zeros: u64,
        error: Vec<f64>,
        absolute_error: Vec<f64>,
    },
}

fn oracle() -> Oracle {
    let text = include_str!("../../../../../tests/metrics/oracle.json");
    serde_json::from_str(text).unwrap()
}

fn precision(single: bool) -> Precision {
    match single {
        true => Precision::Single,
        false => Precision::Double,
    }
}

impl Case {
    fn kind(&self) -> Kind {
        match &self.rows {
            Rows::Binary {
                single,
                probabilities,
                decided,
                ..
            } => Kind::Binary(Scores {
                scale: match probabilities {
                    true => Scale::Probability,
                    false => Scale::Score,
                },
                precision: precision(*single),
                thresholds: decided.keys().map(|key| key.parse().unwrap()).collect(),
            }),
            Rows::Classes {
                single, classes, ..
            } => Kind::Classes(*classes, Some(precision(*single))),
            Rows::Regression { .. } => Kind::Regression,
        }
    }

    /// Rows `from..to`, each in its group.
    fn partial(&self, from: usize, to: usize, bytes: usize) -> Partial {
        let mut partial = Partial::within(vec![self.kind()], bytes);
        for at in from..to {
            let truth = self.truth[at];
            let group = (at % usize::from(GROUPS)) as u8;
            let segment = Some(["north", "south"][at % 2].to_owned());
            let segment = Some(&segment);
            match &self.rows {
                Rows::Binary { single, scores, .. } => {
                    let score = precision(*single).round(scores[at].parse().unwrap());
                    let truth = Truth::Positive(truth == 1.0);
                    partial.add(group, segment, truth, &[Predicted::Score(score)]);
                }
                Rows::Classes {
                    single,
                    said,
                    probabilities,
                    ..
                } => {
                    let row = probabilities[at].iter();
                    let row: Vec<f64> = row.map(|p| precision(*single).round(*p)).collect();
                    let said = Predicted::Class(said[at], &row);
                    partial.add(group, segment, Truth::Class(truth as u16), &[said]);
                }
                Rows::Regression { said, .. } => {
                    let said = Predicted::Number(said[at]);
                    partial.add(group, segment, Truth::Number(truth), &[said]);
                }
            }
        }
        partial
    }

    fn whole(&self) -> Partial {
        self.partial(0, self.truth.len(), MEMORY_BYTES)
    }

    /// So that all scores are counted in bins.
    fn binned(&self) -> Partial {
        let mut binned = self.partial(0, self.truth.len(), 64);
        binned.settle();
        binned
    }
}

fn through_bytes(partial: &Partial) -> Partial {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(partial, config).unwrap();
    bincode::serde::decode_from_slice(&bytes, config).unwrap().0
}

fn relative(a: f64, b: f64) -> f64 {
    (a - b).abs() / b.abs().max(1.0)
}

/// The largest difference by metric, for the eye: `cargo test --lib evaluation -- --nocapture`.
#[derive(Default)]
struct Largest(BTreeMap<String, (f64, String)>);

impl Largest {
    fn see(&mut self, metric: &str, case: &str, difference: f64) {
        let largest = self.0.entry(metric.to_owned()).or_default();
        if difference >= largest.0 {
            *largest = (difference, case.to_owned());
        }
    }
}

fn held(case: &Case, name: &str, measure: &Measure, oracle: f64, largest: &mut Largest) {
    let value = measure.value.unwrap_or_else(|absent| {
        panic!("{}: {name}: {}, not {oracle}", case.name, absent.as_str())
    });
    let difference = relative(value, oracle);
    largest.see(name, &case.name, difference);
    // What binning may cost is told with the metric; everything else is exact.
    let allowed = measure.bound.unwrap_or(0.0) + 1e-12;
    assert!(
        difference <= allowed,
        "{}: {name}: {value}, oracle {oracle}, off by {difference:e}, allowed {allowed:e}",
        case.name
    );
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let mut largest = Largest::default();
    for case in oracle().cases {
        let whole = case.whole();
        let measures = whole.all.versions[0].measures();
        assert!(
            measures.values().all(|measure| measure.bound.is_none()),
            "{}: what fits is exact",
            case.name
        );
        let binned = case.binned().all.versions[0].measures();
        for (name, oracle) in &case.say {
            if let Some(oracle) = oracle {
                held(&case, name, &binned[name], *oracle, &mut Largest::default());
            }
            match oracle {
                Some(oracle) => held(&case, name, &measures[name], *oracle, &mut largest),
                None => assert!(measures[name].value.is_err(), "{}: {name}", case.name),
            }
        }
        match (&case.rows, &whole.all.versions[0]) {
            (
                Rows::Binary {
                    decided,
                    calibration,
                    ..
                },
                OfVersion::Binary(own),
            ) => {
                for (threshold, metrics) in decided {
                    // 0.0 is written 0.
                    let threshold: f64 = threshold.parse().unwrap();
                    for (metric, oracle) in metrics {
                        let measure = &measures[&format!("{metric}@{threshold}")];
                        match oracle {
                            Some(oracle) => held(&case, metric, measure, *oracle, &mut largest),
                            None => assert_eq!(measure.value, Err(Absent::Undefined)),
                        }
                    }
                }
                if let Some((observed, predicted)) = calibration {
                    let bins = own.calibration().reliability();
                    assert_eq!(bins.len(), observed.len(), "{}", case.name);
                    for (bin, (observed, predicted)) in
                        bins.iter().zip(observed.iter().zip(predicted))
                    {
                        let off = relative(bin.observed, *observed)
                            .max(relative(bin.predicted, *predicted));
                        largest.see("calibration", &case.name, off);
                        assert!(off < 1e-12, "{}: {bin:?}", case.name);
                    }
                }
            }
            (Rows::Classes { confusion, .. }, OfVersion::Classes(own)) => {
                for (truth, row) in (0..).zip(confusion) {
                    for (said, rows) in (0..).zip(row) {
                        let found = own.confusion().get(&(truth, said)).copied();
                        assert_eq!(found.unwrap_or(0), *rows, "{}", case.name);
                    }
                }
            }
            (
                Rows::Regression {
                    zeros,
                    error,
                    absolute_error,
                    ..
                },
                OfVersion::Regression(own),
            ) => {
                assert_eq!(own.zeros(), *zeros, "{}", case.name);
                let quantiles = own.quantiles(0.95);
                for (kind, oracle) in [("error", error), ("absolute_error", absolute_error)] {
                    for (q, oracle) in ["05", "25", "50", "75", "95"].iter().zip(oracle) {
                        let quantile = quantiles[&format!("{kind}_p{q}")];
                        let off = (quantile.value - oracle).abs() / oracle.abs();
                        largest.see("error quantiles", &case.name, off);
                        assert!(off < 0.0101, "{}: {kind} {q}: {quantile:?}", case.name);
                        assert!(quantile.low <= quantile.value && quantile.value <= quantile.high);
                    }
                }
            }
            _ => unreachable!("a case is of its kind"),
        }
    }
    for (metric, (difference, case)) in largest.0 {
        println!("{metric:>18}  {difference:.1e}  {case}");
    }
}

#[test]
fn merged_splits_say_what_one_pass_says_and_stay_small() {
    for case in oracle().cases {
        // All scores kept; the sum in bins; the parts in bins.
        for (bytes, of_part) in [(MEMORY_BYTES, MEMORY_BYTES), (640, MEMORY_BYTES), (64, 64)] {
            let rows = case.truth.len();
            let mut whole = case.partial(0, rows, bytes);
            whole.settle();
            let mut merged = Partial::within(vec![case.kind()], bytes);
            for from in (0..rows).step_by(37) {
                let part = case.partial(from, rows.min(from + 37), of_part);
                merged.merge(&through_bytes(&part));
            }
            merged.settle();
            assert_eq!(merged.all.rows, whole.all.rows);
            let same = |a: &OfVersion, b: &OfVersion| {
                let (a, b) = (a.measures(), b.measures());
                assert_eq!(a.len(), b.len());
                for (name, a) in a {
                    let b = &b[&name];
                    match (a.value, b.value) {
                        (Ok(a), Ok(b)) => {
                            assert!(relative(a, b) < 1e-12, "{}: {name}: {a} {b}", case.name);
                        }
                        (a, b) => assert_eq!(a, b, "{}: {name}", case.name),
                    }
                    assert_eq!(a.left_out.len(), b.left_out.len());
                    for (a, b) in a.left_out.values().zip(b.left_out.values()) {
                        assert!(relative(*a, *b) < 1e-12, "{}: {name}", case.name);
                    }
                }
            };
            same(&merged.all.versions[0], &whole.all.versions[0]);
            let (Segments::Few(a), Segments::Few(b)) = (&merged.segments, &whole.segments) else {
                panic!("two segments");
            };
            assert!(a.keys().eq(b.keys()));
            for (a, b) in a.values().zip(b.values()) {
                same(&a.versions[0], &b.versions[0]);
            }
        }
    }
}

#[test]
fn the_jackknife_agrees_with_delong() {
    let mut held = 0;
    for case in oracle().cases {
        let Rows::Binary {
            roc_auc_standard_error: Some(delong),
            ..
        } = &case.rows
        else {
            continue;
        };
        for partial in [case.whole(), case.binned()] {
            let measures = partial.all.versions[0].measures();
            // A few positives only, or a perfect order: no spread can be told.
            let Some(spread) = measures["roc_auc"].spread() else {
                continue;
            };
            if *delong > 1e-6 && case.truth.len() >= 800 {
                let ratio = spread.standard_error / delong;
                assert!((0.8..1.25).contains(&ratio), "{}: {ratio}", case.name);
                held += 1;
            }
        }
    }
    assert!(held >= 8, "{held}");
}

#[test]
fn tests_of_pairs_are_those_of_scipy() {
    let oracle = oracle();
    for (gained, lost, p) in oracle.mcnemar {
        let own = Discordant { gained, lost }.mid_p();
        assert!((own - p).abs() < 1e-9, "{gained}, {lost}: {own}, not {p}");
    }
    for case in oracle.paired_t {
        let mut moments = Moments::default();
        case.differences.iter().for_each(|d| moments.add(*d));
        let own = paired_t(&moments).unwrap();
        assert!((own - case.p).abs() < 1e-9, "{own}, not {}", case.p);
    }
}

#[test]
fn one_class_has_no_area_and_says_why() {
    for case in oracle().cases {
        if case.name.starts_with("only_") {
            let measures = case.whole().all.versions[0].measures();
            assert_eq!(measures["roc_auc"].value, Err(Absent::OneClass));
            assert_eq!(measures["average_precision"].value, Err(Absent::OneClass));
            assert!(measures["log_loss"].value.is_ok());
        }
    }
    let kind = Kind::Regression;
    let empty = Partial::new(vec![kind]).all.versions[0].measures();
    assert!(
        empty
            .values()
            .all(|measure| measure.value == Err(Absent::NoRows))
    );
}

#[test]
fn a_segment_column_with_many_values_makes_none() {
    let parts = [0..20, 20..40].map(|values| {
        let mut partial = Partial::new(vec![Kind::Regression]);
        for value in values {
            let said = [Predicted::Number(1.0)];
            let segment = Some(format!("s{value}"));
            partial.add(1, Some(&segment), Truth::Number(2.0), &said);
        }
        assert!(matches!(partial.segments, Segments::Few(_)));
        partial
    });
    let [mut merged, other] = parts;
    merged.merge(&other);
    assert_eq!(merged.segments, Segments::TooMany);
    assert_eq!(merged.all.rows, 40);
    merged.merge(&Partial::new(vec![Kind::Regression]));
    assert_eq!(merged.segments, Segments::TooMany);
}

#[test]
fn unexpected_labels_are_counted_and_a_few_named() {
    let mut merged = Partial::new(Vec::new());
    for part in 0..3 {
        let mut partial = Partial::new(Vec::new());
        (0..5).for_each(|at| partial.unexpected(&format!("{part}-{at}"), 2));
        merged.merge(&partial);
    }
    assert_eq!((merged.unexpected.len(), merged.unexpected_rows), (8, 30));
}
