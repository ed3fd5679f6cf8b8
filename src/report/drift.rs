//! Drift as an HTML page: what has changed, the distributions, and their history.

use maud::{Markup, html};

use crate::{
    domain::evidence::drift::{Bins, Distribution, DriftVerdict},
    inspect::drift::{DriftReport, Shapes, verdict},
    report::{
        axis::{Axis, Frame, unit},
        figure::{Figure, Series, class},
        lines::{self, Guide, Line},
        number::{self, count, p, percent},
        page,
        parts::{self, Card},
    },
    store::evidence::{
        drift::{DriftHistory, DriftRow},
        profiles::StoredProfile,
    },
};

/// Distributions that are drawn for each version: the most changed.
const DRAWN: usize = 24;
/// Runs of the history that are drawn.
const RUNS: usize = 60;

/// Renders the whole page. `again` is the command that repeats it.
pub fn render(report: &DriftReport, shapes: &Shapes, again: &str, warnings: &[String]) -> String {
    let title = format!("{}: drift", report.job);
    let at = report.rows.first().map(|row| row.measured_at);
    let at = at.map_or_else(String::new, |at| {
        format!(", {}", at.format("%-d %B %Y, %H:%M UTC"))
    });
    let about = format!(
        "What run {} read, compared with a reference and with the run before{at}.",
        report.run_id
    );
    let body = html! {
        (parts::cards(&cards(report)))
        (parts::warnings(warnings))
        @for version in report.versions() {
            section {
                h2 { "Version " (version) }
                @for against in ["reference", "previous"] { (table(report, version, against)) }
                (pictures(report, shapes, version))
            }
        }
        (parts::origin(&[
            ("Job", report.job.clone()),
            ("Run", report.run_id.to_string()),
            ("Made by", format!("helenus {}", env!("CARGO_PKG_VERSION"))),
        ], again))
    };
    page(&title, &about, &body)
}

fn cards(report: &DriftReport) -> Vec<Card> {
    let card = |against: &str| {
        let rows = || report.rows.iter().filter(|row| row.against == against);
        let drifted = report.drifted().filter(|row| row.against == against);
        let drifted = drifted.count();
        let too_few = rows().filter(|row| verdict(row) == Some(DriftVerdict::TooFew));
        Card {
            name: match against {
                "reference" => "Drifted against the reference".to_owned(),
                _ => "Drifted since the run before".to_owned(),
            },
            value: match rows().count() {
                0 => "–".to_owned(),
                all => format!("{drifted} of {all}"),
            },
            notes: match (rows().count(), too_few.count()) {
                (0, _) => vec!["There is nothing to compare with.".to_owned()],
                (_, 0) => Vec::new(),
                (_, few) => vec![format!("{few} with too few rows to judge")],
            },
        }
    };
    vec![card("reference"), card("previous")]
}

pub fn table(report: &DriftReport, version: i32, against: &str) -> Markup {
    let rows = report.rows.iter();
    let rows: Vec<&DriftRow> = rows
        .filter(|row| row.version == version && row.against == against)
        .collect();
    if rows.is_empty() {
        return html! {};
    }
    let header = [
        "Feature or output",
        "Verdict",
        "PSI",
        "By chance up to",
        "Wasserstein",
        "Kolmogorov-Smirnov",
        "Nulls",
        "New values",
        "Rows before",
        "Rows now",
        "p, adjusted",
    ];
    let dash = || "–".to_owned();
    let value = |value: Option<f64>| value.map_or_else(dash, number::value);
    let cells = rows.iter().map(|row| {
        let name = match row.segment.as_str() {
            "" => row.feature.clone(),
            segment => format!("{} in {segment}", row.feature),
        };
        let share = |share: Option<f64>| match share {
            Some(share) if share != 0.0 => format!("{:+.1}\u{202f}%", share * 100.0),
            Some(_) => "0".to_owned(),
            None => dash(),
        };
        [
            name,
            row.verdict.replace('_', " "),
            value(row.psi),
            value(row.critical_value),
            value(row.w1),
            value(row.ks),
            share(row.null_delta),
            share(row.new_category_share),
            count(row.n.unsigned_abs()),
            count(row.m.unsigned_abs()),
            row.adjusted_p.map_or_else(dash, p),
        ]
    });
    let other = rows.iter().find_map(|row| row.other_run);
    let caption = match (against, other) {
        ("reference", None) => format!("Version {version} against the reference given with it"),
        ("reference", Some(run_id)) => {
            format!("Version {version} against the baseline, run {run_id}")
        }
        (_, other) => format!(
            "Version {version} against the run before, {}",
            other.map_or_else(String::new, |run_id| run_id.to_string())
        ),
    };
    parts::table(&caption, header, cells)
}

