//! A comparison as an HTML page.

mod pictures;
mod tables;

use maud::{Markup, html};

use super::{Args, again, json::target};
use crate::{
    codec::utc,
    domain::{evidence::segment, rounding::fixed},
    inspect::compare::{Against, Report},
    report::{
        number::{self, count, percent},
        page,
        parts::{self, Card},
    },
};

/// Renders the whole page.
pub fn render(report: &Report, args: &Args) -> String {
    let job = &report.scope.job.job;
    let baseline = named(report, report.baseline());
    let others = report.against().map(|(version, _)| named(report, version));
    let others: Vec<_> = others.collect();
    let title = format!("{job}: {} against {baseline}", others.join(", "));
    let about = format!(
        "Predictions of the same rows of {}.{}, {}. A comparison needs no labels and reads none.",
        report.scope.job.source.keyspace,
        report.scope.job.source.table,
        report.finished_at.format("%-d %B %Y, %H:%M UTC"),
    );
    let body = html! {
        (parts::cards(&cards(report)))
        (parts::warnings(&report.warnings))
        section {
            h2 { "Which rows are compared" }
            div .figures { (pictures::coverage(report)) }
            (tables::standings(report))
            (tables::rows(report))
        }
        @for (at, (version, against)) in report.against().enumerate() {
            section {
                h2 { (capitalize(&named(report, version))) " against " (baseline) }
                div .figures { (pictures::differences(report, at, version, against)) }
                (tables::changes(report, against))
                (tables::most(report, against))
            }
        }
        (quantiles(report))
        (segments(report))
        (parts::origin(&facts(report), &again::command(args)))
    };
    page(&title, &about, &body)
}

fn named(report: &Report, version: i32) -> String {
    match report.scope.aliases_of(version).as_slice() {
        [] => format!("version {version}"),
        aliases => format!("version {version} ({})", aliases.join(", ")),
    }
}

/// Returns the text with a capital first letter.
fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Names the score that the differences are about.
fn score_name(report: &Report) -> String {
    match report.score() {
        Some(column) => column.to_owned(),
        None => format!("largest of {}", report.score_columns().join(", ")),
    }
}

fn cards(report: &Report) -> Vec<Card> {
    let mut cards = Vec::new();
    for (version, against) in report.against() {
        let name = named(report, version);
        let all = &against.all;
        if let (Some(label), Some(agreement)) = (report.label(), all.agreement()) {
            cards.push(Card {
                name: format!("Same {label}, {name}"),
                value: percent(agreement),
                notes: vec![format!(
                    "{} of {} rows agree with {}",
                    count(all.agreeing),
                    count(all.labelled),
                    named(report, report.baseline())
                )],
            });
        }
        if let (Some(absolute), Some(largest)) =
            (all.differences.mean_absolute(), all.differences.largest())
        {
            cards.push(Card {
                name: format!("Mean difference of {}, {name}", score_name(report)),
                value: number::value(absolute),
                notes: vec![
                    format!("without sign; the largest is {}", number::value(largest)),
                    format!("with sign {}", number::signed(all.differences.mean)),
                ],
            });
        }
        if let Some(correlation) = all.joint.correlation() {
            cards.push(Card {
                name: format!("Rank correlation, {name}"),
                value: fixed(correlation.value, 4),
                notes: vec![format!(
                    "Spearman’s, within {:.4}; 1 is the same order",
                    correlation.error
                )],
            });
        }
        if all.rows.compared == 0 {
            cards.push(Card {
                name: capitalize(&name),
                value: "–".to_owned(),
                notes: vec!["No row could be compared.".to_owned()],
            });
        }
    }
    cards
}

fn quantiles(report: &Report) -> Markup {
    let table = tables::quantiles(report);
    html! {
        @if let Some(table) = table {
            section {
                h2 { "Quantiles of the difference" }
                (table)
            }
        }
    }
}

fn segments(report: &Report) -> Markup {
    let Some(segment) = &report.scope.segment else {
        return html! {};
    };
    let column = &segment.column.name;
    html! {
        section {
            h2 { "By " (column) }
            div .figures { (pictures::segments(report, column)) }
            (tables::segments(report, column))
        }
    }
}

/// Returns a segment's name on the page.
fn segment_name(name: &Option<String>) -> String {
    segment::name(name.as_deref())
}

/// Returns the segments of all pairs.
fn segment_names(report: &Report) -> std::collections::BTreeSet<Option<String>> {
    let pairs = report
        .against()
        .map(|(_, against): (i32, &Against)| against);
    pairs
        .flat_map(|against| against.segments.keys().cloned())
        .collect()
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let scope = &report.scope;
    let versions = scope.job.versions.iter().map(|version| {
        let ready = &version.ready;
        let sha = hex::encode(ready.admitted.sha256);
        format!("{} version {}, sha256 {sha}", ready.model, ready.version)
    });
    let versions: Vec<_> = versions.collect();
    let facts = [
        ("Comparison", Some(report.id.to_string())),
        ("Began", Some(utc::to_second(report.begun_at))),
        ("Ended", Some(utc::to_second(report.finished_at))),
        ("Requested by", report.requested_by.clone()),
        (
            "Job",
            Some(format!("{}, revision {}", scope.job.job, scope.revision)),
        ),
        ("Predictions", Some(target(report))),
        ("Label", report.label().map(str::to_owned)),
        (
            "Score",
            (!report.score_columns().is_empty()).then(|| score_name(report)),
        ),
        ("Models", Some(versions.join("; "))),
        (
            "Made by",
            Some(format!("helenus {}", env!("CARGO_PKG_VERSION"))),
        ),
    ];
    let facts = facts.into_iter();
    facts
        .filter_map(|(name, fact)| Some((name, fact?)))
        .collect()
}
