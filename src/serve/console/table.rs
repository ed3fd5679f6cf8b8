//! Tables: sorted, filtered and in pages by the URL, as HTML, CSV and JSON.

use std::{cmp::Ordering, fmt::Write};

use chrono::{DateTime, SecondsFormat, Utc};
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::query::Query;
use crate::report::number;

/// Rows of a page.
const PAGE: usize = 100;
/// Characters of a text that a cell shows; the rest is in CSV and JSON.
const SHOWN: usize = 400;

/// How a state is meant; beside its word, never instead of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Busy,
    Idle,
}

impl Tone {
    /// Returns the CSS class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Busy => "busy",
            Self::Idle => "idle",
        }
    }

    /// Returns a mark that does not need colour.
    pub fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Warn => "!",
            Self::Busy => "…",
            Self::Idle => "–",
        }
    }

    /// Returns the tone of a state of a run, a version, a trigger, a request.
    pub fn of(state: &str) -> Self {
        match state {
            "succeeded" | "ready" | "done" | "passes" | "passed" | "better" | "stable"
            | "trained" | "evaluated" | "matching" | "fired" => Self::Good,
            "failed" | "rejected" | "tampered" | "refused" | "invalid" | "fails" | "worse"
            | "source_changed" | "expired" | "drifted" | "open" | "differing" => Self::Bad,
            "late" | "not_passed" | "needs_table" | "all_null" | "constant" | "new_category"
            | "skipped" | "delayed" | "srm" | "paused" | "unanswered" => Self::Warn,
            "planning" | "running" | "waiting" | "accepted" | "joined" | "claimed"
            | "admitting" | "undecided" | "training" | "queued" => Self::Busy,
            _ => Self::Idle,
        }
    }
}

/// A cell of a table, and a value of a list of facts.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Empty,
    Text(String),
    /// A text in the type of code: an id, a hash.
    Code(String),
    Count(u64),
    Number(f64),
    /// A share of 1.
    Share(f64),
    Time(DateTime<Utc>),
    Seconds(f64),
    State(String),
    /// A state whose tone its word does not tell.
    Toned(Tone, String),
    Link(String, Box<Cell>),
    /// Several, one below the other.
    List(Vec<Cell>),
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.is_empty() {
            true => Self::Empty,
            false => Self::Text(text),
        }
    }

    /// Returns the cell of a value that may be missing.
    pub fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Empty, cell)
    }

    pub fn state(state: &str) -> Self {
        Self::State(state.to_owned())
    }

    pub fn link(href: String, text: impl Into<String>) -> Self {
        Self::Link(href, Box::new(Self::Text(text.into())))
    }

    /// Returns what it says, as plain text.
    pub fn plain(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) | Self::Code(text) => text.clone(),
            Self::State(text) | Self::Toned(_, text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number(number) | Self::Share(number) => number.to_string(),
            Self::Seconds(seconds) => format!("{seconds:.3}"),
            Self::Time(at) => at.to_rfc3339_opts(SecondsFormat::Millis, true),
            Self::Link(_, cell) => cell.plain(),
            Self::List(cells) => {
                let cells: Vec<String> = cells.iter().map(Self::plain).collect();
                cells.join("; ")
            }
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Number(number) | Self::Share(number) | Self::Seconds(number) => Some(*number),
            Self::Time(at) => Some(at.timestamp_millis() as f64),
            Self::Link(_, cell) => cell.number(),
            _ => None,
        }
    }

    fn is_numeric(&self) -> bool {
        match self {
            Self::Link(_, cell) => cell.is_numeric(),
            Self::Count(_) | Self::Number(_) | Self::Share(_) | Self::Seconds(_) => true,
            _ => false,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Count(count) => json!(count),
            Self::Number(number) | Self::Share(number) | Self::Seconds(number) => {
                match number.is_finite() {
                    true => json!(number),
                    false => json!(number.to_string()),
                }
            }
            Self::Link(_, cell) => cell.json(),
            Self::List(cells) => cells.iter().map(Self::json).collect(),
            other => json!(other.plain()),
        }
    }

    /// Draws it.
    pub fn draw(&self) -> Markup {
        html! {
            @match self {
                Self::Empty => span .none { "–" },
                Self::Text(text) => (bidi(text)),
                Self::Code(text) => code { (bidi(text)) },
                Self::Count(count) => (number::count(*count)),
                Self::Number(value) => (number::value(*value)),
                Self::Share(share) => (number::percent(*share)),
                Self::Seconds(value) => (seconds(*value)),
                Self::Time(at) => (time(*at)),
                Self::State(state) => (state_of(Tone::of(state), state)),
                Self::Toned(tone, text) => (state_of(*tone, text)),
                Self::Link(href, cell) => a href=(href) { (cell.draw()) },
                Self::List(cells) => ul .plain { @for cell in cells { li { (cell.draw()) } } },
            }
        }
    }
}

