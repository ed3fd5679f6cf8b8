//! A model's evaluations: each version's metrics, with intervals.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::{
    report::{
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        metric,
    },
    serve::{
        console::{
            place::ConsolePlace,
            query::Query,
            read::PageReader,
            table::{Column, Table, TableCell},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::console::models::EvaluationLine,
};

/// Versions whose evaluations are read, the newest.
const VERSIONS: usize = 100;
/// Evaluations of each version that are read.
const OF_A_VERSION: i32 = 10;
/// Versions that the picture shows.
const DRAWN: usize = 12;
/// Metrics that have a column.
const METRICS: usize = 8;

/// Returns the page. The query's `metric` says which one is drawn.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str, query: &Query) -> Result<View, ApiError> {
    let admissions = reader.read(format!("admission_lines {model}"), {
        let model = model.to_owned();
        |store| async move { store.admission_lines(&model).await }
    });
    let admissions = admissions.await?;
    let versions: Vec<i32> = admissions
        .iter()
        .map(|line| line.version)
        .take(VERSIONS)
        .collect();
    let lines = reader.read(format!("evaluation_lines {model} {versions:?}"), {
        let (model, versions) = (model.to_owned(), versions.clone());
        |store| async move {
            store
                .evaluation_lines(&model, &versions, OF_A_VERSION)
                .await
        }
    });
    let lines = lines.await?;
    let place = ConsolePlace::Evaluations(model.to_owned());
    let mut view = View::new(
        place.clone(),
        format!("{model}: evaluations"),
        "Versions held against what came true (`helenus evaluate`), newest first.",
    );
    view.add(
        "picture",
        None,
        Content::Drawn(picture(&place, &lines, query)),
    );
    view.table(table(model, &lines));
    Ok(view)
}

/// Draws a metric of each version's newest evaluation with its interval.
fn picture(place: &ConsolePlace, lines: &[EvaluationLine], query: &Query) -> Markup {
    let names = lines
        .iter()
        .flat_map(|line| line.metrics.iter().flat_map(BTreeMap::keys));
    let names = metric::in_order(names);
    let headline = lines.first().and_then(|line| line.headline.as_deref());
    let wanted = query
        .get("metric")
        .filter(|wanted| names.contains(wanted))
        .or(headline);
    let Some(wanted) = wanted else {
        return html! {};
    };
    let mut newest: BTreeMap<i32, &EvaluationLine> = BTreeMap::new();
    for line in lines {
        newest.entry(line.version).or_insert(line);
    }
    let items: Vec<Item> = newest
        .values()
        .rev()
        .take(DRAWN)
        .filter_map(|line| {
            let of = |ends: &Option<BTreeMap<String, f64>>| ends.as_ref()?.get(wanted).copied();
            let estimate = Estimate {
                value: of(&line.metrics)?,
                ends: of(&line.low).zip(of(&line.high)),
            };
            Some(Item {
                name: format!("Version {}", line.version),
                rows: line.evaluated,
                values: vec![Some(estimate)],
            })
        })
        .collect();
    let name = metric::name(wanted);
    let title = format!("{name} of each version's newest evaluation");
    let figure = Figure {
        id: "metric".to_owned(),
        title: &title,
        words: format!("{} versions, each with its 95 % interval", items.len()),
        note: "Evaluations of different rows are not comparable: the list says what each was of.",
        height: 0.0,
    };
    let series = [Series {
        at: 0,
        name: name.clone(),
    }];
    html! {
        @if names.len() > 1 {
            p { "Metric: "
                @for (at, metric) in names.iter().enumerate() {
                    @if at > 0 { " · " }
                    a href=(query.with(&[("metric", Some(metric))]).url(&place.path())) aria-current=[(*metric == wanted).then_some("true")] { (metric::name(metric)) }
                }
            }
        }
        (intervals::draw(figure, &name, &series, &items))
    }
}

/// Returns the list of evaluations.
pub fn table(model: &str, lines: &[EvaluationLine]) -> Table {
    let names = lines
        .iter()
        .flat_map(|line| line.metrics.iter().flat_map(BTreeMap::keys));
    let metrics: Vec<&str> = metric::in_order(names).into_iter().take(METRICS).collect();
    let mut table = Table::new(
        "evaluations",
        "Evaluations, newest first",
        &[
            ("at", "At (UTC)"),
            ("version", "Version"),
            ("job", "Job"),
            ("labels", "Labels"),
            ("rows", "Rows"),
            ("baseline", "Against"),
        ],
    )
    .or("No version was evaluated yet: `helenus evaluate` does it.");
    table.columns.extend(metrics.iter().map(|name| Column {
        id: format!("metric_{name}"),
        name: metric::name(name),
    }));
    table.columns.push(Column {
        id: "warnings".to_owned(),
        name: "Warnings".to_owned(),
    });
    table.with(lines.iter().map(|line| {
        let version = |version: i32| {
            let place = ConsolePlace::Version(model.to_owned(), version);
            TableCell::Link(
                place.path(),
                Box::new(TableCell::Count(version.unsigned_abs().into())),
            )
        };
        let job = line.job.as_ref();
        let mut row = vec![
            TableCell::optional(line.evaluated_at, TableCell::Time),
            version(line.version),
            TableCell::optional(job, |job| {
                TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone())
            }),
            TableCell::optional(line.labels.as_ref(), TableCell::text),
            TableCell::Count(line.evaluated),
            TableCell::optional(line.baseline, version),
        ];
        let value = |name: &&str| line.metrics.as_ref().and_then(|metrics| metrics.get(*name));
        row.extend(
            metrics
                .iter()
                .map(|name| TableCell::optional(value(name), |value| TableCell::Number(*value))),
        );
        let warnings = line.warnings.iter().flatten();
        row.push(TableCell::List(warnings.map(TableCell::text).collect()));
        row
    }))
}
