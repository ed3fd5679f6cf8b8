//! Creates and upgrades helenus's own keyspace from the files of `cql/`.
//!
//! Any number of processes may do so at the same time, and any may crash half-way. Each process
//! creates the tables that a lease needs, with the same ids; the holder of the DDL lease creates
//! all others. Every change says IF NOT EXISTS, and a file counts as applied only once its row
//! exists.

use chrono::Utc;
use sha2::{Digest, Sha256};

use super::{
    baseline,
    leases::LeaseRow,
    settings::{Serial, Settings},
};
use crate::{
    config::Config,
    domain::{cassandra::Release, problem::Problem},
    failure::Failure,
    process,
    store::{
        Store,
        driver::{
            connect::{newer, not_migrated},
            ddl::{Ddl, once_visible},
            error::{StoreError, StoreErrorKind},
            script::statements_as_sent,
        },
    },
};

/// Lists files of `cql/` with number, name and text.
macro_rules! files {
    ($($number:literal $name:literal,)+) => {
        &[$(($number, $name, include_str!(concat!("../../../cql/", $name)))),+]
    };
}

/// The schema, file by file. An applied file is never edited; changes come as new files, and go
/// into `baseline.cql`, too.
const FILES: &[(i32, &str, &str)] = files! {
    1 "001_control.cql",
    2 "002_models.cql",
    3 "003_jobs.cql",
    4 "004_runs.cql",
    5 "005_workers.cql",
    6 "006_triggers.cql",
    7 "007_targets.cql",
    8 "008_coverage.cql",
    9 "009_passes.cql",
    10 "010_evaluations.cql",
    11 "011_comparisons.cql",
    12 "012_gates.cql",
    13 "013_gate_moves.cql",
    14 "014_retention.cql",
    15 "015_current.cql",
    16 "016_expect.cql",
    17 "017_whole_ended.cql",
    18 "018_accepts.cql",
    19 "019_widths.cql",
    20 "020_gate_minimums.cql",
    21 "021_drift.cql",
    22 "022_alarms.cql",
    23 "023_experiments.cql",
    24 "024_retrainings.cql",
    25 "025_trigger_alarms.cql",
    26 "026_pause.cql",
    27 "027_streams.cql",
    28 "028_artifacts.cql",
};

pub(in crate::store) const LAST: i32 = FILES[FILES.len() - 1].0;

/// The tables of the first file, which a lease and this bookkeeping need.
pub(in crate::store) const BOOTSTRAP: [&str; 3] = ["settings", "schema_migrations", "leases"];

/// Settings chosen by the operator. Only the first migration may choose them; later ones must
/// agree.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The keyspace's replication as a CQL map; the default suits one node.
    pub replication: Option<String>,
    pub lease_seconds: Option<u32>,
    /// The replicas that conditional writes involve.
    pub serial: Option<Serial>,
}

#[derive(Debug, Clone)]
pub struct Migrated {
    /// Whether the keyspace was created now.
    pub created_keyspace: bool,
    /// Files applied now.
    pub applied: Vec<&'static str>,
    pub settings: Settings,
    /// The keyspace's replication as `system_schema` spells it.
    pub replication: std::collections::BTreeMap<String, String>,
}

/// Migrates the keyspace to the newest schema. `told` is called with the holder of the DDL lease if
/// this process has to wait for it.
///
/// # Errors
/// Exit 3: a newer database, an edited file, no permission; exit 4: settings that differ from those
/// chosen before, or a lease that is not released; exit 2: a replication that Cassandra refuses.
pub async fn migrate(
    config: &Config,
    choice: &Choice,
    told: impl FnOnce(&LeaseRow),
) -> Result<Migrated, Failure> {
    let mut store = Store::connect_unmigrated(config).await?;
    let release = store.release().await?;
    let created_keyspace = make_keyspace(&store, choice).await?;
    let tables = store
        .rows::<(String,)>(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?",
            (store.keyspace(),),
        )
        .await?;
    let missing = |table: &&str| !tables.iter().any(|(name,)| name == *table);
    if BOOTSTRAP.iter().any(missing) {
        store
            .change_schema(&statements_as_sent(FILES[0].2, &store, &release))
            .await?;
    }
    let settings = settle(&mut store, choice).await?;
    let applied = if pending(&store).await?.is_empty() && settings.schema_version == LAST {
        Vec::new()
    } else {
        once_visible(|| store.lease("ddl")).await?;
        let ddl = store.ddl(told).await?;
        let outcome = apply_pending(&store, &ddl, &release).await;
        let released = ddl.release().await;
        let applied = outcome?;
        released?;
        applied
    };
    Ok(Migrated {
        created_keyspace,
        applied,
        settings: store.read_settings().await?.unwrap_or(settings),
        replication: replication(&store).await?,
    })
}

