//! Simulations with known truth: coverage of intervals, and false positives of tests and gates.
//!
//! Score shapes are those of scorecards, trees with few leaves, segments and probabilities, each
//! with stored scores and with so little memory that they are binned.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    Detail, Precision,
    binary::Scores,
    curve,
    measure::Measure,
    partial::{Kind, OfVersion, Partial, Predicted, Segments, Truth, Versions},
    ranking::Ranking,
    score_bins::Scale,
};
use crate::domain::gate::{Evidence, Gate, GateRow, Unusable};

const TRIALS: u64 = 200;
const ROWS: u64 = 2_000;
const POSITIVE: f64 = 0.3;
/// Distance between the classes' mean quality.
const EFFECT: f64 = 0.6;

struct Shape {
    name: &'static str,
    scale: Scale,
    /// Score of a quality with a standard deviation of one.
    score: fn(f64) -> f64,
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn leaves(middle: f64, slope: f64, reach: f64, quality: f64) -> f64 {
    let leaf = ((quality * 3.0).round() / 3.0).clamp(-reach, reach);
    (sigmoid(middle + slope * leaf) * 1e6).round() / 1e6
}

/// As in defects/auc_se.py when standard errors came from coarser bins.
const SHAPES: [Shape; 5] = [
    Shape {
        name: "wide probabilities",
        scale: Scale::Probability,
        score: |quality| sigmoid(1.5 * quality),
    },
    Shape {
        name: "scorecard 580 to 760 by 20",
        scale: Scale::Score,
        score: |quality| (((660.0 + 28.0 * quality) / 20.0).round() * 20.0).clamp(580.0, 760.0),
    },
    Shape {
        name: "few leaves, 0.501 to 0.529",
        scale: Scale::Probability,
        score: |quality| leaves(0.06, 0.05, 1.1, quality),
    },
    Shape {
        name: "trees, 0.46 to 0.56",
        scale: Scale::Probability,
        score: |quality| leaves(0.05, 0.10, 2.0, quality),
    },
    Shape {
        name: "churn, 2 to 5 %",
        scale: Scale::Probability,
        score: |quality| sigmoid(-3.55 + 0.25 * quality),
    },
];

/// Returns a normally distributed number (Box and Muller 1958).
fn normal(rng: &mut StdRng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// Returns whether the row is positive, its group, and scores of two equally good versions.
fn row(shape: &Shape, rng: &mut StdRng) -> (bool, u8, [f64; 2]) {
    let positive = rng.random::<f64>() < POSITIVE;
    let group = rng.random_range(0..100_u8);
    let mut score = || (shape.score)(normal(rng) + EFFECT * f64::from(u8::from(positive)));
    (positive, group, [score(), score()])
}

/// Returns ROC AUC and average precision of many rows.
fn truth(shape: &Shape) -> [f64; 2] {
    let mut rng = StdRng::seed_from_u64(1);
    let mut ranking = Ranking::new(shape.scale, Detail::Segment);
    for _ in 0..100_000 {
        let (positive, group, scores) = row(shape, &mut rng);
        for score in scores {
            ranking.add(group, positive, score);
        }
    }
    ranking.compact();
    [curve::roc_auc, curve::average_precision].map(|metric| metric(&ranking).value.unwrap())
}

/// Returns the standard error of the area (DeLong, DeLong, Clarke-Pearson 1988), by midranks (Sun,
/// Xu 2014).
fn delong(rows: &[(bool, f64)]) -> f64 {
    let sorted = |of: bool| {
        let mut scores: Vec<f64> = rows
            .iter()
            .filter(|row| row.0 == of)
            .map(|row| row.1)
            .collect();
        scores.sort_by(f64::total_cmp);
        scores
    };
    let (negative, positive) = (sorted(false), sorted(true));
    let placed = |scores: &[f64], others: &[f64]| {
        let place = |score: &f64| {
            let below = others.partition_point(|other| other < score);
            let up_to = others.partition_point(|other| other <= score);
            (below + up_to) as f64 / 2.0 / others.len() as f64
        };
        let places: Vec<f64> = scores.iter().map(place).collect();
        let n = places.len() as f64;
        let mean = places.iter().sum::<f64>() / n;
        places
            .iter()
            .map(|place| (place - mean).powi(2))
            .sum::<f64>()
            / (n - 1.0)
            / n
    };
    (placed(&positive, &negative) + placed(&negative, &positive)).sqrt()
}

#[derive(Default)]
struct Counted {
    holds: u64,
    told_apart: u64,
    passes: u64,
    ratios: Vec<f64>,
}

fn gate(metric: &str) -> Gate {
    Gate::read(&GateRow {
        metric: Some(metric.to_owned()),
        labels: Some("a.b.c".to_owned()),
        min_labelled_rows: Some(ROWS as i64),
        ..GateRow::default()
    })
    .unwrap()
}

fn evidence(metric: &str, version: &Measure, baseline: &Measure) -> Evidence {
    let difference = version.minus(baseline).unwrap();
    let map = |value: Option<f64>| -> BTreeMap<String, f64> {
        value
            .map(|value| (metric.to_owned(), value))
            .into_iter()
            .collect()
    };
    Evidence {
        experiment: Vec::new(),
        evaluation: uuid::Uuid::nil(),
        at: Some(chrono::DateTime::UNIX_EPOCH),
        version: 2,
        baseline: Some(1),
        labels: "a.b.c".to_owned(),
        leakage_checked: true,
        labelled: ROWS,
        evaluated: ROWS,
        unusable: [Unusable::default(); 2],
        differences: map(Some(difference.value)),
        standard_errors: map(difference.spread.map(|spread| spread.standard_error)),
        bounds: map(Some(difference.bound)),
        is_fine: true,
        segments: None,
    }
}

impl Counted {
    fn count(&mut self, metric: &str, truth: f64, measures: [Measure; 2], delong: Option<f64>) {
        let [baseline, version] = &measures;
        let (low, high) = baseline.interval(0.95).unwrap();
        self.holds += u64::from((low..=high).contains(&truth));
        let p = version.minus(baseline).unwrap().p_value();
        self.told_apart += u64::from(p.is_some_and(|p| p < 0.05));
        let verdict = gate(metric).judge(
            &evidence(metric, version, baseline),
            Some(1),
            chrono::DateTime::UNIX_EPOCH,
        );
        self.passes += u64::from(verdict.passes());
        let error = baseline.spread().unwrap().standard_error;
        self.ratios.extend(delong.map(|delong| error / delong));
    }
}

fn measures(versions: &Versions, metric: fn(&Ranking) -> Measure) -> [Measure; 2] {
    [0, 1].map(|at| match &versions.versions[at] {
        OfVersion::Binary(own) => metric(own.ranking()),
        _ => unreachable!("versions are of two classes"),
    })
}

/// Runs the simulations with a memory limit of `bytes` on scores.
fn try_all(shape: &Shape, bytes: usize) {
    let scores = Scores {
        scale: shape.scale,
        precision: Precision::Double,
        thresholds: Vec::new(),
    };
    let kinds = vec![Kind::Binary(scores.clone()), Kind::Binary(scores)];
    let segment = Some("north".to_owned());
    let truth = truth(shape);
    let mut counted: BTreeMap<(&str, &str), Counted> = BTreeMap::new();
    for trial in 0..TRIALS {
        let mut rng = StdRng::seed_from_u64(1_000 + trial);
        let mut partial = Partial::within(kinds.clone(), bytes);
        let mut first = Vec::new();
        for _ in 0..ROWS {
            let (positive, group, scores) = row(shape, &mut rng);
            first.push((positive, scores[0]));
            let said = scores.map(Predicted::Score);
            partial.add(group, Some(&segment), Truth::Positive(positive), &said);
        }
        partial.settle();
        let Segments::Few(segments) = &partial.segments else {
            panic!("one segment");
        };
        let delong = delong(&first);
        for (of, versions) in [("all", &partial.all), ("segment", &segments[&segment])] {
            let areas = measures(versions, curve::roc_auc);
            assert_eq!(areas[0].bound.is_none(), bytes > 1 << 20, "{}", shape.name);
            let auc = counted.entry((of, "roc_auc")).or_default();
            auc.count("roc_auc", truth[0], areas, Some(delong));
            let precisions = measures(versions, curve::average_precision);
            let precision = counted.entry((of, "average_precision")).or_default();
            precision.count("average_precision", truth[1], precisions, None);
        }
    }
    for ((of, metric), counted) in counted {
        let what = format!("{}, {of}, {metric}, {bytes} bytes", shape.name);
        let share = |count: u64| count as f64 / TRIALS as f64;
        let (holds, apart) = (share(counted.holds), share(counted.told_apart));
        let passes = share(counted.passes);
        println!("{what}: holds {holds:.3}, apart {apart:.3}, passes {passes:.3}");
        assert!(holds >= 0.9, "{what}: intervals hold the truth in {holds}");
        assert!(
            apart <= 0.1,
            "{what}: equal versions are told apart in {apart}"
        );
        assert!(
            passes <= 0.025,
            "{what}: a gate passes on nothing in {passes}"
        );
        let ratios = counted.ratios.iter().sum::<f64>() / counted.ratios.len().max(1) as f64;
        assert!(
            metric != "roc_auc" || (1.0 / 1.5..1.5).contains(&ratios),
            "{what}: {ratios}"
        );
        if (of, metric) == ("all", "roc_auc") {
            let within = counted
                .ratios
                .iter()
                .all(|ratio| (1.0 / 1.5..1.5).contains(ratio));
            assert!(within, "{what}: {:?}", counted.ratios);
        }
    }
}

#[test]
fn intervals_tests_and_gates_hold_where_scores_are_kept() {
    std::thread::scope(|scope| {
        for shape in &SHAPES {
            scope.spawn(|| try_all(shape, 64 << 20));
        }
    });
}

#[test]
fn intervals_tests_and_gates_hold_where_scores_are_binned() {
    std::thread::scope(|scope| {
        for shape in &SHAPES {
            scope.spawn(|| try_all(shape, 64));
        }
    });
}
