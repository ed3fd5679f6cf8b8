//! Parses a key as users type it.

use std::collections::BTreeMap;

use crate::domain::{job::CompiledJob, problem::Problem};

/// A key as typed: `name=value` for each column, or one bare value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyWords(pub Vec<String>);

impl KeyWords {
    /// Returns the key by the job's key columns.
    ///
    /// # Errors
    /// A word that names no key column, or a column that is given twice or not at all.
    pub fn by_column(&self, job: &CompiledJob) -> Result<BTreeMap<String, String>, Problem> {
        let names: Vec<&str> = job.key.iter().map(|column| column.name.as_str()).collect();
        self.named(&names)
    }

    /// Returns the key by these columns.
    ///
    /// # Errors
    /// Those of [`KeyWords::by_column`].
    pub fn named(&self, columns: &[&str]) -> Result<BTreeMap<String, String>, Problem> {
        let advice = || {
            let pairs: Vec<_> = columns.iter().map(|name| format!("{name}=VALUE")).collect();
            pairs.join(" ")
        };
        let mut key = BTreeMap::new();
        for word in &self.0 {
            let named = word
                .split_once('=')
                .filter(|(name, _)| columns.contains(name));
            let (name, value) = match (named, columns, self.0.as_slice()) {
                (Some(pair), ..) => pair,
                (None, [only], [_]) => (*only, word.as_str()),
                _ => {
                    return Err(Problem::new(
                        "explain.key",
                        format!("`{word}` does not say which key column it is"),
                    )
                    .at("KEY")
                    .help(advice()));
                }
            };
            if key.insert(name.to_owned(), value.to_owned()).is_some() {
                return Err(
                    Problem::new("explain.key", format!("`{name}` is given twice")).at("KEY"),
                );
            }
        }
        if let Some(missing) = columns.iter().find(|name| !key.contains_key(**name)) {
            return Err(
                Problem::new("explain.key", format!("`{missing}` is missing"))
                    .at("KEY")
                    .help(advice()),
            );
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(words: &[&str], columns: &[&str]) -> Result<Vec<String>, String> {
        let words = KeyWords(words.iter().map(|word| (*word).to_owned()).collect());
        let key = words.named(columns).map_err(|problem| problem.message)?;
        Ok(key
            .into_iter()
            .map(|(name, value)| format!("{name}:{value}"))
            .collect())
    }

    #[test]
    fn a_bare_value_is_enough_for_a_single_column() {
        assert_eq!(named(&["7"], &["id"]).unwrap(), ["id:7"]);
        assert_eq!(named(&["id=7"], &["id"]).unwrap(), ["id:7"]);
        assert_eq!(named(&["a=b"], &["id"]).unwrap(), ["id:a=b"]);
        assert_eq!(named(&["id=id=7"], &["id"]).unwrap(), ["id:id=7"]);
    }

    #[test]
    fn several_columns_are_named_each_once() {
        let columns = ["site", "id"];
        assert_eq!(
            named(&["id=7", "site="], &columns).unwrap(),
            ["id:7", "site:"]
        );
        assert_eq!(named(&["id=7"], &columns).unwrap_err(), "`site` is missing");
        assert_eq!(
            named(&["id=7", "north"], &columns).unwrap_err(),
            "`north` does not say which key column it is"
        );
        assert_eq!(
            named(&["id=7", "id=8", "site=n"], &columns).unwrap_err(),
            "`id` is given twice"
        );
    }
}
