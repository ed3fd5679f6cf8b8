//! Parser of a condition: a column, an operator and a value; then `and`, or the end.
//!
//! Text that cannot be parsed is an error: a condition that selects nothing looks like an empty
//! table.

use super::Operator;

/// An error message and a remedy.
type ParseError = (String, String);

/// Operators, the longer ones first.
const OPERATORS: [(&str, Operator); 6] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("!=", Operator::Unequal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("=", Operator::Equal),
];

/// A parsed comparison.
#[derive(Debug, PartialEq)]
pub struct ParsedComparison<'t> {
    pub column: &'t str,
    pub operator: Operator,
    pub value: Value<'t>,
    /// The text after it.
    pub after: &'t str,
}

/// A parsed value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'t> {
    /// Text between single quotes.
    Quoted(&'t str),
    /// A word, or brackets with everything between them.
    Bare(&'t str),
}

impl Value<'_> {
    /// Returns the value as a CQL literal without quotes.
    pub fn plain(self) -> String {
        match self {
            Self::Quoted(text) => text.replace("''", "'"),
            Self::Bare(text) => text.to_owned(),
        }
    }
}

/// Parses the comparison at the beginning of `text`.
pub fn comparison(text: &str) -> Result<ParsedComparison<'_>, ParseError> {
    let found = text.find(['<', '>', '=', '!']).and_then(|at| {
        let (column, rest) = text.split_at(at);
        let (word, operator) = OPERATORS.iter().find(|(word, _)| rest.starts_with(word))?;
        Some((column.trim(), *operator, &rest[word.len()..]))
    });
    let Some((column, operator, rest)) = found else {
        return Err((
            format!("`{}` is not a comparison", text.trim()),
            "write it as in: p_malignant > 0.9 and label = malignant".to_owned(),
        ));
    };
    let column = column
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .unwrap_or(column);
    let rest = rest.trim_start();
    let (value, after) = match rest.chars().next() {
        None => Err((
            format!("`{column}` is compared with no value"),
            "write '' for the empty text".to_owned(),
        )),
        Some('\'') => quoted(rest),
        Some(open @ ('[' | '(' | '{')) => bracketed(rest, open),
        Some('<' | '>' | '=' | '!') => Err((
            format!("`{}` is not an operator", operators(text)),
            "use one of < <= = != >= >".to_owned(),
        )),
        Some(_) => bare(rest),
    }?;
    Ok(ParsedComparison {
        column,
        operator,
        value,
        after,
    })
}

/// Parses what follows a comparison: the next one, or nothing.
pub fn conjunction(text: &str) -> Result<Option<&str>, ParseError> {
    let after = text.trim_start();
    if after.is_empty() {
        return Ok(None);
    }
    let (word, rest) = split_word(after);
    if after.len() == text.len() {
        return Err((
            format!("`{word}` follows a value without a space"),
            "separate values and `and` with spaces".to_owned(),
        ));
    }
    if word.eq_ignore_ascii_case("and") {
        return Ok(Some(rest));
    }
    if word.eq_ignore_ascii_case("or") {
        return Err((
            "`or` is not supported".to_owned(),
            "export once per alternative, or quote a text with spaces: 'this or that'".to_owned(),
        ));
    }
    Err((
        format!("unexpected `{word}` after a value"),
        "join comparisons with `and`; quote a text with spaces: 'New York'".to_owned(),
    ))
}

fn operators(text: &str) -> String {
    let is_operator = |c: &char| matches!(c, '<' | '>' | '=' | '!');
    let written = text.chars().skip_while(|c| !is_operator(c));
    written.take_while(is_operator).collect()
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))
}

fn bare(text: &str) -> Result<(Value<'_>, &str), ParseError> {
    let (word, rest) = split_word(text);
    if word.contains(['\'', '"']) {
        return Err((
            format!("`{word}` contains a quote"),
            "quote the text with single quotes and double those inside it: 'it''s'".to_owned(),
        ));
    }
    Ok((Value::Bare(word), rest))
}

fn quoted(text: &str) -> Result<(Value<'_>, &str), ParseError> {
    let end = closing_quote(text).ok_or_else(|| {
        (
            format!("unclosed quote in `{text}`"),
            "close the quote; double the quotes inside a text: 'it''s'".to_owned(),
        )
    })?;
    Ok((Value::Quoted(&text[1..end]), &text[end + 1..]))
}

/// Returns the position of the last quote of a text that begins with a quote.
fn closing_quote(text: &str) -> Option<usize> {
    let mut quotes = text
        .match_indices('\'')
        .map(|(at, _)| at)
        .skip(1)
        .peekable();
    while let Some(at) = quotes.next() {
        if quotes.next_if_eq(&(at + 1)).is_none() {
            return Some(at);
        }
    }
    None
}

fn bracketed(text: &str, open: char) -> Result<(Value<'_>, &str), ParseError> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(character) = text[at..].chars().next() {
        match character {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            '\'' => at += closing_quote(&text[at..]).unwrap_or(0),
            _ => {}
        }
        at += text[at..].chars().next().map_or(0, char::len_utf8);
        if depth == 0 {
            return Ok((Value::Bare(&text[..at]), &text[at..]));
        }
    }
    Err((
        format!("unclosed `{open}` in `{text}`"),
        "close the bracket".to_owned(),
    ))
}
