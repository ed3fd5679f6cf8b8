//! What a command says: one JSON object on stdout, or text for people.

use std::io::Write;

use serde_json::{Value, json};

use crate::failure::Failure;

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// Exactly one JSON object on stdout, everything else on stderr.
    Json,
}

/// What a command answers: the machine's form and the person's form of the same thing.
#[derive(Debug, Default)]
pub struct Answer {
    /// `result` of the JSON object.
    pub result: Value,
    /// What a person reads on stdout.
    pub text: String,
    /// `warnings` of the JSON object; `warning: …` on stderr for people.
    pub warnings: Vec<String>,
    /// Not an error, yet the exit code is 1: verify differs, a run failed on its data.
    pub failed: Option<Failure>,
}

impl Answer {
    /// An answer with both forms.
    pub fn new(result: Value, text: impl Into<String>) -> Self {
        Self {
            result,
            text: text.into(),
            ..Self::default()
        }
    }

    /// Adds a warning.
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// Prints what `command` answered and gives the exit code.
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
        Format::Text => print_text(&answer, failure.as_ref()),
    }
    failure.map_or(0, |failure| failure.exit as u8)
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
    write_all(&mut std::io::stdout(), &format!("{object}\n"));
}

fn print_text(answer: &Answer, failure: Option<&Failure>) {
    if !answer.text.is_empty() {
        write_all(
            &mut std::io::stdout(),
            &format!("{}\n", answer.text.trim_end()),
        );
    }
    let mut said = String::new();
    for warning in &answer.warnings {
        said.push_str(&format!("warning: {warning}\n"));
    }
    for problem in failure.iter().flat_map(|failure| &failure.problems) {
        said.push_str("error: ");
        if let Some(place) = &problem.place {
            said.push_str(&format!("{place}: "));
        }
        said.push_str(&format!("{}\n", problem.message));
        if let Some(help) = &problem.help {
            said.push_str(&format!("  help: {help}\n"));
        }
    }
    write_all(&mut std::io::stderr(), &said);
}

/// A closed pipe (`helenus … | head`) is the reader's wish, not an error.
fn write_all(stream: &mut impl Write, text: &str) {
    let _ = stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush());
}

/// A float as JSON: NaN and infinities as strings.
pub fn number(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

/// Columns for people: no lines, two spaces between.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}
