//! An evaluation as an HTML page.

mod binary;
mod classes;
mod regression;
mod tables;

use maud::{Markup, html};

use super::{Args, again, show};
use crate::{
    codec::utc,
    domain::evidence::evaluation::{
        partial::OfVersion,
        report::{Better, OneResult},
    },
    inspect::evaluate::{EvaluateSpec, Evaluated, task},
    report::{
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        metric, number, page,
        parts::{self, Card},
    },
};

/// Renders the whole page. `warnings` are those of the answer.
pub fn render(
    evaluated: &Evaluated,
    wish: &EvaluateSpec,
    args: &Args,
    warnings: &[String],
) -> String {
    let job = &evaluated.scope.job.job;
    let names: Vec<String> = series(evaluated).into_iter().map(|one| one.name).collect();
    let title = format!("How good {job} is: {}", names.join(", "));
    let about = format!(
        "Predictions evaluated against {}, {}. {} labelled rows count, the same for every version.",
        labels(wish),
        evaluated.at.format("%-d %B %Y, %H:%M UTC"),
        number::count(evaluated.found.part.all.rows),
    );
    let body = html! {
        (parts::cards(&cards(evaluated)))
        (parts::warnings(warnings))
        section {
            h2 { "What the predictions look like" }
            (pictures(evaluated))
        }
        section {
            h2 { "All metrics" }
            (tables::metrics(evaluated))
            (tables::tests(evaluated))
        }
        (segments(evaluated, wish))
        section {
            h2 { "Which rows count" }
            (tables::rows(evaluated))
        }
        (parts::origin(&facts(evaluated, wish), &again::command(args)))
    };
    page(&title, &about, &body)
}

fn labels(wish: &EvaluateSpec) -> String {
    format!("{}.{}", wish.labels.table, wish.labels.column)
}

/// Returns the versions with their names on the page.
fn series(evaluated: &Evaluated) -> Vec<Series> {
    let versions = evaluated.scope.versions.iter().enumerate();
    let name = |version: i32| match evaluated.scope.aliases_of(version).as_slice() {
        [] => format!("version {version}"),
        aliases => format!("version {version} ({})", aliases.join(", ")),
    };
    versions
        .map(|(at, version)| Series {
            at,
            name: name(*version),
        })
        .collect()
}

fn cards(evaluated: &Evaluated) -> Vec<Card> {
    let headline = evaluated.headline;
    let all = series(evaluated);
    let results = all.iter().zip(&evaluated.results);
    results
        .map(|(one, result)| {
            let mut notes = Vec::new();
            let ends = ends(result, headline);
            if ends.is_some() {
                notes.push(format!(
                    "95 % interval {}",
                    number::interval(ends, number::value)
                ));
            }
            notes.extend(
                verdict(result, headline).map(|verdict| format!("{verdict} {}", all[0].name)),
            );
            let value = result.metrics.get(headline);
            if let Some(why) = result.absent.get(headline) {
                notes.push(why.clone());
            }
            Card {
                name: format!("{}, {}", metric::name(headline), one.name),
                value: value.map_or_else(|| "–".to_owned(), |value| number::value(*value)),
                notes,
            }
        })
        .collect()
}

fn ends(result: &OneResult, metric: &str) -> Option<(f64, f64)> {
    let get = |map: &std::collections::BTreeMap<String, f64>| map.get(metric).copied();
    get(&result.low).zip(get(&result.high))
}

/// Compares a version with the first one, as text that the first version's name completes.
fn verdict(result: &OneResult, metric: &str) -> Option<String> {
    let against = result.against.as_ref()?;
    let difference = *against.differences.get(metric)?;
    let difference = number::signed(difference);
    let ends = against.low.get(metric).zip(against.high.get(metric));
    Some(match ends {
        None => format!("{difference} (no interval: too few groups, or no variation) against"),
        Some((low, high)) => {
            let interval = number::interval(Some((*low, *high)), number::signed);
            let improvement =
                |end: &f64| Better::for_metric(metric).map(|better| better.improvement(*end));
            let word = match (improvement(low), improvement(high)) {
                _ if *low <= 0.0 && *high >= 0.0 => "no clear difference from",
                (Some(a), Some(b)) if a > 0.0 && b > 0.0 => "better than",
                (Some(_), Some(_)) => "worse than",
                _ => "different from",
            };
            format!("{difference} ({interval}): {word}")
        }
    })
}

