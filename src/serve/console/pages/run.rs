//! A run: how far it is, what it counted, what it rejected and why, where the time went.

use std::collections::BTreeMap;

use chrono::Utc;
use maud::html;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::run::Run,
    report::number,
    serve::{
        console::{
            figures,
            handle::not_found,
            place::{ActPlace, Place},
            read::Reader,
            table::{Cell, Table, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::{console::runs::SplitLine, runs::rejected_rows::RejectedRow},
};

/// Rejected rows that are read.
const REJECTED: i32 = 2_000;

/// Returns the page.
///
/// # Errors
/// 404, and those of Cassandra.
pub async fn view(reader: &Reader<'_>, job: &str, id: Uuid) -> Result<View, ApiError> {
    let run = reader.read(format!("run {job} {id}"), {
        let job = job.to_owned();
        move |store| async move { store.run(&job, id).await }
    });
    let run = run.await?;
    let run = run.as_ref().as_ref();
    let run = run.ok_or_else(|| not_found(&format!("job `{job}` has no run {id}")))?;
    let total = run.plan.as_ref().map_or(0, |plan| plan.splits.len());
    let splits = reader.read(format!("split_lines {job} {id} {total}"), {
        let job = job.to_owned();
        move |store| async move { store.split_lines(&job, id, total).await }
    });
    let rejected = reader.read(format!("rejected_rows {job} {id}"), {
        let run = run.clone();
        move |store| async move { store.rejected_rows(&run, REJECTED).await }
    });
    let (splits, rejected) = futures::try_join!(splits, rejected)?;
    let place = Place::Run(job.to_owned(), id);
    let about = format!("Run {id}");
    let began = run.started_at.unwrap_or(run.due_at);
    let title = format!("{job}, {}", began.format("%Y-%m-%d %H:%M:%S"));
    let mut view = View::new(place, title, about);
    view.is_live = true;
    view.said = Some(format!("The run is {}.", run.state));
    let cancel = super::act(reader, ActPlace::Cancel(job.to_owned(), id), "Cancel");
    view.acts
        .extend(cancel.filter(|_| !run.state.is_terminal() && !run.cancel_requested));
    view.notices(notices(run));
    view.add("progress", None, Content::Drawn(progress(run, &splits)));
    view.add("about", None, Content::Facts(facts(run)));
    view.table(counts(run, &splits));
    view.table(reasons(&rejected));
    view.table(rejected_table(job, &rejected));
    if let Some(picture) = figures::splits(run.started_at, &splits, Utc::now()) {
        view.add("time", Some("Where the time went"), Content::Drawn(picture));
    }
    view.table(split_table(&splits));
    view.table(statistics(run));
    Ok(view)
}

fn notices(run: &Run) -> Vec<(Tone, String)> {
    let mut notices = Vec::new();
    if let Some(reason) = &run.reason {
        let tone = match run.state.is_terminal() {
            true => Tone::Bad,
            false => Tone::Busy,
        };
        notices.push((tone, reason.clone()));
    }
    if run.cancel_requested && !run.state.is_terminal() {
        notices.push((Tone::Warn, "It is being cancelled.".to_owned()));
    }
    if run.is_late(Utc::now()) {
        notices.push((
            Tone::Warn,
            "It is past its deadline, or ended after it.".to_owned(),
        ));
    }
    notices.extend(
        run.warnings
            .iter()
            .map(|warning| (Tone::Warn, warning.clone())),
    );
    notices
}

fn progress(run: &Run, splits: &[SplitLine]) -> maud::Markup {
    let done = splits
        .iter()
        .filter(|split| split.state.as_deref() == Some("done"))
        .count();
    let done = done.max(run.splits_done.max(0) as usize);
    let total = run.splits_total.max(0) as usize;
    html! {
        p {
            (Cell::state(run.state.as_str()).draw()) " "
            @if total > 0 {
                progress max=(total) value=(done) aria-label="Splits done" {}
                " " (done) " of " (total) " splits"
            } @else if !run.state.is_terminal() { "It is being planned." }
        }
    }
}

fn facts(run: &Run) -> Vec<(&'static str, Cell)> {
    let took = run
        .started_at
        .and_then(|from| Some(run.finished_at? - from));
    let seconds = |span: chrono::TimeDelta| Cell::Seconds(span.num_milliseconds() as f64 / 1_000.0);
    let waited = run.started_at.map(|at| at - run.due_at);
    let by = run.requested_by.as_ref().map_or_else(
        || Cell::text(run.trigger.clone()),
        |by| Cell::text(by.clone()),
    );
    vec![
        ("Due", Cell::Time(run.due_at)),
        ("Began", Cell::of(run.started_at, Cell::Time)),
        ("Waited before it began", Cell::of(waited, seconds)),
        ("Ended", Cell::of(run.finished_at, Cell::Time)),
        ("Took", Cell::of(took, seconds)),
        ("Started by", by),
        ("Note", Cell::of(run.note.as_ref(), Cell::text)),
        (
            "Request",
            Cell::of(run.request_id, |id| {
                Cell::Link(Place::Request(id).path(), Box::new(super::short(id)))
            }),
        ),
        ("Rows", Cell::text(run.scope.as_str())),
        ("Versions", Cell::text(super::versions(&run.versions))),
        ("Aliases then", Cell::text(aliases(run))),
        ("Rows from", Cell::text(run.source.clone())),
        ("Predictions to", Cell::text(run.target.clone())),
        (
            "Revision of the job",
            Cell::Count(run.job_revision.unsigned_abs().into()),
        ),
        ("helenus", Cell::text(run.helenus_version.clone())),
        (
            "ONNX Runtime",
            Cell::of(run.runtime_version.as_ref(), Cell::text),
        ),
    ]
}

fn aliases(run: &Run) -> String {
    let aliases = run.aliases.iter();
    let aliases: Vec<String> = aliases
        .map(|(alias, version)| format!("{alias} = {version}"))
        .collect();
    aliases.join(", ")
}

/// The run's counts once it has ended, before that those of its splits.
fn counts(run: &Run, splits: &[SplitLine]) -> Table {
    let mut of_splits = crate::domain::run::Counts::default();
    for split in splits {
        of_splits.add(&crate::domain::run::Counts {
            source_rows: split.source_rows,
            orphaned: split.orphaned,
            scored: split.scored.clone(),
            unchanged: split.unchanged.clone(),
            rejected: split.rejected.clone(),
        });
    }
    let counts = match run.state.is_terminal() {
        true => &run.counts,
        false => &of_splits,
    };
    let caption = format!(
        "{} rows read, {} predictions without a row",
        number::count(counts.source_rows),
        number::count(counts.orphaned)
    );
    let table = Table::new(
        "counts",
        caption,
        &[
            ("version", "Version"),
            ("scored", "Scored"),
            ("unchanged", "Unchanged"),
            ("rejected", "Rejected"),
            ("rejected_share", "Share rejected"),
        ],
    );
    let of = |counts: &BTreeMap<i32, u64>, version: i32| counts.get(&version).copied().unwrap_or(0);
    table.with(run.versions.iter().map(|version| {
        let rejected = of(&counts.rejected, *version);
        let share = rejected as f64 / counts.source_rows.max(1) as f64;
        vec![
            Cell::Count(version.unsigned_abs().into()),
            Cell::Count(of(&counts.scored, *version)),
            Cell::Count(of(&counts.unchanged, *version)),
            Cell::Count(rejected),
            Cell::Share(share),
        ]
    }))
}

fn reasons(rejected: &[RejectedRow]) -> Table {
    let mut by_reason: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    for row in rejected {
        *by_reason
            .entry((row.reason.as_str(), row.version))
            .or_default() += 1;
    }
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let table = Table::new(
        "reasons",
        "Rejected rows by reason",
        &[
            ("reason", "Reason"),
            ("version", "Version"),
            ("rows", "Rows"),
        ],
    )
    .or("No row was rejected.");
    table.with(reasons.into_iter().map(|((reason, version), rows)| {
        vec![
            Cell::text(reason),
            Cell::Count(version.unsigned_abs().into()),
            Cell::Count(rows),
        ]
    }))
}

fn rejected_table(job: &str, rejected: &[RejectedRow]) -> Table {
    let caption = match rejected.len() == REJECTED as usize {
        true => format!("The first {REJECTED} rejected rows that are listed"),
        false => "Rejected rows that are listed".to_owned(),
    };
    let table = Table::new(
        "rejected",
        caption,
        &[("key", "Row"), ("version", "Version"), ("reason", "Reason")],
    )
    .or("No row was rejected.");
    table.with(rejected.iter().map(|row| {
        let key = super::entity::key_text(&row.key);
        vec![
            Cell::link(Place::Entity(job.to_owned(), key.clone()).path(), key),
            Cell::Count(row.version.unsigned_abs().into()),
            Cell::text(row.reason.clone()),
        ]
    }))
}

fn split_table(splits: &[SplitLine]) -> Table {
    let table = Table::new(
        "splits",
        "Splits",
        &[
            ("split", "Split"),
            ("state", "State"),
            ("process", "Process"),
            ("rows", "Rows read"),
            ("scored", "Scored"),
            ("rejected", "Rejected"),
            ("began", "Claimed (UTC)"),
            ("took_s", "Took"),
            ("claims", "Claims"),
            ("error", "Error"),
        ],
    )
    .or("No split was claimed yet.");
    table.with(splits.iter().map(|split| {
        let took = split
            .claimed_at
            .and_then(|from| Some(split.finished_at? - from));
        vec![
            Cell::Count(split.split.unsigned_abs().into()),
            Cell::state(split.state.as_deref().unwrap_or_default()),
            Cell::of(split.process.as_deref(), |process| {
                Cell::text(crate::process::spoken(process))
            }),
            Cell::Count(split.source_rows),
            Cell::Count(split.scored.values().sum()),
            Cell::Count(split.rejected.values().sum()),
            Cell::of(split.claimed_at, Cell::Time),
            Cell::of(took, |took| {
                Cell::Seconds(took.num_milliseconds() as f64 / 1_000.0)
            }),
            Cell::Count(split.epoch.unsigned_abs().into()),
            Cell::of(split.error.as_ref(), Cell::text),
        ]
    }))
}

/// What the outputs looked like: each figure of each column.
fn statistics(run: &Run) -> Table {
    let table = Table::new(
        "statistics",
        "Statistics of the outputs",
        &[
            ("version", "Version"),
            ("output", "Output"),
            ("what", "What"),
            ("value", "Value"),
        ],
    )
    .or("The run has no statistics, or has not ended.");
    let rows = run.output_statistics.iter().flat_map(|(version, json)| {
        let columns: BTreeMap<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let mut rows = Vec::new();
        for (output, figures) in columns {
            flatten(&figures, "", &mut |what, value| {
                rows.push(vec![
                    Cell::Count(version.unsigned_abs().into()),
                    Cell::text(output.clone()),
                    Cell::text(what.replace('_', " ")),
                    value,
                ]);
            });
        }
        rows
    });
    table.with(rows)
}

fn flatten(value: &Value, name: &str, add: &mut impl FnMut(&str, Cell)) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = match name {
                    "" => field.clone(),
                    name => format!("{name} {field}"),
                };
                flatten(value, &name, add);
            }
        }
        Value::Number(number) => add(name, Cell::of(number.as_f64(), Cell::Number)),
        Value::Null => {}
        other => add(name, Cell::text(other.to_string())),
    }
}
