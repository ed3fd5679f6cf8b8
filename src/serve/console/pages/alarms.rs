//! All alarms, open and closed.

use uuid::Uuid;

use crate::{
    serve::{
        caller::Right,
        console::{
            place::{ActPlace, ConsolePlace},
            query::Query,
            read::PageReader,
            table::{Table, TableCell, Tone},
            view::{Content, View},
        },
        error::ApiError,
    },
    store::console::lists::{AckLine, AlarmLine},
};

/// Alarms of each job that are read.
const OF_A_JOB: i32 = 20;

/// Returns the page. The query's `all` shows closed ones, too.
///
/// # Errors
/// Those of Cassandra.
pub async fn view(reader: &PageReader<'_>, query: &Query) -> Result<View, ApiError> {
    let alarms = reader.read("alarm_lines".to_owned(), |store| {
        store.alarm_lines(OF_A_JOB)
    });
    let acks = reader.read("ack_lines".to_owned(), |store| store.ack_lines());
    let (alarms, acks) = futures::try_join!(alarms, acks)?;
    let may_read = |line: &&AlarmLine| reader.caller.check_job(Right::Read, &line.job).is_ok();
    let mut alarms: Vec<&AlarmLine> = alarms.iter().filter(may_read).collect();
    alarms.sort_by_key(|line| (line.closed_at.is_some(), std::cmp::Reverse(line.since)));
    let ack = |id: Option<Uuid>| acks.iter().find(|ack| Some(ack.id) == id);
    let open = alarms.iter().filter(|line| line.closed_at.is_none());
    let (open, new) = (
        open.clone().count(),
        open.filter(|line| ack(line.id).is_none()).count(),
    );
    let said = match (open, new) {
        (0, _) => "No alarm is open.".to_owned(),
        (open, 0) => format!("{open} open, all acknowledged."),
        (open, new) => format!("{open} open, {new} of them not acknowledged."),
    };
    let mut view = View::new(ConsolePlace::Alarms, "Alarms", "");
    view.is_live = true;
    view.said = Some(said.clone());
    let tone = match (open, new) {
        (0, _) => Tone::Good,
        (_, 0) => Tone::Warn,
        _ => Tone::Bad,
    };
    view.notices(vec![(tone, said)]);
    let is_all = query.get("all").is_some();
    let other = query.with(&[("all", (!is_all).then_some("yes")), ("alarms.page", None)]);
    let name = match is_all {
        true => "Open ones only",
        false => "Closed ones, too",
    };
    let url = other.url(&view.place.path());
    view.add(
        "which",
        None,
        Content::Drawn(maud::html! { p { a href=(url) { (name) } } }),
    );
    let table = Table::new(
        "alarms",
        match is_all {
            true => "The newest alarms of each job",
            false => "Open alarms",
        },
        &[
            ("job", "Job"),
            ("state", "State"),
            ("act", "Action"),
            ("kind", "Kind"),
            ("what", "What"),
            ("since", "Since (UTC)"),
            ("seen", "Runs"),
            ("run", "Last run"),
            ("known", "Acknowledged"),
            ("closed", "Closed (UTC)"),
        ],
    )
    .or("No alarm is open.");
    let rows = alarms
        .into_iter()
        .filter(|line| is_all || line.closed_at.is_none())
        .map(|line| cells(reader, line, ack(line.id)));
    view.table(table.with(rows));
    Ok(view)
}

fn cells(reader: &PageReader<'_>, line: &AlarmLine, ack: Option<&AckLine>) -> Vec<TableCell> {
    let job = &line.job;
    let known = ack.map(|ack| {
        let mut said = vec![
            TableCell::optional(ack.acknowledged_by.as_ref(), TableCell::text),
            TableCell::optional(ack.acknowledged_at, TableCell::Time),
        ];
        said.extend(ack.note.as_ref().map(TableCell::text));
        TableCell::List(said)
    });
    let is_open = line.closed_at.is_none();
    let act = line.id.filter(|_| is_open && ack.is_none()).and_then(|id| {
        super::action_link(
            reader,
            ActPlace::Acknowledge(job.clone(), id),
            "Acknowledge",
        )
    });
    vec![
        TableCell::link(ConsolePlace::Job(job.clone()).path(), job.clone()),
        match (is_open, ack) {
            (true, None) => TableCell::state("open"),
            (true, Some(_)) => TableCell::Toned(Tone::Warn, "open, known".to_owned()),
            (false, _) => TableCell::Toned(Tone::Idle, "closed".to_owned()),
        },
        TableCell::optional(act, |(path, name)| TableCell::link(path, name)),
        TableCell::optional(line.kind.as_ref(), |kind| {
            TableCell::text(kind.replace('_', " "))
        }),
        TableCell::optional(line.what.as_ref(), TableCell::text),
        TableCell::optional(line.since, TableCell::Time),
        TableCell::Count(line.seen.unsigned_abs().into()),
        super::run_cell(job, line.last_run, super::short),
        known.unwrap_or(TableCell::Empty),
        TableCell::optional(line.closed_at, TableCell::Time),
    ]
}
