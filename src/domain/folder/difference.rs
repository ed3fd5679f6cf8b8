//! What differs between two values, for people.

use serde_json::Value;

/// Longest value that is shown.
const SHOWN: usize = 60;

/// Returns a line for each leaf that differs: `cron: "30 2 * * *" → "0 3 * * *"`.
pub fn lines(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    lines
}

fn compare(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        let added = after.keys().filter(|key| !before.contains_key(*key));
        for key in before.keys().chain(added) {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let at = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
            let (old, new) = (at(before), at(after));
            compare(
                &path,
                &old.unwrap_or_default(),
                &new.unwrap_or_default(),
                lines,
            );
        }
        return;
    }
    if old == new {
        return;
    }
    // A whole table that is new or gone: its leaves, not its JSON.
    match (old, new) {
        (Value::Null, Value::Object(_)) => {
            compare(path, &Value::Object(Default::default()), new, lines);
        }
        (Value::Object(_), Value::Null) => {
            compare(path, old, &Value::Object(Default::default()), lines);
        }
        _ => lines.push(match (shown(old), shown(new)) {
            (Some(old), Some(new)) => format!("{path}: {old} → {new}"),
            _ => format!("{path}: changed"),
        }),
    }
}

/// Returns a value's text; `None` if it is long.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    (text.chars().count() <= SHOWN).then_some(text)
}

/// Returns a TOML text as JSON, to compare it; null if it is not TOML.
pub fn of_toml(text: &str) -> Value {
    let table = toml::from_str::<toml::Table>(text).ok();
    table
        .and_then(|table| serde_json::to_value(table).ok())
        .unwrap_or_default()
}
