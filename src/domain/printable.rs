//! Makes text from elsewhere (a model, a row, another program) safe for a terminal and a log.
//!
//! A control character can move the cursor, set the title or hide earlier output; a bidirectional
//! override shows a name in another order. Both are written as escapes (`\n`, `\u{1b}`), so that
//! they are visible. A backslash is not escaped.

use std::borrow::Cow;

/// Returns `text` on one line: control and invisible characters, including newlines and tabs, are
/// escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// Does the same for text of several lines, and keeps its newlines.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_unsafe = |c: char| is_unprintable(c) && !is_kept(c);
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_unsafe(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Returns whether a terminal interprets `c` instead of displaying it, or displays nothing. The
/// joiners of Persian, Indic scripts and emoji (U+200C, U+200D) are text.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Direction: marks, embeddings, overrides, isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Invisible: soft hyphen, zero-width space, word joiner and invisible operators, byte
            // order mark, annotations, tags.
            | '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, wanted) in [
            ("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m \u{7f}", "\\u{9b}31m \\u{7f}"),
            ("sr\u{202e}xen.\u{2066}", "sr\\u{202e}xen.\\u{2066}"),
            ("x\u{2028}y\u{feff}\0", "x\\u{2028}y\\u{feff}\\u{0}"),
        ] {
            assert_eq!(printable(text), wanted);
        }
    }

    #[test]
    fn plain_text_in_any_script_is_left_alone_and_not_copied() {
        for text in [
            "",
            "C:\\x \"q\" 'q'",
            "żółw",
            "می\u{200c}خواهم",
            "👩\u{200d}🔬",
        ] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn the_newlines_of_a_layout_are_kept() {
        assert_eq!(printable_lines("a\n  b\r\u{1b}[2J"), "a\n  b\\r\\u{1b}[2J");
        assert!(matches!(printable_lines("a\nb"), Cow::Borrowed(_)));
    }
}
