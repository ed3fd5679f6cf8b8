//! Coverage, differences, agreement by segment.

use maud::{Markup, html};

use super::{named, score_name, segment_name, segment_names};
use crate::{
    command::report::{
        axis::{Axis, Frame, logarithmic},
        bars::{self, Bar},
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        number::count,
        shares::{self, Whole},
    },
    domain::comparison::difference::BARS,
    worker::compare::{Against, Report},
};

/// Where each version stands on the source's rows.
pub fn coverage(report: &Report) -> Markup {
    let standings = report
        .scope
        .versions
        .iter()
        .zip(&report.found.part.standings);
    let wholes: Vec<Whole> = standings
        .map(|(version, of)| Whole {
            name: named(report, *version),
            parts: vec![of.current, of.stale, of.rejected, of.missing],
        })
        .collect();
    let figure = Figure {
        id: "coverage".to_owned(),
        title: "Predictions of the rows as they are now",
        words: "The table below tells the counts.".to_owned(),
        note: "Stale: made of other values than the row has now, or by another model.",
        height: 0.0,
    };
    shares::draw(
        figure,
        &["current", "stale", "rejected", "missing"],
        &wholes,
    )
}

/// How far the scores lie apart.
pub fn differences(report: &Report, at: usize, version: i32, against: &Against) -> Markup {
    let differences = &against.all.differences;
    let limits = report.settings.limits[at];
    if differences.bars.is_empty() {
        return html! {};
    }
    // The first and the last count what lies beyond the limits.
    let width = (limits.to - limits.from) / BARS as f64;
    let inner = differences.bars.iter().skip(1).take(BARS).enumerate();
    let drawn: Vec<Bar> = inner
        .map(|(bar, rows)| Bar {
            from: limits.from + width * bar as f64,
            to: limits.from + width * (bar + 1) as f64,
            height: logarithmic(*rows),
        })
        .collect();
    let most = differences.bars.iter().copied().max().unwrap_or(0);
    let frame = Frame::new(
        Axis::round(
            limits.from,
            limits.to,
            &format!("Difference of {}", score_name(report)),
        ),
        Axis::counts(most, "Rows, logarithmic"),
    );
    let beyond = differences.bars.first().copied().unwrap_or(0)
        + differences.bars.get(BARS + 1).copied().unwrap_or(0);
    let note = format!(
        "{}, {} less {}: few rows are seen beside many. {} rows lie beyond the ends.",
        score_name(report),
        named(report, version),
        named(report, report.baseline()),
        count(beyond)
    );
    let figure = Figure {
        id: format!("differences-{version}"),
        title: "How far the scores lie apart",
        words: format!("{} rows have both scores.", count(differences.count)),
        note: &note,
        height: frame.height,
    };
    bars::draw(&figure, &frame, at + 1, &drawn)
}

/// Agreement, or the mean difference where there are no labels.
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
            let value = |pair: &Option<&crate::domain::comparison::pair::Pair>| {
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
        None => format!("Mean difference of {}, without sign", score_name(report)),
    };
    let title = format!("{label}, by {column}");
    let figure = Figure {
        id: "segments".to_owned(),
        title: &title,
        words: format!("{} segments; their values stand in the table.", items.len()),
        note: "",
        height: 0.0,
    };
    intervals::draw(figure, &label, &series, &items)
}
