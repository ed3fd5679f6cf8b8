//! Segments: values of a source column by which results are grouped.

/// A value as text; `None`: the column is null, which differs from every text.
pub type Segment = Option<String>;

const NULL: &str = "(null)";

/// Returns a unique name for tables, maps and pages. Null is `(null)`; a text that looks like this
/// is quoted, with one more pair of quotes for each that it has.
pub fn name(segment: Option<&str>) -> String {
    match segment {
        None => NULL.to_owned(),
        Some(text) if text.trim_matches('\'') == NULL => format!("'{text}'"),
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_the_texts_that_name_it_are_told_apart() {
        assert_eq!(name(None), "(null)");
        assert_eq!(name(Some("null")), "null");
        assert_eq!(name(Some("north")), "north");
        assert_eq!(name(Some("(null)")), "'(null)'");
        assert_eq!(name(Some("'(null)'")), "''(null)''");
    }
}
