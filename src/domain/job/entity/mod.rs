//! An entity identified by its key: matching it in rows and removing it from texts.

mod label;
mod mention;

use std::collections::BTreeMap;

pub use label::label;

use crate::{
    codec::{
        canonical::{Zeros, append_cell},
        cql_type::CqlType,
        key::{KeyTooLong, append_partition_key},
        literal,
        schema::{Column, TableSchema},
        wire::part_type,
    },
    domain::problem::Problem,
};

pub use mention::FORGOTTEN;

/// A complete primary key with its types.
#[derive(Debug, Clone)]
pub struct Entity {
    columns: Vec<Column>,
    partition_key_len: usize,
    cells: Vec<Vec<u8>>,
    texts: Vec<String>,
}

/// Returns the key columns of an entity in that table: of a prediction table without
/// `model_version`, of a history also without `scored_at`.
pub fn key_columns(table: &TableSchema) -> Vec<Column> {
    let is_history = table.is_history_table();
    let own = |name: &str| name == "model_version" || is_history && name == "scored_at";
    let key = table.key().filter(|column| !own(&column.name));
    key.cloned().collect()
}

impl Entity {
    /// Parses a key of `table` (of a prediction table without `model_version`); values are CQL
    /// literals without quotes.
    ///
    /// # Errors
    /// A missing or unknown key column, or a value of another type.
    pub fn parse(table: &TableSchema, key: &BTreeMap<String, String>) -> Result<Self, Problem> {
        let columns = key_columns(table);
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        if let Some(unknown) = key.keys().find(|name| !names.contains(&name.as_str())) {
            let message = format!("`{unknown}` is not a primary key column");
            return Err(Problem::new("keys.unknown_column", message)
                .help(format!("use the key columns {}", names.join(", "))));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let text = key.get(&column.name).ok_or_else(|| {
                let message = format!("`{}` is missing", column.name);
                Problem::new("keys.missing_column", message)
                    .help(format!("give all of {}", names.join(", ")))
            })?;
            let cell = literal::from_text(&column.cql_type, text).map_err(|_| {
                // Without the value itself: the text may be stored.
                let message = format!("`{}` has an invalid value", column.name);
                Problem::new("keys.not_a_value", message).help(format!(
                    "write a CQL literal of type {} without quotes",
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

    /// Returns its key columns, partition key first.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the key values as they are bound.
    pub fn cells(&self) -> &[Vec<u8>] {
        &self.cells
    }

    /// Returns its label in `rejected_rows.entity`, see [`label()`].
    pub fn label(&self) -> String {
        let cells = self.cells.iter().map(|cell| Some(cell.as_slice()));
        label(&self.columns, self.partition_key_len, cells)
    }

    /// Returns the label that older versions of helenus wrote, for the key as it is spelled here.
    /// Several entities may share it.
    pub fn joined(&self) -> String {
        self.texts.join("|")
    }

    /// Returns whether Cassandra considers several spellings of it equal, so that
    /// [`Entity::joined`] is one of many: a clustering column is a decimal, or may contain one.
    pub fn has_spellings(&self) -> bool {
        self.columns[self.partition_key_len..]
            .iter()
            .any(|column| is_spelled(&column.cql_type))
    }

    /// Returns the decimal columns of its partition key. There, Cassandra distinguishes spellings:
    /// 1.5 and 1.50 are two partitions.
    pub fn exact_columns(&self) -> impl Iterator<Item = &str> {
        self.columns[..self.partition_key_len]
            .iter()
            .filter(|column| *column.cql_type.thawed() == CqlType::Decimal)
            .map(|column| column.name.as_str())
    }

    /// Returns the key by column, in helenus's spelling.
    pub fn key(&self) -> BTreeMap<String, String> {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.zip(self.texts.iter().cloned()).collect()
    }

    /// Returns the serialised partition key, which determines the token.
    ///
    /// # Errors
    /// A component of more than 65,535 bytes.
    pub fn partition_key(&self) -> Result<Vec<u8>, KeyTooLong> {
        let mut bytes = Vec::new();
        let components = self.cells[..self.partition_key_len].iter();
        append_partition_key(components.map(Vec::as_slice), &mut bytes)?;
        Ok(bytes)
    }

    /// Returns whether these are the cells of its key.
    pub fn has_cells<'a>(&self, cells: impl Iterator<Item = Option<&'a [u8]>>) -> bool {
        let cells: Vec<_> = cells.collect();
        cells.len() == self.cells.len()
            && self.columns.iter().enumerate().all(|(at, column)| {
                let (own, other) = (self.cells[at].as_slice(), cells[at]);
                other == Some(own)
                    || self.is_spelled_freely(at) && equal(&column.cql_type, other, own)
            })
    }

    /// Returns whether a value has several spellings: Cassandra compares partition keys by their
    /// bytes, clustering keys by value.
    fn is_spelled_freely(&self, at: usize) -> bool {
        at >= self.partition_key_len
    }

    /// Returns whether a key, however it is spelled, is this one.
    pub fn is(&self, key: &BTreeMap<String, String>) -> bool {
        let cells: Option<Vec<_>> = self
            .columns
            .iter()
            .map(|column| literal::from_text(&column.cql_type, key.get(&column.name)?).ok())
            .collect();
        cells.is_some_and(|cells| self.has_cells(cells.iter().map(|cell| Some(cell.as_slice()))))
    }

    /// Returns the list with this entity's key replaced by an empty map; `None`: the key is not in
    /// it.
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
}

/// Returns whether the cells are equal by value.
fn equal(cql_type: &CqlType, other: Option<&[u8]>, own: &[u8]) -> bool {
    let canonical = |cell| {
        let mut bytes = Vec::new();
        append_cell(cql_type, cell, Zeros::Distinct, &mut bytes);
        bytes
    };
    canonical(other) == canonical(Some(own))
}

/// Returns whether equal values of the type have several texts that helenus may have written.
fn is_spelled(cql_type: &CqlType) -> bool {
    *cql_type.thawed() == CqlType::Decimal || part_type(cql_type, 0).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{cql_type::CqlType, schema::Order};

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
}
