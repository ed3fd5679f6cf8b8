//! Pictures of coverage, differences, and agreement by segment.

use maud::{Markup, html};

use super::{named, score_name, segment_name, segment_names};
use crate::{
    domain::evidence::comparison::difference::BARS,
    inspect::compare::{Against, Report},
    report::{
        axis::{Axis, Frame, logarithmic},
        bars::{self, Bar},
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        number::count,
        shares::{self, Whole},
    },
};

/// Draws the share of source rows with a current, stale, rejected or missing prediction by version.
pub fn coverage(report: &Report) -> Markup {
    let standings = report
        .scope
        .versions
        .iter()
        .zip(&report.found.part.standings);
    let wholes: Vec<Whole> = standings
        .map(|(version, standing)| Whole {
            name: named(report, *version),
            parts: vec![
                standing.current,
                standing.stale,
                standing.rejected,
                standing.missing,
            ],
        })
        .collect();
    let figure = Figure {
        id: "coverage".to_owned(),
        title: "Predictions of the current source rows",
        words: "The table below has the counts.".to_owned(),
        note: "Stale: made from other values than the row's current ones, or by another model.",
        height: 0.0,
    };
    shares::draw(
        figure,
        &["current", "stale", "rejected", "missing"],
        &wholes,
    )
}

/// Draws the distribution of score differences.
pub fn differences(report: &Report, at: usize, version: i32, against: &Against) -> Markup {
    let differences = &against.all.differences;
    let limits = report.settings.limits[at];
    if differences.bars.is_empty() {
        return html! {};
    }
    // The first and the last bar count the rows beyond the limits.
    let width = (limits.to - limits.from) / BARS as f64;
    let inner = differences.bars.iter().skip(1).take(BARS).enumerate();
    let drawn: Vec<Bar> = inner
        .map(|(bar, rows)| Bar {
            from: limits.from + width * bar as f64,
            to: limits.from + width * (bar + 1) as f64,
            height: logarithmic(*rows),
        })
        .collect();
    let max = differences.bars.iter().copied().max().unwrap_or(0);
    let frame = Frame::new(
        Axis::round(
            limits.from,
            limits.to,
            &format!("Difference of {}", score_name(report)),
        ),
        Axis::counts(max, "Rows, logarithmic"),
    );
    let beyond = differences.bars.first().copied().unwrap_or(0)
        + differences.bars.get(BARS + 1).copied().unwrap_or(0);
    let note = format!(
        "{}, {} minus {}, on a logarithmic scale. {} rows are beyond the ends.",
        score_name(report),
        named(report, version),
        named(report, report.baseline()),
        count(beyond)
    );
    let figure = Figure {
        id: format!("differences-{version}"),
        title: "Score differences",
        words: format!("{} rows have both scores.", count(differences.count)),
        note: &note,
        height: frame.height,
    };
    bars::draw(&figure, &frame, at + 1, &drawn)
}

/// Draws the agreement by segment, or the mean absolute difference if there are no labels.
pub fn segments(report: &Report, column: &str) -> Markup {
    let series: Vec<Series> = report
        .against()
        .enumerate()
        .map(|(at, (version, _))| Series {
            at,
            name: named(report, version),
        })
        .collect();
    let names = segment_names(report);
    let items: Vec<Item> = names
        .iter()
        .map(|name| {
            let pairs = report
                .against()
                .map(|(_, against)| against.segments.get(name));
            let pairs: Vec<_> = pairs.collect();
            let value = |pair: &Option<&crate::domain::evidence::comparison::pair::Pair>| {
                let pair = (*pair)?;
                let value = match report.label() {
                    Some(_) => pair.agreement(),
                    None => pair.differences.mean_absolute(),
                }?;
                Some(Estimate { value, ends: None })
            };
            Item {
                name: segment_name(name),
                rows: pairs
                    .iter()
                    .flatten()
                    .map(|pair| pair.rows.compared)
                    .max()
                    .unwrap_or(0),
                values: pairs.iter().map(value).collect(),
            }
        })
        .collect();
    let label = match report.label() {
        Some(label) => format!("Share of rows with the same {label}"),
        None => format!("Mean absolute difference of {}", score_name(report)),
    };
    let title = format!("{label}, by {column}");
    let figure = Figure {
        id: "segments".to_owned(),
        title: &title,
        words: format!("{} segments; the table has their values.", items.len()),
        note: "",
        height: 0.0,
    };
    intervals::draw(figure, &label, &series, &items)
}
