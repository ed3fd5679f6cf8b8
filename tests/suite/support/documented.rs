//! The shape of each command's JSON result, as its `--help` describes it, and whether a result has
//! it.
//!
//! The help writes `{"key", "key": shape, name: shape}` for objects (a word without quotes stands
//! for any key), `[shape …]` for lists, `…` for further keys, and `` as `helenus X` `` for the
//! result of another command. `"html" (with --html)` and what follows `with` are not always there.

use std::{collections::BTreeMap, sync::OnceLock};

use clap::CommandFactory;
use helenus::cli::Cli;
use serde_json::Value;

/// What a value may be. Numbers, texts, truth values and null have every shape.
#[derive(Debug, Clone)]
enum Shape {
    Any,
    List(Box<Shape>),
    Object(Keys),
    Either(Vec<Shape>),
}

#[derive(Debug, Clone, Default)]
struct Keys {
    /// Whether each key is always there, and its value.
    named: BTreeMap<String, (bool, Shape)>,
    /// The value of any other key; `None`: there is none.
    others: Option<Box<Shape>>,
}

/// Fails the test unless the `result` of `command` is what the command's `--help` describes, and its
/// times are in UTC, with a `Z`.
#[track_caller]
pub fn check(command: &str, result: &Value) {
    static SHAPES: OnceLock<BTreeMap<String, Shape>> = OnceLock::new();
    let shapes = SHAPES.get_or_init(|| {
        let texts = texts();
        let commands = texts.keys();
        let shapes = commands.map(|command| (command.clone(), described(&texts, command)));
        shapes.collect()
    });
    let Some(shape) = shapes.get(command) else {
        return;
    };
    if let Err(why) = fits(shape, result, "result") {
        panic!("`helenus {command} --help` describes another result: {why}\n{result:#}");
    }
}

/// `JSON result: …` of all commands.
fn texts() -> BTreeMap<String, String> {
    fn add(command: &clap::Command, path: &str, texts: &mut BTreeMap<String, String>) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            let help = inner.get_long_about().unwrap_or_default().to_string();
            if let Some((_, text)) = help.split_once("JSON result:") {
                let text = text.split("\n\n").next().unwrap_or_default();
                texts.insert(path.trim().to_owned(), text.replace('\n', " "));
            }
            add(inner, &path, texts);
        }
    }
    let mut texts = BTreeMap::new();
    add(&Cli::command(), "", &mut texts);
    texts
}

fn described(texts: &BTreeMap<String, String>, command: &str) -> Shape {
    let text = texts
        .get(command)
        .unwrap_or_else(|| panic!("`helenus {command}` is referred to, and describes no result"));
    let mut reader = Reader {
        texts,
        command,
        rest: text,
    };
    // Alternatives and remarks; a remark has no shape.
    let mut shapes = reader.shapes(&[';']);
    while let Some(rest) = reader.rest.strip_prefix(';') {
        reader.rest = rest;
        shapes.extend(reader.shapes(&[';']));
    }
    either(shapes)
}

fn either(mut shapes: Vec<Shape>) -> Shape {
    match shapes.len() {
        0 => Shape::Any,
        1 => shapes.remove(0),
        _ => Shape::Either(shapes),
    }
}

/// Reads a description from its beginning.
struct Reader<'t> {
    texts: &'t BTreeMap<String, String>,
    command: &'t str,
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// Reads up to one of `ends`, which stays.
    fn value(&mut self, ends: &[char]) -> Shape {
        either(self.shapes(ends))
    }

    /// As [`Reader::value`]: the shapes that the value may have.
    fn shapes(&mut self, ends: &[char]) -> Vec<Shape> {
        let mut shapes = Vec::new();
        while let Some(next) = self.rest.chars().next() {
            if ends.contains(&next) {
                break;
            }
            match next {
                '{' => shapes.push(Shape::Object(self.object())),
                '[' => shapes.push(self.list()),
                '(' => drop(self.until(')')),
                '"' => drop(self.quoted('"')),
                '`' => {
                    let name = self.quoted('`');
                    let name = name.strip_prefix("helenus ").unwrap_or(name);
                    if name != self.command && self.texts.contains_key(name) {
                        shapes.push(described(self.texts, name));
                    }
                }
                'w' if self.rest.starts_with("with \"") => {
                    self.rest = &self.rest["with ".len()..];
                    let more = self.keys(ends, false);
                    for shape in &mut shapes {
                        if let Shape::Object(keys) = shape {
                            keys.named.extend(more.named.clone());
                        }
                    }
                }
                _ => self.rest = &self.rest[next.len_utf8()..],
            }
        }
        shapes
    }

    fn list(&mut self) -> Shape {
        self.rest = &self.rest[1..];
        let shape = self.value(&[']']);
        self.rest = self.rest.get(1..).unwrap_or_default();
        Shape::List(Box::new(shape))
    }

    fn object(&mut self) -> Keys {
        self.rest = &self.rest[1..];
        let keys = self.keys(&['}'], true);
        self.rest = self.rest.get(1..).unwrap_or_default();
        keys
    }

    /// Reads keys up to one of `ends`, which stays.
    fn keys(&mut self, ends: &[char], mut always: bool) -> Keys {
        let mut keys = Keys::default();
        loop {
            self.rest = self.rest.trim_start_matches([' ', ',']);
            if self.rest.is_empty() || self.rest.starts_with(ends) {
                return keys;
            }
            if let Some(rest) = self.rest.strip_prefix("with ") {
                (self.rest, always) = (rest, false);
            }
            let name = match self.rest.starts_with('"') {
                true => Some(self.quoted('"').to_owned()),
                false => {
                    let end = self.rest.find([':', ',', '}']);
                    self.rest = &self.rest[end.unwrap_or(self.rest.len())..];
                    None
                }
            };
            let mut is_there = always;
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('(') {
                is_there &= !self.until(')').starts_with("(with");
                self.rest = self.rest.trim_start();
            }
            let shape = match self.rest.starts_with(':') {
                true => self.value(&[ends, &[',']].concat()),
                false => Shape::Any,
            };
            match name {
                Some(name) => drop(keys.named.insert(name, (is_there, shape))),
                None => keys.others = Some(Box::new(shape)),
            }
        }
    }

    /// Reads up to the end of what is quoted, and returns what is between.
    fn quoted(&mut self, quote: char) -> &'t str {
        let (inner, rest) = self.rest[1..]
            .split_once(quote)
            .unwrap_or_else(|| panic!("{}: {quote} without an end", self.command));
        self.rest = rest;
        inner
    }

    /// Reads up to and with `end`, and returns what is before it.
    fn until(&mut self, end: char) -> &'t str {
        let (inner, rest) = self.rest.split_once(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        inner
    }
}

