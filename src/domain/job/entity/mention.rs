//! Finds and removes mentions of an entity in texts.

use std::ops::Range;

use super::{Entity, equal};
use crate::codec::{cql_type::CqlType, literal, schema::Column, wire::part_type};

/// Replacement for the entity in a text.
pub const FORGOTTEN: &str = "[forgotten]";
/// Minimum length, in characters, of a key value that identifies an entity: shorter values occur in
/// many texts by chance.
const TELLING: usize = 5;

impl Entity {
    /// Returns an arbitrary text without the entity; `None` if the text does not name it. A text
    /// names the entity if it contains all of its values as `column = value`, or as words of which
    /// one is long enough not to occur by chance.
    pub fn scrubbed(&self, text: &str) -> Option<String> {
        let places: Vec<_> = (0..self.columns.len())
            .map(|at| self.places(at, text))
            .collect();
        let by_name = places
            .iter()
            .zip(&self.columns)
            .all(|(places, column)| places.iter().any(|at| is_named(text, at.start, column)));
        let by_value = places.iter().all(|places| !places.is_empty())
            && places.iter().flatten().any(|at| at.len() >= TELLING);
        (by_name || by_value).then(|| self.without(text)).flatten()
    }

    /// Returns a text about the entity without any of its values; `None` if it contains none.
    pub fn without(&self, text: &str) -> Option<String> {
        let columns = 0..self.columns.len();
        let mut places: Vec<_> = columns.flat_map(|at| self.places(at, text)).collect();
        // Of those that begin at the same place, the longest.
        places.sort_by_key(|place| (place.start, usize::MAX - place.end));
        let mut left = String::with_capacity(text.len());
        let mut from = 0;
        for place in &places {
            if place.start < from {
                // Inside, or across the end of, a part that was already removed.
                from = from.max(place.end);
                continue;
            }
            left.push_str(&text[from..place.start]);
            left.push_str(FORGOTTEN);
            from = place.end;
        }
        left.push_str(&text[from..]);
        (!places.is_empty()).then_some(left)
    }

    /// Returns the places of a key column's value in a text, however it is spelled.
    fn places(&self, at: usize, text: &str) -> Vec<Range<usize>> {
        let (column, value) = (&self.columns[at], self.texts[at].as_str());
        let mut places: Vec<Range<usize>> = Vec::new();
        let quoted = value.replace('\'', "''");
        for word in [value, &quoted] {
            places.extend(words(text, word).map(|start| start..start + word.len()));
        }
        if is_number_like(&column.cql_type) {
            places.extend(tokens(text).filter(|token| {
                literal::from_text(&column.cql_type, &text[token.clone()]).is_ok_and(|cell| {
                    cell == self.cells[at]
                        || self.is_spelled_freely(at)
                            && equal(&column.cql_type, Some(&cell), &self.cells[at])
                })
            }));
        }
        places
    }
}

/// Returns whether values of the type have several spellings, none with spaces.
fn is_number_like(cql_type: &CqlType) -> bool {
    let thawed = cql_type.thawed();
    !matches!(thawed, CqlType::Text | CqlType::Ascii) && part_type(thawed, 0).is_none()
}

/// Returns whether the text assigns the value at `start` to the column: `id = 7`, `site = 'north'`.
fn is_named(text: &str, start: usize, column: &Column) -> bool {
    let before = &text[..start];
    let before = before.strip_suffix('\'').unwrap_or(before);
    [&column.name, &literal::name(&column.name)]
        .into_iter()
        .any(|name| {
            before
                .strip_suffix(&format!("{name} = "))
                .is_some_and(|rest| !rest.chars().next_back().is_some_and(is_of_a_word))
        })
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the positions of `word` as a whole word.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let found = (!word.is_empty()).then(|| text.match_indices(word));
    found
        .into_iter()
        .flatten()
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, after) = (&text[..*at], &text[at + word.len()..]);
            !before.chars().next_back().is_some_and(is_of_a_word)
                && !after.chars().next().is_some_and(is_of_a_word)
        })
}

