//! Keys as callers write them: in a path, or as objects in a body.

use std::collections::BTreeMap;

use axum::http::StatusCode;

use crate::serve::rows::Row;
use crate::{
    domain::{job::CompiledJob, problem::Problem},
    engine::run::source::{AskedKey, asked_keys},
    serve::error::ApiError,
};

/// Key columns by name; values as CQL literals without quotes.
pub type KeyWords = BTreeMap<String, String>;

/// Returns the key in an object of a body; `at` is its number in the list, from 0. Numbers keep all
/// of their digits.
///
/// # Errors
/// 400: a value that is neither a string nor a number nor a boolean; a repeated column.
pub fn of_object(row: &Row<'_>, at: usize) -> Result<KeyWords, ApiError> {
    let mut key = KeyWords::new();
    for (name, value) in &row.0 {
        let json = value.get().trim();
        let place = || format!("keys[{at}].{name}");
        let word = match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str(json).ok(),
            Some(b'[' | b'{' | b'n') | None => None,
            Some(_) => Some(json.to_owned()),
        };
        let Some(word) = word else {
            let message = format!("`{name}` is neither a string nor a number nor a boolean");
            return Err(ApiError::bad(
                Problem::new("keys.not_a_value", message)
                    .at(place())
                    .help("write other types as CQL literals in a string"),
            ));
        };
        if key.insert(name.clone().into_owned(), word).is_some() {
            return Err(ApiError::bad(repeated(name).at(place())));
        }
    }
    Ok(key)
}

/// Returns the key in a path: `172`, `id=172` or `site=north,id=172`, in any order. A value that
/// contains a comma, or begins with a single quote, is written in single quotes, which are doubled
/// inside: `site='a,b',id=7`.
///
/// # Errors
/// 400: not of this form, or a repeated column.
pub fn of_path(columns: &[&str], text: &str) -> Result<KeyWords, ApiError> {
    let [only] = columns else {
        return of_pairs(columns, text);
    };
    let named = text
        .strip_prefix(only)
        .and_then(|rest| rest.strip_prefix('='));
    let value = named.unwrap_or(text);
    let value = match value.strip_prefix('\'') {
        None => value.to_owned(),
        Some(quoted) => match unquoted(quoted) {
            Some((value, "")) => value,
            _ => return Err(unclosed()),
        },
    };
    Ok([((*only).to_owned(), value)].into())
}

fn of_pairs(columns: &[&str], text: &str) -> Result<KeyWords, ApiError> {
    let mut key = KeyWords::new();
    let mut rest = Some(text);
    while let Some(pairs) = rest {
        let Some((name, value)) = pairs.split_once('=') else {
            let message = format!("`{pairs}` does not name a key column");
            return Err(ApiError::bad(
                Problem::new("keys.no_column", message)
                    .at("key")
                    .help(format!("write {}=…", columns.join("=…,"))),
            ));
        };
        let (value, after) = match value.strip_prefix('\'') {
            Some(quoted) => {
                let (value, after) = unquoted(quoted).ok_or_else(unclosed)?;
                match (after.strip_prefix(','), after) {
                    (Some(after), _) => (value, Some(after)),
                    (None, "") => (value, None),
                    _ => return Err(unclosed()),
                }
            }
            None => match value.split_once(',') {
                Some((value, after)) => (value.to_owned(), Some(after)),
                None => (value.to_owned(), None),
            },
        };
        if key.insert(name.to_owned(), value).is_some() {
            return Err(ApiError::bad(repeated(name).at("key")));
        }
        rest = after;
    }
    Ok(key)
}

/// Splits after the closing quote; `None` if there is none.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

fn unclosed() -> ApiError {
    ApiError::bad(
        Problem::new(
            "keys.quotes",
            "a quoted value must end at a comma or the end",
        )
        .at("key")
        .help("double the single quotes inside: 'it''s'"),
    )
}

fn repeated(name: &str) -> Problem {
    Problem::new("keys.repeated", format!("`{name}` is given twice"))
}

/// Returns a key with the types of its columns.
///
/// # Errors
/// 400: all problems.
pub fn typed(job: &CompiledJob, key: &KeyWords) -> Result<AskedKey, ApiError> {
    let asked = all_typed(job, std::slice::from_ref(key))?;
    let missing = || ApiError::bad(Problem::new("keys.missing", "no key"));
    asked.into_iter().next().ok_or_else(missing)
}

/// As [`typed`], of several keys, in walk order and without duplicates.
///
/// # Errors
/// 400: all problems.
pub fn all_typed(job: &CompiledJob, keys: &[KeyWords]) -> Result<Vec<AskedKey>, ApiError> {
    asked_keys(job, keys).map_err(|problems| ApiError {
        status: StatusCode::BAD_REQUEST,
        problems,
        retry_after: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(columns: &[&str], text: &str) -> Result<Vec<(String, String)>, String> {
        let key = of_path(columns, text);
        key.map(|key| key.into_iter().collect())
            .map_err(|error| error.problems[0].code.clone())
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Result<Vec<(String, String)>, String> {
        let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(owned.to_vec())
    }

    #[test]
    fn a_single_key_column_needs_no_name() {
        for text in ["a,b=c/d", "id=a,b=c/d", "'a,b=c/d'", "id='a,b=c/d'"] {
            assert_eq!(path(&["id"], text), pairs([("id", "a,b=c/d")]), "{text}");
        }
        assert_eq!(path(&["id"], "'it''s'"), pairs([("id", "it's")]));
        assert_eq!(path(&["id"], ""), pairs([("id", "")]));
        for text in ["'", "'a", "'a'b", "id='a''"] {
            assert_eq!(path(&["id"], text), Err("keys.quotes".to_owned()), "{text}");
        }
    }

    #[test]
    fn several_key_columns_are_named_in_any_order() {
        let both = ["site", "id"];
        let expected = pairs([("id", "7"), ("site", "a,b=c")]);
        assert_eq!(path(&both, "site='a,b=c',id=7"), expected);
        assert_eq!(path(&both, "id=7,site='a,b=c'"), expected);
        assert_eq!(
            path(&both, "id=,site=x'y=z"),
            pairs([("id", ""), ("site", "x'y=z")])
        );
        for (text, code) in [
            ("7", "keys.no_column"),
            ("site=a,7", "keys.no_column"),
            ("site=a,", "keys.no_column"),
            ("site=a,site=b", "keys.repeated"),
            ("site='a'b,id=7", "keys.quotes"),
            ("site='a,id=7", "keys.quotes"),
        ] {
            assert_eq!(path(&both, text), Err(code.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_in_a_body_keep_their_digits() {
        let key = |json: &str| {
            let row: Row<'_> = serde_json::from_str(json).unwrap();
            of_object(&row, 3).map_err(|error| error.problems[0].place.clone())
        };
        let json = r#"{"a": 12345678901234567890.123456789012345, "b": "x\u00f6", "c": true}"#;
        let words = key(json).unwrap();
        assert_eq!(words["a"], "12345678901234567890.123456789012345");
        assert_eq!(words["b"], "xö");
        assert_eq!(words["c"], "true");
        for json in [
            r#"{"a": null}"#,
            r#"{"a": [1]}"#,
            r#"{"a": {}}"#,
            r#"{"a": 1, "a": 2}"#,
        ] {
            assert_eq!(key(json), Err(Some("keys[3].a".to_owned())), "{json}");
        }
    }
}
