//! A run: how far it is, what it counted, what it rejected and why, where the time went.

use std::collections::BTreeMap;

use chrono::Utc;
use maud::html;
use uuid::Uuid;

use super::run_statistics;
use crate::{
    domain::run::{Counts, Run},
    serve::{
        console::{
            figures,
            handle::not_found,
            place::{ActPlace, ConsolePlace},
            read::PageReader,
            table::{Table, TableCell, Tone},
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
pub async fn view(reader: &PageReader<'_>, job: &str, id: Uuid) -> Result<View, ApiError> {
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
    let place = ConsolePlace::Run(job.to_owned(), id);
    let about = format!("Run {id}");
    let began = run.started_at.unwrap_or(run.due_at);
    let title = format!("{job}, {}", began.format("%Y-%m-%d %H:%M:%S"));
    let mut view = View::new(place, title, about);
    view.is_live = true;
    view.said = Some(format!("The run is {}.", run.state));
    let cancel = super::action_link(reader, ActPlace::Cancel(job.to_owned(), id), "Cancel");
    view.acts
        .extend(cancel.filter(|_| !run.state.is_terminal() && !run.cancel_requested));
    view.notices(notices(run));
    view.add("progress", None, Content::Drawn(progress(run, &splits)));
    let counts = counts(run, &splits);
    view.add("about", None, Content::Facts(facts(run, &counts)));
    view.table(count_table(run, &counts));
    view.table(reasons(&rejected));
    view.table(rejected_table(job, &rejected));
    let picture = figures::splits(run.started_at, &splits, Utc::now());
    view.add("time", None, Content::Drawn(picture.unwrap_or_default()));
    view.table(split_table(&splits));
    view.table(run_statistics::numbers(run));
    view.table(run_statistics::labels(run));
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
            (TableCell::state(run.state.as_str()).draw()) " "
            @if total > 0 {
                progress max=(total) value=(done) aria-label="Splits done" {}
                " " (done) " of " (total) " splits"
            } @else if !run.state.is_terminal() { "It is being planned." }
        }
    }
}

fn facts(run: &Run, counts: &Counts) -> Vec<(&'static str, TableCell)> {
    let took = run
        .started_at
        .and_then(|from| Some(run.finished_at? - from));
    let seconds =
        |span: chrono::TimeDelta| TableCell::Seconds(span.num_milliseconds() as f64 / 1_000.0);
    let waited = run.started_at.map(|at| at - run.due_at);
    let by = run.requested_by.as_ref().map_or_else(
        || TableCell::text(run.trigger.clone()),
        |by| TableCell::text(by.clone()),
    );
    vec![
        ("Due", TableCell::Time(run.due_at)),
        (
            "Began",
            TableCell::optional(run.started_at, TableCell::Time),
        ),
        (
            "Waited before it began",
            TableCell::optional(waited, seconds),
        ),
        (
            "Ended",
            TableCell::optional(run.finished_at, TableCell::Time),
        ),
        ("Took", TableCell::optional(took, seconds)),
        ("Rows read", TableCell::Count(counts.source_rows)),
        (
            "Predictions without a row",
            TableCell::Count(counts.orphaned),
        ),
        ("Started by", by),
        (
            "Note",
            TableCell::optional(run.note.as_ref(), TableCell::text),
        ),
        (
            "Request",
            TableCell::optional(run.request_id, |id| {
                TableCell::Link(ConsolePlace::Request(id).path(), Box::new(super::short(id)))
            }),
        ),
        ("Rows", TableCell::text(run.scope.as_str())),
        ("Versions", TableCell::text(super::versions(&run.versions))),
        ("Aliases then", TableCell::text(aliases(run))),
        ("Rows from", TableCell::text(run.source.clone())),
        ("Predictions to", TableCell::text(run.target.clone())),
        (
            "Revision of the job",
            TableCell::Count(run.job_revision.unsigned_abs().into()),
        ),
        ("helenus", TableCell::text(run.helenus_version.clone())),
        (
            "ONNX Runtime",
            TableCell::optional(run.runtime_version.as_ref(), TableCell::text),
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
fn counts(run: &Run, splits: &[SplitLine]) -> Counts {
    let mut of_splits = Counts::default();
    for split in splits {
        of_splits.add(&Counts {
            source_rows: split.source_rows,
            orphaned: split.orphaned,
            scored: split.scored.clone(),
            unchanged: split.unchanged.clone(),
            rejected: split.rejected.clone(),
        });
    }
    match run.state.is_terminal() {
        true => run.counts.clone(),
        false => of_splits,
    }
}

fn count_table(run: &Run, counts: &Counts) -> Table {
    let table = Table::new(
        "counts",
        "Rows by version",
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
            TableCell::Count(version.unsigned_abs().into()),
            TableCell::Count(of(&counts.scored, *version)),
            TableCell::Count(of(&counts.unchanged, *version)),
            TableCell::Count(rejected),
            TableCell::Share(share),
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
            TableCell::text(reason),
            TableCell::Count(version.unsigned_abs().into()),
            TableCell::Count(rows),
        ]
    }))
}

fn rejected_table(job: &str, rejected: &[RejectedRow]) -> Table {
    let table = Table::new(
        "rejected",
        "Rejected rows, as far as they are listed",
        &[("key", "Row"), ("version", "Version"), ("reason", "Reason")],
    )
    .or("No row was rejected.");
    table.with(rejected.iter().map(|row| {
        let key = super::entity::key_text(&row.key);
        vec![
            TableCell::link(
                ConsolePlace::Entity(job.to_owned(), key.clone()).path(),
                key,
            ),
            TableCell::Count(row.version.unsigned_abs().into()),
            TableCell::text(row.reason.clone()),
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
            TableCell::Count(split.split.unsigned_abs().into()),
            TableCell::state(split.state.as_deref().unwrap_or_default()),
            TableCell::optional(split.process.as_deref(), |process| {
                TableCell::text(crate::process::readable(process))
            }),
            TableCell::Count(split.source_rows),
            TableCell::Count(split.scored.values().sum()),
            TableCell::Count(split.rejected.values().sum()),
            TableCell::optional(split.claimed_at, TableCell::Time),
            TableCell::optional(took, |took| {
                TableCell::Seconds(took.num_milliseconds() as f64 / 1_000.0)
            }),
            TableCell::Count(split.epoch.unsigned_abs().into()),
            TableCell::optional(split.error.as_ref(), TableCell::text),
        ]
    }))
}
