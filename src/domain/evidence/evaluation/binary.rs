//! Evaluation of binary classification: one class is the positive one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Detail, Merge, Precision,
    calibration::Calibration,
    curve,
    groups::Groups,
    losses,
    measure::{Absent, Measure},
    moments::Moments,
    paired::Judged,
    ranking::Ranking,
    report,
    score_bins::{Bar, ByClass, Scale},
    threshold::{self, Confusion},
};

/// Names of [`Judged::losses`].
pub const LOSSES: [&str; 2] = ["log_loss", "brier"];

/// Properties of a version's scores, and the thresholds to evaluate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Whether the scores are probabilities.
    pub scale: Scale,
    pub precision: Precision,
    /// A row is classified as positive if its score is at least this; the first is the headline's.
    pub thresholds: Vec<f64>,
}

/// One version's partial result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binary {
    scores: Scores,
    detail: Detail,
    ranking: Ranking,
    calibration: Calibration,
    groups: Groups<Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    log_loss: Moments,
    brier: Moments,
    decided: Vec<Confusion>,
}

impl Merge for Group {
    fn merge(&mut self, other: &Self) {
        self.log_loss.merge(&other.log_loss);
        self.brier.merge(&other.brier);
        self.decided.merge(&other.decided);
    }
}

/// A point of the threshold curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The smallest score that is classified as positive.
    pub threshold: f64,
    /// Rows classified as positive.
    pub rows: ByClass,
}

impl Binary {
    /// Returns an empty result. Thresholds are rounded to the scores' type, so that 0.7 means what
    /// a stored 0.7 is.
    pub fn new(mut scores: Scores, detail: Detail) -> Self {
        let precision = scores.precision;
        let rounded = |threshold: &mut f64| *threshold = precision.round(*threshold);
        scores.thresholds.iter_mut().for_each(rounded);
        Self {
            ranking: Ranking::new(scores.scale, detail),
            calibration: Calibration::default(),
            groups: Groups::default(),
            scores,
            detail,
        }
    }

    /// Adds a row. `score` must not be NaN.
    pub fn add(&mut self, group: u8, positive: bool, score: f64) -> Judged {
        self.ranking.add(group, positive, score);
        let mut judged = Judged::default();
        let held = self.groups.entry(self.detail.group(group));
        held.decided
            .resize_with(self.scores.thresholds.len(), Confusion::default);
        let thresholds = self.scores.thresholds.iter();
        for (confusion, threshold) in held.decided.iter_mut().zip(thresholds) {
            let decided = score >= *threshold;
            confusion.add(positive, decided, 1);
            judged.right.get_or_insert(decided == positive);
        }
        if self.scores.scale == Scale::Probability {
            let log_loss = losses::binary_log_loss(self.scores.precision, positive, score);
            let brier = losses::brier(positive, score);
            held.log_loss.add(log_loss);
            held.brier.add(brier);
            judged.losses = [Some(log_loss), Some(brier)];
            self.calibration.add(positive, score);
        }
        judged
    }

    pub fn scale(&self) -> Scale {
        self.scores.scale
    }

    /// Returns the labelled rows by class.
    pub fn rows(&self) -> ByClass {
        self.ranking.totals().all
    }

    /// Returns the labelled scores in order.
    pub fn ranking(&self) -> &Ranking {
        &self.ranking
    }

    /// Returns the labelled scores in order, to bound their memory.
    pub fn ranking_mut(&mut self) -> &mut Ranking {
        &mut self.ranking
    }

    /// Returns the calibration of the probabilities.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Returns the confusion matrix at each threshold.
    pub fn confusions(&self) -> Vec<(f64, Confusion)> {
        let total = self.groups.total();
        let thresholds = self.scores.thresholds.iter().copied();
        thresholds.zip(total.decided).collect()
    }

    /// Returns a threshold as it was given.
    pub fn shown(&self, threshold: f64) -> String {
        report::shown(self.scores.precision, threshold)
    }

