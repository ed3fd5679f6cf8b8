//! Checks helenus's dependencies and suggests fixes.

mod cassandra;
mod serving;
mod vectors;

use chrono::{TimeDelta, Utc};

use crate::{
    config::Config,
    domain::cassandra::Release,
    failure::Failure,
    scorer::runtime,
    store::{
        Store,
        admin::{
            health::{Permission, Writer},
            migrate,
            settings::Serial,
        },
        driver::error::StoreErrorKind,
    },
};

/// `gc_grace_seconds` below which there is a warning: a shorter one leaves little time for repair,
/// and runs end at half of it.
const GC_GRACE: i32 = 86_400;

/// Result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Good,
    /// Works, but may cause failures later.
    Warning,
    /// Something does not work.
    Bad,
}

/// What one check found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Finding {
    /// Name of the check: library, serving, cassandra, release, clock, replication, repair, schema,
    /// vectors, permissions, kafka.
    pub check: &'static str,
    pub state: State,
    pub text: String,
    /// What to do about it.
    pub help: Option<String>,
}

#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, check: &'static str, state: State, text: impl Into<String>, help: &str) {
        self.0.push(Finding {
            check,
            state,
            text: text.into(),
            help: (!help.is_empty()).then(|| help.to_owned()),
        });
    }

    fn good(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, State::Good, text, "");
    }

    fn failure(&mut self, check: &'static str, failure: &Failure) {
        for problem in &failure.problems {
            let help = problem.help.clone().unwrap_or_default();
            self.add(check, State::Bad, problem.message.clone(), &help);
        }
    }
}

/// What [`examine`] found.
#[derive(Debug)]
pub struct Examination {
    /// The oldest release of Cassandra's nodes; `None` if it could not be asked, or is too old.
    pub release: Option<Release>,
    pub findings: Vec<Finding>,
}

/// Checks everything; a check that cannot be made is a finding, too.
pub async fn examine(config: &Config) -> Examination {
    let mut report = Report::default();
    let mut release = None;
    library(&mut report, config);
    serving::examine(&mut report, &config.serve);
    match Store::connect_unmigrated(config).await {
        Err(failure) => report.failure("cassandra", &failure),
        Ok(store) => {
            match store.release().await {
                Ok(oldest) => {
                    cassandra::examine(&mut report, &store, &oldest).await;
                    release = Some(oldest);
                }
                Err(error) => report.failure("cassandra", &error.into()),
            }
            if schema(&mut report, config).await {
                // The keyspace exists; the following checks use its settings.
                match Store::connect(config).await {
                    Err(failure) => report.failure("schema", &failure),
                    Ok(store) => {
                        if let Err(failure) = keyspace(&mut report, &store).await {
                            report.failure("keyspace", &failure);
                        }
                        if let Err(failure) = vectors::examine(&mut report, &store).await {
                            report.failure("vectors", &failure);
                        }
                        if let Err(failure) = permissions(&mut report, &store).await {
                            report.failure("permissions", &failure);
                        }
                    }
                }
            }
        }
    }
    Examination {
        release,
        findings: report.0,
    }
}

fn library(report: &mut Report, config: &Config) {
    match runtime::load(config.onnxruntime.as_deref()) {
        Ok(runtime) => report.good(
            "library",
            format!(
                "ONNX Runtime {} from {}",
                runtime.version,
                runtime.library.display()
            ),
        ),
        Err(problem) => {
            let help = problem.help.unwrap_or_default();
            report.add("library", State::Bad, problem.message, &help);
        }
    }
}

/// Returns whether the keyspace can be used.
async fn schema(report: &mut Report, config: &Config) -> bool {
    match migrate::pending_files(config).await {
        Ok(waiting) if waiting.is_empty() => {
            report.good(
                "schema",
                format!(
                    "keyspace `{}` has the schema of this helenus",
                    config.keyspace
                ),
            );
            true
        }
        Ok(waiting) => {
            report.add(
                "schema",
                State::Bad,
                format!(
                    "keyspace `{}` lacks {}",
                    config.keyspace,
                    waiting.join(", ")
                ),
                "run `helenus migrate`",
            );
            false
        }
        Err(failure) => {
            report.failure("schema", &failure);
            false
        }
    }
}

