//! Migrated keyspaces, used again by the tests of one process.
//!
//! A migration is some fifty schema changes, and Cassandra digests its whole schema for each one.
//! Emptying the few tables that a test wrote to costs a tenth of that.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

use super::cassandra::{cql, rows};

/// What a migration leaves. A keyspace in which a test changed any of it does not return to the pool.
#[derive(Debug, Clone, PartialEq)]
struct Migrated {
    /// Tables with their options, and columns.
    schema: BTreeSet<String>,
    /// `settings` and `schema_migrations`.
    rows: Vec<String>,
}

/// A keyspace that no test uses now.
struct Idle {
    keyspace: String,
    options: Vec<String>,
    migrated: Migrated,
}

/// First in, first out: by then the last writes of a killed process have arrived.
static IDLE: Mutex<VecDeque<Idle>> = Mutex::new(VecDeque::new());

/// A migrated keyspace and what the migration left there.
#[derive(Debug)]
pub struct Keyspace {
    pub name: String,
    options: Vec<String>,
    migrated: Migrated,
}

impl Keyspace {
    /// Of a keyspace that was migrated with these options just now.
    pub fn just_migrated(name: &str, options: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            migrated: Migrated::of(name),
        }
    }

    /// One as if it were migrated with these options, emptied of what the last test left in it.
    pub fn idle(options: &[&str]) -> Option<Self> {
        let idle = {
            let mut idle = IDLE.lock().unwrap();
            let same = idle.iter().position(|idle| idle.options == options);
            let at = same.or_else(|| {
                lease(options)?;
                idle.iter().position(|idle| lease(&idle.options).is_some())
            })?;
            idle.remove(at)?
        };
        let mut keyspace = Self {
            name: idle.keyspace,
            options: idle.options,
            migrated: idle.migrated,
        };
        keyspace.empty();
        if keyspace.options != options {
            keyspace.change_lease(options);
        }
        Some(keyspace)
    }

    /// Makes it one of other options, all that they say being the lease's time. Another keyspace would
    /// make every later schema change slower.
    fn change_lease(&mut self, options: &[&str]) {
        let (name, seconds) = (&self.name, lease(options).unwrap());
        cql(&format!(
            "UPDATE \"{name}\".settings SET lease_seconds = {seconds} WHERE id = 'helenus'"
        ));
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self.migrated = Migrated::of(name);
    }

    /// Returns it to the pool, or drops it if this test changed what the migration made.
    pub fn give_back(self) {
        if Migrated::of(&self.name) != self.migrated {
            cql(&format!("DROP KEYSPACE \"{}\"", self.name));
            return;
        }
        IDLE.lock().unwrap().push_back(Idle {
            keyspace: self.name,
            options: self.options,
            migrated: self.migrated,
        });
    }

    fn empty(&self) {
        let keyspace = &self.name;
        for table in tables(keyspace) {
            if table == "settings" || table == "schema_migrations" {
                continue;
            }
            // A table with nothing but tombstones is left as it is: what the next test writes is newer.
            if !rows(&format!("SELECT * FROM \"{keyspace}\".\"{table}\" LIMIT 1")).is_empty() {
                cql(&format!("TRUNCATE \"{keyspace}\".\"{table}\""));
            }
        }
    }
}

/// The lease's time, in seconds, if that is all that options of `migrate` say.
fn lease(options: &[impl AsRef<str>]) -> Option<u32> {
    match options {
        [] => Some(15),
        [name, seconds] if name.as_ref() == "--lease-seconds" => seconds.as_ref().parse().ok(),
        _ => None,
    }
}

impl Migrated {
    fn of(keyspace: &str) -> Self {
        let schema = ["tables", "columns"].iter().flat_map(|table| {
            rows(&format!(
                "SELECT * FROM system_schema.{table} WHERE keyspace_name = '{keyspace}'"
            ))
        });
        let kept = ["settings", "schema_migrations"]
            .iter()
            .flat_map(|table| rows(&format!("SELECT * FROM \"{keyspace}\".{table}")));
        Self {
            schema: schema.map(|row| format!("{row:?}")).collect(),
            rows: kept.map(|row| format!("{row:?}")).collect(),
        }
    }
}

fn tables(keyspace: &str) -> Vec<String> {
    rows(&format!(
        "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}'"
    ))
    .iter()
    .map(|row| row["table_name"].as_text().unwrap().clone())
    .collect()
}
