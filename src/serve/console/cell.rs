//! Values of tables and of lists of facts.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{codec::utc, report::number};

/// Characters of a text that are shown; the rest is in CSV and JSON.
const SHOWN: usize = 4_000;
/// Characters above which a text in a table is folded, and those that are shown of it then.
const FOLDED: usize = 140;
const FIRST: usize = 90;

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
    pub fn from_state(state: &str) -> Self {
        match state {
            "succeeded" | "ready" | "done" | "passes" | "passed" | "better" | "stable"
            | "trained" | "evaluated" | "matching" | "fired" | "working" => Self::Good,
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
pub enum TableCell {
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
    Link(String, Box<TableCell>),
    /// Several, one below the other.
    List(Vec<TableCell>),
}

impl TableCell {
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.is_empty() {
            true => Self::Empty,
            false => Self::Text(text),
        }
    }

    /// Returns the cell of a value that may be missing.
    pub fn optional<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
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
            Self::Time(at) => utc::to_millisecond(*at),
            Self::Link(_, cell) => cell.plain(),
            Self::List(cells) => {
                let cells: Vec<String> = cells.iter().map(Self::plain).collect();
                cells.join("; ")
            }
        }
    }

    /// Returns the number that it is sorted by.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Number(number) | Self::Share(number) | Self::Seconds(number) => Some(*number),
            Self::Time(at) => Some(at.timestamp_millis() as f64),
            Self::Link(_, cell) => cell.number(),
            _ => None,
        }
    }

    /// Returns whether it stands at the right.
    pub fn is_numeric(&self) -> bool {
        match self {
            Self::Link(_, cell) => cell.is_numeric(),
            Self::Count(_) | Self::Number(_) | Self::Share(_) | Self::Seconds(_) => true,
            _ => false,
        }
    }

    /// Returns it as JSON.
    pub fn json(&self) -> Value {
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

    /// Draws it in a table: a long text is folded, so that it does not make its row high.
    pub fn draw_in_table(&self) -> Markup {
        match self {
            Self::Text(text) if text.chars().count() > FOLDED => html! {
                details { summary { (bidi_cut(text, FIRST)) } (bidi(text)) }
            },
            other => other.draw(),
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
                Self::State(state) => (state_of(Tone::from_state(state), state)),
                Self::Toned(tone, text) => (state_of(*tone, text)),
                Self::Link(href, cell) => a href=(href) { (cell.draw()) },
                Self::List(cells) => ul .plain { @for cell in cells { li { (cell.draw()) } } },
            }
        }
    }
}

/// Draws a text of any origin: in its own direction, and not too long.
fn bidi(text: &str) -> Markup {
    bidi_cut(text, SHOWN)
}

fn bidi_cut(text: &str, shown: usize) -> Markup {
    let cut = text.char_indices().nth(shown).map(|(at, _)| at);
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
        time datetime=(utc::to_second(at)) { (at.format("%Y-%m-%d %H:%M:%S")) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        let cell = TableCell::text(format!("<script>{}", "x".repeat(10_000)));
        let drawn = cell.draw().into_string();
        assert!(drawn.starts_with("<bdi>&lt;script&gt;xxx"), "{drawn}");
        assert!(drawn.len() < 4_100);
    }

    #[test]
    fn a_long_text_is_folded_in_a_table() {
        let text = format!("first {}", "x".repeat(FOLDED));
        let drawn = TableCell::text(text.clone()).draw_in_table().into_string();
        let (summary, whole) = drawn.split_once("</summary>").unwrap();
        assert!(summary.starts_with("<details><summary><bdi>first xx"));
        assert!(summary.ends_with("x…</bdi>"), "{summary}");
        assert_eq!(whole, format!("<bdi>{text}</bdi></details>"));
        let short = TableCell::text("x".repeat(FOLDED));
        assert_eq!(
            short.draw_in_table().into_string(),
            short.draw().into_string()
        );
    }
}
