//! Detects tokenization that silently mistreats letters beyond ASCII.

use super::{
    graph::attribute,
    onnx::{GraphProto, NodeProto},
};

/// Returns warnings about tokens and lower case, at most one of each kind.
pub(super) fn warnings(graph: &GraphProto) -> Vec<String> {
    let patterns = graph.node.iter().filter_map(pattern);
    let ascii = patterns.filter(|pattern| is_ascii_only(pattern)).take(1).map(|pattern| {
        format!(
            r#"ascii_tokens: a Tokenizer splits texts by `{pattern}`, which matches only ASCII letters: `é` ends a word, unlike in scikit-learn; for such texts export with options={{TfidfVectorizer: {{"tokenexp": "[\\pL\\pN_]{{2,}}"}}}}"#
        )
    });
    let lower = graph.node.iter().any(lowers_ascii_only).then(|| {
        r#"ascii_lower: a StringNormalizer lower-cases in the locale "C", which changes only ASCII letters; for other texts train on lower-cased texts with lowercase=False and write text = "lower" in the job"#
            .to_owned()
    });
    ascii.chain(lower).collect()
}

fn pattern(node: &NodeProto) -> Option<String> {
    let is_tokenizer = node.op_type == "Tokenizer" && node.domain == "com.microsoft";
    let pattern = is_tokenizer.then(|| text_of(node, "tokenexp")).flatten()?;
    (!pattern.is_empty()).then_some(pattern)
}

fn lowers_ascii_only(node: &NodeProto) -> bool {
    let text = |name| text_of(node, name).unwrap_or_default();
    node.op_type == "StringNormalizer"
        && text("case_change_action") == "LOWER"
        && ["C", "POSIX"].contains(&text("locale").as_str())
}

fn text_of(node: &NodeProto, name: &str) -> Option<String> {
    let attribute = attribute(node, name)?;
    Some(String::from_utf8_lossy(&attribute.s).into_owned())
}

/// Returns whether an RE2 pattern matches only ASCII letters: `\w` is `[0-9A-Za-z_]`, and only
/// Unicode classes, negated classes and the dot match more.
fn is_ascii_only(pattern: &str) -> bool {
    let mut characters = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = characters.next() {
        let wide = match c {
            '\\' => matches!(
                characters.next(),
                Some('p' | 'P' | 'W' | 'S' | 'D' | 'x' | 'C' | 'X')
            ),
            '[' if !in_class => {
                in_class = true;
                characters.peek() == Some(&'^')
            }
            ']' => {
                in_class = false;
                false
            }
            '.' => !in_class,
            other => !other.is_ascii(),
        };
        if wide {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_know_ascii_only_are_told_from_others() {
        for ascii in [
            "[a-zA-Z0-9_]+",
            r"\w+",
            r"\b\w\w+\b",
            "[a-z]+",
            "[a-z.]+",
            r"[A-Z\.]{2,}",
        ] {
            assert!(is_ascii_only(ascii), "{ascii}");
        }
        for wide in [
            r"[\pL\pN_]{2,}",
            r"\p{L}+",
            "[^ ]+",
            r"\S+",
            ".+",
            "[a-zé]+",
            r"[^\s]+",
            r"[\x{80}-\x{ff}]",
        ] {
            assert!(!is_ascii_only(wide), "{wide}");
        }
    }
}