fn pictures(report: &DriftReport, shapes: &Shapes, version: i32) -> Markup {
    let Some(now) = shapes.now.iter().find(|profile| profile.version == version) else {
        return html! {};
    };
    // Rows are in order of their verdicts; among equal ones the largest difference is drawn first.
    let rows = report.rows.iter();
    let mut rows: Vec<&DriftRow> = rows
        .filter(|row| {
            row.version == version && row.segment.is_empty() && row.against == "reference"
        })
        .collect();
    rows.sort_by(|a, b| {
        let key = |row: &DriftRow| row.psi.unwrap_or(0.0);
        let serious = |row: &DriftRow| !verdict(row).is_some_and(DriftVerdict::is_drift);
        serious(a).cmp(&serious(b)).then(key(b).total_cmp(&key(a)))
    });
    let drawn = rows.iter().take(DRAWN).enumerate();
    html! {
        @for (at, row) in drawn {
            @let reference = shapes.reference.get(&(version, row.feature.clone()));
            @let shape = shape(now, row, reference, version, at);
            @let place = (version, row.feature.clone());
            @let history = shapes.history.get(&place).and_then(|history| history_of(history, version, at));
            @if shape.is_some() || history.is_some() {
                h3 { (row.feature) ": " (row.verdict.replace('_', " ")) }
                div .figures {
                    @if let Some(shape) = shape { (shape) }
                    @if let Some(history) = history { (history) }
                }
            }
        }
        @if rows.len() > DRAWN {
            p .note { "The table lists " (rows.len() - DRAWN) " more." }
        }
    }
}

/// Draws the shares of the bins, of the reference beside those of now.
pub fn shape(
    now: &StoredProfile,
    row: &DriftRow,
    reference: Option<&Distribution>,
    version: i32,
    at: usize,
) -> Option<Markup> {
    let place = (String::new(), row.feature.clone());
    let now = now.distributions.get(&place)?;
    let reference = reference?;
    if reference.bins != now.bins {
        return None;
    }
    let shares = |side: &Distribution| {
        let all = side.values().max(1) as f64;
        let shares = side.cells.iter().map(move |rows| *rows as f64 / all);
        shares.collect::<Vec<f64>>()
    };
    let (before, after) = (shares(reference), shares(now));
    let max = before.iter().chain(&after).copied().fold(0.0, f64::max);
    let names = now.bins.names();
    let cells = names.len();
    let frame = Frame::new(
        Axis::steps(cells, axis_name(&now.bins), |end| {
            end_name(&now.bins, &names, end)
        }),
        Axis::round(0.0, max.max(0.01), "Share of rows").with_labels(percent),
    );
    let title = format!("{}, reference and now", row.feature);
    let words: Vec<String> = names
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(name, (before, after))| {
            format!(
                "{name}: {} before, {} now",
                percent(*before),
                percent(*after)
            )
        })
        .collect();
    let figure = Figure {
        id: format!("shape-{version}-{at}"),
        title: &title,
        words: words.join("; "),
        note: "",
        height: frame.height,
    };
    let bar = |cell: usize, series: usize, share: f64| {
        let from = cell as f64 + 0.08 + 0.42 * series as f64;
        let (left, bottom) = frame.at(from, 0.0);
        let (right, top) = frame.at(from + 0.42, share);
        html! {
            rect .bar.(class(series)).hollow[series == 0] x=(unit(left)) width=(unit(right - left)) y=(unit(top)) height=(unit(bottom - top)) {}
        }
    };
    let inside = html! {
        (frame.draw())
        @for (cell, (before, after)) in before.iter().zip(&after).enumerate() {
            (bar(cell, 0, *before))
            (bar(cell, 1, *after))
        }
    };
    let series = [(0, "reference"), (1, "now")].map(|(at, name)| Series {
        at,
        name: name.to_owned(),
    });
    Some(figure.draw(&series, &inside))
}

fn axis_name(bins: &Bins) -> &'static str {
    match bins {
        Bins::Ranges(_) => "Bins at the reference's quantiles",
        Bins::Values(_) | Bins::Texts(_) => "Values of the reference, then all others",
    }
}

/// Names the boundary after `end` cells.
fn end_name(bins: &Bins, names: &[String], end: usize) -> String {
    match bins {
        Bins::Ranges(edges) => match end.checked_sub(1).and_then(|at| edges.get(at)) {
            Some(edge) => number::value(*edge),
            None if end == 0 => "−∞".to_owned(),
            None => "∞".to_owned(),
        },
        Bins::Values(_) | Bins::Texts(_) => {
            let name = names.get(end).map_or("", String::as_str);
            let short: String = name.chars().take(10).collect();
            short
        }
    }
}

/// Draws the index of earlier runs, if there are several.
pub fn history_of(history: &[DriftHistory], version: i32, at: usize) -> Option<Markup> {
    let mut values: Vec<f64> = history
        .iter()
        .filter_map(|row| row.psi)
        .take(RUNS)
        .collect();
    if values.len() < 2 {
        return None;
    }
    values.reverse();
    let feature = &history.first()?.feature;
    let max = values.iter().copied().fold(0.25, f64::max);
    let last = values.len() - 1;
    let frame = Frame::new(
        Axis::steps(last, "Runs, the newest at the right", |end| match end {
            end if end == last => "newest".to_owned(),
            end => format!("−{}", last - end),
        }),
        Axis::round(0.0, max, "PSI against the reference"),
    );
    let title = format!("{feature}, run by run");
    let figure = Figure {
        id: format!("history-{version}-{at}"),
        title: &title,
        words: format!(
            "{} runs; from {} to {}",
            values.len(),
            number::value(values[0]),
            number::value(values[last])
        ),
        note: "The dotted line is the usual threshold, 0.2.",
        height: frame.height,
    };
    let points = values.iter().enumerate();
    let line = Line {
        series: Series {
            at: 1,
            name: "PSI".to_owned(),
        },
        points: points.map(|(at, value)| (at as f64, *value)).collect(),
        intervals: Vec::new(),
    };
    let guide = Guide {
        from: (0.0, 0.2),
        to: (last as f64, 0.2),
    };
    Some(lines::draw(&figure, &frame, Some(guide), &[line]))
}
