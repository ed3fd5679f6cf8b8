//! Pictures of regression: the distribution of errors.

use maud::{Markup, html};

use crate::{
    domain::evidence::evaluation::{regression::Regression, report::CONFIDENCE},
    report::{
        axis::{Axis, Frame},
        bars::{self, Bar},
        figure::{Figure, Series},
        lines::{self, Guide, Line},
        number, parts,
    },
};

/// Steps of the curve: one per percent of the rows.
const STEPS: u32 = 100;

/// Draws the errors of each version.
pub fn draw(versions: &[(Series, &Regression)]) -> Markup {
    html! {
        div .figures {
            (curve(versions))
            @for (series, own) in versions { (histogram(series, own)) }
        }
        (quantiles(versions))
    }
}

fn curve(versions: &[(Series, &Regression)]) -> Markup {
    let lines: Vec<Line> = versions
        .iter()
        .map(|(series, own)| {
            let mut points = own.error_curve(STEPS);
            // The outermost percent would compress all others.
            points.retain(|(share, _)| (0.01..=0.99).contains(share));
            Line {
                series: series.clone(),
                points,
                intervals: Vec::new(),
            }
        })
        .collect();
    let all = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1);
    let (min, max) = all.fold((0.0_f64, 0.0_f64), |(min, max), error| {
        (min.min(error), max.max(error))
    });
    let frame = Frame::new(
        Axis::shares("Share of rows").with_labels(number::percent),
        Axis::round(min, max, "Error, at most (prediction − truth)"),
    );
    let figure = Figure {
        id: "errors".to_owned(),
        title: "Errors in ascending order",
        words: "The table of quantiles has the same values.".to_owned(),
        note: "Closer to the dotted line of no error is better. Quantiles are within 1 % of their value; the outermost 1 % on either side is not drawn.",
        height: frame.height,
    };
    let guide = Guide {
        from: (0.0, 0.0),
        to: (1.0, 0.0),
    };
    lines::draw(&figure, &frame, Some(guide), &lines)
}

fn histogram(series: &Series, own: &Regression) -> Markup {
    let bars = own.error_histogram();
    let drawn: Vec<Bar> = bars
        .iter()
        .map(|(from, to, height)| Bar {
            from: *from,
            to: *to,
            height: *height,
        })
        .collect();
    let (Some(first), Some(last)) = (drawn.first(), drawn.last()) else {
        return html! {};
    };
    let max = drawn.iter().map(|bar| bar.height).fold(0.0, f64::max);
    let frame = Frame::new(
        Axis::round(first.from, last.to, "Error (prediction − truth)"),
        Axis::round(0.0, max, "Share of rows").with_labels(number::percent),
    );
    let title = format!("Errors, {}", series.name);
    let figure = Figure {
        id: format!("errors-{}", series.at),
        title: &title,
        words: format!("{} rows.", number::count(own.rows())),
        note: "From quantiles, within half a percent of the rows; the outermost 0.5 % on either side is not drawn.",
        height: frame.height,
    };
    bars::draw(&figure, &frame, series.at, &drawn)
}

fn quantiles(versions: &[(Series, &Regression)]) -> Markup {
    let mut rows = Vec::new();
    for (series, own) in versions {
        for (name, quantile) in own.quantiles(CONFIDENCE) {
            let (kind, share) = name.rsplit_once("_p").unwrap_or((&name, ""));
            let share = share.trim_start_matches('0');
            rows.push([
                format!("{}, {share} % of rows are at most", kind.replace('_', " ")),
                series.name.clone(),
                number::value(quantile.value),
                number::interval(Some((quantile.low, quantile.high)), number::value),
            ]);
        }
    }
    parts::table(
        "Quantiles of the error",
        ["Quantile", "Version", "Value", "95 %"],
        rows,
    )
}
