//! Splits CQL files into statements, and gives tables their ids.

use uuid::Uuid;

use crate::{
    domain::cassandra::Release,
    store::{Store, admin::release::fit_compaction},
};

/// Returns the statements of a file, without the comments between them and without their
/// semicolons.
///
/// Supports `--`, `//` and `/* */` comments, `'strings'`, `"names"` (a doubled quote is a literal
/// one) and `$$ bodies $$`; a semicolon in any of them ends no statement.
pub fn statements(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut statement = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kept, length) = if rest.starts_with("--") || rest.starts_with("//") {
            ("", rest.find('\n').unwrap_or(rest.len()))
        } else if let Some(comment) = rest.strip_prefix("/*") {
            (" ", comment.find("*/").map_or(rest.len(), |end| end + 4))
        } else if let Some(body) = rest.strip_prefix("$$") {
            let length = body.find("$$").map_or(rest.len(), |end| end + 4);
            (&rest[..length], length)
        } else if first == '\'' || first == '"' {
            // A doubled quote closes and opens again, which gives the same text.
            let length = rest[1..].find(first).map_or(rest.len(), |end| end + 2);
            (&rest[..length], length)
        } else if first == ';' {
            found.push(std::mem::take(&mut statement));
            ("", 1)
        } else {
            (&rest[..first.len_utf8()], first.len_utf8())
        };
        statement.push_str(kept);
        rest = &rest[length..];
    }
    found.push(statement);
    found
        .iter()
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Returns the id that helenus gives a table, so that two processes that create it at the same time
/// create the same one: uuid5 (URL namespace) of `helenus:<keyspace>.<table>`.
pub fn table_id(keyspace: &str, table: &str) -> Uuid {
    Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        format!("helenus:{keyspace}.{table}").as_bytes(),
    )
}

/// Returns the statements of a file of helenus's own schema as they are sent to the store's
/// keyspace on a cluster of this release.
///
/// The file itself, whose checksum is recorded, is the same on every release: a keyspace made on
/// one is up to date on the next.
pub(in crate::store) fn statements_as_sent(
    text: &str,
    store: &Store,
    release: &Release,
) -> Vec<String> {
    statements(text)
        .iter()
        .map(|statement| with_table_id(statement, store.keyspace()))
        .map(|statement| fit_compaction(&statement, release))
        .collect()
}

/// Returns a statement of helenus's own schema as it is sent: CREATE TABLE gets the table's id.
fn with_table_id(statement: &str, keyspace: &str) -> String {
    let mut words = statement.split_whitespace().take(6);
    let create = ["CREATE", "TABLE", "IF", "NOT", "EXISTS"];
    if !create.iter().all(|word| {
        words
            .next()
            .is_some_and(|found| found.eq_ignore_ascii_case(word))
    }) {
        return statement.to_owned();
    }
    let Some(table) = words.next() else {
        return statement.to_owned();
    };
    let id = table_id(keyspace, table);
    let has_options = !statement.trim_end().ends_with(')') || after_columns(statement);
    let joint = if has_options { "AND" } else { "WITH" };
    format!("{statement} {joint} id = {id}")
}

/// Returns whether anything follows the list of columns.
fn after_columns(statement: &str) -> bool {
    let mut depth = 0;
    for (at, character) in statement.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return !statement[at + 1..].trim().is_empty();
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_comments_strings_names_and_bodies_end_nothing() {
        let text = "-- one; two\nINSERT INTO \"a;b\" (c) VALUES ('it''s; so') ; // end;\n\
                    /* a; b */ SELECT 1;\nCREATE FUNCTION f AS $$ x; y $$;\n;\n  ";
        assert_eq!(
            statements(text),
            [
                "INSERT INTO \"a;b\" (c) VALUES ('it''s; so')",
                "SELECT 1",
                "CREATE FUNCTION f AS $$ x; y $$"
            ]
        );
    }

    #[test]
    fn what_is_never_closed_runs_to_the_end() {
        assert_eq!(statements("SELECT 'a; b"), ["SELECT 'a; b"]);
        assert_eq!(statements("SELECT 1 /* a; b"), ["SELECT 1"]);
        assert!(statements("-- only this").is_empty());
    }

    #[test]
    fn a_table_gets_its_id_whether_it_has_options_or_not() {
        let id = table_id("k", "t");
        let plain = "CREATE TABLE IF NOT EXISTS t (a int, PRIMARY KEY ((a)))";
        assert_eq!(with_table_id(plain, "k"), format!("{plain} WITH id = {id}"));
        let options =
            "CREATE TABLE IF NOT EXISTS t (a int PRIMARY KEY) WITH CLUSTERING ORDER BY (b DESC)";
        assert_eq!(
            with_table_id(options, "k"),
            format!("{options} AND id = {id}")
        );
        assert_eq!(
            with_table_id("ALTER TABLE t ADD b int", "k"),
            "ALTER TABLE t ADD b int"
        );
        assert_ne!(table_id("k", "t"), table_id("k2", "t"));
    }
}