    /// Returns at most `points` points from the highest score down, with the rows classified as
    /// positive at each. They are about equally spaced in the shares of both classes, so that a
    /// rare class is visible.
    pub fn curve(&self, points: usize) -> Vec<Point> {
        let all = self.rows();
        let share = |rows: u64, of: u64| rows as f64 / of.max(1) as f64;
        let walked = |rows: &ByClass| {
            share(rows.negative, all.negative) + share(rows.positive, all.positive)
        };
        let step = 2.0 / points.max(1) as f64;
        let (mut told, mut curve) = (0.0, Vec::new());
        let mut rows = ByClass::default();
        self.ranking.blocks(|block| {
            rows.merge(&block.rows());
            if walked(&rows) - told >= step || rows == all {
                told = walked(&rows);
                curve.push(Point {
                    threshold: block.score,
                    rows,
                });
            }
        });
        curve
    }

    /// Returns scores by class: for probabilities 32 bars of equal width, else at most 40 of equal
    /// width in asinh(1000 x).
    pub fn histogram(&self) -> Vec<Bar> {
        match self.scores.scale {
            Scale::Probability => self.calibration.histogram(),
            Scale::Score => self.ranking.histogram(),
        }
    }

    /// Returns every metric by name. Names without `@threshold` are at the first threshold; `@best`
    /// at the one chosen on the even groups, evaluated on the odd ones.
    pub fn measures(&self) -> BTreeMap<String, Measure> {
        let mut measures = BTreeMap::new();
        let mut put = |name: &str, measure| measures.insert(name.to_owned(), measure);
        put("roc_auc", curve::roc_auc(&self.ranking));
        put("average_precision", curve::average_precision(&self.ranking));
        let total = self.groups.total();
        let left_out = self.groups.leave_one_out();
        match self.scores.scale {
            Scale::Probability => {
                let mean = |moments: &Moments| moments.mean().ok_or(Absent::NoRows);
                let positive = (0.0, f64::INFINITY);
                let log_loss = |group: &Group| mean(&group.log_loss);
                put(
                    "log_loss",
                    Measure::exact(&total, &left_out, positive, log_loss),
                );
                let brier = |group: &Group| mean(&group.brier);
                put(
                    "brier",
                    Measure::exact(&total, &left_out, (0.0, 1.0), brier),
                );
                let error = self.calibration.expected_error().ok_or(Absent::NoRows);
                put("calibration_error", alone(error));
            }
            Scale::Score => {
                for name in ["log_loss", "brier", "calibration_error"] {
                    put(name, Measure::absent(Absent::NotProbabilities));
                }
            }
        }
        for (at, threshold) in self.scores.thresholds.iter().enumerate() {
            for (name, metric) in DECIDED {
                let of = |group: &Group| match group.decided.get(at) {
                    Some(confusion) => metric(confusion),
                    None => Err(Absent::NoRows),
                };
                let measure = Measure::exact(&total, &left_out, (0.0, 1.0), of);
                let shown = self.shown(*threshold);
                put(&format!("{name}@{shown}"), measure.clone());
                if at == 0 {
                    put(name, measure);
                }
            }
        }
        let best = threshold::best(&self.ranking).ok_or(Absent::Undefined);
        let chosen = best.map(|(threshold, _)| threshold);
        put("best_threshold", alone(chosen));
        for (name, metric) in DECIDED {
            let value = best.and_then(|(_, confusion)| metric(&confusion));
            put(&format!("{name}@best"), alone(value));
        }
        measures
    }
}

type OfConfusion = fn(&Confusion) -> Result<f64, Absent>;
const DECIDED: [(&str, OfConfusion); 4] = [
    ("accuracy", Confusion::accuracy),
    ("precision", Confusion::precision),
    ("recall", Confusion::recall),
    ("f1", Confusion::f1),
];

/// Returns a value without an interval.
fn alone(value: Result<f64, Absent>) -> Measure {
    Measure {
        value,
        ..Measure::absent(Absent::NoRows)
    }
}

impl Merge for Binary {
    fn merge(&mut self, other: &Self) {
        self.ranking.merge(&other.ranking);
        self.calibration.merge(&other.calibration);
        self.groups.merge(&other.groups);
    }
}
