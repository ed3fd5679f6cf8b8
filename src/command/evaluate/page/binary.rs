//! Pictures of binary classification: curves, calibration, scores by class, decisions.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::{
    domain::evidence::evaluation::{
        binary::Binary, labels::Meaning, report::POINTS, score_bins::Scale, threshold::Confusion,
    },
    inspect::evaluate::Evaluated,
    report::{
        axis::{Axis, Frame},
        bars::{self, Bar},
        figure::{Figure, Series},
        lines::{self, Guide, Line},
        matrix, number,
    },
};

type Versions<'a> = [(Series, &'a Binary)];

/// Draws all pictures of the versions.
pub fn draw(versions: &Versions<'_>, evaluated: &Evaluated) -> Markup {
    let (positive, other) = classes(&evaluated.target.meaning);
    html! {
        div .figures {
            (roc(versions, evaluated))
            (precision(versions, evaluated))
            (calibration(versions, evaluated, &positive))
            @for (series, own) in versions { (scores(series, own, &positive, &other)) }
        }
        h3 { "Decisions" }
        div .matrices {
            @for (series, own) in versions {
                @for (threshold, decided) in own.confusions() {
                    @let from = own.shown(threshold);
                    @let caption = format!("{}: {positive} at scores of {from} or more", series.name);
                    (matrix::draw(&caption, &[positive.clone(), other.clone()], &cells(&decided)))
                }
            }
        }
    }
}

fn classes(meaning: &Meaning) -> (String, String) {
    match meaning {
        Meaning::Positive { positive, classes } => {
            let mut others = classes.iter().filter(|class| *class != positive);
            let other = match (others.next(), others.next()) {
                (Some(only), None) => only.clone(),
                _ => format!("not {positive}"),
            };
            (positive.clone(), other)
        }
        Meaning::Classes(_) | Meaning::Number => ("positive".to_owned(), "negative".to_owned()),
    }
}

fn cells(decided: &Confusion) -> matrix::Cells {
    BTreeMap::from([
        ((0, 0), decided.true_positive),
        ((0, 1), decided.false_negative),
        ((1, 0), decided.false_positive),
        ((1, 1), decided.true_negative),
    ])
}

