//! Parses `tokens.toml`. All problems are reported at once, each with its line.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use toml::de::{DeTable, DeValue};

use super::{Right, TokenEntry, check_name};
use crate::domain::{names::nearest, problem::Problem};

const KEYS: [&str; 6] = ["name", "sha256", "rights", "jobs", "models", "expires"];

/// Parses the text of a token file. `file`: how problems name it.
///
/// # Errors
/// All problems, with `file:line` as their place. An unknown key is one, because a misspelt `jobs`
/// would permit all jobs.
pub fn parse(file: &str, text: &str) -> Result<Vec<TokenEntry>, Vec<Problem>> {
    let mut reader = EntryReader {
        file,
        text,
        problems: Vec::new(),
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        reader.report(at, "tokens.syntax", error.message().to_owned());
        std::mem::take(&mut reader.problems)
    })?;
    let mut entries: Vec<(usize, TokenEntry)> = Vec::new();
    for (key, value) in table.get_ref() {
        let at = key.span().start;
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Array(items) if name == "token" => {
                for item in items.iter() {
                    let at = item.span().start;
                    match item.get_ref() {
                        DeValue::Table(table) => {
                            entries.extend(reader.entry(at, table).map(|entry| (at, entry)));
                        }
                        other => reader.wrong_type(at, "token", "a table", other),
                    }
                }
            }
            _ if name == "token" => {
                reader.report(at, "tokens.value", "write `[[token]]`, not `[token]`");
            }
            _ => reader.report(
                at,
                "tokens.unknown_key",
                format!("unknown key `{name}`; a file of tokens has `[[token]]` entries only"),
            ),
        }
    }
    for (number, (at, entry)) in entries.iter().enumerate() {
        let before = || entries[..number].iter().map(|(_, entry)| entry);
        if before().any(|other| other.name == entry.name) {
            let message = format!("two tokens have the name `{}`", entry.name);
            reader.report(*at, "tokens.repeated", message);
        }
        if let Some(other) = before().find(|other| other.sha256 == entry.sha256) {
            let message = format!("`{}` and `{}` are the same token", other.name, entry.name);
            reader.report(*at, "tokens.repeated", message);
        }
    }
    match reader.problems.is_empty() {
        true => Ok(entries.into_iter().map(|(_, entry)| entry).collect()),
        false => Err(reader.problems),
    }
}

struct EntryReader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl EntryReader<'_> {
    fn report(&mut self, at: usize, code: &str, message: impl Into<String>) {
        let line = 1 + self.text[..at.min(self.text.len())].matches('\n').count();
        let place = format!("{}:{line}", self.file);
        self.problems.push(Problem::new(code, message).at(place));
    }

    fn wrong_type(&mut self, at: usize, key: &str, wanted: &str, found: &DeValue<'_>) {
        let message = format!("`{key}` must be {wanted}, not {}", found.type_str());
        self.report(at, "tokens.value", message);
    }

    /// Returns the entry, or `None` after reporting its problems.
    fn entry(&mut self, at: usize, table: &DeTable<'_>) -> Option<TokenEntry> {
        let before = self.problems.len();
        let (mut name, mut sha256, mut rights) = (None, None, None);
        let (mut jobs, mut models, mut expires) = (None, None, None);
        for (key, value) in table {
            let at = key.span().start;
            let value = value.get_ref();
            match key.get_ref().as_ref() {
                "name" => name = self.name(at, value),
                "sha256" => sha256 = self.sha256(at, value),
                "rights" => rights = self.rights(at, value),
                "jobs" => jobs = self.words(at, "jobs", value),
                "models" => models = self.words(at, "models", value),
                "expires" => expires = self.expires(at, value),
                unknown => {
                    let known = nearest(unknown, KEYS.into_iter());
                    let hint = match known {
                        Some(known) => format!("did you mean `{known}`?"),
                        None => format!("use one of {}", KEYS.join(", ")),
                    };
                    let message = format!("unknown key `{unknown}`: {hint}");
                    self.report(at, "tokens.unknown_key", message);
                }
            }
        }
        for required in ["name", "sha256", "rights"] {
            if !table.keys().any(|key| key.get_ref() == required) {
                let message = format!("the token has no `{required}`");
                self.report(at, "tokens.missing_key", message);
            }
        }
        if self.problems.len() > before {
            return None;
        }
        Some(TokenEntry {
            name: name?,
            sha256: sha256?,
            rights: rights?,
            jobs,
            models,
            expires,
        })
    }

    fn name(&mut self, at: usize, value: &DeValue<'_>) -> Option<String> {
        let Some(name) = value.as_str() else {
            self.wrong_type(at, "name", "a string", value);
            return None;
        };
        match check_name(name) {
            Ok(()) => Some(name.to_owned()),
            Err(message) => {
                self.report(at, "tokens.value", message);
                None
            }
        }
    }

    fn sha256(&mut self, at: usize, value: &DeValue<'_>) -> Option<[u8; 32]> {
        let decoded = value.as_str().and_then(|text| hex::decode(text).ok());
        let hash = decoded.and_then(|bytes| bytes.try_into().ok());
        if hash.is_none() {
            // Not the value: it may be the token itself.
            let message = "`sha256` must be 64 hexadecimal digits, as `helenus token new` prints";
            self.report(at, "tokens.value", message);
        }
        hash
    }

    fn rights(&mut self, at: usize, value: &DeValue<'_>) -> Option<Vec<Right>> {
        let words = self.words(at, "rights", value)?;
        if words.is_empty() {
            let message = format!("`rights` is empty; use {}", Right::words());
            self.report(at, "tokens.value", message);
        }
        let mut rights = Vec::with_capacity(words.len());
        for word in &words {
            match Right::parse(word) {
                Some(right) => rights.push(right),
                None => {
                    let message = format!("unknown right `{word}`; use {}", Right::words());
                    self.report(at, "tokens.value", message);
                }
            }
        }
        Some(rights)
    }

    fn words(&mut self, at: usize, key: &str, value: &DeValue<'_>) -> Option<Vec<String>> {
        let words = value.as_array().and_then(|items| {
            let words = items.iter().map(|item| item.get_ref().as_str());
            words.map(|word| word.map(str::to_owned)).collect()
        });
        if words.is_none() {
            self.wrong_type(at, key, "a list of strings", value);
        }
        words
    }

    fn expires(&mut self, at: usize, value: &DeValue<'_>) -> Option<DateTime<Utc>> {
        let time = value.as_datetime().and_then(moment);
        if time.is_none() {
            let wanted = "a date or a time such as 2027-01-31 or 2027-01-31T12:00:00Z";
            self.wrong_type(at, "expires", wanted, value);
        }
        time
    }
}

