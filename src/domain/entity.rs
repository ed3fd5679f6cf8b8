//! One entity by its key: where its traces stand, and texts without it.

use std::collections::BTreeMap;

use super::{
    canonical::{Zeros, append_cell},
    key::{KeyTooLong, append_partition_key},
    literal,
    problem::Problem,
    schema::{Column, TableSchema},
};

/// What stands in a text where an entity was.
pub const FORGOTTEN: &str = "[forgotten]";
/// A key value of fewer characters is in many texts by chance.
const TELLING: usize = 5;

/// A whole primary key with its types.
#[derive(Debug, Clone)]
pub struct Entity {
    columns: Vec<Column>,
    partition_key_len: usize,
    cells: Vec<Vec<u8>>,
    texts: Vec<String>,
}

/// The key columns of an entity in that table: of a prediction table without `model_version`, of a
/// history without `scored_at`, too.
pub fn key_columns(table: &TableSchema) -> Vec<Column> {
    let is_history = table.is_history_table();
    let own = |name: &str| name == "model_version" || is_history && name == "scored_at";
    let key = table.key().filter(|column| !own(&column.name));
    key.cloned().collect()
}

impl Entity {
    /// Reads a key of `table` (of a prediction table without `model_version`), values as CQL
    /// literals without quotes.
    ///
    /// # Errors
    /// A column that is missing or none of the key, a value of another type.
    pub fn parse(table: &TableSchema, key: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let columns = key_columns(table);
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(unknown) = key.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("`{unknown}` is no primary key column");
            return Err(Problem::new("keys.unknown_column", message)
                .help(format!("the key is {}", names.join(", "))));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let text = key.get(&column.name).ok_or_else(|| {
                let message = format!("`{}` is missing", column.name);
                Problem::new("keys.missing_column", message)
                    .help(format!("all of {} are needed", names.join(", ")))
            })?;
            let cell = literal::from_text(&column.cql_type, text).map_err(|_| {
                // Not the value itself: the text may be kept.
                let message = format!("`{}` has no value of its type", column.name);
                Problem::new("keys.not_a_value", message).help(format!(
                    "a CQL literal of type {} without quotes",
                    column.cql_type
                ))
            })?;
            cells.push(cell);
        }
        let texts = columns
            .iter()
            .zip(&cells)
            .map(|(column, cell)| literal::to_text(&column.cql_type, cell))
            .collect();
        Ok(Self {
            columns,
            partition_key_len: table.partition_key.len(),
            cells,
            texts,
        })
    }

    /// Its key columns, partition key first.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Their values as they are bound.
    pub fn cells(&self) -> &[Vec<u8>] {
        &self.cells
    }

    /// The same entity among rows of `rejected_rows`: its values joined.
    pub fn joined(&self) -> String {
        self.texts.join("|")
    }

    /// The key by column, spelled as helenus spells it.
    pub fn key(&self) -> BTreeMap<String, String> {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.zip(self.texts.iter().cloned()).collect()
    }

    /// The serialised partition key, which gives the token.
    ///
    /// # Errors
    /// A component of more than 65,535 bytes.
    pub fn partition_key(&self) -> Result<Vec<u8>, KeyTooLong> {
        let mut bytes = Vec::new();
        let components = self.cells[..self.partition_key_len].iter();
        append_partition_key(components.map(Vec::as_slice), &mut bytes)?;
        Ok(bytes)
    }

    /// Whether these are the cells of its key.
    pub fn has_cells<'a>(&self, cells: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        let cells: Vec<_> = cells.collect();
        cells.len() == self.cells.len()
            && self.columns.iter().enumerate().all(|(at, column)| {
                let (own, other) = (self.cells[at].as_slice(), cells[at]);
                // Cassandra compares partition keys by their bytes, clustering keys by value.
                let canonical = |cell| {
                    let mut bytes = Vec::new();
                    append_cell(&column.cql_type, cell, Zeros::Distinct, &mut bytes);
                    bytes
                };
                other == Some(own)
                    || at >= self.partition_key_len && canonical(other) == canonical(Some(own))
            })
    }

    /// Whether a key that somebody wrote down is this one, however it is spelled.
    pub fn is(&self, key: &BTreeMap<String, String>) -> bool {
        let cells: Option<Vec<_>> = self
            .columns
            .iter()
            .map(|column| literal::from_text(&column.cql_type, key.get(&column.name)?).ok())
            .collect();
        cells.is_some_and(|cells| self.has_cells(cells.iter().map(|cell| Some(cell.as_slice()))))
    }

    /// The list with an empty map in its place, which is no key of anything; `None`: it is not there.
    pub fn blanked(
        &self,
        keys: &[BTreeMap<String, String>],
    ) -> Option<Vec<BTreeMap<String, String>>> {
        keys.iter().any(|key| self.is(key)).then(|| {
            keys.iter()
                .map(|key| match self.is(key) {
                    true => BTreeMap::new(),
                    false => key.clone(),
                })
                .collect()
        })
    }

    /// A text that may have nothing to do with it, without it; `None`: it does not name the entity.
    /// It does when all of its values stand there as `column = value`, or as words of which one is
    /// long enough not to be there by chance.
    pub fn scrubbed(&self, text: &str) -> Option<String> {
        let pairs = self.columns.iter().zip(&self.texts);
        let by_name = pairs
            .map(|(column, value)| format!("{} = {value}", column.name))
            .all(|pair| has_word(text, &pair));
        let by_value = self.texts.iter().all(|value| has_word(text, value))
            && self.texts.iter().any(|value| value.len() >= TELLING);
        (by_name || by_value).then(|| self.without(text)).flatten()
    }

    /// A text about it, without any of its values; `None`: none stands there.
    pub fn without(&self, text: &str) -> Option<String> {
        let mut left = text.to_owned();
        for value in self.texts.iter().filter(|value| !value.is_empty()) {
            left = replace_words(&left, value);
        }
        (left != text).then_some(left)
    }
}