/// Draws a text of any origin: in its own direction, and not too long.
fn bidi(text: &str) -> Markup {
    let cut = text.char_indices().nth(SHOWN).map(|(at, _)| at);
    html! {
        bdi { (text.get(..cut.unwrap_or(text.len())).unwrap_or_default()) @if cut.is_some() { "…" } }
    }
}

/// Draws a state as its word, with a mark.
pub fn state_of(tone: Tone, state: &str) -> Markup {
    html! {
        span class={ "state " (tone.class()) } {
            span .sign aria-hidden="true" { (tone.mark()) } (bidi(&state.replace('_', " ")))
        }
    }
}

/// Draws a time in UTC.
pub fn time(at: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(at.to_rfc3339_opts(SecondsFormat::Secs, true)) { (at.format("%Y-%m-%d %H:%M:%S")) }
    }
}

/// Renders a time span.
pub fn seconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.1} s"),
        value if value < 120.0 => format!("{value:.0} s"),
        value if value < 7_200.0 => format!("{:.0} min", value / 60.0),
        value if value < 172_800.0 => format!("{:.1} h", value / 3_600.0),
        value => format!("{:.1} d", value / 86_400.0),
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// In URLs, CSV and JSON.
    pub id: String,
    pub name: String,
}

/// Rows that the reader may sort and filter.
#[derive(Debug, Clone)]
pub struct Table {
    /// In URLs; unique on the page.
    pub id: &'static str,
    pub caption: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// What an empty table says.
    pub empty: &'static str,
}

impl Table {
    /// Returns a table without rows. `columns`: id and name of each.
    pub fn new(id: &'static str, caption: impl Into<String>, columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter();
        Self {
            id,
            caption: caption.into(),
            columns: columns
                .map(|(id, name)| Column {
                    id: (*id).to_owned(),
                    name: (*name).to_owned(),
                })
                .collect(),
            rows: Vec::new(),
            empty: "There is nothing here yet.",
        }
    }

