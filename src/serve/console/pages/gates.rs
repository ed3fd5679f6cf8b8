//! A model's gates: may the challenger go live?

use maud::{Markup, html};

use crate::{
    domain::gate::{CHALLENGER, Gate, GateRow},
    report::{
        figure::{Figure, Series},
        intervals::{self, Estimate, Item},
        metric, number,
    },
    serve::{
        console::{
            place::{ActPlace, ConsolePlace},
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::console::models::{AliasHead, VerdictLine},
};

/// Verdicts of each gate that are read.
const VERDICTS: i32 = 20;

/// Returns the page.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, model: &str) -> Result<View, ApiError> {
    let rows = reader
        .read("gates".to_owned(), |store| store.gates())
        .await?;
    let own = rows
        .iter()
        .filter(|row| row.model == model && row.removed != Some(true));
    let mut own: Vec<&GateRow> = own.collect();
    own.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = own.iter().map(|row| row.name.clone()).collect();
    let verdicts = reader.read(format!("verdict_lines {model} {names:?}"), {
        let (model, names) = (model.to_owned(), names.clone());
        |store| async move { store.verdict_lines(&model, &names, VERDICTS).await }
    });
    let aliases = reader.read("alias_heads".to_owned(), |store| store.alias_heads());
    let (verdicts, aliases) = futures::try_join!(verdicts, aliases)?;
    let points_at = |alias: &str| -> Option<i32> {
        let is_it = |head: &&AliasHead| head.model == model && head.alias == alias;
        aliases.iter().find(is_it).and_then(|head| head.version)
    };
    let mut view = View::new(
        ConsolePlace::Gates(model.to_owned()),
        format!("{model}: gates"),
        "What a version must show before it goes live, and what the newest evaluation shows.",
    );
    view.is_live = true;
    let mut items = Vec::new();
    let table = Table::new(
        "gates",
        "Gates",
        &[
            ("gate", "Gate"),
            ("verdict", "Newest verdict"),
            ("act", "Action"),
            ("challenger", "Challenger"),
            ("against", "Against"),
            ("metric", "Metric"),
            ("improvement", "Better by"),
            ("low", "Surely by"),
            ("wanted", "More than"),
            ("rows", "Rows"),
            ("wanted_rows", "At least"),
            ("at", "Judged (UTC)"),
            ("reasons", "Reasons"),
        ],
    )
    .or("The model has no gate: `helenus gate add` makes one.");
    let rows: Vec<Vec<TableCell>> = own
        .iter()
        .map(|row| {
            let verdict = newest(&verdicts, &row.name);
            let gate = Gate::read(row).ok();
            items.extend(
                verdict
                    .zip(gate.as_ref())
                    .and_then(|(verdict, gate)| item(verdict, gate)),
            );
            let act = super::action_link(
                reader,
                ActPlace::Approve(model.to_owned(), row.name.clone()),
                "Approve",
            );
            cells(model, row, gate.as_ref(), verdict, points_at, act)
        })
        .collect();
    view.table(table.with(rows));
    if !items.is_empty() {
        view.add("picture", None, Content::Drawn(picture(&items)));
    }
    view.table(history(model, &verdicts));
    Ok(view)
}

fn newest<'a>(verdicts: &'a [VerdictLine], gate: &str) -> Option<&'a VerdictLine> {
    let own = verdicts.iter().filter(|verdict| verdict.gate == gate);
    own.max_by_key(|verdict| verdict.decided_at)
}

fn version_cell(model: &str, version: Option<i32>) -> TableCell {
    TableCell::optional(version, |version| {
        let place = ConsolePlace::Version(model.to_owned(), version);
        TableCell::Link(
            place.path(),
            Box::new(TableCell::Count(version.unsigned_abs().into())),
        )
    })
}

