//! Cells of the source as a table shows them.

use serde_json::Value;

use super::short;
use crate::domain::printable::printable;

/// Renders a stored cell; one that is prepared as `0x89504e47… (155812 bytes)`.
pub(super) fn stored_text(stored: &Value) -> String {
    const BLOB: usize = "0x89504e47".len();
    let (Some(bytes), Some(first)) = (stored["bytes"].as_u64(), stored["first"].as_str()) else {
        return short(stored);
    };
    let (shown, size): (String, u64) = match first.starts_with("0x") {
        true => (first.chars().take(BLOB).collect(), 2 + 2 * bytes),
        false => (first.to_owned(), bytes),
    };
    let rest = match (shown.len() as u64) < size {
        true => "…",
        false => "",
    };
    let shown = printable(&shown);
    format!("{shown}{rest} ({bytes} bytes)")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contents_are_shown_by_their_beginning_and_their_size() {
        let text =
            |first: &str, bytes: usize| stored_text(&json!({"bytes": bytes, "first": first}));
        assert_eq!(
            text("0x89504e470d0a1a0a0000000d49484452", 155_812),
            "0x89504e47… (155812 bytes)"
        );
        assert_eq!(text("0x8950", 2), "0x8950 (2 bytes)");
        assert_eq!(text("größer", 8), "größer (8 bytes)");
        assert_eq!(text("please send", 300), "please send… (300 bytes)");
        assert_eq!(stored_text(&json!(0.5)), "0.5");
    }
}