    /// Returns the table with these rows.
    pub fn with(mut self, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Returns the table with another text for no rows.
    pub fn or(mut self, empty: &'static str) -> Self {
        self.empty = empty;
        self
    }

    fn parameter(&self, name: &str) -> String {
        format!("{}.{name}", self.id)
    }

    /// Returns the rows that the URL asks for, in its order.
    fn chosen(&self, query: &Query) -> Vec<&Vec<Cell>> {
        let mut rows: Vec<&Vec<Cell>> = self.rows.iter().collect();
        if let Some(words) = query.get(&self.parameter("q")) {
            let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
            rows.retain(|row| {
                let cells = row.iter().map(|cell| cell.plain().to_lowercase());
                let row: Vec<String> = cells.collect();
                let is_in = |word: &String| row.iter().any(|cell| cell.contains(word));
                words.iter().all(is_in)
            });
        }
        if let Some((at, is_down)) = self.sorted_by(query) {
            rows.sort_by(|a, b| {
                let order = compare(&a[at], &b[at]);
                match is_down && !is_empty(&a[at]) && !is_empty(&b[at]) {
                    true => order.reverse(),
                    false => order,
                }
            });
        }
        rows
    }

    fn sorted_by(&self, query: &Query) -> Option<(usize, bool)> {
        let wanted = query.get(&self.parameter("sort"))?;
        let (wanted, is_down) = match wanted.strip_prefix('-') {
            Some(wanted) => (wanted, true),
            None => (wanted, false),
        };
        let at = self.columns.iter().position(|column| column.id == wanted)?;
        Some((at, is_down))
    }

    /// Returns the chosen rows as CSV (RFC 4180). A text that a spreadsheet would take for a
    /// formula is preceded by an apostrophe.
    pub fn csv(&self, query: &Query) -> String {
        let mut text = String::new();
        let names: Vec<&str> = self
            .columns
            .iter()
            .map(|column| column.id.as_str())
            .collect();
        let _ = write!(text, "{}\r\n", names.join(","));
        for row in self.chosen(query) {
            let cells: Vec<String> = row.iter().map(field).collect();
            let _ = write!(text, "{}\r\n", cells.join(","));
        }
        text
    }

    /// Returns the chosen rows as objects.
    pub fn json(&self, query: &Query) -> Value {
        let object = |row: &Vec<Cell>| -> Value {
            let pairs = self.columns.iter().zip(row);
            let pairs: Map<String, Value> = pairs
                .map(|(column, cell)| (column.id.clone(), cell.json()))
                .collect();
            Value::Object(pairs)
        };
        self.chosen(query).into_iter().map(object).collect()
    }

    /// Draws the form that filters, and the download; `path` is the page's, `csv` that of its CSV.
    pub fn draw_tools(&self, path: &str, csv: &str, query: &Query) -> Markup {
        let (q, page) = (self.parameter("q"), self.parameter("page"));
        let kept = query.with(&[(&q, None), (&page, None)]);
        let download = query
            .with(&[("table", Some(self.id)), (&page, None)])
            .url(csv);
        html! {
            form .tools method="get" action=(path) role="search" aria-label={ "Filter: " (self.caption) } {
                @for (name, value) in kept.pairs() { input type="hidden" name=(name) value=(value); }
                label for={ (self.id) "-q" } { "Filter" }
                input id={ (self.id) "-q" } type="search" name=(q) value=(query.get(&q).unwrap_or_default()) autocomplete="off";
                button type="submit" { "Filter" }
                @if query.get(&q).is_some() { a href=(kept.url(path)) { "Show all" } }
                a .download href=(download) { "CSV" span .hidden { " of " (self.caption) } }
            }
        }
    }

    /// Draws the page of rows that the URL asks for.
    pub fn draw(&self, path: &str, query: &Query) -> Markup {
        let rows = self.chosen(query);
        let parameter = self.parameter("page");
        let last = rows.len().saturating_sub(1) / PAGE;
        let page: usize = query
            .get(&parameter)
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        let page = page.clamp(1, last + 1) - 1;
        let shown = &rows[(page * PAGE).min(rows.len())..((page + 1) * PAGE).min(rows.len())];
        let is_numeric: Vec<bool> = (0..self.columns.len())
            .map(|at| rows.iter().any(|row| row[at].is_numeric()))
            .collect();
        let to = |page: usize| {
            let page = (page > 0).then(|| (page + 1).to_string());
            query.with(&[(&parameter, page.as_deref())]).url(path)
        };
        html! {
            @if rows.is_empty() {
                p .empty { strong { (self.caption) ": " } @if self.rows.is_empty() { (self.empty) } @else { "No row fits the filter." } }
            } @else {
                div .scroll tabindex="0" role="region" aria-label=(self.caption) {
                    table .rows {
                        caption { (self.caption) }
                        thead { tr {
                            @for (at, column) in self.columns.iter().enumerate() { (self.heading(path, query, at, column, is_numeric[at])) }
                        } }
                        tbody {
                            @for row in shown {
                                tr {
                                    @for (at, cell) in row.iter().enumerate() {
                                        @match at {
                                            0 => th scope="row" { (cell.draw()) },
                                            _ => td .number[is_numeric[at]] { (cell.draw()) },
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if last > 0 {
                    nav .pager aria-label={ "Pages of " (self.caption) } {
                        @if page > 0 { a rel="prev" href=(to(page - 1)) { "Previous" } }
                        span { "Rows " (number::count((page * PAGE + 1) as u64)) " to " (number::count((page * PAGE + shown.len()) as u64)) " of " (number::count(rows.len() as u64)) }
                        @if page < last { a rel="next" href=(to(page + 1)) { "Next" } }
                    }
                }
            }
        }
    }

    fn heading(
        &self,
        path: &str,
        query: &Query,
        at: usize,
        column: &Column,
        is_numeric: bool,
    ) -> Markup {
        let sorted = self.sorted_by(query).filter(|(by, _)| *by == at);
        let next = match sorted {
            Some((_, false)) => format!("-{}", column.id),
            _ => column.id.clone(),
        };
        let (sort, page) = (self.parameter("sort"), self.parameter("page"));
        let href = query.with(&[(&sort, Some(&next)), (&page, None)]).url(path);
        let (aria, mark) = match sorted {
            Some((_, false)) => (Some("ascending"), " ▲"),
            Some((_, true)) => (Some("descending"), " ▼"),
            None => (None, ""),
        };
        html! {
            th scope="col" .number[is_numeric] aria-sort=[aria] {
                a href=(href) { (column.name) span aria-hidden="true" { (mark) } }
            }
        }
    }
}

fn is_empty(cell: &Cell) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Link(_, cell) => is_empty(cell),
        _ => false,
    }
}

/// Orders numbers by value, texts by their letters, and what is empty last.
fn compare(a: &Cell, b: &Cell) -> Ordering {
    match (is_empty(a), is_empty(b)) {
        (false, false) => {}
        (a, b) => return a.cmp(&b),
    }
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.plain().to_lowercase().cmp(&b.plain().to_lowercase()),
    }
}

fn field(cell: &Cell) -> String {
    let mut text = cell.plain();
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula && cell.number().is_none() {
        text.insert(0, '\'');
    }
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new("t", "Things", &[("name", "Name"), ("rows", "Rows")]).with([
            vec![Cell::text("b"), Cell::Count(10)],
            vec![Cell::text("=cmd|'x'!A1"), Cell::Empty],
            vec![Cell::text("a, \"q\""), Cell::Count(9)],
        ])
    }

    #[test]
    fn the_url_sorts_and_filters_and_what_is_empty_comes_last() {
        let names = |query: &str| -> Vec<String> {
            let table = table();
            let rows = table.chosen(&Query::parse(query));
            rows.iter().map(|row| row[0].plain()).collect()
        };
        assert_eq!(names("t.sort=rows"), ["a, \"q\"", "b", "=cmd|'x'!A1"]);
        assert_eq!(names("t.sort=-rows"), ["b", "a, \"q\"", "=cmd|'x'!A1"]);
        assert_eq!(names("t.q=Q"), ["a, \"q\""]);
        assert_eq!(names("t.sort=unknown").len(), 3);
    }

    #[test]
    fn csv_is_quoted_and_holds_no_formula() {
        let csv = table().csv(&Query::default());
        assert_eq!(
            csv,
            "name,rows\r\nb,10\r\n'=cmd|'x'!A1,\r\n\"a, \"\"q\"\"\",9\r\n"
        );
    }

    #[test]
    fn texts_are_escaped_and_cut() {
        let cell = Cell::text(format!("<script>{}", "x".repeat(1000)));
        let drawn = cell.draw().into_string();
        assert!(drawn.starts_with("<bdi>&lt;script&gt;xxx"), "{drawn}");
        assert!(drawn.len() < 500);
    }

    #[test]
    fn a_page_that_is_not_there_is_the_last_one() {
        let mut table = table();
        table.rows = (0..250)
            .map(|at| vec![Cell::text("x"), Cell::Count(at)])
            .collect();
        let drawn = table
            .draw("/jobs", &Query::parse("t.page=99"))
            .into_string();
        assert!(drawn.contains("Rows 201 to 250 of 250"), "{drawn}");
        assert!(drawn.contains("/jobs?t.page=2"));
    }
}
