//! Converts rows between Cassandra's form and the form that helenus uses.
//!
//! A table's row is a struct whose fields are its columns, declared once by [`stored!`]; statements
//! take the names of the columns from it ([`insert`], [`update`]). Users write rows by hand, so any
//! column but the key may be null, and a `timestamp` may lie outside the years that chrono
//! supports: the driver's own conversion would then refuse the whole page. So times are bound as
//! `DateTime<Utc>` and read as [`CqlTimestamp`], which [`Cell`] converts; a time that does not fit
//! counts as null.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use scylla::{
    deserialize::row::DeserializeRow,
    serialize::row::SerializeRow,
    value::{CqlTimestamp, CqlTimeuuid},
};
use uuid::Uuid;

use super::error::StoreError;
use crate::store::Store;

/// Converts a value between the column's type and the type that helenus uses.
pub(in crate::store) trait Cell<T> {
    fn cell(self) -> T;
}

impl<T> Cell<T> for T {
    fn cell(self) -> T {
        self
    }
}

/// Null becomes the default.
impl<T: Default> Cell<T> for Option<T> {
    fn cell(self) -> T {
        self.unwrap_or_default()
    }
}

impl<T> Cell<Option<T>> for T {
    fn cell(self) -> Option<T> {
        Some(self)
    }
}

/// Declares conversions `From => To: how` between types that only the store converts.
macro_rules! cells {
    ($($from:ty => $to:ty: $how:expr;)+) => {
        $(impl $crate::store::driver::columns::Cell<$to> for $from {
            fn cell(self) -> $to {
                let how: fn($from) -> $to = $how;
                how(self)
            }
        })+
    };
}
pub(in crate::store) use cells;

cells! {
    CqlTimeuuid => Uuid: Uuid::from;
    Uuid => CqlTimeuuid: CqlTimeuuid::from;
    Option<CqlTimeuuid> => Option<Uuid>: |id| id.map(Uuid::from);
    Option<Uuid> => Option<CqlTimeuuid>: |id| id.map(CqlTimeuuid::from);
    Option<CqlTimestamp> => Option<DateTime<Utc>>: |at| DateTime::from_timestamp_millis(at?.0);
    Option<CqlTimestamp> => DateTime<Utc>: |at| Cell::<Option<_>>::cell(at).unwrap_or_default();
    Option<DateTime<Utc>> => Option<CqlTimestamp>: |at| at.map(CqlTimestamp::from);
    DateTime<Utc> => Option<CqlTimestamp>: |at| Some(at.into());
    Option<i64> => u64: |count| count.unwrap_or_default().max(0) as u64;
    u64 => i64: |count| count as i64;
    Option<BTreeMap<i32, i64>> => BTreeMap<i32, u64>: |counts| {
        let counts = counts.unwrap_or_default().into_iter();
        counts.map(|(version, rows)| (version, Some(rows).cell())).collect()
    };
}

/// Counts are never above `i64::MAX`.
impl<K: Ord> Cell<BTreeMap<K, i64>> for BTreeMap<K, u64> {
    fn cell(self) -> BTreeMap<K, i64> {
        let counts = self.into_iter();
        counts.map(|(key, rows)| (key, rows.cell())).collect()
    }
}

/// Declares a row whose fields are columns, with `COLUMNS`, their names. `read`: the row converts
/// into a struct with the same fields; `write`: it is made from one. Each field is converted by
/// [`Cell`].
macro_rules! stored {
    (read struct $row:ident of $used:ident $body:tt) => {
        $crate::store::driver::columns::stored!(@row [scylla::DeserializeRow] $row $body);
        $crate::store::driver::columns::stored!(@read $row $used $body);
    };
    (write struct $row:ident of $used:ident $body:tt) => {
        $crate::store::driver::columns::stored!(@row [scylla::SerializeRow] $row $body);
        $crate::store::driver::columns::stored!(@write $row $used $body);
    };
    (read write struct $row:ident of $used:ident $body:tt) => {
        $crate::store::driver::columns::stored!(
            @row [scylla::DeserializeRow, scylla::SerializeRow] $row $body
        );
        $crate::store::driver::columns::stored!(@read $row $used $body);
        $crate::store::driver::columns::stored!(@write $row $used $body);
    };
    (@row [$($derive:path),+] $row:ident { $first:ident: $first_type:ty, $($column:ident: $type:ty,)* }) => {
        #[derive($($derive),+)]
        struct $row { $first: $first_type, $($column: $type,)* }

        impl $row {
            const COLUMNS: &str = concat!(stringify!($first) $(, ", ", stringify!($column))*);
        }
    };
    (@read $row:ident $used:ident { $($column:ident: $type:ty,)* }) => {
        impl $crate::store::driver::columns::Stored for $row {
            type Used = $used;
            const NAMES: &str = Self::COLUMNS;
        }

        impl From<$row> for $used {
            fn from(row: $row) -> Self {
                Self { $($column: $crate::store::driver::columns::Cell::cell(row.$column),)* }
            }
        }
    };
    (@write $row:ident $used:ident { $($column:ident: $type:ty,)* }) => {
        impl From<&$used> for $row {
            fn from(used: &$used) -> Self {
                Self { $($column: $crate::store::driver::columns::Cell::cell(used.$column.clone()),)* }
            }
        }
    };
}
pub(in crate::store) use stored;

