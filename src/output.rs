//! The output of a command: one JSON object on stdout, or text for people.
//!
//! Texts contain data: keys, labels, column names, reasons. Their control characters must not reach
//! a terminal, where they could move the cursor, hide lines or type. So all text for people goes
//! through [`lines`], each cell of a table through [`printable`], and JSON escapes them.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::{
    domain::printable::{printable, printable_lines},
    failure::Failure,
};

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// Exactly one JSON object on stdout; everything else goes to stderr.
    Json,
    /// Markdown for the comment of a pull request; `plan` only.
    Markdown,
}

/// The result of a command, as JSON and as text.
#[derive(Debug, Default)]
pub struct Answer {
    /// `result` of the JSON object.
    pub result: Value,
    /// Text for people on stdout.
    pub text: String,
    /// `warnings` of the JSON object; `warning: …` on stderr for people.
    pub warnings: Vec<String>,
    /// A failure that is printed beside the result: verify differs, a run failed on its data.
    pub failed: Option<Failure>,
    /// The exit code without a failure: 0, unless an option asks for a more detailed one.
    pub exit: u8,
}

impl Answer {
    pub fn new(result: Value, text: impl Into<String>) -> Self {
        Self {
            result,
            text: text.into(),
            ..Self::default()
        }
    }

    /// Returns the answer with one more warning.
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// Prints the outcome of `command` and returns the exit code.
pub fn print(format: Format, command: &str, outcome: Result<Answer, Failure>) -> u8 {
    let (answer, failure) = match outcome {
        Ok(mut answer) => {
            let failed = answer.failed.take();
            (answer, failed)
        }
        Err(failure) => (Answer::default(), Some(failure)),
    };
    match format {
        Format::Json => print_json(command, &answer, failure.as_ref()),
        Format::Text | Format::Markdown => print_text(&answer, failure.as_ref()),
    }
    failure.map_or(answer.exit, |failure| failure.exit as u8)
}

fn print_json(command: &str, answer: &Answer, failure: Option<&Failure>) {
    let error = failure.map(|failure| {
        let mut problems = failure.problems.iter();
        let mut error = json!(problems.next());
        let others: Vec<_> = problems.collect();
        if !others.is_empty() {
            error["others"] = json!(others);
        }
        error
    });
    let object = json!({
        "schema": "helenus/1",
        "command": command,
        "ok": failure.is_none(),
        "result": answer.result,
        "warnings": answer.warnings,
        "error": error,
    });
    write_all(
        &mut std::io::stdout(),
        &format!("{}\n", json_escaped(&object.to_string())),
    );
}

fn print_text(answer: &Answer, failure: Option<&Failure>) {
    if !answer.text.is_empty() {
        write_all(
            &mut std::io::stdout(),
            &format!("{}\n", lines(answer.text.trim_end())),
        );
    }
    let mut text = String::new();
    for warning in &answer.warnings {
        text.push_str(&format!("warning: {}\n", indented(warning)));
    }
    for problem in failure.iter().flat_map(|failure| &failure.problems) {
        text.push_str("error: ");
        if let Some(place) = &problem.place {
            text.push_str(&format!("{}: ", printable(place)));
        }
        text.push_str(&format!("{}\n", indented(&problem.message)));
        if let Some(help) = &problem.help {
            text.push_str(&format!("  help: {}\n", indented(help)));
        }
    }
    write_all(&mut std::io::stderr(), &text);
}

/// Prints a status line for people on stderr.
pub fn tell(text: &str) {
    write_all(&mut std::io::stderr(), &format!("{}\n", lines(text)));
}

/// Returns a text of several lines for a terminal, without control characters except line breaks.
pub fn lines(text: &str) -> String {
    printable_lines(&text.replace("\r\n", "\n")).into_owned()
}

/// Returns [`lines`] with every later line indented, so that it can't be taken for a new message.
fn indented(text: &str) -> String {
    lines(text.trim_end()).replace('\n', "\n    ")
}

/// Returns the same JSON with every character escaped that a terminal would act on.
///
/// `serde_json` does not escape DEL, the C1 controls and the marks of writing direction. They occur
/// within strings only.
pub fn json_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match is_printable(character) || character == '\n' {
            true => escaped.push(character),
            false => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// Returns whether a terminal shows the character instead of acting on it.
pub fn is_printable(character: char) -> bool {
    matches!(
        printable(character.encode_utf8(&mut [0; 4])),
        Cow::Borrowed(_)
    )
}

/// Writes lines of data to a terminal, see [`lines`]. Each call of `write` must pass whole lines.
#[derive(Debug)]
pub struct Lines<W>(pub W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = lines(&String::from_utf8_lossy(bytes));
        self.0.write_all(text.as_bytes()).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a text and ignores errors: a closed pipe (`helenus … | head`) is not one.
fn write_all(stream: &mut impl Write, text: &str) {
    let _ = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush());
}

/// Returns a float as JSON; NaN and infinities become strings.
pub fn number(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

/// Renders a table for people, without borders and without control characters in its cells.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).into_owned()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\u{9b}2J\r\u{202e}\u{7f}";

    #[test]
    fn lines_for_people_keep_their_breaks_and_nothing_else_that_a_terminal_obeys() {
        let shown = lines(&format!("{HOSTILE}\r\n{HOSTILE}"));
        assert_eq!(shown.lines().count(), 2);
        assert!(
            shown.chars().all(|c| c == '\n' || is_printable(c)),
            "{shown}"
        );
        let table = table(["KEY"], [["a\nb".to_owned()], [HOSTILE.to_owned()]]);
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(
            table.chars().all(|c| c == '\n' || is_printable(c)),
            "{table}"
        );
        assert_eq!(indented("one\nerror: two\n"), "one\n    error: two");
        let mut terminal = Vec::new();
        let row = format!("{HOSTILE},1\r\n");
        Lines(&mut terminal).write_all(row.as_bytes()).unwrap();
        assert_eq!(terminal, lines(&row).into_bytes());
    }

    #[test]
    fn json_for_a_terminal_is_the_same_json() {
        let object = json!({HOSTILE: [HOSTILE, "\u{e0041}"]});
        let escaped = json_escaped(&object.to_string());
        assert!(escaped.chars().all(is_printable), "{escaped}");
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), object);
    }
}
