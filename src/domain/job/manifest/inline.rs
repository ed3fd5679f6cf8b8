//! Inserts the `expect` file into the manifest and leaves all other text unchanged.

use toml::Spanned;

use super::Manifest;
use crate::domain::problem::Problem;

#[derive(serde::Deserialize)]
struct Placed {
    expect: PlacedExpect,
}

#[derive(serde::Deserialize)]
struct PlacedExpect {
    file: Spanned<String>,
}

/// Returns the manifest with `rows = """…"""` beside `expect.file`, whose text is `csv`. `file` is
/// kept and documents the origin of the rows.
///
/// # Errors
/// If `text` has no `expect.file`, or already has `rows`.
pub fn inline_expect(text: &str, csv: &str) -> Result<String, Problem> {
    let problem = |message: String| Problem::new("job.manifest", message).at("expect");
    let placed: Placed = toml::from_str(text).map_err(|error| problem(error.to_string()))?;
    let csv = csv
        .strip_prefix('\u{feff}')
        .unwrap_or(csv)
        .replace("\r\n", "\n");
    let end = placed.expect.file.span().end;
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    // A section gets a line; an inline table remains on its line.
    let on_a_line = format!(
        "{}\nrows = {}{}",
        &text[..line_end],
        multi_line(&csv),
        &text[line_end..]
    );
    let in_line = format!(
        "{}, rows = {}{}",
        &text[..end],
        toml::Value::String(csv.clone()),
        &text[end..]
    );
    [on_a_line, in_line]
        .into_iter()
        .find(|edited| {
            let rows = Manifest::parse(edited)
                .ok()
                .and_then(|manifest| manifest.expect?.rows);
            rows.as_deref() == Some(&csv)
        })
        .ok_or_else(|| problem("`rows` could not be inserted beside `file`".to_owned()))
}

/// Returns a multi-line literal, without escapes if the text permits.
fn multi_line(text: &str) -> String {
    let plain = !text.contains("'''")
        && !text.ends_with('\'')
        && text
            .chars()
            .all(|c| !c.is_control() || c == '\n' || c == '\t');
    match plain {
        true => format!("'''\n{text}'''"),
        false => toml::Value::String(text.to_owned()).to_string(),
    }
}