async fn keyspace(report: &mut Report, store: &Store) -> Result<(), Failure> {
    let Some(keyspace) = store.keyspace_as_it_stands().await? else {
        return Ok(());
    };
    let strategy = keyspace.replication.get("class").map_or("", String::as_str);
    let strategy = strategy.rsplit('.').next().unwrap_or(strategy);
    let factors: Vec<(&str, u32)> = keyspace
        .replication
        .iter()
        .filter(|(name, _)| *name != "class")
        .filter_map(|(name, factor)| Some((name.as_str(), factor.split('/').next()?.parse().ok()?)))
        .collect();
    let told = factors
        .iter()
        .map(|(name, factor)| format!("{name} {factor}"))
        .collect::<Vec<_>>()
        .join(", ");
    let told = format!("{strategy}, {told}");
    let local = store.config().local_datacenter.as_deref();
    let elsewhere = local.filter(|local| {
        strategy == "NetworkTopologyStrategy"
            && !factors
                .iter()
                .any(|(name, factor)| name == local && *factor > 0)
    });
    let single = factors.iter().all(|(_, factor)| *factor < 2);
    if let Some(local) = elsewhere {
        report.add(
            "replication",
            State::Bad,
            format!("{told}: no replica in {local}"),
            "ALTER KEYSPACE gives this data centre replicas; LOCAL_QUORUM has none to ask",
        );
    } else if single {
        report.add(
            "replication",
            State::Warning,
            format!("{told}: losing a node loses models and predictions"),
            "ALTER KEYSPACE … WITH replication = {'class': 'NetworkTopologyStrategy', '<data centre>': 3}, then repair",
        );
    } else if factors.iter().any(|(_, factor)| *factor == 2) {
        report.add(
            "replication",
            State::Warning,
            format!("{told}: a quorum of two is both, so losing one stops everything"),
            "three replicas survive the loss of one",
        );
    } else {
        report.good("replication", told);
    }
    if !keyspace.durable_writes {
        report.add(
            "replication",
            State::Warning,
            format!("keyspace `{}` has durable_writes = false: a crash of Cassandra loses what was acknowledged", store.keyspace()),
            "ALTER KEYSPACE … WITH durable_writes = true",
        );
    }
    let settings = store.settings();
    let serial = match &settings.serial {
        Serial::Everywhere => "SERIAL".to_owned(),
        Serial::Local(control) => format!("LOCAL_SERIAL in {control}"),
    };
    report.good(
        "settings",
        format!(
            "leases of {} s, conditional writes at {serial}",
            settings.lease.as_secs()
        ),
    );
    repair(report, store, single).await
}

async fn repair(report: &mut Report, store: &Store, single: bool) -> Result<(), Failure> {
    let mut tables = store.gc_grace().await?;
    // Its rows expire and are never deleted, so its gc_grace does not matter.
    tables.retain(|(table, _)| table != "workers");
    let short: Vec<_> = tables
        .iter()
        .filter(|(_, seconds)| *seconds < GC_GRACE)
        .map(|(table, seconds)| format!("{table} {seconds} s"))
        .collect();
    if !short.is_empty() {
        report.add(
            "repair",
            State::Warning,
            format!("short gc_grace: {}", short.join(", ")),
            "deletes come back unless repair runs more often than that; the default is 10 days",
        );
    }
    if single {
        report.good("repair", "one replica: nothing to repair");
        return Ok(());
    }
    let grace = tables
        .iter()
        .map(|(_, seconds)| *seconds)
        .min()
        .unwrap_or(GC_GRACE);
    let days = f64::from(grace) / 86_400.0;
    let help = format!(
        "run `nodetool repair {}` on every node at least every {days:.0} days (Reaper does it on schedule)",
        store.keyspace()
    );
    match store.last_repair("model_versions").await {
        Ok(Some(at)) if Utc::now() - at < TimeDelta::seconds(i64::from(grace)) => {
            report.good("repair", format!("last at {}", at.format("%F %R UTC")));
        }
        Ok(Some(at)) => report.add(
            "repair",
            State::Warning,
            format!(
                "last at {}, longer ago than gc_grace",
                at.format("%F %R UTC")
            ),
            &help,
        ),
        Ok(None) => report.add("repair", State::Warning, "Cassandra knows of none", &help),
        Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::Missing) => {
            report.add(
                "repair",
                State::Good,
                "this login is not permitted to see when it ran",
                &help,
            );
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

async fn permissions(report: &mut Report, store: &Store) -> Result<(), Failure> {
    let found = store.permissions().await?;
    let names = |lacks: &dyn Fn(&Permission) -> bool| -> Vec<&str> {
        found
            .iter()
            .filter(|one| lacks(one))
            .map(|one| one.table)
            .collect()
    };
    let login = store.config().username.as_deref().unwrap_or("this login");
    let grant = |what: &str| {
        format!(
            "GRANT {what} ON KEYSPACE {} TO {login}, or on these tables",
            store.keyspace()
        )
    };
    let unread = names(&|one| !one.reads);
    if !unread.is_empty() {
        report.add(
            "permissions",
            State::Bad,
            format!("{login} is not permitted to read {}", unread.join(", ")),
            &grant("SELECT"),
        );
    }
    let unasked = names(&|one| !one.writes && one.writer == Writer::People);
    if !unasked.is_empty() {
        report.add(
            "permissions",
            State::Warning,
            format!(
                "{login} is not permitted to ask: it lacks MODIFY on {}",
                unasked.join(", ")
            ),
            &grant("MODIFY"),
        );
    }
    let unanswered = names(&|one| !one.writes && one.writer == Writer::Worker);
    if !unanswered.is_empty() {
        report.add(
            "permissions",
            State::Warning,
            format!(
                "{login} is not permitted to answer: it lacks MODIFY on {}",
                unanswered.join(", ")
            ),
            "as it should be for people; a worker needs MODIFY on them",
        );
    }
    if unread.is_empty() && unasked.is_empty() && unanswered.is_empty() {
        report.good("permissions", format!("{login} may ask and answer"));
    }
    Ok(())
}