fn pictures(evaluated: &Evaluated) -> Markup {
    let series = series(evaluated);
    let versions = &evaluated.found.part.all.versions;
    macro_rules! of_kind {
        ($kind:path) => {
            series
                .iter()
                .zip(versions)
                .filter_map(|(series, version)| match version {
                    $kind(own) => Some((series.clone(), own)),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
    }
    match versions.first() {
        Some(OfVersion::Binary(_)) => binary::draw(&of_kind!(OfVersion::Binary), evaluated),
        Some(OfVersion::Classes(_)) => classes::draw(&of_kind!(OfVersion::Classes), evaluated),
        Some(OfVersion::Regression(_)) => {
            let own: Vec<_> = of_kind!(OfVersion::Regression);
            let own: Vec<_> = own
                .into_iter()
                .map(|(series, own)| (series, &**own))
                .collect();
            regression::draw(&own)
        }
        None => html! {},
    }
}

fn segments(evaluated: &Evaluated, wish: &EvaluateSpec) -> Markup {
    let (Some(column), Some(first)) = (&wish.segment, evaluated.results.first()) else {
        return html! {};
    };
    let headline = evaluated.headline;
    let items: Vec<Item> = first
        .segments
        .iter()
        .map(|(name, segment)| {
            let estimate = |result: &OneResult| {
                let own = result.segments.get(name)?;
                let value = *own.metrics.get(headline)?;
                let ends = own.low.get(headline).zip(own.high.get(headline));
                Some(Estimate {
                    value,
                    ends: ends.map(|(low, high)| (*low, *high)),
                })
            };
            Item {
                name: name.clone(),
                rows: segment.rows,
                values: evaluated.results.iter().map(estimate).collect(),
            }
        })
        .collect();
    let title = format!("{} by {column}", metric::name(headline));
    let figure = Figure {
        id: "segments".to_owned(),
        title: &title,
        words: format!("{} segments; the table has their values.", items.len()),
        note: "Lines are 95 % intervals; a value without a line has too few groups for an interval. Of twenty segments, one shows a “clear” difference by chance.",
        height: 0.0,
    };
    html! {
        section {
            h2 { "By " (column) }
            @if items.is_empty() {
                p { "No segments: the column has too many values." }
            } @else {
                (intervals::draw(figure, &metric::name(headline), &series(evaluated), &items))
                (tables::segments(evaluated, column))
            }
        }
    }
}

fn facts(evaluated: &Evaluated, wish: &EvaluateSpec) -> Vec<(&'static str, String)> {
    let scope = &evaluated.scope;
    let (task, positive) = task(&evaluated.target.meaning);
    let versions = scope.job.versions.iter().map(|version| {
        let ready = &version.ready;
        let sha = hex::encode(ready.admitted.sha256);
        format!("{} version {}, sha256 {sha}", ready.model, ready.version)
    });
    let versions: Vec<_> = versions.collect();
    let target = &scope.job.target;
    [
        ("Evaluation", Some(evaluated.id.to_string())),
        ("Began", Some(utc::to_second(evaluated.at))),
        ("Requested by", wish.requested_by.clone()),
        (
            "Job",
            Some(format!("{}, revision {}", scope.job.job, scope.revision)),
        ),
        (
            "Predictions",
            Some(format!("{}.{}", target.keyspace, target.table)),
        ),
        ("Labels", Some(labels(wish))),
        ("Time of labels", wish.labels.time.clone()),
        (
            "Task",
            Some(match positive {
                Some(positive) => format!("{task}, positive class {positive}"),
                None => task.to_owned(),
            }),
        ),
        ("Leakage", Some(evaluated.leakage.as_str().to_owned())),
        (
            "Scores",
            evaluated
                .results
                .first()
                .and_then(|result| result.scores)
                .map(show::scores_text),
        ),
        ("Models", Some(versions.join("; "))),
        (
            "Stored",
            Some(match evaluated.stored {
                true => "in the table evaluations".to_owned(),
                false => "only in this page".to_owned(),
            }),
        ),
        (
            "Made by",
            Some(format!("helenus {}", env!("CARGO_PKG_VERSION"))),
        ),
    ]
    .into_iter()
    .filter_map(|(name, fact)| Some((name, fact?)))
    .collect()
}
