//! Tables: sorted, filtered and in pages by the URL, as HTML, CSV and JSON.

use std::{cmp::Ordering, fmt::Write};

use maud::{Markup, html};
use serde_json::{Map, Value};

pub use super::cell::{TableCell, Tone, seconds};
use super::query::Query;
use crate::report::number;

/// Rows of a page.
const PAGE: usize = 100;
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
    pub rows: Vec<Vec<TableCell>>,
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
    pub fn with(mut self, rows: impl IntoIterator<Item = Vec<TableCell>>) -> Self {
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
    fn chosen(&self, query: &Query) -> Vec<&Vec<TableCell>> {
        let mut rows: Vec<&Vec<TableCell>> = self.rows.iter().collect();
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
        let object = |row: &Vec<TableCell>| -> Value {
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
        let is_filtered = query.get(&q).is_some();
        html! {
            div .tools {
                h2 { (self.caption) }
                // One row needs no filter.
                @if self.rows.len() > 1 || is_filtered {
                    form method="get" action=(path) role="search" aria-label={ "Filter: " (self.caption) } {
                        @for (name, value) in kept.pairs() { input type="hidden" name=(name) value=(value); }
                        label .hidden for={ (self.id) "-q" } { "Filter" }
                        input id={ (self.id) "-q" } type="search" name=(q) value=(query.get(&q).unwrap_or_default()) autocomplete="off";
                        button type="submit" { "Filter" }
                        @if is_filtered { a href=(kept.url(path)) { "Show all" } }
                    }
                }
                @if !self.rows.is_empty() { a .download href=(download) { "CSV" span .hidden { " of " (self.caption) } } }
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
                p .empty { @if self.rows.is_empty() { (self.empty) } @else { "No row fits the filter." } }
            } @else {
                div .scroll tabindex="0" role="region" aria-label=(self.caption) {
                    table .rows {
                        caption .hidden { (self.caption) }
                        thead { tr {
                            @for (at, column) in self.columns.iter().enumerate() { (self.heading(path, query, at, column, at > 0 && is_numeric[at])) }
                        } }
                        tbody {
                            @for row in shown {
                                tr {
                                    @for (at, cell) in row.iter().enumerate() {
                                        @match at {
                                            0 => th scope="row" .long[is_long(cell)] { (cell.draw_in_table()) },
                                            _ => td .number[is_numeric[at]] .long[is_long(cell)] { (cell.draw_in_table()) },
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

/// Whether a text needs room.
fn is_long(cell: &TableCell) -> bool {
    match cell {
        TableCell::Text(text) => text.chars().count() > 50,
        TableCell::List(cells) => cells.iter().any(is_long),
        _ => false,
    }
}

fn is_empty(cell: &TableCell) -> bool {
    match cell {
        TableCell::Empty => true,
        TableCell::Link(_, cell) => is_empty(cell),
        _ => false,
    }
}

/// Orders numbers by value, texts by their letters, and what is empty last.
fn compare(a: &TableCell, b: &TableCell) -> Ordering {
    match (is_empty(a), is_empty(b)) {
        (false, false) => {}
        (a, b) => return a.cmp(&b),
    }
    match (a.number(), b.number()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.plain().to_lowercase().cmp(&b.plain().to_lowercase()),
    }
}

fn field(cell: &TableCell) -> String {
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
            vec![TableCell::text("b"), TableCell::Count(10)],
            vec![TableCell::text("=cmd|'x'!A1"), TableCell::Empty],
            vec![TableCell::text("a, \"q\""), TableCell::Count(9)],
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
    fn a_page_that_is_not_there_is_the_last_one() {
        let mut table = table();
        table.rows = (0..250)
            .map(|at| vec![TableCell::text("x"), TableCell::Count(at)])
            .collect();
        let drawn = table
            .draw("/jobs", &Query::parse("t.page=99"))
            .into_string();
        assert!(drawn.contains("Rows 201 to 250 of 250"), "{drawn}");
        assert!(drawn.contains("/jobs?t.page=2"));
    }
}