fn has_word(text: &str, word: &str) -> bool {
    !word.is_empty() && words(text, word).next().is_some()
}

/// Where `word` stands with nothing of a word on either side.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let (before, after) = (&text[..*at], &text[at + word.len()..]);
            !before.chars().next_back().is_some_and(of_a_word)
                && !after.chars().next().is_some_and(of_a_word)
        })
}

fn replace_words(text: &str, word: &str) -> String {
    let mut left = String::with_capacity(text.len());
    let mut from = 0;
    for at in words(text, word) {
        left.push_str(&text[from..at]);
        left.push_str(FORGOTTEN);
        from = at + word.len();
    }
    left.push_str(&text[from..]);
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{cql_type::CqlType, schema::Order};

    fn column(name: &str, cql_type: CqlType) -> Column {
        Column {
            name: name.to_owned(),
            cql_type,
        }
    }

    fn table() -> TableSchema {
        TableSchema {
            keyspace: "clinic".to_owned(),
            table: "visits_predictions".to_owned(),
            id: uuid::Uuid::nil(),
            partition_key: vec![column("clinic", CqlType::Text)],
            clustering: vec![
                (column("amount", CqlType::Decimal), Order::Asc),
                (column("model_version", CqlType::Int), Order::Desc),
            ],
            statics: Vec::new(),
            regulars: Vec::new(),
        }
    }

    fn key(clinic: &str, amount: &str) -> BTreeMap<String, String> {
        let pairs = [("clinic", clinic), ("amount", amount)];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn a_key_is_the_same_however_it_is_spelled() {
        let entity = Entity::parse(&table(), &key("north", "1.50")).unwrap();
        assert!(entity.is(&key("north", "1.5")));
        assert!(!entity.is(&key("North", "1.5")));
        assert!(!entity.is(&key("north", "1.6")));
        assert!(!entity.is(&BTreeMap::new()));
        let keys = [key("south", "1.5"), key("north", "1.500")];
        let blanked = entity.blanked(&keys).unwrap();
        assert_eq!(blanked, [keys[0].clone(), BTreeMap::new()]);
        assert_eq!(entity.blanked(&blanked), None);
        assert!(Entity::parse(&table(), &key("north", "x")).is_err());
    }

    #[test]
    fn texts_lose_the_entity_and_nothing_else() {
        let table = TableSchema {
            clustering: Vec::new(),
            ..table()
        };
        let entity = |value: &str| {
            let key = BTreeMap::from([("clinic".to_owned(), value.to_owned())]);
            Entity::parse(&table, &key).unwrap()
        };
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
}