fn cells(
    model: &str,
    row: &GateRow,
    gate: Option<&Gate>,
    verdict: Option<&VerdictLine>,
    points_at: impl Fn(&str) -> Option<i32>,
    act: Option<(String, String)>,
) -> Vec<TableCell> {
    let challenger = row.challenger.as_deref().unwrap_or(CHALLENGER);
    let current = points_at(challenger);
    let is_current = verdict.is_some_and(|verdict| verdict.version == current);
    let word = verdict.and_then(|verdict| verdict.verdict.as_deref());
    let passes = word == Some("passes") && is_current;
    let verdict_cell = match (word, is_current) {
        (None, _) => TableCell::Toned(Tone::Idle, "not evaluated".to_owned()),
        (Some(word), true) => TableCell::state(word),
        (Some(word), false) => TableCell::Toned(Tone::Idle, format!("{word}, of another version")),
    };
    let reasons = verdict.map(|verdict| verdict.reasons.iter().map(TableCell::text).collect());
    let wanted = gate.map(|gate| gate.min_improvement);
    vec![
        TableCell::text(row.name.clone()),
        verdict_cell,
        match (passes, act) {
            (true, Some((path, name))) => TableCell::link(path, format!("{name} {}", row.name)),
            _ => TableCell::Empty,
        },
        version_cell(model, current),
        version_cell(model, verdict.and_then(|verdict| verdict.baseline)),
        TableCell::optional(row.metric.as_deref(), |name| {
            TableCell::text(metric::name(name))
        }),
        TableCell::optional(
            verdict.and_then(|verdict| verdict.improvement),
            TableCell::Number,
        ),
        TableCell::optional(verdict.and_then(|verdict| verdict.low), TableCell::Number),
        TableCell::optional(wanted, TableCell::Number),
        TableCell::optional(verdict.and_then(|verdict| verdict.rows), |rows| {
            TableCell::Count(rows.unsigned_abs())
        }),
        TableCell::optional(gate.map(|gate| gate.min_labelled_rows), TableCell::Count),
        TableCell::optional(
            verdict.and_then(|verdict| verdict.decided_at),
            TableCell::Time,
        ),
        reasons
            .filter(|reasons: &Vec<TableCell>| !reasons.is_empty())
            .map_or(TableCell::Empty, TableCell::List),
    ]
}

/// The improvement and its lower end, beside what is wanted.
fn item(verdict: &VerdictLine, gate: &Gate) -> Option<Item> {
    let improvement = verdict.improvement?;
    let low = verdict.low?;
    let wanted = Estimate {
        value: gate.min_improvement,
        ends: None,
    };
    Some(Item {
        name: format!("{}: {}", gate.name, metric::name(&gate.metric)),
        rows: verdict.rows.unwrap_or_default().unsigned_abs(),
        values: vec![
            Some(Estimate {
                value: improvement,
                ends: Some((low, improvement)),
            }),
            Some(wanted),
        ],
    })
}

fn picture(items: &[Item]) -> Markup {
    let figure = Figure {
        id: "gates".to_owned(),
        title: "How much better the challenger is, and what is wanted",
        words: format!(
            "{} gates, each with the improvement and its lower end",
            items.len()
        ),
        note: "The line ends on the left at what is sure, however often anybody looks.",
        height: 0.0,
    };
    let series = ["improvement", "more than this is wanted"];
    let series: Vec<Series> = series
        .into_iter()
        .enumerate()
        .map(|(at, name)| Series {
            at,
            name: name.to_owned(),
        })
        .collect();
    html! { (intervals::draw(figure, "Improvement of the metric", &series, items)) }
}

fn history(model: &str, verdicts: &[VerdictLine]) -> Table {
    let table = Table::new(
        "verdicts",
        "All verdicts",
        &[
            ("at", "Judged (UTC)"),
            ("gate", "Gate"),
            ("verdict", "Verdict"),
            ("version", "Version"),
            ("baseline", "Against"),
            ("metric", "Metric"),
            ("improvement", "Better by"),
            ("rows", "Rows"),
            ("reasons", "Reasons"),
        ],
    )
    .or("No gate has judged anything yet.");
    let mut verdicts: Vec<&VerdictLine> = verdicts.iter().collect();
    verdicts.sort_by_key(|verdict| std::cmp::Reverse(verdict.decided_at));
    table.with(verdicts.into_iter().map(|verdict| {
        vec![
            TableCell::optional(verdict.decided_at, TableCell::Time),
            TableCell::text(verdict.gate.clone()),
            TableCell::optional(verdict.verdict.as_deref(), TableCell::state),
            version_cell(model, verdict.version),
            version_cell(model, verdict.baseline),
            TableCell::optional(verdict.metric.as_deref(), |name| {
                TableCell::text(metric::name(name))
            }),
            TableCell::optional(verdict.improvement, |value| {
                TableCell::text(number::signed(value))
            }),
            TableCell::optional(verdict.rows, |rows| TableCell::Count(rows.unsigned_abs())),
            TableCell::text(verdict.reasons.join("; ")),
        ]
    }))
}