/// Returns runs of the characters of numbers, ids, times and addresses, without the full stop or
/// colon of a sentence that ends there.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_within = |c: char| is_of_a_word(c) || ".:+-".contains(c);
    text.split(move |c| !is_within(c)).filter_map(move |run| {
        let token = run.trim_end_matches(['.', ':', '-', '+']);
        // `run` is a part of `text`.
        let start = run.as_ptr() as usize - text.as_ptr() as usize;
        (!token.is_empty()).then(|| start..start + token.len())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::schema::{Order, TableSchema};

    fn entity(columns: &[(&str, CqlType, &str)]) -> Entity {
        let mut key = columns.iter().map(|(name, cql_type, _)| Column {
            name: (*name).to_owned(),
            cql_type: cql_type.clone(),
        });
        let table = TableSchema {
            keyspace: "clinic".to_owned(),
            table: "visits_predictions".to_owned(),
            id: uuid::Uuid::nil(),
            partition_key: vec![key.next().unwrap()],
            clustering: key.map(|column| (column, Order::Asc)).collect(),
            statics: Vec::new(),
            regulars: Vec::new(),
        };
        let values = columns
            .iter()
            .map(|(name, _, value)| ((*name).to_owned(), (*value).to_owned()));
        Entity::parse(&table, &values.collect::<BTreeMap<_, _>>()).unwrap()
    }

    #[test]
    fn texts_lose_the_entity_and_nothing_else() {
        let entity = |value: &str| entity(&[("clinic", CqlType::Text, value)]);
        let text = "row clinic = 7: version 7 rejected 17 rows";
        let left = entity("7").scrubbed(text).unwrap();
        assert_eq!(
            left,
            "row clinic = [forgotten]: version [forgotten] rejected 17 rows"
        );
        assert_eq!(entity("7").scrubbed("split 7 failed"), None);
        assert_eq!(
            entity("7").without("key 7 is none").unwrap(),
            "key [forgotten] is none"
        );
        assert_eq!(
            entity("patient-4711")
                .scrubbed("no row `patient-4711`")
                .unwrap(),
            "no row `[forgotten]`"
        );
        assert_eq!(entity("patient-4711").scrubbed("patient-47112"), None);
    }

    #[test]
    fn quoted_values_are_found() {
        let entity = |value: &str| entity(&[("Clinic", CqlType::Text, value)]);
        for named in ["Clinic = 'ab'", "\"Clinic\" = 'ab'", "Clinic = ab,"] {
            assert!(entity("ab").scrubbed(named).is_some(), "{named}");
        }
        assert_eq!(entity("ab").scrubbed("theClinic = 'ab'"), None);
        assert_eq!(
            entity("O'Brien")
                .scrubbed("\"Clinic\" = 'O''Brien' is null")
                .unwrap(),
            "\"Clinic\" = '[forgotten]' is null"
        );
    }

    #[test]
    fn numbers_are_found_however_they_are_spelled() {
        let entity = entity(&[
            ("k", CqlType::Int, "1"),
            ("amount", CqlType::Decimal, "1.5"),
        ]);
        assert_eq!(
            entity.scrubbed("row k = 1 AND amount = 1.50.").unwrap(),
            "row k = [forgotten] AND amount = [forgotten]."
        );
        assert_eq!(entity.scrubbed("row k = 1 AND amount = 1.51"), None);
        assert_eq!(entity.without("15E-1 of 11").unwrap(), "[forgotten] of 11");
        let id = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
        let by_id = super::tests::entity(&[("id", CqlType::Uuid, id)]);
        assert_eq!(
            by_id
                .scrubbed(&format!("for {}: late", id.to_uppercase()))
                .unwrap(),
            "for [forgotten]: late"
        );
        let by_address = super::tests::entity(&[("host", CqlType::Inet, "::1")]);
        assert_eq!(
            by_address.scrubbed("host = 0:0:0:0:0:0:0:1: null").unwrap(),
            "host = [forgotten]: null"
        );
    }
}