/// Describes the metric of each version.
fn describe_metric(versions: &Versions<'_>, evaluated: &Evaluated, metric: &str) -> String {
    let results = versions.iter().zip(&evaluated.results);
    let texts = results.map(|((series, _), result)| match result.metrics.get(metric) {
        Some(value) => format!("{}: {}.", series.name, number::value(*value)),
        None => format!("{}: none.", series.name),
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn has_both_classes(own: &Binary) -> bool {
    let rows = own.rows();
    rows.positive > 0 && rows.negative > 0
}

fn roc(versions: &Versions<'_>, evaluated: &Evaluated) -> Markup {
    let both = versions.iter().filter(|(_, own)| has_both_classes(own));
    let lines: Vec<Line> = both
        .map(|(series, own)| {
            let all = own.rows();
            let points = own.curve(POINTS).into_iter().map(|point| {
                let share = |rows: u64, total: u64| rows as f64 / total as f64;
                (
                    share(point.rows.negative, all.negative),
                    share(point.rows.positive, all.positive),
                )
            });
            Line {
                series: series.clone(),
                points: std::iter::once((0.0, 0.0)).chain(points).collect(),
                intervals: Vec::new(),
            }
        })
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let frame = Frame::new(
        Axis::shares("False positive rate"),
        Axis::shares("True positive rate (recall)"),
    );
    let figure = Figure {
        id: "roc".to_owned(),
        title: "ROC curve",
        words: format!(
            "Area under the curve. {}",
            describe_metric(versions, evaluated, "roc_auc")
        ),
        note: "Closer to the upper left is better; the dotted line is chance.",
        height: frame.height,
    };
    let guide = Guide {
        from: (0.0, 0.0),
        to: (1.0, 1.0),
    };
    lines::draw(&figure, &frame, Some(guide), &lines)
}

fn precision(versions: &Versions<'_>, evaluated: &Evaluated) -> Markup {
    let both = versions.iter().filter(|(_, own)| has_both_classes(own));
    let lines: Vec<Line> = both
        .map(|(series, own)| {
            let all = own.rows();
            let points = own.curve(POINTS).into_iter().map(|point| {
                let found = point.rows.positive as f64;
                (
                    found / all.positive as f64,
                    found / point.rows.rows() as f64,
                )
            });
            Line {
                series: series.clone(),
                points: points.collect(),
                intervals: Vec::new(),
            }
        })
        .collect();
    let Some((_, first)) = versions.first().filter(|_| !lines.is_empty()) else {
        return html! {};
    };
    let share = first.rows().positive as f64 / first.rows().rows() as f64;
    let frame = Frame::new(Axis::shares("Recall"), Axis::shares("Precision"));
    let figure = Figure {
        id: "precision".to_owned(),
        title: "Precision and recall",
        words: format!(
            "Average precision. {}",
            describe_metric(versions, evaluated, "average_precision")
        ),
        note: "Closer to the upper right is better; the dotted line is chance, the share of positives.",
        height: frame.height,
    };
    let guide = Guide {
        from: (0.0, share),
        to: (1.0, share),
    };
    lines::draw(&figure, &frame, Some(guide), &lines)
}

fn calibration(versions: &Versions<'_>, evaluated: &Evaluated, positive: &str) -> Markup {
    let lines: Vec<Line> = versions
        .iter()
        .filter(|(_, own)| own.scale() == Scale::Probability)
        .map(|(series, own)| {
            let bins = own.calibration().reliability();
            Line {
                series: series.clone(),
                points: bins
                    .iter()
                    .map(|bin| (bin.predicted, bin.observed))
                    .collect(),
                intervals: bins.iter().map(|bin| (bin.low, bin.high)).collect(),
            }
        })
        .collect();
    if lines.is_empty() {
        return html! {};
    }
    let observed = format!("Observed share of {positive}");
    let frame = Frame::new(
        Axis::shares("Mean predicted probability"),
        Axis::shares(&observed),
    );
    let figure = Figure {
        id: "calibration".to_owned(),
        title: "Calibration: does 70 % mean 70 %?",
        words: format!(
            "Expected calibration error. {}",
            describe_metric(versions, evaluated, "calibration_error")
        ),
        note: "16 bins of equal width. On the dotted line, predicted and observed shares are equal. Vertical lines are 95 % intervals for independent rows; long ones are bins of few rows.",
        height: frame.height,
    };
    let guide = Guide {
        from: (0.0, 0.0),
        to: (1.0, 1.0),
    };
    lines::draw(&figure, &frame, Some(guide), &lines)
}

fn scores(series: &Series, own: &Binary, positive: &str, other: &str) -> Markup {
    let all = own.rows();
    let bars = own.histogram();
    let is_probability = own.scale() == Scale::Probability;
    let share = |rows: u64, total: u64| rows as f64 / total.max(1) as f64;
    let edges = |at: usize, bar: &crate::domain::evidence::evaluation::score_bins::Bar| {
        match is_probability {
            true => (bar.from, bar.to),
            false => (at as f64, at as f64 + 1.0),
        }
    };
    let drawn = bars.iter().enumerate().flat_map(|(at, bar)| {
        let (from, to) = edges(at, bar);
        let (up, down) = (
            share(bar.rows.positive, all.positive),
            share(bar.rows.negative, all.negative),
        );
        [up.sqrt(), -down.sqrt()].map(|height| Bar { from, to, height })
    });
    let drawn: Vec<Bar> = drawn.collect();
    let x = match is_probability {
        true => Axis::shares(&format!("Predicted probability of {positive}")),
        false => {
            let edge = |at: usize| {
                bars.get(at)
                    .map(|bar| bar.from)
                    .or(bars.last().map(|bar| bar.to))
            };
            Axis::steps(
                bars.len(),
                &format!("Score of {positive} (logarithmic on both sides of 0)"),
                |at| edge(at).map_or_else(String::new, number::value),
            )
        }
    };
    let y = Axis::roots("Share of the class");
    let frame = Frame::new(x, y);
    let title = format!("Scores by class, {}", series.name);
    let note = format!(
        "Filled, upwards: rows that were {positive}. Hollow, downwards: {other}. Both are shares of their class on a square-root scale, so that small shares are visible."
    );
    let figure = Figure {
        id: format!("scores-{}", series.at),
        title: &title,
        words: format!(
            "{} rows were {positive}, {} {other}.",
            number::count(all.positive),
            number::count(all.negative)
        ),
        note: &note,
        height: frame.height,
    };
    bars::draw(&figure, &frame, series.at, &drawn)
}
