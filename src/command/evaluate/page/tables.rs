//! Tables of the numbers behind the pictures.

use maud::{Markup, html};

use super::series;
use crate::{
    inspect::evaluate::Evaluated,
    report::{
        metric,
        number::{self, count, percent},
        parts,
    },
};

/// Renders every metric of every version, with differences from the first version.
pub fn metrics(evaluated: &Evaluated) -> Markup {
    let all = series(evaluated);
    let mut header = vec!["Metric".to_owned()];
    for (at, one) in all.iter().enumerate() {
        header.extend([one.name.clone(), "95 %".to_owned()]);
        if at > 0 {
            header.extend([
                format!("against {}", all[0].name),
                "95 %".to_owned(),
                "p".to_owned(),
            ]);
        }
    }
    let results = evaluated.results.iter();
    let names = results
        .clone()
        .flat_map(|result| result.metrics.keys().chain(result.absent.keys()));
    let rows = metric::in_order(names).into_iter().map(|name| {
        let mut row = vec![metric::name(name)];
        for (at, result) in evaluated.results.iter().enumerate() {
            let mut value = match (result.metrics.get(name), result.absent.get(name)) {
                (Some(value), _) => number::value(*value),
                (None, Some(why)) => why.clone(),
                (None, None) => "–".to_owned(),
            };
            // Shown only if it is visible at the printed precision.
            if let Some(bound) = result.bounds.get(name).filter(|bound| **bound >= 0.000_05) {
                value.push_str(&format!(" ± {bound:.4}"));
            }
            row.push(value);
            row.push(number::interval(super::ends(result, name), number::value));
            if at > 0 {
                let against = result.against.as_ref();
                let get = |field: fn(
                    &crate::domain::evidence::evaluation::report::Against,
                )
                    -> &std::collections::BTreeMap<String, f64>| {
                    against.and_then(|against| field(against).get(name).copied())
                };
                row.push(get(|a| &a.differences).map_or_else(String::new, number::signed));
                row.push(number::interval(
                    get(|a| &a.low).zip(get(|a| &a.high)),
                    number::signed,
                ));
                row.push(get(|a| &a.p_values).map_or_else(String::new, number::p));
            }
        }
        row
    });
    let caption = "Each version, and its difference from the first on the same rows";
    html! {
        (parts::wide_table(caption, &header, rows))
        p .note { "“±” is the largest error that binning can cause; a value without it is exact to the printed digits. Intervals are delete-a-group jackknives, widened by that error; there is none with fewer than ten groups, or if no group changes the value. They are valid for one evaluation: repeated evaluation until an interval excludes zero will eventually find one that does." }
    }
}

/// Renders paired tests, for sources with one row per entity.
pub fn tests(evaluated: &Evaluated) -> Markup {
    let all = series(evaluated);
    let mut rows = Vec::new();
    for (one, result) in all.iter().zip(&evaluated.results) {
        let Some(against) = &result.against else {
            continue;
        };
        let tests = against.p_values.iter();
        let tests = tests.filter(|(name, _)| !result.metrics.contains_key(*name));
        rows.extend(tests.map(|(name, p)| {
            let found = match name.as_str() {
                "mcnemar" => format!(
                    "{} rows gained, {} lost",
                    count(against.gained),
                    count(against.lost)
                ),
                _ => String::new(),
            };
            [metric::name(name), one.name.clone(), found, number::p(*p)]
        }));
    }
    if rows.is_empty() {
        return html! {};
    }
    let caption = format!("Tests of single rows, against {}", all[0].name);
    parts::table(&caption, ["Test", "Version", "Found", "p"], rows)
}

/// Renders the number of rows that count, and of rows left out by reason.
pub fn rows(evaluated: &Evaluated) -> Markup {
    let part = &evaluated.found.part;
    let header = [
        "Version",
        "Usable",
        "Missing",
        "Rejected",
        "Stale",
        "Leaked",
        "Immature",
        "No number",
        "Orphaned",
    ];
    let versions = evaluated.scope.versions.iter();
    let versions = versions.zip(series(evaluated)).zip(&evaluated.results);
    let rows = versions.map(|((version, one), result)| {
        let predictions = &result.predictions;
        let orphaned = evaluated.found.orphaned.get(version).copied().unwrap_or(0);
        let [a, b, c, d, e, f, g, h] = [
            predictions.usable,
            predictions.missing,
            predictions.rejected,
            predictions.stale,
            predictions.leaked,
            predictions.immature,
            predictions.not_a_number,
            orphaned,
        ]
        .map(count);
        [one.name, a, b, c, d, e, f, g, h]
    });
    let share = part.all.rows as f64 / part.labelled.max(1) as f64;
    html! {
        p {
            (count(evaluated.found.source_rows)) " rows in the source, " (count(part.labelled)) " with a label; "
            (count(part.all.rows)) " of them (" (percent(share)) ") have a usable prediction of every version and count. "
            @if part.untimed > 0 { (count(part.untimed)) " labels have no time. " }
            @if evaluated.found.stray_labels > 0 { (count(evaluated.found.stray_labels)) " labels have no source row. " }
        }
        (parts::table("Predictions of labelled rows", header, rows))
    }
}

/// Renders the headline metric of every segment.
pub fn segments(evaluated: &Evaluated, column: &str) -> Markup {
    let headline = evaluated.headline;
    let all = series(evaluated);
    let mut rows = Vec::new();
    for name in evaluated.results[0].segments.keys() {
        for (one, result) in all.iter().zip(&evaluated.results) {
            let Some(segment) = result.segments.get(name) else {
                continue;
            };
            let get = |map: &std::collections::BTreeMap<String, f64>| map.get(headline).copied();
            let ends = get(&segment.low).zip(get(&segment.high));
            rows.push([
                name.clone(),
                one.name.clone(),
                count(segment.rows),
                get(&segment.metrics).map_or_else(|| "–".to_owned(), number::value),
                number::interval(ends, number::value),
                get(&segment.differences).map_or_else(String::new, number::signed),
            ]);
        }
    }
    let name = metric::name(headline);
    let difference = format!("against {}", all[0].name);
    let header = [column, "Version", "Rows", &name, "95 %", &difference];
    parts::table(&format!("{name} by {column}"), header, rows)
}