/// A row declared by [`stored!`] that converts into the struct that helenus uses.
pub(in crate::store) trait Stored:
    for<'f, 'm> DeserializeRow<'f, 'm> + Into<Self::Used>
{
    type Used;
    /// The names of its columns.
    const NAMES: &str;
}

impl Store {
    /// Returns the rows of `SELECT <the columns of R> <from>`.
    pub(in crate::store) async fn stored<R: Stored>(
        &self,
        from: &str,
        values: impl SerializeRow,
    ) -> Result<Vec<R::Used>, StoreError> {
        let rows: Vec<R> = self.rows(&select::<R>(from), values).await?;
        Ok(rows.into_iter().map(R::into).collect())
    }

    /// Returns the first row of `SELECT <the columns of R> <from>`.
    pub(in crate::store) async fn one_stored<R: Stored>(
        &self,
        from: &str,
        values: impl SerializeRow,
    ) -> Result<Option<R::Used>, StoreError> {
        let row: Option<R> = self.row(&select::<R>(from), values).await?;
        Ok(row.map(R::into))
    }

    /// As [`Store::one_stored`], after every decided conditional write to the row's partition.
    pub(in crate::store) async fn one_stored_serially<R: Stored>(
        &self,
        from: &str,
        values: impl SerializeRow,
    ) -> Result<Option<R::Used>, StoreError> {
        let row: Option<R> = self.serial_row(&select::<R>(from), values).await?;
        Ok(row.map(R::into))
    }
}

fn select<R: Stored>(from: &str) -> String {
    format!("SELECT {} {from}", R::NAMES)
}

/// Returns an INSERT of all `columns`, with named values.
pub(in crate::store) fn insert(table: &str, columns: &str) -> String {
    let values = columns.replace(", ", ", :");
    format!("INSERT INTO {table} ({columns}) VALUES (:{values})")
}

/// Returns an UPDATE of all `columns` but those of the `key`, with named values, under a condition.
pub(in crate::store) fn update(
    table: &str,
    columns: &str,
    key: &[&str],
    condition: &str,
) -> String {
    let equals = |column: &str| format!("{column} = :{column}");
    let set = columns.split(", ").filter(|column| !key.contains(column));
    let set: Vec<String> = set.map(equals).collect();
    let wanted: Vec<String> = key.iter().copied().map(equals).collect();
    format!(
        "UPDATE {table} SET {} WHERE {} IF {condition}",
        set.join(", "),
        wanted.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Used {
        name: String,
        at: Option<DateTime<Utc>>,
        rows: u64,
    }

    stored! {
        read struct Row of Used {
            name: String,
            at: Option<CqlTimestamp>,
            rows: Option<i64>,
        }
    }

    #[test]
    fn what_people_wrote_oddly_counts_as_null() {
        let row = |at, rows| Row {
            name: "a".to_owned(),
            at: Some(CqlTimestamp(at)),
            rows,
        };
        let odd = Used::from(row(i64::MAX, Some(-1)));
        assert_eq!((odd.at, odd.rows), (None, 0));
        let plain = Used::from(row(1_000, None));
        assert_eq!(plain.at, DateTime::from_timestamp(1, 0));
        assert_eq!((plain.name.as_str(), plain.rows), ("a", 0));
    }

    #[test]
    fn statements_name_every_column() {
        assert_eq!(
            insert("t", Row::COLUMNS),
            "INSERT INTO t (name, at, rows) VALUES (:name, :at, :rows)"
        );
        assert_eq!(
            update("t", Row::COLUMNS, &["name"], "rows = :was"),
            "UPDATE t SET at = :at, rows = :rows WHERE name = :name IF rows = :was"
        );
    }
}
