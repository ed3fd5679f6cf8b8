//! Tables of the numbers behind the pictures.

use maud::{Markup, html};

use super::{capitalize, named, score_name, segment_name, segment_names};
use crate::{
    command::compare::json::statement,
    inspect::compare::{Against, QUANTILES, Report},
    report::{
        number::{self, count, percent},
        parts,
    },
};

/// Maximum number of label changes shown.
const MAX_CHANGES: usize = 30;

/// Renders the predictions by version.
pub fn standings(report: &Report) -> Markup {
    let standings = report
        .scope
        .versions
        .iter()
        .zip(&report.found.part.standings);
    let rows = standings.map(|(version, standing)| {
        let orphaned = report.found.orphaned.get(version).copied().unwrap_or(0);
        let share = standing.current as f64 / report.found.source_rows.max(1) as f64;
        [
            capitalize(&named(report, *version)),
            count(standing.current),
            percent(share),
            count(standing.stale),
            count(standing.rejected),
            count(standing.missing),
            count(orphaned),
        ]
    });
    let header = [
        "Version",
        "Current",
        "Of all rows",
        "Stale",
        "Rejected",
        "Missing",
        "Orphaned",
    ];
    let caption = format!(
        "Predictions of {} source rows",
        count(report.found.source_rows)
    );
    parts::table(&caption, header, rows)
}

/// Renders the rows of each pair.
pub fn rows(report: &Report) -> Markup {
    let rows = report.against().map(|(version, against)| {
        let rows = &against.all.rows;
        [
            capitalize(&named(report, version)),
            count(rows.compared),
            count(rows.stale),
            count(rows.missing),
            count(rows.rejected),
            count(against.all.unscored),
        ]
    });
    let header = [
        "Version",
        "Compared",
        "Stale",
        "Missing",
        "Rejected",
        "Without a number",
    ];
    let caption = format!(
        "Rows compared with {}; all figures are about these",
        named(report, report.baseline())
    );
    parts::table(&caption, header, rows)
}

/// Renders the label transitions.
pub fn changes(report: &Report, against: &Against) -> Markup {
    let (Some(label), pair) = (report.label(), &against.all) else {
        return html! {};
    };
    if pair.labelled == 0 {
        return html! {};
    }
    if pair.labelled == pair.agreeing {
        return html! { p { "Every compared row has the same " (label) "." } };
    }
    let mut changes: Vec<_> = pair.changes.iter().collect();
    changes.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let share = |rows: u64| percent(rows as f64 / pair.labelled.max(1) as f64);
    let rest: u64 = changes
        .iter()
        .skip(MAX_CHANGES)
        .map(|(_, rows)| **rows)
        .sum();
    let rest = rest + pair.other_changes;
    let rows = changes
        .iter()
        .take(MAX_CHANGES)
        .map(|((from, to), rows)| [from.clone(), to.clone(), count(**rows), share(**rows)]);
    let rest = (rest > 0).then(|| {
        [
            "others".to_owned(),
            "others".to_owned(),
            count(rest),
            share(rest),
        ]
    });
    let header = ["From", "To", "Rows", "Of all compared"];
    parts::table(&format!("Changes of {label}"), header, rows.chain(rest))
}

/// Renders the entities that differ most, each with a statement for cqlsh.
pub fn most(report: &Report, against: &Against) -> Markup {
    let most = against.most.sorted();
    if most.is_empty() {
        return html! {};
    }
    let caption = "The entities that differ most";
    let score = |score: Option<f64>| score.map_or_else(String::new, number::value);
    let side = |label: &Option<String>, value: Option<f64>| {
        let label = label.clone().unwrap_or_default();
        format!("{label} {}", score(value)).trim().to_owned()
    };
    html! {
        div .scroll tabindex="0" role="region" aria-label=(caption) {
            table .most {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "Key" }
                        th scope="col" { "Difference" }
                        th scope="col" { "Baseline" }
                        th scope="col" { "Version" }
                        @if report.scope.segment.is_some() { th scope="col" { "Segment" } }
                        th .left scope="col" { "For cqlsh" }
                    }
                }
                tbody {
                    @for entity in most {
                        tr {
                            th scope="row" { (entity.key) }
                            td { (number::value(entity.distance)) }
                            td { (side(&entity.labels[0], entity.scores[0])) }
                            td { (side(&entity.labels[1], entity.scores[1])) }
                            @if report.scope.segment.is_some() { td { (segment_name(&entity.segment)) } }
                            td .left { code { (statement(report, entity)) } }
                        }
                    }
                }
            }
        }
        p .note { "This page names entities, so it is as confidential as the table. “helenus forget” does not reach it; --top 0 leaves them out." }
    }
}

/// Renders the quantiles of score differences by version; `None` if no score is compared.
pub fn quantiles(report: &Report) -> Option<Markup> {
    let mut header = vec!["Share of rows".to_owned()];
    let all: Vec<_> = report
        .against()
        .filter(|(_, against)| against.all.differences.count > 0)
        .collect();
    if all.is_empty() {
        return None;
    }
    header.extend(
        all.iter()
            .map(|(version, _)| capitalize(&named(report, *version))),
    );
    let rows = QUANTILES.into_iter().map(|(_, q)| {
        let value = |(_, against): &(i32, &Against)| {
            let value = against.all.differences.quantile(q);
            value.map_or_else(|| "–".to_owned(), number::signed)
        };
        let row = std::iter::once(format!("{} have at most", percent(q)));
        row.chain(all.iter().map(value)).collect()
    });
    let caption = format!(
        "Difference of {}, within 1 % of its value",
        score_name(report)
    );
    Some(parts::wide_table(&caption, &header, rows))
}

/// Renders the figures by segment.
pub fn segments(report: &Report, column: &str) -> Markup {
    let value_text = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), number::value);
    let mut rows = Vec::new();
    for name in segment_names(report) {
        for (version, against) in report.against() {
            let Some(pair) = against.segments.get(&name) else {
                continue;
            };
            let differences = &pair.differences;
            let correlation = pair.joint.correlation();
            rows.push([
                segment_name(&name),
                named(report, version),
                count(pair.rows.compared),
                count(pair.rows.stale + pair.rows.missing + pair.rows.rejected),
                pair.agreement().map_or_else(|| "–".to_owned(), percent),
                match differences.count {
                    0 => "–".to_owned(),
                    _ => number::signed(differences.mean),
                },
                value_text(differences.mean_absolute()),
                correlation.map_or_else(
                    || "–".to_owned(),
                    |c| format!("{:.3} ± {:.3}", c.value, c.error),
                ),
            ]);
        }
    }
    let header = [
        column,
        "Version",
        "Compared",
        "Left out",
        "Agreement",
        "Mean difference",
        "Mean absolute difference",
        "Rank correlation",
    ];
    parts::table(&format!("Figures by {column}"), header, rows)
}
