//! Regular expressions in tokenizers.
//!
//! The library's matcher gives up after a number of steps, and its caller then takes the rest of
//! the text as one piece, without a word. So a pattern is accepted only if it matches in linear
//! time: without look-around and back-references, which automata match, but for the one look-ahead
//! that tokenizers of the GPT-2 family end with.

use regex_syntax::ast::{Ast, Visitor, parse::Parser, visit};

/// White space, but for its last character if a word follows.
const LAST_SPACE: &str = r"\s+(?!\S)";

/// What a pattern needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatternKind {
    /// An automaton matches it.
    Plain,
    /// It also has the look-ahead, as an alternative of its own.
    LooksAhead,
}

/// Returns the kind of a pattern, or why it is refused.
pub(super) fn kind(pattern: &str) -> Result<PatternKind, String> {
    let alternatives = alternatives(pattern);
    let rest: Vec<&str> = alternatives
        .iter()
        .copied()
        .filter(|alternative| *alternative != LAST_SPACE)
        .collect();
    let kind = match rest.len() == alternatives.len() {
        true => PatternKind::Plain,
        false => PatternKind::LooksAhead,
    };
    if rest.is_empty() {
        return Ok(kind);
    }
    let rest = rest.join("|");
    let ast = Parser::new().parse(&rest);
    let ast = ast.map_err(|error| last_line(&error.to_string()))?;
    visit(&ast, Possessive)?;
    match regex_syntax::parse(&rest) {
        Ok(_) => Ok(kind),
        Err(error) => Err(last_line(&error.to_string())),
    }
}

/// Refuses `a++`: the automata's syntax reads it as `(?:a+)+`, the tokenizers' as possessive.
struct Possessive;

impl Visitor for Possessive {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        match ast {
            Ast::Repetition(outer) if matches!(*outer.ast, Ast::Repetition(_)) => {
                Err("possessive repetition (as in `a++`) is not supported".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Splits at `|` outside of groups and classes.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut in_class) = (Vec::new(), 0, 0_usize, 0_usize);
    let mut characters = pattern.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '(' if in_class == 0 => depth += 1,
            ')' if in_class == 0 => depth = depth.saturating_sub(1),
            '|' if in_class == 0 && depth == 0 => {
                found.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&pattern[start..]);
    found
}

/// The parser's message ends with its reason; the pattern stands before it.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_known_tokenizers_are_accepted() {
        let gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
        let llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        for pattern in [gpt2, llama3] {
            assert_eq!(kind(pattern), Ok(PatternKind::LooksAhead), "{pattern}");
        }
        for pattern in [r"\s+", r"[|\]a]+|(b|c)", " {2,}", "▁"] {
            assert_eq!(kind(pattern), Ok(PatternKind::Plain), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_need_backtracking_are_refused() {
        for pattern in [
            r"(a+)+\1",
            r"(?<=a)b",
            r"(x+x+)+y(?!z)",
            r"(?:\s+(?!\S))+x",
            r"a++b",
            "(",
        ] {
            assert!(kind(pattern).is_err(), "{pattern}");
        }
    }
}