fn fits(shape: &Shape, value: &Value, place: &str) -> Result<(), String> {
    if let Value::String(text) = value {
        return match text.ends_with("+00:00") && chrono::DateTime::parse_from_rfc3339(text).is_ok()
        {
            true => Err(format!("{place}: the time {text} does not end in Z")),
            false => Ok(()),
        };
    }
    match (shape, value) {
        (Shape::Either(shapes), Value::Object(_) | Value::Array(_)) => {
            let mut errors = Vec::new();
            for shape in shapes {
                match fits(shape, value, place) {
                    Ok(()) => return Ok(()),
                    Err(error) => errors.push(error),
                }
            }
            Err(errors.join("; or "))
        }
        (Shape::List(shape), Value::Array(items)) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| fits(shape, item, &format!("{place}[{at}]")))
        }
        (Shape::Object(keys), Value::Object(object)) => {
            for (name, value) in object {
                let place = format!("{place}.{name}");
                match (keys.named.get(name), &keys.others) {
                    (Some((_, shape)), _) => fits(shape, value, &place)?,
                    (None, Some(others)) => fits(others, value, &place)?,
                    (None, None) => return Err(format!("{place} is not described")),
                }
            }
            let mut named = keys.named.iter();
            match named.find(|(name, (always, _))| *always && !object.contains_key(*name)) {
                Some((name, _)) => Err(format!("{place} has no {name}")),
                None => Ok(()),
            }
        }
        (Shape::List(_), Value::Object(_)) => Err(format!("{place} is an object")),
        (Shape::Object(_), Value::Array(_)) => Err(format!("{place} is a list")),
        _ => Ok(()),
    }
}

mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Shape {
        let texts = BTreeMap::from([
            ("it".to_owned(), text.to_owned()),
            ("dog show".to_owned(), "{\"name\", \"tail\"}".to_owned()),
            ("dog run".to_owned(), "the columns of `dogs`".to_owned()),
        ]);
        described(&texts, "it")
    }

    #[track_caller]
    fn misfit(text: &str, value: &Value) -> String {
        fits(&read(text), value, "result").expect_err("it fits")
    }

    #[track_caller]
    fn fit(text: &str, value: &Value) {
        fits(&read(text), value, "result").unwrap();
    }

    #[test]
    fn a_description_refuses_other_keys_and_other_kinds() {
        let text = r#"{"a", "b": [{"c", "d" (null while young)} …] or null, "e": {name: {"f"}}}"#;
        fit(
            text,
            &json!({"a": {"x": 1}, "b": [{"c": 1, "d": 2}], "e": {}}),
        );
        fit(text, &json!({"a": 1, "b": null, "e": {"any": {"f": 1}}}));
        let bad = json!({"a": 1, "b": [{"c": 1}], "e": {}});
        assert_eq!(misfit(text, &bad), "result.b[0] has no d");
        let bad = json!({"a": 1, "b": {}, "e": {}});
        assert_eq!(misfit(text, &bad), "result.b is an object");
        let bad = json!({"a": 1, "b": [], "e": {"any": {"g": 1}}});
        assert_eq!(misfit(text, &bad), "result.e.any.g is not described");
        let bad = json!({"a": "2026-12-01T10:00:00+00:00", "b": [], "e": {}});
        assert!(misfit(text, &bad).ends_with("does not end in Z"));
    }

    #[test]
    fn other_commands_options_and_alternatives_are_understood() {
        let text = "[as `helenus dog show`, with \"age\": number …], newest first; with --one {\"only\", \"html\" (with --html)}";
        fit(
            text,
            &json!([{"name": 1, "tail": 2}, {"name": 1, "tail": 2, "age": 3}]),
        );
        fit(text, &json!({"only": 1}));
        fit(text, &json!({"only": 1, "html": 2}));
        let bad = json!([{"name": 1}]);
        assert!(misfit(text, &bad).contains("result[0] has no tail"));
        let bad = json!({"only": 1, "age": 3});
        assert!(misfit(text, &bad).contains("result.age is not described"));
        let text = "{\"done\"}, at its end; with --run: as `helenus dog run`";
        fit(text, &json!({"anything": 1}));
    }
}