/// Returns the files that are not applied to the configured keyspace; changes nothing.
///
/// # Errors
/// As [`migrate`]: a newer database, an edited file; also a keyspace that is missing or empty.
pub async fn pending_files(config: &Config) -> Result<Vec<&'static str>, Failure> {
    let mut store = Store::connect_unmigrated(config).await?;
    if !store.use_keyspace().await? {
        return Err(not_migrated(config, "does not exist"));
    }
    let settings = match store.read_settings().await {
        Ok(Some(settings)) => settings,
        Ok(None) => return Err(not_migrated(config, "is not migrated")),
        Err(error) if error.kind == StoreErrorKind::Missing => {
            return Err(not_migrated(config, "is not migrated"));
        }
        Err(error) => return Err(error.into()),
    };
    if settings.schema_version > LAST {
        return Err(newer(config, settings.schema_version));
    }
    store.adopt(settings)?;
    let waiting = pending(&store).await?;
    Ok(waiting.into_iter().map(|(_, name, _)| *name).collect())
}

/// Creates the keyspace if it is missing, and uses it.
async fn make_keyspace(store: &Store, choice: &Choice) -> Result<bool, Failure> {
    if store.use_keyspace().await? {
        return Ok(false);
    }
    let replication = choice
        .replication
        .as_deref()
        .unwrap_or("{'class': 'SimpleStrategy', 'replication_factor': 1}");
    let cql = format!(
        "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {replication}",
        store.keyspace()
    );
    store
        .change_schema(&[cql])
        .await
        .map_err(|error| match error.kind {
            StoreErrorKind::Invalid | StoreErrorKind::Missing => Failure::input(
                Problem::new("schema.replication", error.detail)
                    .at(replication.to_owned())
                    .help("--replication \"{'class': 'NetworkTopologyStrategy', 'dc1': 3}\""),
            ),
            _ => error.into(),
        })?;
    if !store.use_keyspace().await? {
        return Err(Failure::system(Problem::new(
            "schema.missing",
            format!(
                "keyspace `{}` was created and is not there",
                store.keyspace()
            ),
        )));
    }
    Ok(true)
}

/// Writes the settings if there are none, and adopts the stored ones.
async fn settle(store: &mut Store, choice: &Choice) -> Result<Settings, Failure> {
    let defaults = Settings::default();
    let chosen = Settings {
        schema_version: 0,
        lease: choice.lease_seconds.map_or(defaults.lease, |seconds| {
            std::time::Duration::from_secs(u64::from(seconds))
        }),
        serial: choice.serial.clone().unwrap_or(defaults.serial),
    };
    let standing = match once_visible(|| store.read_settings()).await? {
        Some(settings) => settings,
        None => {
            store.adopt(chosen.clone())?;
            insert_settings(store, &chosen).await?;
            store.read_settings().await?.ok_or_else(|| {
                StoreError::corrupt("the settings row was written and is not there", "settings")
            })?
        }
    };
    if standing.schema_version > LAST {
        return Err(newer(store.config(), standing.schema_version));
    }
    let otherwise = |what: &str, standing: String| {
        Failure::conflict(
            Problem::new("schema.settings", format!("{what} was chosen by the first migration: {standing}"))
                .help("leave the option out; changing it under running workers would let two of them hold one lease"),
        )
    };
    if choice.lease_seconds.is_some() && chosen.lease != standing.lease {
        return Err(otherwise(
            "the lease time",
            format!("{} s", standing.lease.as_secs()),
        ));
    }
    if choice.serial.is_some() && chosen.serial != standing.serial {
        let spoken = match &standing.serial {
            Serial::Everywhere => "SERIAL".to_owned(),
            Serial::Local(datacenter) => format!("LOCAL_SERIAL in `{datacenter}`"),
        };
        return Err(otherwise("the serial consistency", spoken));
    }
    store.adopt(standing.clone())?;
    Ok(standing)
}

async fn insert_settings(store: &Store, settings: &Settings) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO settings (id, schema_version, lease_seconds, serial_consistency, control_datacenter, updated_at) VALUES ('helenus', 0, ?, ?, ?, ?) IF NOT EXISTS";
    let datacenter = match &settings.serial {
        Serial::Everywhere => None,
        Serial::Local(datacenter) => Some(datacenter.as_str()),
    };
    let lease = i32::try_from(settings.lease.as_secs()).unwrap_or(i32::MAX);
    let values = (lease, settings.serial.as_str(), datacenter, Utc::now());
    // Whichever process wrote the settings, they are read back.
    store.apply_ignoring_unknown(INSERT, values).await
}

