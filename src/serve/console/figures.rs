//! Pictures that only the console has: runs by day, the splits of a run over time.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use maud::{Markup, html};

use super::{place::ConsolePlace, table::Tone};
use crate::{
    report::{
        axis::{Axis, Frame, unit},
        number,
    },
    store::console::runs::{RunLine, SplitLine},
};

/// Days that the grid shows.
const DAYS: usize = 14;
/// Runs of a day that it shows, the newest; the list has all.
const OF_A_DAY: usize = 24;
/// Splits that the picture shows.
const SPLITS: usize = 64;

/// Draws the runs of the newest days that have any, a mark for each.
pub fn days(job: &str, runs: &[RunLine]) -> Markup {
    let mut by_day: BTreeMap<NaiveDate, Vec<&RunLine>> = BTreeMap::new();
    for run in runs {
        if let Some(at) = run.started_at.or(run.due_at) {
            by_day.entry(at.date_naive()).or_default().push(run);
        }
    }
    html! {
        @if by_day.is_empty() { p .empty { "No run yet." } }
        ol .days {
            @for (day, runs) in by_day.iter().rev().take(DAYS) {
                li {
                    time datetime=(day) { (day) }
                    ol {
                        @for run in runs.iter().take(OF_A_DAY).rev() { li { (mark(job, run)) } }
                        @if runs.len() > OF_A_DAY { li .more { "and " (number::count((runs.len() - OF_A_DAY) as u64)) " earlier" } }
                    }
                }
            }
        }
    }
}

fn mark(job: &str, run: &RunLine) -> Markup {
    let state = run.state.as_deref().unwrap_or("unknown");
    let tone = Tone::from_state(state);
    let rejected: u64 = run.rejected.values().sum();
    let at = run.started_at.or(run.due_at);
    let at = at.map_or_else(String::new, |at| at.format("%H:%M").to_string());
    let words = format!(
        "{at}: {state}, {} rows read, {} rejected",
        number::count(run.source_rows),
        number::count(rejected)
    );
    let href = run
        .run_id
        .map(|id| ConsolePlace::Run(job.to_owned(), id).path());
    html! {
        // The list below has the same links: the keyboard goes there.
        a class={ "box " (tone.class()) } href=[href] tabindex="-1" aria-label=(words) title=(words) { (tone.mark()) }
    }
}

/// Draws when each split was scored, and by which process.
pub fn splits(
    began: Option<DateTime<Utc>>,
    splits: &[SplitLine],
    now: DateTime<Utc>,
) -> Option<Markup> {
    let shown: Vec<&SplitLine> = splits
        .iter()
        .filter(|split| split.claimed_at.is_some())
        .take(SPLITS)
        .collect();
    let began = began.or(shown.iter().filter_map(|split| split.claimed_at).min())?;
    let seconds = |at: DateTime<Utc>| (at - began).num_milliseconds() as f64 / 1_000.0;
    let ends = shown
        .iter()
        .map(|split| seconds(split.finished_at.unwrap_or(now)));
    let last = ends.fold(0.0, f64::max);
    if shown.is_empty() || last <= 0.0 {
        return None;
    }
    let mut processes: Vec<&str> = shown
        .iter()
        .filter_map(|split| split.process.as_deref())
        .collect();
    processes.sort_unstable();
    processes.dedup();
    let each = 9.0;
    let mut frame = Frame::new(
        Axis::round(0.0, last, "Seconds since the run began"),
        Axis::shares(""),
    );
    frame.height = each * shown.len() as f64 + 60.0;
    let height = frame.height;
    let plural = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let words = format!(
        "{}, scored by {} within {}",
        plural(shown.len(), "split", "splits"),
        plural(processes.len(), "process", "processes"),
        super::table::seconds(last)
    );
    Some(html! {
        figure .timeline {
            figcaption { "Where the time went" }
            svg viewBox={ "0 0 440 " (height) } role="img" aria-label=(words) {
                g .axes aria-hidden="true" { (frame.draw_x(4.0)) }
                @for (at, split) in shown.iter().enumerate() {
                    @let from = frame.at(split.claimed_at.map_or(0.0, seconds), 0.0).0;
                    @let to = frame.at(seconds(split.finished_at.unwrap_or(now)), 0.0).0;
                    @let class = if split.finished_at.is_some() { "bar done" } else { "bar open" };
                    rect class=(class) x=(unit(from)) width=(unit((to - from).max(1.0))) y=(unit(12.0 + each * at as f64)) height=(unit(each - 3.0)) {
                        title { "Split " (split.split) }
                    }
                }
            }
            p .note { (words) ". A bar is a split, from when it was claimed until it was done." }
        }
    })
}
