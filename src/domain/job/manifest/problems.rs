//! Mistakes in a manifest, collected while its values are read.

use super::{TableName, read::CountOrShare};
use crate::domain::{job::MaxRejected, names::nearest, percent::Percent, problem::Problem};

#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn report(
        &mut self,
        place: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::new("job.manifest", message).at(place).help(help);
        self.0.push(problem);
    }

    /// Returns a number of rows or a share; `usual` if none is given.
    pub(super) fn max_rejected(
        &mut self,
        place: &str,
        given: Option<CountOrShare>,
        usual: Percent,
    ) -> MaxRejected {
        let max_rejected = match given {
            None => Some(MaxRejected::Share(usual)),
            Some(CountOrShare::Count(rows)) => u64::try_from(rows).ok().map(MaxRejected::Count),
            Some(CountOrShare::Text(text)) => Percent::parse(&text).map(MaxRejected::Share),
        };
        max_rejected.unwrap_or_else(|| {
            self.report(
                place,
                "`max_rejected` is neither a number of rows nor a share",
                "write 100 or \"0.1%\"",
            );
            MaxRejected::Count(0)
        })
    }

    pub(super) fn check_name(&mut self, place: &str, name: &str, longest: usize, form: &str) {
        let good = name.len() <= longest
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good {
            self.report(
                place,
                format!("`{name}` is not a valid name for a {place}"),
                format!("write {form}"),
            );
        }
    }

    pub(super) fn table(&mut self, place: &str, text: &str) -> TableName {
        let name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        match text.split_once('.') {
            Some((keyspace, table)) if name(keyspace) && name(table) => TableName {
                keyspace: keyspace.to_owned(),
                table: table.to_owned(),
            },
            _ => {
                self.report(
                    place,
                    format!("`{text}` is not a valid table name"),
                    "write keyspace.table, both spelled as in the schema, without quotes",
                );
                TableName {
                    keyspace: String::new(),
                    table: String::new(),
                }
            }
        }
    }

    /// Returns the meaning of a keyword; that of the first keyword after a problem was reported.
    pub(super) fn word<T: Copy>(&mut self, place: &str, word: &str, words: &[(&str, T)]) -> T {
        if let Some((_, meaning)) = words.iter().find(|(known, _)| *known == word) {
            return *meaning;
        }
        let known: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("use one of \"{}\"", known.join("\", \"")),
        };
        self.report(place, format!("unknown value `{word}`"), help);
        words[0].1
    }
}