/// Returns the files that are not applied. Refuses a newer database and an edited file.
async fn pending(
    store: &Store,
) -> Result<Vec<&'static (i32, &'static str, &'static str)>, Failure> {
    let applied = once_visible(|| {
        store.serial_rows::<(i32, Option<String>, Option<Vec<u8>>)>(
            "SELECT number, name, checksum FROM schema_migrations WHERE bucket = 'cql'",
            (),
        )
    })
    .await?;
    for (number, name, checksum) in &applied {
        let Some((_, known, text)) = FILES.iter().find(|(known, ..)| known == number) else {
            return Err(newer(store.config(), *number));
        };
        if checksum.as_deref() != Some(sha256(text).as_slice()) {
            return Err(Failure::system(
                Problem::new(
                    "schema.edited",
                    format!(
                        "cql/{known} is not the file that was applied to keyspace `{}` (as {})",
                        store.keyspace(),
                        name.as_deref().unwrap_or("an unnamed one")
                    ),
                )
                .help("applied files are never edited: bring this one back, and put the change into a new file"),
            ));
        }
    }
    Ok(FILES
        .iter()
        .filter(|(number, ..)| !applied.iter().any(|(applied, ..)| applied == number))
        .collect())
}

async fn apply_pending(
    store: &Store,
    ddl: &Ddl,
    release: &Release,
) -> Result<Vec<&'static str>, Failure> {
    const INSERT: &str = "INSERT INTO schema_migrations (bucket, number, name, checksum, applied_at, applied_by) VALUES ('cql', ?, ?, ?, ?, ?) IF NOT EXISTS";
    const RAISE: &str = "UPDATE settings SET schema_version = ?, updated_at = ? WHERE id = 'helenus' IF schema_version = ?";
    let mut done = Vec::new();
    // Read again: another process may have applied some before this one got the lease.
    let waiting = pending(store).await?;
    let is_new = waiting.len() == FILES.len() && baseline::fits(store).await?;
    if is_new {
        baseline::create(store, ddl, release).await?;
    }
    for (number, name, text) in waiting {
        if !is_new {
            ddl.run_all(&statements_as_sent(text, store, release))
                .await?;
        }
        let values = (number, name, sha256(text), Utc::now(), process::identity());
        // Refused or unknown: another process wrote the same row, or the next migration does.
        store.apply(INSERT, values).await?;
        done.push(*name);
    }
    let version = store
        .read_settings()
        .await?
        .map_or(0, |settings| settings.schema_version);
    // Refused: another process raised it.
    if version < LAST {
        store.apply(RAISE, (LAST, Utc::now(), version)).await?;
    }
    Ok(done)
}

async fn replication(
    store: &Store,
) -> Result<std::collections::BTreeMap<String, String>, StoreError> {
    let row = store
        .row::<(std::collections::BTreeMap<String, String>,)>(
            "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?",
            (store.keyspace(),),
        )
        .await?;
    Ok(row.map(|(replication,)| replication).unwrap_or_default())
}

pub(in crate::store) fn sha256(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_known_and_numbered_in_order() {
        let mut names: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cql"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name != "baseline.cql");
        names.sort();
        let known: Vec<_> = FILES.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(names, known);
        for (at, (number, name, _)) in FILES.iter().enumerate() {
            assert_eq!(*number, i32::try_from(at).unwrap() + 1);
            assert!(name.starts_with(&format!("{number:03}_")), "{name}");
        }
    }

    #[test]
    fn the_first_file_makes_what_the_bookkeeping_needs() {
        let made = crate::store::driver::script::statements(FILES[0].2);
        assert_eq!(made.len(), BOOTSTRAP.len());
        for table in BOOTSTRAP {
            assert!(made.iter().any(|statement| {
                statement.starts_with(&format!("CREATE TABLE IF NOT EXISTS {table} "))
            }));
        }
    }

    #[test]
    fn no_statement_for_4_1_names_what_it_lacks() {
        let old = Release::parse("4.1.10").unwrap();
        let texts = FILES.iter().map(|(_, _, text)| *text);
        for text in texts.chain([include_str!("../../../cql/baseline.cql")]) {
            for statement in crate::store::driver::script::statements(text) {
                let sent = crate::store::admin::release::fit_compaction(&statement, &old);
                for lacking in ["Unified", "vector<", "sai"] {
                    assert!(!sent.contains(lacking), "{sent}");
                }
            }
        }
    }
}
