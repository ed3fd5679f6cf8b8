//! Line charts: ROC, precision against recall, calibration, quantiles of the error.

use maud::{Markup, html};

use super::{
    axis::Frame,
    figure::{Figure, Series, class, mark},
};

/// One version's line.
#[derive(Debug)]
pub struct Line {
    pub series: Series,
    /// Points in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
    /// Ends of an interval at each point, drawn with a mark; empty for the line alone.
    pub intervals: Vec<(f64, f64)>,
}

/// A reference line, for chance or for perfection.
#[derive(Debug, Clone, Copy)]
pub struct Guide {
    pub from: (f64, f64),
    pub to: (f64, f64),
}

/// Draws lines on a frame.
pub fn draw(figure: &Figure<'_>, frame: &Frame, guide: Option<Guide>, lines: &[Line]) -> Markup {
    let series: Vec<Series> = lines.iter().map(|line| line.series.clone()).collect();
    let inside = html! {
        (frame.draw())
        @if let Some(guide) = guide {
            polyline .guide points=(joined(frame, &[guide.from, guide.to])) {}
        }
        @for line in lines {
            @let at = line.series.at;
            @for ((x, _), (low, high)) in line.points.iter().zip(&line.intervals) {
                polyline .whisker.(class(at)) points=(joined(frame, &[(*x, *low), (*x, *high)])) {}
            }
            polyline .line.(class(at)).thin[!line.intervals.is_empty()] points=(joined(frame, &line.points)) {}
            @for ((x, y), _) in line.points.iter().zip(&line.intervals) {
                @let (x, y) = frame.at(*x, *y);
                (mark(at, x, y))
            }
        }
    };
    figure.draw(&series, &inside)
}

fn joined(frame: &Frame, points: &[(f64, f64)]) -> String {
    let points: Vec<_> = points
        .iter()
        .map(|(x, y)| {
            let (x, y) = frame.at(*x, *y);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    points.join(" ")
}
