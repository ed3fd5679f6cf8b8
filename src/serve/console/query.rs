//! The query of a page's URL, and URLs with a changed one.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters that a segment of a path keeps; `.` is escaped where it could be taken for a suffix.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'-')
    .remove(b'~')
    .remove(b'.');

/// Most parameters that are read of a query.
const PARAMETERS: usize = 32;

/// Parameters by name, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the part after `?`.
    pub fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned();
        Self(pairs.take(PARAMETERS).collect())
    }

    /// Returns a parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Returns the query with other values; `None` takes a parameter away.
    pub fn with(&self, changes: &[(&str, Option<&str>)]) -> Self {
        let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
        let mut pairs = self.0.clone();
        pairs.retain(|(name, _)| !is_changed(name));
        let changes = changes.iter();
        pairs.extend(
            changes.filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned()))),
        );
        Self(pairs)
    }

    /// Returns the parameters, for a form's hidden fields.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the URL of a path with this query.
    pub fn url(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut text = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        text.extend_pairs(&self.0);
        text.finish()
    }
}

/// Returns a path of these segments, each escaped.
pub fn path(segments: &[&str]) -> String {
    if segments.is_empty() {
        return "/".to_owned();
    }
    let escape = |segment: &&str| {
        let escaped = utf8_percent_encode(segment, SEGMENT).to_string();
        let is_suffixed = [".json", ".csv"].iter().any(|end| segment.ends_with(end));
        match is_suffixed || *segment == "." || *segment == ".." {
            true => escaped.replace('.', "%2E"),
            false => escaped,
        }
    };
    let segments: Vec<String> = segments.iter().map(escape).collect();
    format!("/{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_changed_without_losing_the_rest() {
        let query = Query::parse("runs.q=a%20b&runs.page=2&x=");
        assert_eq!(query.get("runs.q"), Some("a b"));
        assert_eq!(query.get("x"), None);
        let changed = query.with(&[("runs.page", None), ("runs.sort", Some("-state"))]);
        assert_eq!(changed.url("/jobs"), "/jobs?runs.q=a+b&x=&runs.sort=-state");
    }

    #[test]
    fn names_never_leave_their_segment() {
        assert_eq!(path(&["jobs", "a/b?c#d"]), "/jobs/a%2Fb%3Fc%23d");
        assert_eq!(path(&["jobs", ".."]), "/jobs/%2E%2E");
        assert_eq!(
            path(&["jobs", "x", "entities", "a.json"]),
            "/jobs/x/entities/a%2Ejson"
        );
        assert_eq!(path(&[]), "/");
    }
}