/// Returns the moment of a date (its beginning) or time; UTC unless it has an offset.
fn moment(value: &toml::value::Datetime) -> Option<DateTime<Utc>> {
    if value.offset.is_some() {
        let time = DateTime::parse_from_rfc3339(&value.to_string()).ok()?;
        return Some(time.with_timezone(&Utc));
    }
    let date = value.date?;
    let date = NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into())?;
    let time = match value.time {
        Some(time) => {
            let second = time.second.unwrap_or_default();
            NaiveTime::from_hms_opt(time.hour.into(), time.minute.into(), second.into())?
        }
        None => NaiveTime::MIN,
    };
    Some(date.and_time(time).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn entry(lines: &str) -> String {
        format!("[[token]]\nname = 'shop'\nsha256 = '{HASH}'\n{lines}")
    }

    #[test]
    fn an_entry_is_read_as_it_is_rendered() {
        let text = entry(
            "rights = ['score', 'read']\njobs = ['tumour']\nmodels = []\nexpires = 2027-01-31T12:30:00+01:00\n",
        );
        let entries = parse("tokens.toml", &text).unwrap();
        let only = &entries[0];
        assert_eq!(only.rights, [Right::Score, Right::Read]);
        assert_eq!(only.jobs, Some(vec!["tumour".to_owned()]));
        assert_eq!(only.models, Some(Vec::new()));
        let expires = only.expires.unwrap();
        assert_eq!(expires.to_rfc3339(), "2027-01-31T11:30:00+00:00");
        assert_eq!(parse("again", &only.render()).unwrap(), entries);
    }

    #[test]
    fn a_token_expires_when_its_time_or_its_date_begins() {
        for (written, moment) in [
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T08:00:00", "2027-01-31T08:00:00Z"),
            ("2027-01-31 08:00:00Z", "2027-01-31T08:00:00Z"),
        ] {
            let text = entry(&format!("rights = ['score']\nexpires = {written}\n"));
            let token = parse("tokens.toml", &text).unwrap().remove(0);
            let moment: DateTime<Utc> = moment.parse().unwrap();
            assert_eq!(token.expires, Some(moment), "{written}");
            assert!(token.is_expired(moment), "{written}");
            assert!(!token.is_expired(moment - chrono::TimeDelta::seconds(1)));
        }
    }

    #[test]
    fn all_problems_are_reported_at_once_with_their_lines() {
        let text = format!(
            "[[token]]\nname = 'a b'\nsha256 = 'hst_secret'\nrights = ['score', 'fly']\njob = ['x']\n\n{}[[token]]\nname = 'late'\nsha256 = '{}'\nrights = []\nexpires = 'soon'\n[other]\n",
            entry("jobs = 'tumour'\n"),
            HASH.replace('9', "8"),
        );
        let problems = parse("t.toml", &text).unwrap_err();
        let lines: Vec<_> = problems.iter().map(Problem::line).collect();
        for expected in [
            "t.toml:2: invalid name `a b`",
            "t.toml:3: `sha256` must be 64",
            "t.toml:4: unknown right `fly`",
            "t.toml:5: unknown key `job`: did you mean `jobs`?",
            "t.toml:10: `jobs` must be a list of strings",
            "t.toml:7: the token has no `rights`",
            "t.toml:14: `rights` is empty",
            "t.toml:15: `expires` must be a date or a time",
            "t.toml:16: unknown key `other`",
        ] {
            let found = lines.iter().any(|line| line.starts_with(expected));
            assert!(found, "{expected}\n{lines:#?}");
        }
        assert!(!lines.concat().contains("hst_secret"), "{lines:#?}");
    }

    #[test]
    fn names_and_tokens_must_not_repeat() {
        let one = entry("rights = ['score']\n");
        let problems = parse("t.toml", &format!("{one}{one}")).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:#?}");
        let messages: String = problems.iter().map(Problem::line).collect();
        assert!(messages.contains("two tokens have the name `shop`"));
        assert!(messages.contains("are the same token"));
    }
}
